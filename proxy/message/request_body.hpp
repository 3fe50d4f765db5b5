#pragma once
// The body of a client's request, as attempts read it: each from the first byte and at its own pace. What has come lies
// in blocks that neither move nor change (block.hpp), and a reader owns the piece it is writing from, so no attempt
// depends on what becomes of the body, the request or another attempt meanwhile.
//
// All that has come is held, so that another attempt may begin at the first byte, up to a bound and as long as
// limits.memory has room. Beyond that the body streams: what every reader has passed is dropped, and a reader that
// stands in the way of the foremost by more than may be held is given up (it fails; its attempt's upstream is not to
// blame).
//
// Owned by one request, of a client connection or of nobody (owned_request), which waits for released() before it lets
// go.

#include "proxy/message/block.hpp"
#include "proxy/message/io_buffer.hpp"
#include "proxy/message/upload_rate.hpp"
#include "proxy/net/client_stream.hpp"
#include "proxy/net/event.hpp"
#include "proxy/net/io.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/wire/chunk_decoder.hpp"
#include "proxy/wire/head.hpp"

#include <boost/container/small_vector.hpp>
#include <boost/intrusive/list.hpp>

#include <cstdint>
#include <optional>
#include <span>

namespace evenkeel::request {

struct request_body_options {
    std::uint64_t max_body = 0; // bytes; more is refused with 413
    std::uint64_t max_held = 0; // bytes kept for a second sending
    duration silence{};         // longest wait for the next byte
    std::uint64_t min_rate = 0; // bytes per second of waiting; 0: any
};

class request_body final : private net::timer_entry {
public:
    enum class failure : unsigned char { none, client_gone, timeout, too_slow, too_late, refused };

    request_body(net::loop& worker, net::client_stream& client, io_buffer& input, buffer_pool& buffers);
    // Of a request without a client connection: begin_whole() is the only way to begin it.
    request_body(net::loop& worker, buffer_pool& buffers);
    ~request_body() override; // readers that are left find nothing more

    // The route's own bound, once it is known; what is held already stays.
    void hold_up_to(std::uint64_t bytes) noexcept { options_.max_held = bytes; }

    // `input` stands at the first byte behind the head; what it holds of the body is shared, not copied.
    void begin(const wire::body_framing& framing, const request_body_options& options, bool expect_continue);
    // All of it is here.
    void begin_whole(const wire::body_framing& framing, shared_bytes body);

    struct step {
        enum class kind : unsigned char { data, end, failed };
        kind is = kind::end;
        shared_bytes data{}; // at least one byte, where there is data
    };

    // One attempt's way through the body. May outlive it, and then fails.
    class reader : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    public:
        explicit reader(request_body& of);
        ~reader();
        reader(const reader&) = delete;
        reader& operator=(const reader&) = delete;

        // What comes next; waits for the client only at the frontier of what has come, and fails where the beginning
        // has been dropped. One call at a time.
        [[nodiscard]] net::task<step> next();
        [[nodiscard]] bool outrun() const noexcept { return outrun_; } // it failed because it was in the way

    private:
        friend class request_body;
        request_body* body_; // null: the body is gone
        std::uint64_t position_ = 0;
        bool outrun_ = false;
        bool inside_ = false;
    };

    // Reads on until the body is whole, failed, no longer held, or more than `limit` bytes have come. Where its length
    // is known, a block for all of it is taken first: else a crowd of uploads would fill the memory with halves, none
    // of which could become whole. True: whole. Fails (too_late) if it is still coming at `until`. Only before there is
    // a reader.
    [[nodiscard]] net::task<bool> read_whole(std::uint64_t limit, steady_time until = steady_time::max());

    [[nodiscard]] bool complete() const noexcept { return complete_; }  // read to its end
    [[nodiscard]] bool replayable() const noexcept { return holding_; } // all that has come is held, and stays
    [[nodiscard]] bool whole() const noexcept { return complete_ && replayable(); }
    // ... and will be to its end, as far as can be told: it is here, or its length is known, may be held, and what is
    // still to come finds room.
    [[nodiscard]] bool keeps_replayable(const memory_bound& memory) const noexcept {
        if (!holding_ || complete_) return holding_;
        return !lacked_memory_ && framing_.kind == wire::body_kind::length && framing_.length <= options_.max_held &&
               framing_.length - position_ <= memory.room();
    }
    // ... not, because limits.memory is used up.
    [[nodiscard]] bool lacked_memory() const noexcept { return lacked_memory_; }
    [[nodiscard]] std::uint64_t received() const noexcept { return position_; } // body bytes so far
    [[nodiscard]] const wire::body_framing& framing() const noexcept { return framing_; }
    [[nodiscard]] failure failed() const noexcept { return failure_; }
    [[nodiscard]] wire::refusal refused() const noexcept { return refusal_; }

    // What has come, in one piece: all of it where the body is whole; else as much from its first byte as lies together
    // (nothing, where that has been dropped).
    [[nodiscard]] shared_bytes text() const;

    // The whole body in few pieces, for one gather write; empty: it is not whole, or in too many.
    [[nodiscard]] std::span<const shared_bytes> pieces() const noexcept {
        return whole() && pieces_.size() <= most_pieces ? std::span<const shared_bytes>{pieces_.data(), pieces_.size()}
                                                        : std::span<const shared_bytes>{};
    }
    static constexpr std::size_t most_pieces = 4;

    // The answer goes out: whoever waited for a `100 Continue` gets none any more.
    void answered() noexcept { expect_continue_ = false; }
    // No attempt will begin any more: what those that read have passed goes, now and as they go on; without one, all of
    // it.
    void let_go() noexcept;
    // No attempt reads any more; a read under way ends. The connection closes after the answer if the body is not
    // whole.
    void abandon() noexcept;
    [[nodiscard]] bool in_use() const noexcept { return inside_ > 0; }
    [[nodiscard]] net::task<void> released(); // until no attempt is inside next()

    // Bytes behind a chunked body belong to the next request.
    [[nodiscard]] io_buffer take_excess() noexcept { return std::move(excess_); }

private:
    class presence; // of a coroutine that works on the body
    class pulling;

    [[nodiscard]] net::task<void> pull(reader* as); // one read from the client; null: before there is a reader
    [[nodiscard]] shared_bytes at(std::uint64_t position) const; // what is held from there on, of one piece
    void accept(const block_ptr& in, std::string_view data);
    void decode(const block_ptr& in, char* raw, std::size_t size, io_buffer* rest_stays);
    [[nodiscard]] boost::asio::mutable_buffer room(); // where the next bytes go
    [[nodiscard]] block_ptr take_larger_block(std::uint64_t missing) const;
    [[nodiscard]] block_ptr take_block(std::size_t bytes);
    std::size_t copy_pieces(block& to) const noexcept;
    [[nodiscard]] bool take_block_for_all(); // where its length is known; false: there is no room
    void outrun_others() noexcept;
    void drop_passed() noexcept;
    void fail(failure why, wire::refusal refused = wire::refusal::none) noexcept;
    void on_timer() override;

    net::loop& loop_;
    net::client_stream* client_; // null, as the next, where there is no client connection: the body is whole then
    io_buffer* input_;
    buffer_pool& buffers_;
    io_buffer excess_;
    wire::body_framing framing_;
    request_body_options options_;
    wire::chunk_decoder decoder_;
    // In order, gapless; the last grows within its block; text() joins them.
    mutable boost::container::small_vector<shared_bytes, 2> pieces_;
    block_ptr tail_;             // where the next bytes are read to ...
    std::size_t tail_used_ = 0;  // ... behind these
    std::uint64_t dropped_ = 0;  // bytes in front of pieces_
    std::uint64_t position_ = 0; // body bytes that have come
    boost::intrusive::list<reader, boost::intrusive::constant_time_size<false>> readers_;
    net::broadcast progress_; // for readers at the frontier while another one pulls, and for released()
    int inside_ = 0;          // coroutines that work on the body
    bool holding_ = true;
    bool complete_ = false;
    bool expect_continue_ = false;
    bool pulling_ = false;
    bool comes_fast_ = false; // there was more than the last read had room for
    bool timed_out_ = false;
    bool lacked_memory_ = false;
    upload_rate rate_;
    steady_time until_ = steady_time::max(); // of read_whole()
    failure failure_ = failure::none;
    wire::refusal refusal_ = wire::refusal::none;
};

} // namespace evenkeel::request

#pragma once
// One request over one exchange, and the answer to it. Speaks messages: a head, pieces of a body, its end or its break.
// How HTTP/1.1 frames them is known in here and nowhere else in this room; policies, records and what an answer is
// worth are not known here at all.
//
// Never reset: whatever is asked again is asked by another call. Shared by whoever reads the answer and by its own
// upload, which goes on while the answer is read and owns what it writes from; close() and end() are the end of both.

#include "proxy/message/block.hpp"
#include "proxy/message/io_buffer.hpp"
#include "proxy/message/request_body.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/nursery.hpp"
#include "proxy/net/transport.hpp"
#include "proxy/wire/chunk_decoder.hpp"
#include "proxy/wire/head.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace evenkeel::request {

// What is asked. All of it lives until the head of the answer is here; `body` until the call has ended, or
// stop_sending().
struct upstream_request {
    std::string_view head;                 // complete
    std::span<const shared_bytes> whole{}; // the body; empty: it is `body`
    request_body* body = nullptr;          // of the client's request, sent as it comes; null: there is none
    net::nursery* uploads = nullptr;       // where a body is sent from that does not go out with the head
    const net::loop* clock = nullptr;      // of the moments at which that moves; null: nobody asks
    bool head_request = false;             // the answer to HEAD has no body
    std::size_t max_response_head = 64 * 1024;
};

class upstream_call final : public std::enable_shared_from_this<upstream_call>, private net::room_for_bytes {
public:
    // `through`: where the exchange comes from, if that has to be kept for it.
    upstream_call(buffer_pool& buffers, std::unique_ptr<net::exchange> over, std::shared_ptr<net::transport> through);
    upstream_call(buffer_pool& buffers, net::exchange& lent); // which outlives the call
    ~upstream_call();

    // Sends the request, once. False: send_rest() first.
    [[nodiscard]] bool send(const upstream_request& what);
    [[nodiscard]] net::task<void> send_rest();
    // Then, until it says something, answered(co_await read_head()): the head of the answer is here, interim ones
    // apart, or the RFC 9209 word for why there will be none. (No coroutine of its own: each costs what parsing a head
    // does.)
    [[nodiscard]] net::task<net::io_result> read_head();
    [[nodiscard]] std::optional<std::string_view> answered(const net::io_result& got); // an empty word: it is
    // Lives as long as the call; what it points to until release_head().
    [[nodiscard]] const wire::response_head& head() const noexcept { return head_; }
    void release_head() noexcept;
    [[nodiscard]] bool is_counted() const noexcept { return head_.body.kind == wire::body_kind::length; }

    struct piece {
        enum class kind : unsigned char { data, end, broken }; // broken: it is no HTTP/1.1, and refused() says so
        kind is = kind::end;
        std::string_view data{}; // at least one byte; until read() or the end of the call
        bool last = false;       // of a counted body
    };
    // What is here of the body. Empty: nothing; arrived(co_await read()), then ask again. Not after end or broken.
    [[nodiscard]] std::optional<piece> ready();
    [[nodiscard]] net::task<net::io_result> read();
    [[nodiscard]] bool arrived(const net::io_result& got); // false: the connection is gone, and the body not whole

    // No more of the body is asked for: the connection is kept if it is fit for another request, else closed.
    void end() noexcept;
    [[nodiscard]] bool ended() const noexcept { return ended_; }
    [[nodiscard]] bool is_reusable() const noexcept; // ... for another request
    void close() noexcept;                           // at once; a read under way comes back
    void stop_sending() noexcept;

    // A byte has left for the network; or may have: a write is under way.
    [[nodiscard]] bool sent_any() const noexcept { return sent_any_ || writing_; }
    // Of a body that is still going out: when some of it last went, and whether the next of it is the client's to send.
    struct upload_state {
        bool under_way = false, waits_for_client = false;
        steady_time moved{};
    };
    [[nodiscard]] upload_state uploading() const noexcept {
        return {sending_ == sending::running, waits_for_client_, moved_at_};
    }
    [[nodiscard]] bool sent_all() const noexcept { return sending_ == sending::done; }
    [[nodiscard]] bool withdrawn() const noexcept { return sending_ == sending::withdrawn; }
    [[nodiscard]] bool unanswered() const noexcept { return in_.empty() && interim_ == 0; } // before the head
    [[nodiscard]] std::uint64_t bytes_sent() const noexcept { return bytes_sent_; }         // of the body
    [[nodiscard]] std::uint64_t bytes_received() const noexcept { return bytes_received_; } // of the body
    [[nodiscard]] wire::refusal refused() const noexcept { return refused_; }

private:
    // A body up to this goes out with the head, before reading begins.
    static constexpr std::size_t inline_body_bytes = 64 * 1024;
    // One that is here whole goes out in writes of this size, so that it is seen to move. (chosen)
    static constexpr std::size_t most_together = 256 * 1024;
    struct gathered;
    enum class sending : unsigned char {
        none,
        running,
        done,
        broken,
        withdrawn
    }; // withdrawn: the upstream is not to blame

    [[nodiscard]] static bool gather(const upstream_request& what, gathered& out); // false: too large, or not all here
    static net::task<void> upload(std::shared_ptr<upstream_call> self, std::string head, body_pieces whole);
    [[nodiscard]] net::task<void> send_whole(std::string_view head, const body_pieces& whole);
    [[nodiscard]] net::task<void> send_as_it_comes(std::string_view head);
    [[nodiscard]] bool went_out(const net::io_result& sent) noexcept;
    void wrote(const net::io_result& sent, std::size_t body_size) noexcept;
    void moved() noexcept {
        if (clock_ != nullptr) moved_at_ = clock_->now();
    }
    [[nodiscard]] bool take_heads(); // false: more is needed, or refused_ says why not
    [[nodiscard]] std::optional<piece> ready_chunks();
    [[nodiscard]] boost::asio::mutable_buffer room() override { return in_.space(1, most_unread()); }
    [[nodiscard]] std::size_t most_unread() const noexcept { return max_head_ + buffer_pool::block_bytes; }
    [[nodiscard]] piece deliver(std::string_view data) noexcept;

    std::shared_ptr<net::transport> through_; // outlives the exchange
    std::unique_ptr<net::exchange> owned_;    // null: it is lent
    net::exchange& exchange_;
    request_body* body_ = nullptr;   // null: nothing more is sent from it
    std::unique_ptr<gathered> rest_; // for send_rest()
    std::size_t max_head_ = 0;       // of the answer
    const net::loop* clock_ = nullptr;
    steady_time moved_at_{}; // a piece of the body went out
    bool head_request_ = false;
    io_buffer in_;
    io_buffer head_block_; // where head_ points to, once in_ is needed for more than what came with it
    std::size_t scanned_ = 0;
    wire::response_head head_;
    wire::chunk_decoder chunks_;
    std::uint64_t remaining_ = 0; // of a counted body
    std::uint64_t bytes_sent_ = 0, bytes_received_ = 0;
    int interim_ = 0;
    wire::refusal refused_ = wire::refusal::none;
    sending sending_ = sending::none;
    bool sent_any_ = false, writing_ = false;
    bool waits_for_client_ = false;
    bool head_gone_ = false;
    bool whole_ = false; // the body has come to its end
    bool ended_ = false;
    bool closed_ = false;
};

} // namespace evenkeel::request

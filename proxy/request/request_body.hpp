#pragma once
// The body of a client's request, as attempts read it: by position, so that an attempt may start again from the first
// byte for as long as all of it is held. Small bodies are read whole before the first attempt; larger ones start at once
// and are held on the side up to a bound, then streamed without a copy (and can no longer be sent twice).
//
// Owned by one request, of a client connection or of nobody (owned_request), which waits for released() before it lets go.

#include "proxy/net/client_stream.hpp"
#include "proxy/net/event.hpp"
#include "proxy/net/io.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/request/io_buffer.hpp"
#include "proxy/request/memory_bound.hpp"
#include "proxy/wire/chunk_decoder.hpp"
#include "proxy/wire/head.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::request {

struct request_body_options {
    std::uint64_t max_body = 0;  // bytes; more is refused with 413
    std::uint64_t max_held = 0;  // bytes kept for a second sending
    duration silence{};          // longest wait for the next byte
};

class request_body final : private net::timer_entry {
public:
    enum class failure : unsigned char { none, client_gone, timeout, refused };

    request_body(net::loop& worker, net::client_stream& client, io_buffer& input, buffer_pool& buffers, memory_bound& memory);
    // Of a request without a client connection: begin_whole() is the only way to begin it.
    request_body(net::loop& worker, buffer_pool& buffers, memory_bound& memory);
    ~request_body() override;

    // The route's own bound, once it is known; what is held already stays.
    void hold_up_to(std::uint64_t bytes) noexcept { options_.max_held = bytes; }

    // `input` stands at the first byte behind the head and is not moved before the request ends.
    void begin(const wire::body_framing& framing, const request_body_options& options, bool expect_continue);
    // All of it is here: `body` lives as long as this and is charged to the memory bound by its owner.
    void begin_whole(const wire::body_framing& framing, std::string_view body) noexcept;

    struct step {
        enum class kind : unsigned char { data, end, failed };
        kind is = kind::end;
        std::string_view data; // valid until the next read
    };
    // The bytes from `position` on; waits for the client only at the frontier of what has come. A position in front of
    // what is still held is a mistake of the caller: look at replayable() first.
    [[nodiscard]] net::task<step> read(std::uint64_t position);

    // Reads on until the body is whole, failed, or more than `limit` bytes are held. True: whole.
    [[nodiscard]] net::task<bool> read_whole(std::uint64_t limit);

    [[nodiscard]] bool complete() const noexcept { return complete_; }           // read to its end
    [[nodiscard]] bool replayable() const noexcept { return position_ == held().size(); } // all that has come is held
    [[nodiscard]] std::string_view held() const noexcept { return in_place_.data() != nullptr ? in_place_ : std::string_view{held_}; }
    [[nodiscard]] std::uint64_t received() const noexcept { return position_; }  // body bytes so far
    [[nodiscard]] const wire::body_framing& framing() const noexcept { return framing_; }
    [[nodiscard]] failure failed() const noexcept { return failure_; }
    [[nodiscard]] wire::refusal refused() const noexcept { return refusal_; }

    // No attempt reads any more; a read under way ends. The connection closes after the answer if the body is not whole.
    void abandon() noexcept;
    [[nodiscard]] bool in_use() const noexcept { return readers_ > 0; }
    [[nodiscard]] net::task<void> released(); // until no attempt is inside read()

    // Bytes behind a chunked body belong to the next request.
    [[nodiscard]] io_buffer take_excess() noexcept { return std::move(scratch_); }

private:
    [[nodiscard]] net::task<step> read_from(std::uint64_t position);
    [[nodiscard]] net::task<void> pull(); // one read from the client, or one decoding step
    void accept(std::string_view data);   // body bytes that have come
    bool hold(std::string_view data);
    void stop_holding() noexcept;
    void fail(failure why, wire::refusal refused = wire::refusal::none) noexcept;
    [[nodiscard]] bool decode(io_buffer& from); // true: something was decided or delivered
    void on_timer() override;

    net::loop& loop_;
    net::client_stream* client_;   // null, as the next, where there is no client connection: the body is whole then
    io_buffer* input_;
    memory_bound& memory_;
    io_buffer scratch_;
    wire::body_framing framing_;
    request_body_options options_;
    wire::chunk_decoder decoder_;
    std::string held_;
    std::string_view in_place_;    // the whole body, lying in the connection's buffer
    std::string_view fresh_;       // what the last pull brought, when it is not held
    std::uint64_t position_ = 0;   // body bytes that have come
    std::uint64_t charged_ = 0;    // bytes taken from the memory bound
    bool holding_ = true;
    bool complete_ = false;
    bool expect_continue_ = false;
    bool pulling_ = false;
    bool timed_out_ = false;
    failure failure_ = failure::none;
    wire::refusal refusal_ = wire::refusal::none;
    int readers_ = 0;
    net::event pulled_;   // for a second reader, while the first one pulls
    net::event released_;
};

} // namespace evenkeel::request

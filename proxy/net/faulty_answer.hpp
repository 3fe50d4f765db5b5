#pragma once
// One fault, done to the bytes of one HTTP/1.1 answer: bytes of the upstream in, bytes for the attempt out, and what
// follows when these have been read. Framing is kept or rebuilt, so that what reaches the proxy is broken in the way
// that was ordered and in no other. Pure: no socket, no clock.
//
// A body that is neither server-sent events nor NDJSON, or that is compressed, has no events: a fault `after_events`
// then happens right behind the head, `truncate` keeps back the last byte, `malformed` spoils the first one, and
// `stream_error` puts an error in place of the whole body. An answer that is not HTTP as the response gate has it
// passes unchanged.

#include "policies/chaos_fault.hpp"
#include "proxy/wire/chunk_decoder.hpp"
#include "proxy/wire/error_body.hpp"
#include "proxy/wire/event_borders.hpp"
#include "proxy/wire/head.hpp"

#include <boost/crc.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::net {

class faulty_answer {
public:
    enum class sequel : unsigned char {
        more,    // more bytes of the upstream are needed
        silence, // nothing, ever
        reset,   // the connection has died
        end,     // the connection has ended in order
    };

    // `which`: what errors are written in; generic: as OpenAI. `head_request`: the answer to HEAD has no body. A fault
    // that spares the upstream is in ready() and then() at once.
    faulty_answer(chaos_fault_options fault, wire::dialect which, bool head_request);

    void read(std::string_view bytes); // of the upstream, in order; ignored once then() is not `more`
    void end();                        // the upstream ended the connection in order

    [[nodiscard]] std::string_view ready() const noexcept { return std::string_view{out_}.substr(given_); }
    [[nodiscard]] bool in_body() const noexcept { return given_ >= body_at_; } // what ready() begins with
    // Bytes of ready(), unless in_body().
    [[nodiscard]] std::size_t until_body() const noexcept { return body_at_ - given_; }
    void consume(std::size_t bytes) noexcept;
    [[nodiscard]] sequel then() const noexcept { return then_; } // after ready()

private:
    enum class phase : unsigned char { head, body, through, over };
    enum class shape : unsigned char { events, other };

    void make_local();
    void read_head();
    void begin_body(std::string_view raw, const wire::response_head& head);
    void read_body(std::string_view bytes);
    void take(std::string_view data); // decoded
    void take_events(std::string_view data);
    void take_other(std::string_view data);
    void happen(); // the fault's point is reached
    void finish(); // the upstream's body is whole
    void end_framing();
    void emit(std::string_view data);
    void emit_compressed(std::string_view data);
    void stop(sequel how) noexcept;

    chaos_fault_options fault_;
    wire::dialect dialect_;
    bool head_request_;
    phase phase_ = phase::head;
    sequel then_ = sequel::more;
    std::string out_;
    std::size_t given_ = 0;          // bytes of out_ consumed
    std::size_t body_at_ = SIZE_MAX; // where the body begins in out_; SIZE_MAX: not there yet

    std::string head_; // as far as it has come
    std::size_t scanned_ = 0;
    wire::body_framing in_{}, framing_{}; // of the upstream; of what goes on
    wire::chunk_decoder decoder_;
    std::uint64_t remaining_ = 0; // of a body with a length
    shape shape_ = shape::other;
    bool lines_ = false; // NDJSON
    bool happened_ = false;
    wire::event_borders borders_;
    std::int64_t events_ = 0;  // passed
    std::uint64_t passed_ = 0; // body bytes
    std::string held_;         // the event that may be the last, or that will be cut in two
    bool held_whole_ = false;
    bool halving_ = false;   // held_ will be cut in two
    boost::crc_32_type crc_; // of the body, for gzip (RFC 1952)
    bool gzip_begun_ = false;
};

} // namespace evenkeel::net

#pragma once
// Reads along with a streamed answer and says what its events mean, without changing or holding a byte of it: whether
// anything meaningful came, whether the stream reached its terminal marker, whether it stands between two events.
//
// SSE by WHATWG: lines end CR, LF or CRLF, also split anywhere; an optional BOM; comments; several `data:` lines join.
// NDJSON: one object per line. An event is judged once its last byte has come; of an event longer than max_event only the
// beginning is looked at. Never throws on any input.

#include "proxy/wire/error_body.hpp"
#include "proxy/wire/error_facts.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace evenkeel::wire {

enum class stream_format : unsigned char {
    sse,
    ndjson,
    json_array, // Google without alt=sse: opaque but for its closing bracket
    opaque,     // compressed, or unknown: nothing is looked at
};

// What one event means for the commit.
enum class event_meaning : unsigned char {
    nothing,    // comment, blank line, ping, role-only or empty delta, message_start, response.created ...
    meaningful, // text, tool call, refusal, reasoning, a finish reason; anything unknown that is well-formed
    terminal,   // [DONE], message_stop, response.completed ... : the stream is whole
    error,      // an error frame
    malformed,  // data that is not JSON where the dialect promises JSON
};

class stream_reader {
public:
    static constexpr std::size_t max_event = 256 * 1024; // bytes of an event that are kept to be judged

    // `which` generic: recognised from the first event where possible (`dialect: auto`), if `recognise`.
    stream_reader(stream_format format, dialect which, bool recognise) noexcept;

    // The next bytes of the body, in order. Returns the first decisive thing among them: an event that is meaningful,
    // terminal, error or malformed, or `nothing`. Later events of the same bytes are counted as well; ask the state below.
    event_meaning read(std::string_view bytes);

    [[nodiscard]] bool between_events() const noexcept; // the last byte ended an event, a comment or a line of keep-alive
    [[nodiscard]] bool has_terminal() const noexcept { return terminal_; }   // the stream said it is whole
    [[nodiscard]] bool has_error() const noexcept { return error_seen_; }    // an error frame came
    [[nodiscard]] bool has_meaning() const noexcept { return meaningful_ > 0; }
    [[nodiscard]] std::uint64_t meaningful_events() const noexcept { return meaningful_; }
    [[nodiscard]] bool knows_terminal() const noexcept; // whether this dialect and format have a terminal marker at all
    [[nodiscard]] dialect spoken() const noexcept { return dialect_; }
    [[nodiscard]] const error_facts& error() const noexcept { return error_; } // of the first error frame

private:
    stream_format format_;
    dialect dialect_;
    bool recognise_;
    bool terminal_ = false, error_seen_ = false;
    std::uint64_t meaningful_ = 0;
    error_facts error_;
    // (the implementer adds what the scanner keeps)
};

// The frame that tells a client in its own dialect that the stream broke, to be written between events only. Empty where
// the dialect and format have none: then only the cut tells.
//   OpenAI, Anthropic   event: error, data: {"type":"error","error":{"type","message","code"}}
//   Gemini              data: {"error":{"code":<status>,"message","status"}}
//   Ollama              one NDJSON line {"error":"message"}
[[nodiscard]] std::string error_frame(stream_format format, dialect which, int status, std::string_view code,
                                      std::string_view message);

} // namespace evenkeel::wire

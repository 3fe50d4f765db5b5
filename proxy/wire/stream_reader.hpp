#pragma once
// Reads along with a streamed answer and says what its events mean, without changing or holding a byte of it: whether
// anything meaningful came, whether the stream reached its terminal marker, whether it stands between two events.
//
// SSE by WHATWG: lines end CR, LF or CRLF, also split anywhere; an optional BOM; comments; several `data:` lines join.
// NDJSON: one object per line. An event is judged once its last byte has come; of an event longer than max_event only
// the beginning is looked at. Never throws on any input.

#include "proxy/wire/error_body.hpp"
#include "proxy/wire/error_facts.hpp"
#include "proxy/wire/usage.hpp"

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
    hollow,     // a finish reason that explains nothing, and nothing was said before it: counts as meaningful otherwise
    terminal,   // [DONE], message_stop, response.completed ... : the stream is whole
    error,      // an error frame
    malformed,  // data that is not JSON, however leniently it is read, where the dialect promises JSON
};

class stream_reader {
public:
    static constexpr std::size_t max_event = 256 * 1024; // bytes of an event that are kept to be judged

    // `which` generic: recognised from the first event where possible (`dialect: auto`), if `recognise`.
    stream_reader(stream_format format, dialect which, bool recognise) noexcept;

    // The next bytes of the body, in order. Returns the first decisive thing among them: an event that is meaningful,
    // terminal, error or malformed, or `nothing`. Later events of the same bytes are counted as well; ask the state
    // below. After the first meaningful event every event with data counts as meaningful, and only words that may
    // announce an end or an error are looked into.
    event_meaning read(std::string_view bytes);
    // The body has ended as its framing says: what is pending counts as an event, as the SDKs have it.
    event_meaning end();

    // The last byte ended an event or a comment.
    [[nodiscard]] bool between_events() const noexcept { return !open_ && !line_begun_; }
    [[nodiscard]] bool has_terminal() const noexcept { return terminal_; } // the stream said it is whole
    [[nodiscard]] bool has_error() const noexcept { return error_seen_; }  // an error frame came
    // ... as a field of its own (`error: {...}`, llama.cpp), which no client looks at.
    [[nodiscard]] bool has_error_field() const noexcept { return error_field_; }
    [[nodiscard]] bool has_meaning() const noexcept { return meaningful_ > 0; }
    [[nodiscard]] std::uint64_t meaningful_events() const noexcept { return meaningful_; }
    // Whether a whole stream of this kind has a terminal marker: events of a family that has one were seen, or nothing
    // at all in a dialect that has such families. A stream of another shape (transcripts, images, threads) ends as it
    // ends.
    [[nodiscard]] bool knows_terminal() const noexcept;
    [[nodiscard]] dialect spoken() const noexcept { return dialect_; }
    [[nodiscard]] const error_facts& error() const noexcept { return error_; }      // of the first error frame
    [[nodiscard]] const usage& told() const noexcept { return told_; }              // of the tokens it took, so far
    [[nodiscard]] std::uint64_t text_bytes() const noexcept { return text_bytes_; } // of what it has said, about

private:
    event_meaning read_lines(std::string_view bytes);
    event_meaning read_array(std::string_view bytes) noexcept;
    event_meaning end_event(std::string_view last_part);
    event_meaning meaning_of(std::string_view event); // SSE: its lines; NDJSON: the line
    event_meaning take_data(std::string_view name, std::string_view data);
    event_meaning judge_data(std::string_view name, std::string_view data);
    event_meaning look_into(std::string_view name, std::string_view data);
    event_meaning count(event_meaning meaning) noexcept;
    std::uint64_t said_in(std::string_view data) noexcept;
    void keep(std::string_view part);

    stream_format format_;
    dialect dialect_;
    bool recognise_;
    bool terminal_ = false, error_seen_ = false, error_field_ = false;
    bool family_ = false; // events of a family with a terminal marker came
    bool any_event_ = false;
    std::uint64_t meaningful_ = 0, text_bytes_ = 0;
    std::optional<std::uint64_t> around_{}; // the text of the latest event that was looked into
    usage told_;
    error_facts error_;

    // The event under way. It lies in the bytes of one read as a rule; else what came before is here.
    std::string kept_;
    std::string joined_;      // data of several lines
    bool overflow_ = false;   // only its beginning is kept
    bool open_ = false;       // a line that is no comment has come
    bool line_begun_ = false; // the current line has bytes
    bool line_is_comment_ = false;
    bool after_cr_ = false; // a LF would belong to the line end before it
    bool at_start_ = true;  // a byte order mark may come

    // json_array
    int depth_ = 0;
    bool in_string_ = false, escaped_ = false;
};

// The frame that tells a client in its own dialect that the stream broke, to be written between events only. Empty
// where the dialect and format have none: then only the cut tells.
//   OpenAI, Anthropic   event: error, data: {"type":"error","error":{"type","message","code"}}
//   Gemini              data: {"error":{"code":<status>,"message","status"}}
//   Ollama              one NDJSON line {"error":"message"}
[[nodiscard]] std::string error_frame(stream_format format, dialect which, int status, std::string_view code,
                                      std::string_view message);

} // namespace evenkeel::wire

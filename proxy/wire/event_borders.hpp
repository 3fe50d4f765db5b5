#pragma once
// Where the events of a stream end, and nothing else about them: for whoever cuts or inserts between events. SSE by
// WHATWG (line ends CR, LF or CRLF, also split anywhere); NDJSON: one event per line. Pure.

#include "proxy/wire/stream_reader.hpp"

#include <cstddef>
#include <string_view>

namespace evenkeel::wire {

class event_borders {
public:
    explicit event_borders(stream_format format = stream_format::sse) noexcept
        : lines_(format == stream_format::ndjson) {}

    struct step {
        std::size_t bytes = 0; // of the bytes handed in: up to and with the end of the event, or all of them
        bool ended = false;    // an event with data ends there; comments and blank lines end none
    };
    [[nodiscard]] step through(std::string_view bytes) noexcept;

private:
    bool lines_;
    bool line_begun_ = false; // the current line has a byte
    bool comment_ = false;    // ... and its first was ':'
    bool data_ = false;       // the event under way has a line that is no comment
    bool after_cr_ = false;   // a LF belongs to the line end before it
};

} // namespace evenkeel::wire

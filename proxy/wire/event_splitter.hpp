#pragma once
// Takes server-sent events apart, each with its bytes as they stand, so that whole events can be passed on, kept back
// or changed one by one. Lines and fields as in WHATWG; see stream_reader.hpp, which only reads along. Pure; never
// throws on any input.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::wire {

struct stream_event {
    std::string_view raw;  // with its ending blank line, and comments in front of it
    std::string_view name; // of its `event:` line; empty: none
    std::string_view data; // its data lines, joined; empty: none, so it is no event to a client (comments, ids)
};

class event_splitter {
public:
    // The next bytes of the body, in order. Views of earlier events end here.
    void add(std::string_view bytes);
    // The next whole event among them; empty: more bytes are needed.
    [[nodiscard]] std::optional<stream_event> next();

    // What came behind the last whole event: the beginning of one, or comments. A stream may end here without a blank
    // line.
    [[nodiscard]] std::string_view rest() const noexcept { return std::string_view{text_}.substr(taken_); }
    // Its last event, although the blank line is missing, as the SDKs have it. Nothing is left then.
    [[nodiscard]] std::optional<stream_event> last();
    void clear() noexcept;

private:
    [[nodiscard]] stream_event read(std::string_view raw);

    std::string text_;
    std::size_t taken_ = 0;  // of it, by next()
    std::size_t looked_ = 0; // no event ends before here
    std::string joined_;     // data of several lines
    bool at_start_ = true;   // a byte order mark may come
};

} // namespace evenkeel::wire

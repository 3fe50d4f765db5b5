#include "proxy/wire/event_splitter.hpp"

#include "proxy/wire/lenient_json.hpp"

#include <algorithm>

namespace evenkeel::wire {

namespace {
bool is_end(char c) noexcept { return c == '\n' || c == '\r'; }
} // namespace

void event_splitter::add(std::string_view bytes) {
    text_.erase(0, taken_);
    looked_ -= std::min(looked_, taken_);
    taken_ = 0;
    text_ += bytes;
}

void event_splitter::clear() noexcept {
    text_.clear();
    taken_ = looked_ = 0;
    at_start_ = true;
}

std::optional<stream_event> event_splitter::next() {
    // A blank line is two line ends in a row; a CR may have its LF still to come, and is then no end of an event yet.
    std::size_t at = std::max(looked_, taken_);
    while (at < text_.size()) {
        const std::size_t first = text_.find_first_of("\r\n", at);
        if (first == std::string::npos) break;
        const std::size_t second = first + (text_.compare(first, 2, "\r\n") == 0 ? 2 : 1);
        looked_ = first;
        // The CR may be half of a line end, and what follows it is not known: wait.
        if (second >= text_.size()) return std::nullopt;
        if (!is_end(text_[second])) {
            at = second;
            continue;
        }
        if (text_[second] == '\r' && second + 1 == text_.size()) return std::nullopt;
        const std::size_t end = second + (text_.compare(second, 2, "\r\n") == 0 ? 2 : 1);
        const std::string_view raw = std::string_view{text_}.substr(taken_, end - taken_);
        taken_ = looked_ = end;
        return read(raw);
    }
    looked_ = std::max(looked_, text_.empty() ? 0 : text_.size() - 1);
    return std::nullopt;
}

std::optional<stream_event> event_splitter::last() {
    if (auto one = next()) return one;
    if (rest().empty()) return std::nullopt;
    const std::string_view raw = rest();
    taken_ = looked_ = text_.size();
    return read(raw);
}

stream_event event_splitter::read(std::string_view raw) {
    stream_event event;
    event.raw = raw;
    if (at_start_ && raw.starts_with(byte_order_mark)) raw.remove_prefix(byte_order_mark.size());
    at_start_ = false;
    int lines = 0;
    while (!raw.empty()) {
        const std::size_t end = std::min(raw.find_first_of("\r\n"), raw.size());
        std::string_view line = raw.substr(0, end);
        raw.remove_prefix(std::min(end + 1, raw.size()));
        const std::size_t colon = std::min(line.find(':'), line.size());
        const std::string_view field = line.substr(0, colon);
        line.remove_prefix(std::min(colon + 1, line.size()));
        if (line.starts_with(' ')) line.remove_prefix(1);
        if (field == "event") {
            event.name = line;
        } else if (field == "error") { // llama.cpp's way to tell of one
            event.name = field;
            event.data = line;
            lines = 1;
        } else if (field == "data") {
            if (++lines == 1) {
                event.data = line;
                continue;
            }
            if (lines == 2) joined_.assign(event.data);
            joined_ += '\n';
            joined_ += line;
            event.data = joined_;
        }
    }
    return event;
}

} // namespace evenkeel::wire

#include "proxy/wire/event_borders.hpp"

namespace evenkeel::wire {

event_borders::step event_borders::through(std::string_view bytes) noexcept {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const char c = bytes[i];
        if (after_cr_ && c == '\n') {
            after_cr_ = false;
            continue;
        }
        after_cr_ = false;
        if (c != '\n' && !(c == '\r' && !lines_)) {
            if (!line_begun_) comment_ = c == ':' && !lines_;
            if (!comment_ && c != '\r') data_ = true;
            line_begun_ = true;
            continue;
        }
        const bool ended = data_ && (lines_ || !line_begun_);
        line_begun_ = false;
        comment_ = false;
        std::size_t end = i + 1;
        if (c == '\r') {
            if (end < bytes.size() && bytes[end] == '\n') {
                if (!ended) ++i;
                ++end;
            } else {
                after_cr_ = true;
            }
        }
        if (!ended) continue;
        data_ = false;
        return {end, true};
    }
    return {bytes.size(), false};
}

} // namespace evenkeel::wire

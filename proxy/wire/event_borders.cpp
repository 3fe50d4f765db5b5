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
        after_cr_ = c == '\r';
        if (!ended) continue;
        data_ = false;
        return {i + 1, true}; // a LF behind a CR goes with what follows, where it means nothing
    }
    return {bytes.size(), false};
}

} // namespace evenkeel::wire

#pragma once
// A terminal that is drawn on: another screen, no cursor, keys as they are typed. Whatever ends the process, a signal,
// a fault or an exception, leaves it as it was; stopped with Ctrl-Z it is given back until it goes on. One at a time.

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::cli {

class live_screen {
public:
    live_screen();
    ~live_screen();
    live_screen(const live_screen&) = delete;
    live_screen& operator=(const live_screen&) = delete;

    void draw(const std::vector<std::string>& lines) const;

    enum class key : unsigned char { none, character, up, down, page_up, page_down, escape, enter, erase };
    struct input {
        key what = key::none;
        char character = 0;
    };
    // The next key; none: the time is over, the size has changed, or a signal asks for an end.
    [[nodiscard]] input wait(std::chrono::milliseconds most);
    [[nodiscard]] static int ended_by() noexcept; // signal; 0: none
};

} // namespace evenkeel::cli

#pragma once
// One request on a connection of its own, by Beast, with the stage that it came to: what `try` tells DNS, TLS and a
// wrong path apart by.

#include "config/settings.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace evenkeel::cli {

enum class stage_reached : unsigned char { resolve, connect, tunnel, tls, answer, done };

struct exchanged {
    stage_reached stage = stage_reached::resolve; // where it ended; done: there is an answer
    std::string problem{};                        // in words, unless done
    bool timed_out = false;
    int status = 0;
    std::string content_type{};
    std::string body{}; // its first 64 KiB
    std::chrono::nanoseconds took{};
};

// `head` is the whole head as bytes. Never takes longer than `within`.
[[nodiscard]] exchanged exchange(const config::upstream& to, std::string_view head, std::string_view body,
                                 std::chrono::milliseconds within);

} // namespace evenkeel::cli

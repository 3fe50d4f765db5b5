#pragma once
// Where the admin pages of a running proxy are, and what to show it: for the commands that ask it something.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace evenkeel::cli {

struct admin_place {
    std::string host = "127.0.0.1";
    std::uint16_t port = 9901;
    std::string token; // of the file, or EVENKEEL_ADMIN_TOKEN
};

// `admin`: --admin; `file`: -c; either may be empty. Empty: `why` says it, and the file's problems are printed.
[[nodiscard]] std::optional<admin_place> find_admin(const std::string& admin, const std::string& file,
                                                    std::string& why);

// GET of one of its pages.
struct admin_answer {
    int status = 0; // 0: none; `problem` says why
    std::string body{}, problem{};
};
[[nodiscard]] admin_answer ask_admin(const admin_place& at, const std::string& target,
                                     std::chrono::milliseconds within = std::chrono::seconds{10});

// What came from a socket does not steer a terminal: lines of printable ASCII, `?` for every other byte.
[[nodiscard]] std::string printable_lines(std::string text);

} // namespace evenkeel::cli

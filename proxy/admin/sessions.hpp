#pragma once
// Browsers that have shown the admin token, and what they show instead of it from then on: a random word that says
// nothing of the token, kept in memory alone, so that a restart or a logout ends it. Not thread-safe.
//
// Wrong tokens are bounded: after `burst` of them in a row each further try has to wait, whoever makes it, for behind a
// port-forward all have one address. Who is logged in, and who sends the token itself, is not held up by those who
// guess.

#include "policies/time.hpp"

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

namespace evenkeel::admin {

class sessions {
public:
    static constexpr duration lifetime = std::chrono::hours{12};
    static constexpr std::size_t most = 64; // the oldest goes
    static constexpr int burst = 10;        // chosen: nobody mistypes it more often
    static constexpr duration between_tries = std::chrono::seconds{3};

    explicit sessions(std::string token) : token_(std::move(token)) {}

    struct attempt {
        std::string session{}; // empty: refused
        duration wait{};       // ... and not even looked at, for so long
    };
    [[nodiscard]] attempt log_in(std::string_view token, steady_time now);
    [[nodiscard]] bool knows(std::string_view session, steady_time now) const noexcept;
    void log_out(std::string_view session) noexcept;

private:
    struct known {
        std::string session;
        steady_time until;
    };
    std::string token_;
    std::deque<known> all_; // the oldest in front
    double tries_left_ = burst;
    steady_time filled_{};
};

} // namespace evenkeel::admin

#pragma once
// What one flight goes by: the rules of its route, how long it has, and what an earlier flight of the same request has
// done.

#include "policies/breaker_options.hpp"
#include "policies/hedge.hpp"
#include "policies/policy_view.hpp"
#include "policies/rescue.hpp"
#include "policies/retry.hpp"
#include "policies/time.hpp"

#include <array>
#include <cstddef>
#include <optional>

namespace evenkeel {

inline constexpr std::size_t most_endpoints = 64; // of a route

// An attempt that has less time than this left is not begun. (chosen: no LLM answers faster)
inline constexpr duration min_attempt_time = std::chrono::milliseconds{50};

// Of another flight of the same request, which this one goes on for: it makes extra attempts only.
struct earlier_attempts {
    attempt_id made = 0;
    duration took{};                                      // of the last of them
    std::array<unsigned char, most_endpoints> failures{}; // of each endpoint
};

struct flight_options {
    steady_time deadline;                    // absolute; until the answer is committed
    std::optional<duration> attempt_timeout; // fixed, of each attempt, until its answer is committed
    bool learned_timeout = false;            // ... or learned, where there is no fixed one
    const retry_options* retry = nullptr;    // outlives the plan
    const hedge_options* hedge = nullptr;    // outlives the plan; null: no hedges
    rescue_options rescue{};
    evenkeel::when_open when_open = evenkeel::when_open::hold;
    duration hold_max = std::chrono::seconds{60}; // oldest outage that is waited for
    duration max_wait = std::chrono::seconds{5};  // of a first attempt for room after an outage; then it goes through
    endpoint_index endpoints = 1;                 // how many, in order of preference
    bool something_follows = false; // a fallback answers if the attempts do not: errors are held for it, and a learned
                                    // timeout may end an attempt for its sake
    const earlier_attempts* earlier = nullptr; // outlives the plan's construction; null: none
};

} // namespace evenkeel

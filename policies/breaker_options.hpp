#pragma once
// What a configuration says of a circuit breaker: `circuit_breaker` of a route.

#include "policies/time.hpp"

#include <optional>

namespace evenkeel {

enum class circuit_scope : unsigned char { endpoint, upstream, route };
enum class when_open : unsigned char { hold, reject };

struct breaker_options {
    bool on = false;
    int failure_threshold = 3;             // 0: the ratio alone decides
    std::optional<double> failure_ratio{}; // empty: auto, 0.5 while another endpoint is admissible, 0.97 where it is
                                           // the only one; 0: the threshold alone decides
    std::optional<int> min_calls{};        // empty: auto, failure_threshold with another endpoint, else 15
    duration window = std::chrono::seconds{30};
    duration recovery_timeout = std::chrono::seconds{2}; // x2 per failed recovery, x U(1, 1.2), up to
    duration max_recovery_timeout = std::chrono::seconds{25};
    int half_open_max_calls = 2;
    int success_threshold = 2;
    duration ramp = std::chrono::seconds{10}; // 0: full traffic at once
    circuit_scope scope = circuit_scope::endpoint;
    evenkeel::when_open when_open = evenkeel::when_open::hold;
    std::optional<duration> hold_max{}; // empty: auto
    int hold_queue = 64;
    bool operator==(const breaker_options&) const = default;
};

} // namespace evenkeel

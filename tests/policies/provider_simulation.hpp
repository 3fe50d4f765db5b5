#pragma once
// A provider of limited capacity, its clients, and the policies between them, in virtual time. Open loop: a request's
// luck and time of arrival do not depend on what a policy did. With n attempts in service and x = n / capacity > 1
// everything is slowed by x * (1 + alpha * (x - 1)); attempts that hang take no capacity. The clients: 2.5 requests a
// second, half of them streams (a first token after 0.8 s, sigma 0.45), whole answers of 120 tokens (sigma 0.4) at 0.03
// s; they leave after 60 s. A small stand-in for the proxy: failover over endpoints of the same provider, retries with
// backoff and budget, and attempt timeouts, which fire only where another attempt can be made, and now.

#include "policies/circuit_breaker.hpp"
#include "policies/overload_control.hpp"

#include <cstdint>
#include <limits>
#include <string_view>

namespace evenkeel::testing {

struct time_span { // seconds
    double from = 0, to = 0;
    [[nodiscard]] bool has(double at) const noexcept { return at >= from && at < to; }
};

struct provider_model {
    std::string_view name{};
    double capacity = std::numeric_limits<double>::infinity(), alpha = 0; // attempts in service
    int refuses_from = std::numeric_limits<int>::max();                   // so many in service: 503 after 0.5 s
    double slow = 0, slower = 1; // share of attempts that take so many times as long
    double errors = 0;           // share that fails after 0.4 s (sigma 0.6) while trouble lasts
    // Every attempt that begins while trouble lasts; resets also cut what is under way.
    bool hangs = false, resets = false;
    double speed = 1; // everything takes so many times as long while trouble lasts
    time_span trouble{};
};

struct client_rules {
    int endpoints = 1; // of the one provider
    bool retries = true;
    bool breaker = false;
    bool room = false; // who can wait asks overload_control, and goes only if there is room ...
    double through = std::numeric_limits<double>::infinity(); // ... or it has waited for so long, in seconds
    bool paced = true;                                        // who was held asks for room after an outage
    double first_token_timeout = 10, answer_timeout = 25;     // seconds
    breaker_options circuit{};
};

struct simulated {
    double success = 0, within_15s = 0; // shares of all requests
    double attempts = 0;                // per request
    // Seconds from the end of the trouble to the first arrival from which on, for 10 s and over the whole rest, 95 % of
    // the arrivals were answered within 15 s.
    double recovery = std::numeric_limits<double>::infinity();
    int trips = 0, overloads = 0; // of any circuit; of the provider
};

[[nodiscard]] simulated play_out(const provider_model& provider, const client_rules& rules, std::uint64_t seed);

} // namespace evenkeel::testing

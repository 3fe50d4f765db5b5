#pragma once
// What each scenario is to come to with the tuned profile: figures that simulations of whole scenarios have reached,
// per cent of all requests, medians over seeds.

#include <array>
#include <optional>
#include <string_view>

namespace evenkeel::test {

struct goal {
    std::string_view scenario;
    double success;                     // %, whole and correct within the client's 60 s
    double within_15s;                  // %
    double most_attempts;               // per request; a twentieth or so above what was reached, since seeds differ
    bool as_direct = false;             // neither figure below what happens without any proxy
    std::optional<double> recovery{};   // seconds, at most
    std::optional<double> p50{}, p99{}; // seconds, at most
};

inline constexpr std::array goals{
    goal{"calm", 100, 99, 1.1},
    goal{"tail-5", 99, 99, 1.1},
    goal{"tail-20", 100, 99, 1.45}, // reached elsewhere with 1.3 attempts: a hedge here starts earlier
    goal{"errors-30", 100, 99, 1.5},
    goal{"varying-errors", 95, 90, 2.8},
    goal{"bursts", 100, 97, 1.45},
    goal{"outage", 98, 82, 1.3, true},
    goal{"brown-out", 95, 92, 1.1, true, 25},
    goal{"collapse", 92, 92, 1.1, true, 25},
    goal{"resets", 95, 95, 1.2},
    goal{"stalls", 97, 97, 1.1},
    goal{"throttled", 100, 88, 1.1},
    goal{"one-dead", 100, 98, 1.1},
    goal{"one-hanging", 98, 95, 1.1},
    goal{"one-slow", 99, 63, 1.3},
    goal{"mixed-lengths", 100, 71, 1.1},
    goal{"slowdown", 100, 49, 1.1},
    goal{"everything", 96, 82, 1.6},
    goal{"original", 100, 90, 1.6, false, {}, 5, 15}, // success at least 98 %
    // At least 85 % is what the demonstration asks for; of 20 requests each is 5 %.
    goal{"intermittent-20", 87, 82, 3.3},
};
inline constexpr double tolerance = 2; // points of success and within_15s

} // namespace evenkeel::test

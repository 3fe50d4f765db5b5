#pragma once
// When a second attempt is worth its price while the first is still silent (DESIGN section 6, reference: resilience semantics
// 7; Dean and Barroso, The Tail at Scale, CACM 2013). The signal is the time to the first meaningful event (a whole answer for
// buffered ones). `auto` = min(P95, 2.5 x median): at exactly 5 % slow attempts a P95 falls into the tail.

#include "policies/latency_window.hpp"
#include "policies/time.hpp"

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

namespace evenkeel {

enum class hedge_target : unsigned char { prefer_other, other, any };

struct hedge_options {
    bool on = false;
    enum class delay_kind : unsigned char { automatic, quantile, fixed };
    delay_kind delay = delay_kind::automatic;
    double quantile = 0.95;      // of delay_kind::quantile: `p95`, `p91`
    duration fixed{};            // of delay_kind::fixed
    int max_hedges = 1;          // per request
    double max_extra = 0.2;      // deposited per success for hedges, on top of budget.extra_work
    duration min_delay = std::chrono::milliseconds{50};
    duration max_delay = std::chrono::seconds{30};
    hedge_target target = hedge_target::prefer_other;
    double guard = 0.5;          // share of the last 20 hedges that must win; 0: no guard
    bool operator==(const hedge_options&) const = default;
};

// Empty: too little is known for a learned delay.
[[nodiscard]] std::optional<duration> hedge_delay(const hedge_options& options, latency_window& learned, std::uint32_t min_samples,
                                                  steady_time now) noexcept;

// Why a wanted hedge was not launched; metric label.
enum class hedge_refusal : unsigned char {
    none,
    guard,          // too few of the last ones won; every 10th wanted one is launched as a measurement
    slow,           // everything is slow: far more attempts reach the delay than the quantile says
    overload,       // the upstream is overloaded
    budget,         // less than half of the budget is left
    no_endpoint,    // no admissible endpoint to send it to
    limit,          // max_hedges or max_retries
    not_replayable, // the request may not be sent twice
    deadline,       // it could not answer in time
};
inline constexpr int hedge_refusal_count = 9;
[[nodiscard]] std::string_view to_string(hedge_refusal) noexcept;

// Watches how hedges fare, for one route. Thread-safe.
class hedge_guard {
public:
    void request_started(steady_time now);
    // An attempt has been silent for its hedge delay. none: launch (subject to budget and endpoints); guard or slow: do not.
    [[nodiscard]] hedge_refusal wanted(const hedge_options& options, steady_time now);
    void ended(bool won, steady_time now); // a launched hedge: its answer became the request's, or it did not
    struct summary {
        std::uint32_t recent = 0, recent_won = 0; // of the last 20
        bool suspended = false, slow = false;
    };
    [[nodiscard]] summary report(const hedge_options& options, steady_time now);

private:
    std::mutex mutex_;
};

} // namespace evenkeel

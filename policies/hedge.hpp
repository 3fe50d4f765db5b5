#pragma once
// When a second attempt is worth its price while the first is still silent (DESIGN section 6, reference: resilience
// semantics 7; Dean and Barroso, The Tail at Scale, CACM 2013). The signal is the time to the first meaningful event (a
// whole answer for buffered ones). `auto` = min(P95, 2.5 x median): at exactly 5 % slow attempts a P95 falls into the
// tail.
//
// Hedging helps against slowness that the other endpoint does not share. Two signs say that it is shared: hedges do not
// win (`guard`), and far more attempts reach the delay than it was made for (`slow`). Either suspends hedging; every
// 10th wanted hedge is then launched all the same, to notice when the sign has gone.

#include "policies/latency_window.hpp"
#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace evenkeel {

enum class hedge_target : unsigned char { prefer_other, other, any };

struct hedge_options {
    bool on = false;
    enum class delay_kind : unsigned char { automatic, quantile, fixed };
    delay_kind delay = delay_kind::automatic;
    double quantile = 0.95; // of delay_kind::quantile: `p95`, `p91`
    duration fixed{};       // of delay_kind::fixed
    // In flight at a time beside the first attempt; one that failed may be followed by another.
    int max_hedges = 1;
    double max_extra = 0.2;                             // deposited per success for hedges, on top of budget.extra_work
    duration min_delay = std::chrono::milliseconds{50}; // of learned delays, as is
    duration max_delay = std::chrono::seconds{30};
    hedge_target target = hedge_target::prefer_other;
    // Share of the last 20 hedges that must win; 0: neither this guard nor that against slowness.
    double guard = 0.5;
    bool operator==(const hedge_options&) const = default;
};

// Empty: too little is known for a learned delay. Where so much was cut off that the quantile is unknown, `auto` is 2.5
// x median, and a quantile is the longest that was answered: what is silent for longer belongs to the tail in any case.
[[nodiscard]] std::optional<duration> hedge_delay(const hedge_options& options, latency_window& learned,
                                                  std::uint32_t min_samples, steady_time now) noexcept;

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

// Watches how hedges fare, for one route. Thread-safe: one mutex, held for one call.
class hedge_guard {
public:
    static constexpr std::uint32_t judged_by = 20;              // hedges (DESIGN 6), and requests of a slice
    static constexpr std::uint32_t measure_every = 10;          // wanted hedges
    static constexpr duration slice = std::chrono::seconds{10}; // chosen: a learned P95 follows within a few

    void request_started(steady_time now);
    // An attempt has been silent for its hedge delay; asked once for each. none: launch (subject to budget and
    // endpoints); guard or slow: do not.
    [[nodiscard]] hedge_refusal wanted(const hedge_options& options, steady_time now);
    void ended(bool won, steady_time now); // a launched hedge: its answer became the request's, or it did not
    struct summary {
        std::uint32_t recent = 0, recent_won = 0; // of the last 20
        bool suspended = false, slow = false;
    };
    [[nodiscard]] summary report(const hedge_options& options, steady_time now);

private:
    void turn(steady_time now) noexcept;
    [[nodiscard]] bool few_win(const hedge_options& options) const noexcept;
    [[nodiscard]] bool all_slow(const hedge_options& options, steady_time now) noexcept;

    struct counted {
        std::uint32_t requests = 0, wanted = 0;
    };
    small_mutex mutex_;
    std::array<bool, judged_by> won_{};
    std::uint32_t ended_ = 0; // so far; its remainder is the next place
    std::uint32_t while_suspended_ = 0;
    std::optional<steady_time> slice_began_;
    counted present_, last_; // this slice and the latest that had enough requests
};

} // namespace evenkeel

#pragma once
// The budget of extra attempts, in work (DESIGN section 6): one bucket per upstream, funded by successes, so that
// retries stop when nothing succeeds. Work 1 is what one ordinary attempt costs the upstream; a failure that came fast
// cost it less. Thread-safe: one small mutex, held for one decision.
//
// Two tiers: a retry may spend the last of it, a hedge only what lies above half of the burst, so that slowness, which
// hedges answer, never eats what failing requests need (reference: resilience semantics 4).
//
// Theorems (tests): extra work granted in any time t <= burst + deposits + min_per_second * t; with no success in the
// last 30 s, extra attempts <= burst / 0.1 + t / 5 s.

#include "policies/median.hpp"
#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <optional>

namespace evenkeel {

struct budget_options {
    double extra_work = 0.2; // deposited per successful request that is not a client's retry
    double burst = 10;       // largest balance, and the first one
    // Work per second while the balance is below 1; at most one attempt per 5 s while nothing succeeds.
    double min_per_second = 0.2;
    bool on = true; // false: extra attempts cost nothing and are never refused
    bool operator==(const budget_options&) const = default;
};

class work_budget {
public:
    explicit work_budget(budget_options options) noexcept : options_(options), level_(options.burst) {}

    void configure(budget_options options) noexcept; // after a reload; the balance is kept, cut to the new burst

    // A request succeeded at its first or a later attempt. `client_retry`: the client says it is repeating itself.
    // `hedge_extra`: hedge.max_extra where the request's route hedges, on top of extra_work; >= 0.
    void deposit(bool client_retry, steady_time now, double hedge_extra = 0) noexcept;
    // How long a successful attempt took, to learn the median.
    void learn(duration took, steady_time now) noexcept;

    // What repeating after a failed attempt costs: clamp(took / P50, 0.1, 1); 1 while unlearned; 0.1 if it was no work
    // for the upstream, because nothing was sent or it met a rate limit.
    [[nodiscard]] double cost(duration took, bool effortless, steady_time now) noexcept;
    // Takes `cost` if there is enough. False: refused, nothing was taken.
    [[nodiscard]] bool reserve(double cost, steady_time now) noexcept;
    // Takes 1, if at least half of the burst is there afterwards. (So a burst below 2 never pays for a hedge.)
    [[nodiscard]] bool reserve_hedge(steady_time now) noexcept;
    // What was reserved turned out to be this much: of a hedged request the loser's cost(elapsed). At most what was
    // reserved.
    void settle(double reserved, double actual, steady_time now) noexcept;
    // Given back: the attempt was not sent after all.
    void refund(double cost, steady_time now) noexcept { settle(cost, 0, now); }

    [[nodiscard]] double level(steady_time now) noexcept;

private:
    void refill(steady_time now) noexcept;
    [[nodiscard]] bool take(double cost, double share_kept, steady_time now) noexcept;

    small_mutex mutex_;
    budget_options options_;
    double level_;
    std::optional<steady_time> refilled_, succeeded_, extra_;
    bool trickled_ = false; // since the last success: the balance is not what successes have left
    median_estimate took_;
};

} // namespace evenkeel

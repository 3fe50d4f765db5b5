#include "policies/work_budget.hpp"

#include <algorithm>
#include <mutex>

namespace evenkeel {

namespace {
constexpr double least_work = 0.1;
constexpr double hedge_work = 1;      // until it is known how long the loser ran
constexpr double hedge_reserve = 0.5; // of the burst, kept for retries
constexpr double trickle_level = 1;   // the trickle fills no further
constexpr duration nothing_succeeds = std::chrono::seconds{30};
constexpr duration probe_spacing = std::chrono::seconds{5};
} // namespace

void work_budget::configure(budget_options options) noexcept {
    const std::scoped_lock lock(mutex_);
    options_ = options;
    level_ = std::min(level_, options_.burst);
}

void work_budget::refill(steady_time now) noexcept {
    if (!refilled_) refilled_ = succeeded_ = now; // nothing is known to fail yet
    if (now <= *refilled_) return; // a clock that stands still, or a call that was overtaken by another thread's
    const double passed = in_seconds(now - *refilled_);
    refilled_ = now;
    const double up_to = std::min(trickle_level, options_.burst);
    if (level_ >= up_to || options_.min_per_second <= 0) return;
    level_ = std::min(up_to, level_ + options_.min_per_second * passed);
    trickled_ = true;
}

void work_budget::deposit(bool client_retry, steady_time now, double hedge_extra) noexcept {
    const std::scoped_lock lock(mutex_);
    refill(now);
    succeeded_ = now;
    trickled_ = false;
    if (!client_retry) level_ = std::min(options_.burst, level_ + options_.extra_work + hedge_extra);
}

void work_budget::learn(duration took, steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    took_.add(took, now);
}

double work_budget::cost(duration took, bool effortless, steady_time now) noexcept {
    if (effortless) return least_work;
    const std::scoped_lock lock(mutex_);
    const auto usual = took_.value(now);
    if (!usual || *usual <= duration::zero()) return 1;
    return std::clamp(static_cast<double>(took.count()) / static_cast<double>(usual->count()), least_work, 1.0);
}

bool work_budget::take(double cost, double share_kept, steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    if (!options_.on) return true;
    refill(now);
    if (level_ - cost < share_kept * options_.burst) return false;
    const bool nothing_works = trickled_ && now - *succeeded_ >= nothing_succeeds;
    if (nothing_works && extra_ && now - *extra_ < probe_spacing) return false;
    level_ -= cost;
    extra_ = now;
    return true;
}

bool work_budget::reserve(double cost, steady_time now) noexcept { return take(cost, 0, now); }

bool work_budget::reserve_hedge(steady_time now) noexcept { return take(hedge_work, hedge_reserve, now); }

void work_budget::settle(double reserved, double actual, steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    refill(now);
    if (options_.on) level_ = std::min(options_.burst, level_ + std::max(reserved - actual, 0.0));
}

double work_budget::level(steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    refill(now);
    return options_.on ? level_ : options_.burst;
}

} // namespace evenkeel

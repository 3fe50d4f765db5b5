#include "policies/endpoint_doubt.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

namespace evenkeel {

namespace {
constexpr duration after_a_good_one = std::chrono::seconds{1}; // the next one is asked for
constexpr double spread = 0.2; // of the pause between probes, so that many proxies do not ask together
} // namespace

duration probe_pace::next(double u) noexcept {
    return scaled(std::exchange(pause_, std::min(pause_ + pause_ / 2, last)), 1 + spread * u);
}

void endpoint_doubt::begin(bool slow, steady_time now) noexcept {
    const bool relapse = ended_ != steady_time::min() && now - ended_ < relapse_within;
    wanted_ = relapse ? std::min(wanted_ * 2, most_goods) : 1;
    since_ = heard_ = bad_ = now;
    next_probe_ = now; // whoever is asked instead may tell at once
    pace_ = {};
    probed_.reset();
    passed_ = now;
    gap_ = {};
    goods_ = 0;
    silent_.store(!slow, std::memory_order_relaxed);
    shown_.store(false, std::memory_order_relaxed);
    no_way_ = no_way_ && !slow;
    doubted_.store(true, std::memory_order_relaxed);
}

void endpoint_doubt::end(steady_time now) noexcept {
    slow_ = 0;
    slow_any_.store(false, std::memory_order_relaxed);
    ended_ = now;
    doubted_.store(false, std::memory_order_relaxed);
}

bool endpoint_doubt::silent(steady_time sent, steady_time now, silence how) noexcept {
    const std::scoped_lock lock(mutex_);
    bad_sent_ = std::max(bad_sent_, sent);
    heard_ = bad_ = now;
    if (std::exchange(goods_, 0) > 0 && probed_) next_probe_ = std::max(next_probe_, scheduled());
    const bool was = doubted();
    const bool stale = good_sent_.load(std::memory_order_relaxed) > sent.time_since_epoch().count();
    no_way_ = how == silence::no_way && (!was || no_way_);
    if (!was && !stale) begin(false, now);
    if (!stale && how != silence::so_far) {
        silent_.store(true, std::memory_order_relaxed); // of one that was slow: it is worse by now
        shown_.store(true, std::memory_order_relaxed);
    }
    return !was && !stale;
}

bool endpoint_doubt::connected(bool made, steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    if (!doubted()) return false;
    if (!made) {
        goods_ = 0;
        heard_ = bad_ = now;
        return false;
    }
    if (!no_way_) return false;
    if (++goods_ < wanted_) {
        next_probe_ = std::min(next_probe_, now + after_a_good_one);
        return false;
    }
    end(now);
    return true;
}

bool endpoint_doubt::answered(steady_time sent, bool good, steady_time now) noexcept {
    const auto at = sent.time_since_epoch().count();
    auto latest = good_sent_.load(std::memory_order_relaxed);
    while (good && at > latest && !good_sent_.compare_exchange_weak(latest, at, std::memory_order_relaxed)) {}
    if (good && !doubted()) {
        if (slow_any_.load(std::memory_order_relaxed)) {
            const std::scoped_lock lock(mutex_);
            slow_ = 0;
            slow_any_.store(false, std::memory_order_relaxed);
        }
        return false;
    }
    const std::scoped_lock lock(mutex_);
    heard_ = now;
    if (!good) {
        goods_ = 0;
        bad_ = now;
        slow_any_.store(true, std::memory_order_relaxed);
        if (++slow_ < slow_in_a_row || doubted()) return false;
        begin(true, now);
        return true;
    }
    if (sent < bad_sent_) return false; // of before the silence
    if (++goods_ < wanted_ && now - bad_ < good_for * wanted_) {
        next_probe_ = std::min(next_probe_, now + after_a_good_one);
        return false;
    }
    end(now);
    return true;
}

void endpoint_doubt::clear() noexcept {
    const std::scoped_lock lock(mutex_);
    slow_ = goods_ = 0;
    slow_any_.store(false, std::memory_order_relaxed);
    doubted_.store(false, std::memory_order_relaxed);
}

bool endpoint_doubt::lapse(steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    if (!doubted() || now - heard_ < lapses_after * wanted_) return false;
    end(now);
    return true;
}

// Where requests are rarer than copies may be: so long before the next one that all that are asked for have been
// answered by then; before the one after that, where it would follow the latest copy too closely.
steady_time endpoint_doubt::scheduled() const noexcept {
    const steady_time soonest = *probed_ + pause_;
    if (no_way_ || gap_ <= pause_) return soonest; // what finds no way costs nobody anything
    steady_time aimed = passed_ + gap_ - std::min(takes_ * (wanted_ - goods_), gap_);
    if (aimed < soonest) aimed += gap_ * ((soonest - aimed + gap_ - duration{1}) / gap_);
    return aimed;
}

bool endpoint_doubt::probe_due(double u, duration takes, steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    if (now < next_probe_) return false;
    heard_ = now;
    probed_ = now;
    pause_ = pace_.next(u);
    takes_ = takes;
    next_probe_ = goods_ > 0 ? now + after_a_good_one : scheduled();
    return true;
}

// From the first one on: from the second, what fails by halves is back 20 s later. (Simulated: quiet, half, 20 seeds.)
bool endpoint_doubt::goes_on_well(int under_way) const noexcept {
    const std::scoped_lock lock(mutex_);
    return goods_ > 0 && goods_ + under_way < wanted_;
}

void endpoint_doubt::passed(steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    const steady_time before = std::exchange(passed_, now);
    gap_ = std::clamp<duration>(now - before, duration::zero(), longest_gap);
    if (!probed_) return;
    // One that came sooner than was expected, before any copy of the latest: it has one beside itself.
    const steady_time due = *probed_ <= before ? *probed_ + pause_ : scheduled();
    next_probe_ = goods_ > 0 ? std::min(next_probe_, due) : due;
}

duration endpoint_doubt::gap() const noexcept {
    const std::scoped_lock lock(mutex_);
    return gap_;
}

steady_time endpoint_doubt::next_probe() const noexcept {
    const std::scoped_lock lock(mutex_);
    return next_probe_;
}

std::optional<endpoint_doubt::summary> endpoint_doubt::report() const noexcept {
    const std::scoped_lock lock(mutex_);
    if (!doubted()) return std::nullopt;
    return summary{.since = since_, .next_probe = next_probe_, .slow = !silent()};
}

} // namespace evenkeel

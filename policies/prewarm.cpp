#include "policies/prewarm.hpp"

#include <algorithm>
#include <cmath>

namespace evenkeel {

namespace {
// Seconds; chosen: the fast one shows a burst within its first dozen requests, the slow one spans a quiet spell.
constexpr double fast_span = 1.0, slow_span = 10.0;
constexpr double peak_span = 10.0;       // how slowly a need is forgotten: less than the pool's idle_timeout
constexpr double held_weight = 1.0 / 16; // of the latest; chosen

double decay(duration passed, double span) noexcept { return std::exp(-std::max(in_seconds(passed), 0.0) / span); }
} // namespace

void prewarm::configure(const prewarm_options& options, unsigned workers) noexcept {
    const std::size_t sharers = std::max(workers, 1U);
    on_ = options.on;
    predict_ = options.predict;
    min_idle_ = (options.min_idle + sharers - 1) / sharers;
}

duration prewarm::pause(int step, double u) noexcept {
    const duration whole = std::min(longest_pause, first_pause * (std::int64_t{1} << std::min(step - 1, 6)));
    return scaled(whole, 0.5 + 0.5 * u);
}

void prewarm::taken(bool ready, double u, steady_time now) noexcept {
    fast_ = fast_ * decay(now - counted_, fast_span) + 1 / fast_span;
    slow_ = slow_ * decay(now - counted_, slow_span) + 1 / slow_span;
    counted_ = now;
    unused_ = ready ? 0 : std::min(unused_, 1);
    quiet_until_ = ready ? now : std::min(quiet_until_, now + pause(1, u));
}

void prewarm::released(duration held) noexcept {
    const double took = std::max(in_seconds(held), 0.0);
    held_ = held_ == 0 ? took : held_ + held_weight * (took - held_);
}

void prewarm::unused(double u, steady_time now) noexcept {
    if (now < quiet_until_) return; // of the same step
    ++unused_;
    quiet_until_ = now + pause(unused_, u);
}

void prewarm::failed(double u, steady_time now) noexcept {
    if (failures_ > 0 && now < not_before_) return;
    ++failures_;
    not_before_ = now + pause(failures_, u);
}

double prewarm::rate(steady_time now) const noexcept {
    const double fast = fast_ * decay(now - counted_, fast_span);
    const double slow = slow_ * decay(now - counted_, slow_span);
    // The averages lag behind a steady rise by their spans.
    const double slope = (fast - slow) / (slow_span - fast_span);
    return fast + std::max(slope, 0.0) * (fast_span + in_seconds(horizon));
}

double prewarm::needed(steady_time now) noexcept {
    const double in_use = rate(now) * held_;
    const double need = in_use + 2 * std::sqrt(in_use);
    peak_ = std::max(need, peak_ * decay(now - peak_at_, peak_span));
    peak_at_ = now;
    return peak_;
}

prewarm::decision prewarm::decide(const connections& present, steady_time now) noexcept {
    decision out;
    if (!on_) return out;
    // Whoever dials for itself will hold what it gets.
    const std::size_t ahead = present.idle + present.opening;
    const std::size_t busy = present.open > ahead ? present.open - ahead : 0;
    out.target = min_idle_;
    if (predict_) {
        const auto need = static_cast<std::size_t>(std::ceil(std::min(needed(now), 65535.0)));
        out.target = std::max(out.target, std::min(need > busy ? need - busy : 0, max_predicted));
    }
    out.target = std::min(out.target, present.max > busy ? present.max - busy : 0);
    if (out.target <= ahead) return out;

    const bool failing = failures_ > 0, unwanted = unused_ > 0;
    steady_time allowed = now;
    if (failing) allowed = std::max(allowed, not_before_);
    allowed = std::max(allowed, quiet_until_);
    if (allowed > now) {
        out.again = allowed;
        return out;
    }
    const std::size_t at_once = failing || unwanted ? 1 : max_opening;
    out.open = std::min(out.target - ahead, at_once > present.opening ? at_once - present.opening : 0);
    return out;
}

} // namespace evenkeel

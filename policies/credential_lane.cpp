#include "policies/credential_lane.hpp"

#include <algorithm>
#include <mutex>

namespace evenkeel {

std::string_view to_string(credential_state state) noexcept {
    switch (state) {
    case credential_state::well: return "well";
    case credential_state::resting: return "resting";
    case credential_state::dead: return "dead";
    case credential_state::drained: return "drained";
    }
    return "well";
}

void credential_lane::configure(const cooldown_options& options) noexcept {
    limits_.configure(options);
    const std::scoped_lock lock(mutex_);
    options_ = options;
}

void credential_lane::forget_death() noexcept {
    dead_ = asked_ = false;
    refusals_ = 0;
    note_trouble();
}

bool credential_lane::shows(std::uint64_t secret) noexcept {
    const std::scoped_lock lock(mutex_);
    if (secret_ == secret) return false;
    const bool another = secret_.has_value();
    secret_ = secret;
    if (!another) return false;
    forget_death();
    limits_.end_all(steady_time::max()); // that nobody rests is what counts, not how many did
    return true;
}

credential_lane::outlook credential_lane::look(std::uint64_t model, steady_time now) {
    outlook seen;
    if (troubled_.load(std::memory_order_relaxed)) {
        const std::scoped_lock lock(mutex_);
        if (kept_until_ != steady_time{} && kept_until_ <= now) {
            kept_until_ = {};
            note_trouble();
        }
        if (drained_) return {.free = false, .until = steady_time::max(), .by_operator = true, .drained = true};
        if (kept_until_ != steady_time{}) return {.free = false, .until = kept_until_, .by_operator = true};
        if (dead_) seen = {.free = false, .due = again_ <= now, .until = again_, .why = why_};
    }
    const auto rest = limits_.resting({0, model}, now);
    if (!rest) return seen;
    if (seen.free || rest->until > seen.until)
        seen = {.free = false, .due = false, .until = rest->until, .why = seen.free ? rest->why : seen.why};
    seen.due = false; // limited besides: it would say that
    return seen;
}

duration credential_lane::silence() const noexcept {
    duration grown = std::max(options_.quota, duration{std::chrono::milliseconds{1}});
    const duration most = std::max(grown, longest_silence);
    for (int i = 1; i < refusals_ && grown < most; ++i) grown *= 2;
    return std::min(grown, most);
}

bool credential_lane::claim(steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    if (!dead_ || again_ > now) return false;
    again_ = now + silence(); // should nothing be heard of it
    asked_ = true;
    return true;
}

steady_time credential_lane::limited(std::uint64_t model, std::optional<duration> hint, double u, steady_time now) {
    return limits_.throttled({0, model}, outcome_kind::rate_limited, hint, u, now);
}

// Those that were under way when it died were refused with it: they say nothing new.
steady_time credential_lane::died(outcome_kind why, std::optional<duration> hint, steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    if (dead_ && !asked_ && again_ > now) return again_;
    if (!dead_) refusals_ = 0;
    ++refusals_;
    dead_ = true;
    asked_ = false;
    why_ = why;
    died_ = now;
    again_ = now + (hint ? std::clamp(*hint, duration{std::chrono::milliseconds{1}}, silence()) : silence());
    note_trouble();
    return again_;
}

bool credential_lane::answered(std::uint64_t model, steady_time sent, steady_time now) noexcept {
    limits_.accepted();
    const bool ended = limits_.succeeded({0, model}, sent, now);
    if (!troubled_.load(std::memory_order_relaxed)) return ended;
    const std::scoped_lock lock(mutex_);
    if (!dead_ || sent <= died_) return ended;
    forget_death();
    return true;
}

void credential_lane::drain() noexcept {
    const std::scoped_lock lock(mutex_);
    drained_ = true;
    kept_until_ = {};
    note_trouble();
}

void credential_lane::rest_until(steady_time until) noexcept {
    const std::scoped_lock lock(mutex_);
    drained_ = false;
    kept_until_ = until;
    note_trouble();
}

std::size_t credential_lane::end_rests(steady_time now) noexcept {
    const std::size_t rests = limits_.end_all(now);
    const std::scoped_lock lock(mutex_);
    const std::size_t deaths = dead_ ? 1 : 0;
    forget_death();
    return rests + deaths;
}

void credential_lane::revive(steady_time now) noexcept {
    static_cast<void>(end_rests(now));
    const std::scoped_lock lock(mutex_);
    drained_ = false;
    kept_until_ = {};
    note_trouble();
}

credential_lane::summary credential_lane::report(steady_time now) {
    summary all;
    all.in_flight = in_flight();
    const cooldown::summary limited = limits_.report(now);
    all.resting = limited.resting;
    if (limited.resting > 0) {
        all.state = credential_state::resting;
        all.until = limited.until;
        all.why = limited.why;
    }
    const std::scoped_lock lock(mutex_);
    if (dead_) {
        all.state = credential_state::dead;
        all.until = again_;
        all.why = why_;
    }
    if (kept_until_ > now) {
        all.state = credential_state::resting;
        all.until = kept_until_;
        all.by_operator = true;
    }
    if (drained_) {
        all.state = credential_state::drained;
        all.until.reset();
        all.by_operator = true;
    }
    return all;
}

} // namespace evenkeel

#include "policies/circuit_breaker.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

namespace evenkeel {

namespace {
constexpr double ramp_start = 0.1;      // share of the requests that a circuit lets through right after it closed
constexpr double recovery_spread = 0.2; // so that many proxies that tripped together do not come back together (P5.6)
constexpr duration soonest_look = std::chrono::milliseconds{100}, latest_look = std::chrono::seconds{1};

attempt_mark mark_of(circuit_breaker::verdict what) noexcept {
    switch (what) {
    case circuit_breaker::verdict::success: return attempt_mark::success;
    case circuit_breaker::verdict::failure: return attempt_mark::failure;
    case circuit_breaker::verdict::overloaded: return attempt_mark::overloaded;
    case circuit_breaker::verdict::neutral: break;
    }
    return attempt_mark::neutral;
}
} // namespace

std::string_view to_string(circuit_state state) noexcept {
    switch (state) {
    case circuit_state::closed: return "closed";
    case circuit_state::open: return "open";
    case circuit_state::half_open: return "half_open";
    }
    return "closed";
}

circuit_breaker::permit::permit(permit&& from) noexcept
    : of_(std::exchange(from.of_, nullptr)), generation_(from.generation_), slot_(from.slot_), probe_(from.probe_),
      owes_(std::exchange(from.owes_, false)), succeeded_(from.succeeded_) {}

circuit_breaker::permit& circuit_breaker::permit::operator=(permit&& from) noexcept {
    if (this == &from) return *this;
    if (owes_) of_->note_dropped(*this);
    of_ = std::exchange(from.of_, nullptr);
    generation_ = from.generation_;
    slot_ = from.slot_;
    probe_ = from.probe_;
    owes_ = std::exchange(from.owes_, false);
    succeeded_ = from.succeeded_;
    return *this;
}

circuit_breaker::permit::~permit() {
    if (owes_) of_->note_dropped(*this);
}

void circuit_breaker::permit::sent(steady_time now) noexcept {
    if (of_ != nullptr && slot_ == 0 && !probe_) of_->note_sent(*this, now);
}

std::optional<circuit_transition> circuit_breaker::permit::report(verdict what, const facts& known, double u,
                                                                  steady_time now) noexcept {
    if (of_ == nullptr) return std::nullopt;
    return of_->note_report(*this, what, known, u, now);
}

bool circuit_breaker::permit::is_probe() const noexcept { return probe_; }

circuit_breaker::circuit_breaker(const breaker_options& options) noexcept : options_(options) {}

void circuit_breaker::configure(const breaker_options& options) noexcept {
    const std::scoped_lock lock(mutex_);
    options_ = options;
}

bool circuit_breaker::probes_silent(steady_time now) const noexcept {
    const duration usual = usual_p95_.value_or(duration::zero());
    duration allowed = std::max(least_silence, silence_per_p95 * usual);
    if (lone_ && usual_p95_)
        allowed = std::min(allowed, std::max(options_.recovery_timeout, usual) * (1 << silent_rounds_));
    return forced_ == std::nullopt && now - probed_ >= allowed;
}

steady_time circuit_breaker::verdict_expected(steady_time now) const noexcept {
    return std::clamp(probed_ + usual_p95_.value_or(duration::zero()), now + soonest_look, now + latest_look);
}

std::optional<circuit_breaker::refusal> circuit_breaker::refuse(bool probe_allowed, bool ramp_applies, double u,
                                                                steady_time now) const noexcept {
    using reason = refusal::reason;
    switch (state_) {
    case circuit_state::closed: {
        if (!ramping_ || !ramp_applies || forced_) return std::nullopt;
        // The draw u is let through from the moment on at which 0.1 + 0.9 * (time / ramp) has grown past it.
        const steady_time opens = since_ + scaled(options_.ramp, (u - ramp_start) / (1 - ramp_start));
        if (now > opens || now >= since_ + options_.ramp) return std::nullopt;
        return refusal{reason::ramping, opens + duration{1}, since_};
    }
    case circuit_state::open:
        if (forced_) return refusal{reason::open, now + options_.max_recovery_timeout, down_since_};
        if (now < until_) return refusal{reason::open, until_, down_since_};
        if (!probe_allowed) return refusal{reason::open, now + soonest_look, down_since_};
        return std::nullopt;
    case circuit_state::half_open:
        if (!probe_allowed) return refusal{reason::probes_busy, verdict_expected(now), down_since_};
        if (has_place() || probes_silent(now)) return std::nullopt;
        return refusal{reason::probes_busy, verdict_expected(now), down_since_};
    }
    return std::nullopt;
}

circuit_breaker::admission circuit_breaker::admit(bool probe_allowed, bool ramp_applies, double u, steady_time now) {
    const std::scoped_lock lock(mutex_);
    admission got;
    got.refused = refuse(probe_allowed, ramp_applies, u, now);
    if (got.refused) return got;
    if (state_ == circuit_state::open) got.transition = go(circuit_state::half_open, "recovery_time", now);
    if (state_ == circuit_state::half_open) {
        if (!has_place()) {
            got.transition = go(circuit_state::half_open, "probe_silent", now);
            silent_rounds_ = std::min(silent_rounds_ + 1, 10);
        }
        ++probes_;
        probed_ = now;
        got.leave.probe_ = got.leave.owes_ = true;
    }
    got.leave.of_ = this;
    got.leave.generation_ = generation_;
    return got;
}

std::optional<circuit_breaker::refusal> circuit_breaker::look(bool probe_allowed, bool ramp_applies, double u,
                                                              steady_time now) {
    const std::scoped_lock lock(mutex_);
    return refuse(probe_allowed, ramp_applies, u, now);
}

duration circuit_breaker::patience(const std::optional<duration>& usual_p95) const noexcept {
    return usual_p95.value_or(options_.window);
}

void circuit_breaker::note_sent(permit& by, steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    if (by.generation_ != generation_) return;
    by.slot_ = attempts_.take(patience(usual_p95_), options_.window, now);
    by.owes_ = by.slot_ != 0;
}

void circuit_breaker::note_dropped(permit& by) noexcept {
    const std::scoped_lock lock(mutex_);
    by.owes_ = false;
    if (by.generation_ != generation_) return;
    if (by.probe_) {
        // Nobody can be told of this transition; the next one says what came of it.
        if (--probes_ == 0 && failed_) static_cast<void>(recovery_failed(probed_));
    } else {
        attempts_.set(by.slot_, attempt_mark::neutral, steady_time{});
    }
}

std::optional<circuit_transition> circuit_breaker::note_report(permit& by, verdict what, const facts& known, double u,
                                                               steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    if (known.usual_p95) usual_p95_ = known.usual_p95;
    const bool first = std::exchange(by.owes_, false);
    if (by.generation_ != generation_) return std::nullopt;
    if (by.probe_) {
        if (first) --probes_;
        return probe_reported(by, what, known.alone, u, now);
    }
    if (by.slot_ == 0 && what != verdict::neutral)
        by.slot_ = attempts_.take(patience(known.usual_p95), options_.window, now);
    const bool placed = attempts_.set(by.slot_, mark_of(what), now);
    if (!placed || what == verdict::success || what == verdict::neutral || forced_ || !trips(known, now))
        return std::nullopt;
    return trip(known.alone, u, now);
}

bool circuit_breaker::trips(const facts& known, steady_time now) const noexcept {
    const int threshold = options_.failure_threshold;
    if (attempts_.failures_in_a_row(threshold, patience(known.usual_p95), now) < threshold) return false;
    const double ratio = options_.failure_ratio.value_or(known.alone ? lone_ratio : ratio_beside_others);
    const int least = options_.min_calls.value_or(known.alone ? lone_min_calls : threshold);
    const auto [calls, failures] = attempts_.within(options_.window, now);
    if (calls >= least && failures >= ratio * calls) return true;
    return lenient(known.alone) &&
           attempts_.unlikely_row(least, lone_chance, options_.window, patience(known.usual_p95), now);
}

std::optional<circuit_transition> circuit_breaker::probe_reported(permit& by, verdict what, bool alone, double u,
                                                                  steady_time now) noexcept {
    probed_ = now;
    if (forced_) return std::nullopt;
    if (what == verdict::success && !std::exchange(by.succeeded_, true) && ++successes_ >= options_.success_threshold) {
        failed_recoveries_ = 0;
        attempts_.clear();
        ramping_ = options_.ramp > duration::zero();
        return go(circuit_state::closed, "probe_succeeded", now);
    }
    if (what == verdict::failure) {
        if (std::exchange(by.succeeded_, false)) successes_ = std::max(successes_ - 1, 0);
        failed_ = true;
        lone_ = lenient(alone);
        failed_recoveries_ = std::min(failed_recoveries_ + 1, 62);
        until_ = next_probe(alone, u, now);
    }
    // Overloaded and neutral say nothing of a probe: what asks for less is alive.
    return failed_ && (probes_ == 0 || !lone_) ? std::optional{recovery_failed(now)} : std::nullopt;
}

circuit_transition circuit_breaker::go(circuit_state to, std::string_view why, steady_time now) noexcept {
    const circuit_state from = std::exchange(state_, to);
    ++generation_;
    since_ = probed_ = now;
    probes_ = 0;
    failed_ = false;
    return {from, to, why};
}

steady_time circuit_breaker::next_probe(bool alone, double u, steady_time now) const noexcept {
    const duration least = options_.recovery_timeout, most = std::max(options_.max_recovery_timeout, least);
    duration pause = least;
    if (lenient(alone)) {
        pause = std::clamp((now - down_since_) / lone_pause_part, least, most);
    } else {
        for (int n = failed_recoveries_; n > 0 && pause < most; --n) pause *= 2;
        pause = std::min(pause, most);
    }
    return now + scaled(pause, 1 + recovery_spread * u);
}

circuit_transition circuit_breaker::trip(bool alone, double u, steady_time now) noexcept {
    down_since_ = now;
    successes_ = silent_rounds_ = 0;
    lone_ = lenient(alone);
    until_ = next_probe(alone, u, now);
    return go(circuit_state::open, "consecutive_failures", now);
}

circuit_transition circuit_breaker::recovery_failed(steady_time now) noexcept {
    if (!lone_) successes_ = 0;
    return go(circuit_state::open, "probe_failed", now);
}

circuit_breaker::summary circuit_breaker::report(const facts& known, steady_time now) {
    const std::scoped_lock lock(mutex_);
    summary all;
    all.state = state_;
    all.since = since_;
    if (state_ == circuit_state::open && !forced_) all.next_probe = until_;
    if (state_ != circuit_state::closed) all.down_since = down_since_;
    const auto [calls, failures] = attempts_.within(options_.window, now);
    all.calls = calls;
    all.failures = failures;
    all.consecutive_failures =
        attempts_.failures_in_a_row(static_cast<int>(start_order::size), patience(known.usual_p95), now);
    all.probes = probes_;
    all.forced = forced_;
    return all;
}

std::optional<circuit_transition> circuit_breaker::force(std::optional<circuit_state> state, steady_time now) {
    const std::scoped_lock lock(mutex_);
    const circuit_state before = state_;
    if (!state && !forced_) return std::nullopt;
    forced_ = state;
    failed_recoveries_ = successes_ = silent_rounds_ = 0;
    lone_ = false;
    ramping_ = false;
    if (before == circuit_state::closed) down_since_ = now;
    if (!state) {
        attempts_.clear();
        until_ = now;
        static_cast<void>(go(state_, "forced", now)); // whoever was let through by force moves nothing
        return std::nullopt;
    }
    const auto change = go(*state, "forced", now);
    if (change.to == circuit_state::closed) attempts_.clear();
    if (change.from == change.to) return std::nullopt;
    return change;
}

} // namespace evenkeel

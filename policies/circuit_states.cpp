// The arithmetic of recovery: when to look again, who may look, and what is learned from it. Sources are named in
// circuit_breaker.hpp, whose argument this carries out.

#include "policies/circuit_states.hpp"

#include <algorithm>

namespace evenkeel {

std::string_view to_string(circuit_state state) noexcept {
    switch (state) {
    case circuit_state::closed: return "closed";
    case circuit_state::open: return "open";
    case circuit_state::half_open: return "half_open";
    }
    return "closed";
}

namespace circuit {

namespace {
constexpr double ramp_start = 0.1;      // share of the requests that a circuit lets through right after it closed
constexpr double recovery_spread = 0.2; // so that many proxies that tripped together do not come back together (P5.6)
constexpr duration soonest_look = std::chrono::milliseconds{100}, latest_look = std::chrono::seconds{1};
constexpr int most_doublings = 62;     // of a pause; it is cut off far earlier
constexpr int most_silent_rounds = 10; // that double the patience with probes

// Beside others a pause doubles with every recovery that failed: the traffic is elsewhere, and nothing is lost by
// waiting. Alone it is a share of the outage so far, so that its end is noticed at most that share too late.
steady_time next_probe(const outage& down, const breaker_options& options, bool alone, double u,
                       steady_time now) noexcept {
    const duration least = options.recovery_timeout, most = std::max(options.max_recovery_timeout, least);
    duration pause = least;
    if (lenient(options, alone)) {
        pause = std::clamp((now - down.since) / lone_pause_part, least, most);
    } else {
        for (int n = down.failed_recoveries; n > 0 && pause < most; --n) pause *= 2;
        pause = std::min(pause, most);
    }
    return now + scaled(pause, 1 + recovery_spread * u);
}

// A provider that hangs and then does not is given back late by whoever waits for its probes, so where there is nothing
// else they may be silent for as long as is usual, then for twice as long, and so on.
bool probes_silent(const half_open& at, const breaker_options& options, const question& asked,
                   steady_time now) noexcept {
    const duration usual = asked.usual_p95.value_or(duration::zero());
    duration allowed = std::max(least_silence, silence_per_p95 * usual);
    if (at.down.lone && asked.usual_p95)
        allowed = std::min(allowed, std::max(options.recovery_timeout, usual) * (1 << at.down.silent_rounds));
    return !asked.forced && now - at.probed >= allowed;
}

steady_time verdict_expected(const half_open& at, const question& asked, steady_time now) noexcept {
    return std::clamp(at.probed + asked.usual_p95.value_or(duration::zero()), now + soonest_look, now + latest_look);
}

std::optional<refusal> refusal_of(const closed& at, const breaker_options& options, const question& asked,
                                  steady_time now) noexcept {
    if (!at.ramps_since || !asked.ramp_applies || asked.forced) return std::nullopt;
    // The draw u is let through from the moment on at which 0.1 + 0.9 * (time / ramp) has grown past it.
    const steady_time opens = *at.ramps_since + scaled(options.ramp, (asked.u - ramp_start) / (1 - ramp_start));
    if (now > opens || now >= *at.ramps_since + options.ramp) return std::nullopt;
    return refusal{refusal::reason::ramping, opens + duration{1}, *at.ramps_since};
}

std::optional<refusal> refusal_of(const open& at, const breaker_options& options, const question& asked,
                                  steady_time now) noexcept {
    if (asked.forced) return refusal{refusal::reason::held_open, now + options.max_recovery_timeout, at.down.since};
    if (now < at.until && !asked.early) return refusal{refusal::reason::open, at.until, at.down.since};
    if (!asked.probe_allowed) return refusal{refusal::reason::open, now + soonest_look, at.down.since};
    return std::nullopt;
}

std::optional<refusal> refusal_of(const half_open& at, const breaker_options& options, const question& asked,
                                  steady_time now) noexcept {
    if (asked.probe_allowed && (has_place(at, options) || probes_silent(at, options, asked, now))) return std::nullopt;
    return refusal{refusal::reason::probes_busy, verdict_expected(at, asked, now), at.down.since};
}

// Where others are there, what succeeded in a round that failed counts for nothing: a lucky answer now and then must
// not bring the traffic back. Alone the successes of all rounds add up (circuit_breaker.hpp).
open recovery_failed(const half_open& of) noexcept {
    open next{of.down, *of.failed};
    if (!next.down.lone) next.down.successes = 0;
    return next;
}
} // namespace

const outage* outage_of(const state& of) noexcept {
    if (const auto* at = std::get_if<open>(&of)) return &at->down;
    if (const auto* at = std::get_if<half_open>(&of)) return &at->down;
    return nullptr;
}

std::optional<refusal> refuse(const state& of, const breaker_options& options, const question& asked,
                              steady_time now) noexcept {
    return std::visit([&](const auto& at) { return refusal_of(at, options, asked, now); }, of);
}

open trip(const breaker_options& options, bool alone, double u, steady_time now) noexcept {
    const outage down{.since = now, .lone = lenient(options, alone)};
    return {down, next_probe(down, options, alone, u, now)};
}

half_open probe(const open& of, steady_time now) noexcept { return {of.down, now}; }

half_open next_round(const half_open& of, steady_time now) noexcept {
    half_open next{of.down, now};
    next.down.silent_rounds = std::min(next.down.silent_rounds + 1, most_silent_rounds);
    return next;
}

bool has_place(const half_open& of, const breaker_options& options) noexcept {
    return !of.failed && of.probes < std::max(options.half_open_max_calls, 1);
}

half_open probe_started(half_open of, steady_time now) noexcept {
    ++of.probes;
    of.probed = now;
    return of;
}

after_probe heard(half_open of, const probe_verdict& said, const breaker_options& options, steady_time now) noexcept {
    of.probes -= said.first;
    of.probed = now;
    bool counts = said.counted_before;
    if (said.forced) return {of, counts};
    if (said.is == verdict::success && !counts) {
        counts = true;
        if (++of.down.successes >= options.success_threshold)
            return {closed{options.ramp > duration::zero() ? std::optional{now} : std::nullopt}, counts};
    }
    if (said.is == verdict::failure) {
        if (counts) of.down.successes = std::max(of.down.successes - 1, 0);
        counts = false;
        of.down.lone = lenient(options, said.alone);
        of.down.failed_recoveries = std::min(of.down.failed_recoveries + 1, most_doublings);
        of.failed = next_probe(of.down, options, said.alone, said.u, now);
    }
    // Overloaded and neutral say nothing of a probe: what asks for less is alive. Alone a failure does not silence the
    // probe beside it: failures are fast and successes slow.
    if (of.failed && (of.probes == 0 || !of.down.lone)) return {recovery_failed(of), counts};
    return {of, counts};
}

state unheard(half_open of) noexcept {
    --of.probes;
    if (of.probes == 0 && of.failed) return recovery_failed(of);
    return of;
}

state forced(const state& from, circuit_state to, steady_time now) noexcept {
    const outage* const before = outage_of(from);
    const outage down{.since = before != nullptr ? before->since : now};
    switch (to) {
    case circuit_state::closed: return closed{};
    case circuit_state::open: return open{down, now};
    case circuit_state::half_open: return half_open{down, now};
    }
    return closed{};
}

} // namespace circuit
} // namespace evenkeel

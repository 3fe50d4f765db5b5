#pragma once
// The three states of a circuit, and what makes one of the other: values, and functions from a state and what has
// happened to the state that follows. Each state holds what is known in it and nothing else: only a half-open circuit
// has probes, only one that is down has a time at which it went down, and a closed one cannot be asked for either.
//
//     closed --trip()--> open --probe()--> half_open --heard()--> closed, ramping
//                         ^                    |  |
//                         +---heard()----------+  +--next_round(): half_open again, its silent probes given up
//
// Nothing happens by itself: time moves a circuit only when somebody asks. What is counted of a closed circuit's
// attempts (start_order), who may be told of a transition and the mutex are the breaker's (circuit_breaker.hpp).

#include "policies/breaker_options.hpp"
#include "policies/time.hpp"

#include <optional>
#include <string_view>
#include <variant>

namespace evenkeel {

enum class circuit_state : unsigned char { closed, open, half_open };
inline constexpr int circuit_state_count = 3;
[[nodiscard]] std::string_view to_string(circuit_state) noexcept;

namespace circuit {

enum class verdict : unsigned char {
    success,
    failure,
    overloaded, // a failure of the ratio only
    neutral,
};

// How long all probes may say nothing (at most, where the endpoint is alone): max of this and silence_per_p95 times the
// usual P95 (that is four attempt timeouts of three P95, resilience semantics 5c).
inline constexpr duration least_silence = std::chrono::seconds{60};
inline constexpr int silence_per_p95 = 12;
inline constexpr int lone_pause_part = 20; // of the outage so far

// Of one outage, from the trip until the circuit closes: open and half-open hand it to each other.
struct outage {
    steady_time since{};       // the trip, not the latest failed recovery
    bool lone = false;         // judged as the only endpoint: at the trip, then at the latest failure of a probe
    int failed_recoveries = 0; // in a row
    int successes = 0;         // of probes, since the trip or, beside others, since it is half-open
    int silent_rounds = 0;     // since the trip
};

struct closed {
    std::optional<steady_time> ramps_since{}; // closed after an outage, not from the beginning
};
struct open {
    outage down;
    steady_time until; // no probe before
};
struct half_open {
    outage down;
    steady_time probed; // the latest probe's start or verdict
    int probes = 0;     // in flight
    // A probe of this round has failed, while others are in flight: open again, no probe before this.
    std::optional<steady_time> failed{};
};
using state = std::variant<closed, open, half_open>; // in the order of circuit_state
[[nodiscard]] inline circuit_state name_of(const state& of) noexcept { return static_cast<circuit_state>(of.index()); }
[[nodiscard]] const outage* outage_of(const state& of) noexcept; // null: it is up

struct refusal {
    enum class reason : unsigned char { open, probes_busy, ramping, held_open } why; // held_open: by an operator
    // No use in asking before. Exact where time decides (open, and ramping for the same u); where a probe's verdict
    // does, when one may be expected: within [100 ms, 1 s]. Held open: nobody knows.
    steady_time again;
    steady_time down_since; // when the outage began: the trip, not the latest failed recovery
};

// What is asked, and by whom.
struct question {
    bool probe_allowed, ramp_applies;
    double u;                            // in [0, 1)
    std::optional<duration> usual_p95{}; // of the endpoint
    bool forced = false;                 // an operator holds the circuit where it is
    bool early = false;                  // a probe need not wait for the recovery time
};
// Would it let an attempt through? Empty: yes.
[[nodiscard]] std::optional<refusal> refuse(const state& of, const breaker_options& options, const question& asked,
                                            steady_time now) noexcept;

// It is alone and nobody said how to judge it then: the lenient rules of `failure_ratio: auto` hold.
[[nodiscard]] inline bool lenient(const breaker_options& options, bool alone) noexcept {
    return alone && !options.failure_ratio;
}

// What was counted says that the endpoint is down. u in [0, 1) spreads the recovery time.
[[nodiscard]] open trip(const breaker_options& options, bool alone, double u, steady_time now) noexcept;

// The first request after the recovery time finds it half-open; so does one that finds all probes silent, whose places
// are then free.
[[nodiscard]] half_open probe(const open& of, steady_time now) noexcept;
[[nodiscard]] half_open next_round(const half_open& of, steady_time now) noexcept;
[[nodiscard]] bool has_place(const half_open& of, const breaker_options& options) noexcept;
// A request that was let through is a probe.
[[nodiscard]] half_open probe_started(half_open of, steady_time now) noexcept;

// What a probe said. It may speak again: a stream that was a success at its first event may still break.
struct probe_verdict {
    verdict is;
    bool first;                  // it gives its place back
    bool counted_before = false; // among the successes
    bool alone = true;
    double u = 0;
    bool forced = false; // nobody heeds it
};
struct after_probe {
    state next;  // half_open: as before, not a transition
    bool counts; // among the successes from now on
};
[[nodiscard]] after_probe heard(half_open of, const probe_verdict& said, const breaker_options& options,
                                steady_time now) noexcept;
// One that is destroyed without a word gives its place back.
[[nodiscard]] state unheard(half_open of) noexcept;

// An operator's word: as if nothing had been tried in this outage.
[[nodiscard]] state forced(const state& from, circuit_state to, steady_time now) noexcept;

} // namespace circuit
} // namespace evenkeel

#pragma once
// Spares an endpoint that keeps failing, and the requests that would have failed there (DESIGN section 6, reference:
// resilience semantics 5). closed --trips--> open --recovery time--> half-open --enough successes--> closed, ramping.
//
// Trips when both hold: failure_threshold consecutive failures, counted in order of *start* (start_order.hpp says why),
// and failure_ratio of at least min_calls in the window. Only a failure trips: no silence, no success and nothing
// neutral does.
//
// How eager a breaker may be depends on the alternatives (policy evidence, pitfall 12), so with `failure_ratio: auto`
// an endpoint that is alone, with no other circuit of its route closed, is judged in another way throughout:
//   - it trips at 0.97 of 15, or, since a window full of successes takes its whole length to get there, at a row of
//     failures that the rest of the window makes less likely than 1e-9 (after 99 % successes: 15);
//   - its recovery time does not double but is a twentieth of the outage so far: nobody is spared by waiting longer,
//     and doubling notices the end of an outage as late again as the outage was long;
//   - probes lose their places as soon as they are silent for longer than usual, then for twice as long, and so on: a
//     provider that hangs and then does not would otherwise be given back a minute late;
//   - a failed probe does not silence the one beside it, and successes add up over several rounds: failures are fast
//     and successes slow, so at 80 % errors two out of two never happen, while 20 % of the answers are all there is to
//     be had.
// (Simulated, 20 seeds: an outage of 45 s ends at 74 % success without these, at 92 with them, 82 without a breaker.)
//
// Every permit carries the generation of the circuit it was given by; a verdict from another generation moves nothing.
// Nothing happens by itself: an open circuit becomes half-open at the first request after its time, and probes that
// never say anything lose their places to the first request that finds them all taken for longer than `silence`.
//
// One per endpoint (or upstream, or route: `scope`); thread-safe: one mutex, held for one call.

#include "policies/small_mutex.hpp"
#include "policies/start_order.hpp"
#include "policies/time.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace evenkeel {

enum class circuit_scope : unsigned char { endpoint, upstream, route };
enum class when_open : unsigned char { hold, reject };
enum class circuit_state : unsigned char { closed, open, half_open };
inline constexpr int circuit_state_count = 3;
[[nodiscard]] std::string_view to_string(circuit_state) noexcept;

struct breaker_options {
    bool on = false;
    int failure_threshold = 3;             // 0: the ratio alone decides
    std::optional<double> failure_ratio{}; // empty: auto, 0.5 while another endpoint is admissible, 0.97 where it is
                                           // the only one; 0: the threshold alone decides
    std::optional<int> min_calls{};        // empty: auto, failure_threshold with another endpoint, else 15
    duration window = std::chrono::seconds{30};
    duration recovery_timeout = std::chrono::seconds{2}; // x2 per failed recovery, x U(1, 1.2), up to
    duration max_recovery_timeout = std::chrono::seconds{60};
    int half_open_max_calls = 2;
    int success_threshold = 2;
    duration ramp = std::chrono::seconds{10}; // 0: full traffic at once
    circuit_scope scope = circuit_scope::endpoint;
    evenkeel::when_open when_open = evenkeel::when_open::hold;
    std::optional<duration> hold_max{}; // empty: auto
    int hold_queue = 64;
    bool operator==(const breaker_options&) const = default;
};

struct circuit_transition {
    circuit_state from, to;
    // consecutive_failures, recovery_time, probe_succeeded, probe_failed, forced; probe_silent: half-open as before,
    // but the probes under way are given up and new ones are let through.
    std::string_view why;
};

class circuit_breaker {
public:
    enum class verdict : unsigned char {
        success,
        failure,
        overloaded,
        neutral
    }; // overloaded: a failure of the ratio only
    // What a verdict is judged by, known to whoever reports.
    struct facts {
        // No other endpoint of the request's route has a closed circuit; one that waits for probes or has them under
        // way is no alternative. To be asked with look(false, false, 0, now).
        bool alone = true;
        std::optional<duration> usual_p95{}; // of this endpoint; a pending attempt older than this hides nothing
    };

    static constexpr double lone_chance = 1e-9; // of a row of failures that trips by itself
    static constexpr int lone_pause_part = 20;  // of the outage so far
    // Auto values of failure_ratio and min_calls where no other endpoint is admissible (policy evidence, pitfall 12).
    static constexpr double lone_ratio = 0.97, ratio_beside_others = 0.5;
    static constexpr int lone_min_calls = 15;
    // How long all probes may say nothing (at most, where the endpoint is alone): max of this and silence_per_p95 times
    // the usual P95 (that is four attempt timeouts of three P95, resilience semantics 5c).
    static constexpr duration least_silence = std::chrono::seconds{60};
    static constexpr int silence_per_p95 = 12;

    // Leave to send one attempt. Movable; destroyed without a verdict it was neutral, and gives a probe's place back.
    class permit {
    public:
        permit() noexcept = default;
        permit(permit&&) noexcept;
        permit& operator=(permit&&) noexcept;
        ~permit();
        void sent(steady_time now) noexcept; // takes its place in the order of start
        // May be called again: a stream that was a success at its first event may still break. Empty: no transition.
        // The first verdict gives a probe's place back. An attempt that was not sent takes its place in the order now.
        // `u` in [0, 1) spreads the recovery time.
        std::optional<circuit_transition> report(verdict what, const facts& known, double u, steady_time now) noexcept;
        [[nodiscard]] bool is_probe() const noexcept;
        [[nodiscard]] explicit operator bool() const noexcept { return of_ != nullptr; }

    private:
        friend class circuit_breaker;
        circuit_breaker* of_ = nullptr;
        std::uint64_t generation_ = 0;
        std::uint64_t slot_ = 0; // place in the order of start; 0: none
        bool probe_ = false;
        bool owes_ = false;      // a verdict: the circuit waits for one
        bool succeeded_ = false; // a probe that counted
    };

    struct refusal {
        enum class reason : unsigned char { open, probes_busy, ramping } why;
        // No use in asking before. Exact where time decides (open, and ramping for the same u); where a probe's verdict
        // does, when one may be expected: within [100 ms, 1 s].
        steady_time again;
        steady_time down_since; // when the outage began: the trip, not the latest failed recovery
    };
    struct admission {
        permit leave; // holds if there is no refusal
        std::optional<refusal> refused;
        std::optional<circuit_transition> transition{}; // open -> half-open happens at the first request after its time
    };

    explicit circuit_breaker(const breaker_options& options) noexcept;
    circuit_breaker(const circuit_breaker&) = delete;
    circuit_breaker& operator=(const circuit_breaker&) = delete;
    ~circuit_breaker() = default; // outlives its permits

    void configure(const breaker_options& options) noexcept; // after a reload; state and counts are kept

    // `probe_allowed`: hedges and, while a closed endpoint is there, retries take no probe's place. `ramp_applies`:
    // false where there is nowhere else to go: what ramps up is then paced by overload_control alone.
    [[nodiscard]] admission admit(bool probe_allowed, bool ramp_applies, double u, steady_time now);
    // The same question without taking anything: what choosing an endpoint asks. Empty: would be admitted. Not to be
    // held against a route for long: with probes under way (probes_busy) the answer may change within the second.
    [[nodiscard]] std::optional<refusal> look(bool probe_allowed, bool ramp_applies, double u, steady_time now);

    struct summary {
        circuit_state state = circuit_state::closed;
        steady_time since{};                                   // in this state
        std::optional<steady_time> next_probe;                 // while open
        std::optional<steady_time> down_since;                 // while not closed
        int consecutive_failures = 0, calls = 0, failures = 0; // in the window
        int probes = 0;                                        // in flight
        std::optional<circuit_state> forced;
    };
    [[nodiscard]] summary report(const facts& known, steady_time now);

    // Control by an operator: stays until released with an empty state. Forced half-open lets probes through and heeds
    // none. Released, a forced closed circuit starts with an empty window, any other lets the next request probe.
    std::optional<circuit_transition> force(std::optional<circuit_state> state, steady_time now);

private:
    // All of these with the mutex held.
    [[nodiscard]] std::optional<refusal> refuse(bool probe_allowed, bool ramp_applies, double u,
                                                steady_time now) const noexcept;
    [[nodiscard]] bool has_place() const noexcept {
        return !failed_ && probes_ < (options_.half_open_max_calls > 1 ? options_.half_open_max_calls : 1);
    }
    [[nodiscard]] bool probes_silent(steady_time now) const noexcept;
    [[nodiscard]] steady_time verdict_expected(steady_time now) const noexcept;
    [[nodiscard]] bool trips(const facts& known, steady_time now) const noexcept;
    [[nodiscard]] bool lenient(bool alone) const noexcept { return alone && !options_.failure_ratio; }
    [[nodiscard]] duration patience(const std::optional<duration>& usual_p95) const noexcept;
    circuit_transition go(circuit_state to, std::string_view why, steady_time now) noexcept;
    [[nodiscard]] steady_time next_probe(bool alone, double u, steady_time now) const noexcept;
    circuit_transition trip(bool alone, double u, steady_time now) noexcept;
    circuit_transition recovery_failed(steady_time now) noexcept;
    std::optional<circuit_transition> probe_reported(permit& by, verdict what, bool alone, double u,
                                                     steady_time now) noexcept;

    void note_sent(permit& by, steady_time now) noexcept;
    std::optional<circuit_transition> note_report(permit& by, verdict what, const facts& known, double u,
                                                  steady_time now) noexcept;
    void note_dropped(permit& by) noexcept;

    small_mutex mutex_;
    breaker_options options_;
    circuit_state state_ = circuit_state::closed;
    std::optional<circuit_state> forced_;
    std::uint64_t generation_ = 1;      // grows with every transition
    start_order attempts_;              // while closed
    std::optional<duration> usual_p95_; // as last told
    steady_time since_{};               // in this state
    steady_time until_{};               // while open: not before
    steady_time down_since_{};          // while not closed
    steady_time probed_{};              // while half-open: the latest probe's start or verdict
    bool ramping_ = false;              // closed after an outage, not from the beginning
    int failed_recoveries_ = 0;         // in a row
    int probes_ = 0;                    // while half-open: in flight
    int successes_ = 0;     // of probes, since the circuit went down or, beside others, since it is half-open
    bool failed_ = false;   // a probe of this round, while others are in flight
    bool lone_ = false;     // at the trip, then at the latest failure of a probe
    int silent_rounds_ = 0; // since the trip
};

} // namespace evenkeel

#pragma once
// Spares an endpoint that keeps failing, and the requests that would have failed there (DESIGN section 6, reference:
// resilience semantics 5). closed --trips--> open --recovery time--> half-open --enough successes--> closed, ramping.
//
// Trips when both hold: failure_threshold consecutive failures, counted in order of *start* (start_order.hpp says why),
// and failure_ratio of at least min_calls in the window, in which a row of errors beside another endpoint counts
// however long ago it came. With `failure_ratio: auto` a row that the rest of the window makes too unlikely for chance
// will do as well: 8 s of 40 successes a second must not take as many failures to outweigh. Only a failure trips: no
// silence, no success and nothing neutral does.
//
// How eager a breaker may be depends on the alternatives (policy evidence, pitfall 12), so with `failure_ratio: auto`
// an endpoint that is alone, with no other circuit of its route closed, is judged in another way throughout:
//   - it trips at 0.97 of 15, or at a row that is less likely than 1e-9 (after 99 % successes: 15); beside others
//     errors, not timeouts, of 1e-6 will do (after 99 %: three or four; where a third fails: a dozen);
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
// What a circuit can be and how it gets from one state to the next is circuit_states.hpp; this is the shell around it:
// counts what a closed circuit trips by, gives permits, holds to an operator's word, and tells of transitions. One per
// endpoint (or upstream, or route: `scope`), and within it one for each model that fails while others are well
// (model_circuits.hpp); thread-safe: one mutex, held for one call.

#include "policies/circuit_states.hpp"
#include "policies/small_mutex.hpp"
#include "policies/start_order.hpp"
#include "policies/time.hpp"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

namespace evenkeel {

struct circuit_transition {
    circuit_state from, to;
    // consecutive_failures, recovery_time, probe_succeeded, probe_failed, forced; probe_silent: half-open as before,
    // but the probes under way are given up and new ones are let through.
    std::string_view why;
};

class circuit_breaker {
public:
    using verdict = circuit::verdict;
    using refusal = circuit::refusal;
    // What a verdict is judged by, known to whoever reports.
    struct facts {
        // No other endpoint of the request's route has a closed circuit; one that waits for probes or has them under
        // way is no alternative. To be asked with look(false, false, 0, now).
        bool alone = true;
        std::optional<duration> usual_p95{}; // of this endpoint; a pending attempt older than this hides nothing
        bool timed_out = false;              // of a failure: nothing was told, it only took too long
        bool only_counts =
            false;              // of a failure: not known to be this circuit's; it is remembered, and trips nothing yet
        bool unreached = false; // of a failure: no connection was made
    };

    // Of a row of failures that trips by itself.
    static constexpr double lone_chance = 1e-9, chance_beside_others = 1e-6;
    // Auto values of failure_ratio and min_calls where no other endpoint is admissible (policy evidence, pitfall 12).
    static constexpr double lone_ratio = 0.97, ratio_beside_others = 0.5;
    static constexpr int lone_min_calls = 15;
    static constexpr duration least_silence = circuit::least_silence;
    static constexpr int silence_per_p95 = circuit::silence_per_p95;

    // Permission to send one attempt. Movable; destroyed without a verdict it was neutral, and gives a probe's place
    // back.
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
        std::optional<circuit_transition> give_verdict(verdict what, const facts& known, double u,
                                                       steady_time now) noexcept;
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

    struct admission {
        permit given; // holds if there is no refusal
        std::optional<refusal> refused;
        std::optional<circuit_transition> transition{}; // open -> half-open happens at the first request after its time
    };

    explicit circuit_breaker(const breaker_options& options) noexcept;
    circuit_breaker(const circuit_breaker&) = delete;
    circuit_breaker& operator=(const circuit_breaker&) = delete;
    ~circuit_breaker() = default; // outlives its permits

    void configure(const breaker_options& options) noexcept; // after a reload; state and counts are kept

    // `probe_allowed`: hedges and, while a closed endpoint is there, retries take no probe's place. `ramp_applies`:
    // false where there is nowhere else to go: what ramps up is then paced by overload_control alone. `early`: what is
    // known of the outage need not hold for this one, which need not wait for the recovery time to find out.
    [[nodiscard]] admission admit(bool probe_allowed, bool ramp_applies, double u, steady_time now, bool early = false);
    // It is open, and all that has failed since its latest success is that no connection was made: one that is made,
    // or is not, says whether it is there again.
    [[nodiscard]] bool unreached() const noexcept { return unreached_.load(std::memory_order_relaxed); }
    // What is found out by such a connection, beside all requests: made, the next request may be a probe; not made,
    // none is for as long as the next connection may take to come.
    static constexpr duration away_for = std::chrono::seconds{40};
    void connected(bool made, steady_time now) noexcept;
    // The same question without taking anything: what choosing an endpoint asks. Empty: would be admitted. Not to be
    // held against a route for long: with probes under way (probes_busy) the answer may change within the second.
    [[nodiscard]] std::optional<refusal> look(bool probe_allowed, bool ramp_applies, double u, steady_time now,
                                              bool early = false);

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
    [[nodiscard]] std::optional<refusal> refuse(bool probe_allowed, bool ramp_applies, double u, steady_time now,
                                                bool early) const noexcept;
    [[nodiscard]] bool trips(const facts& known, steady_time now) const noexcept;
    [[nodiscard]] duration patience(const std::optional<duration>& usual_p95) const noexcept;
    circuit_transition enter(const circuit::state& next, std::string_view why, steady_time now) noexcept;
    std::optional<circuit_transition> follow(const circuit::state& next, std::string_view why,
                                             steady_time now) noexcept;

    void note_sent(permit& by, steady_time now) noexcept;
    std::optional<circuit_transition> note_verdict(permit& by, verdict what, const facts& known, double u,
                                                   steady_time now) noexcept;
    void note_dropped(permit& by) noexcept;

    small_mutex mutex_;
    breaker_options options_;
    circuit::state state_;
    steady_time since_{};                 // in this state, or this round of probes
    std::uint64_t generation_ = 1;        // grows with every transition
    start_order attempts_;                // of the time while it is closed; told until it closes again
    std::optional<duration> usual_p95_;   // as last told
    std::optional<circuit_state> forced_; // by an operator: stands above what the state learns
    bool reached_ = false;                // what was sent has failed since the latest success
    std::atomic<bool> unreached_{false};  // written with the mutex held
};

} // namespace evenkeel

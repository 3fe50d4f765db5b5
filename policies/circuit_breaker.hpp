#pragma once
// Spares an endpoint that keeps failing, and the requests that would have failed there (DESIGN section 6, reference:
// resilience semantics 5). closed --trips--> open --recovery time--> half-open --enough successes--> closed, ramping.
//
// Trips when both hold: failure_threshold consecutive failures, counted in order of *start*, and failure_ratio of at least
// min_calls in the window. Start order matters: a failure reports after 0.4 s, a success after 4 s, so in order of report
// three failures of a healthy provider soon look consecutive (reference: policy evidence, pitfall 1).
//
// Every permit carries the generation of the circuit it was given by; a verdict from another generation moves nothing.
// One per endpoint (or upstream, or route: `scope`); thread-safe: one mutex, held for one call.

#include "policies/time.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

namespace evenkeel {

enum class circuit_scope : unsigned char { endpoint, upstream, route };
enum class when_open : unsigned char { hold, reject };
enum class circuit_state : unsigned char { closed, open, half_open };
[[nodiscard]] std::string_view to_string(circuit_state) noexcept;

struct breaker_options {
    bool on = false;
    int failure_threshold = 3;
    std::optional<double> failure_ratio{};// empty: auto, 0.5 while another endpoint is admissible, 0.97 where it is the only one
    std::optional<int> min_calls{}; // empty: auto, failure_threshold with another endpoint, else 15
    duration window = std::chrono::seconds{30};
    duration recovery_timeout = std::chrono::seconds{2}; // x2 per failed recovery, x U(1, 1.2), up to
    duration max_recovery_timeout = std::chrono::seconds{60};
    int half_open_max_calls = 2;
    int success_threshold = 2;
    duration ramp = std::chrono::seconds{10};            // 0: full traffic at once
    circuit_scope scope = circuit_scope::endpoint;
    evenkeel::when_open when_open = evenkeel::when_open::hold;
    std::optional<duration> hold_max{}; // empty: auto
    int hold_queue = 64;
    bool operator==(const breaker_options&) const = default;
};

struct circuit_transition {
    circuit_state from, to;
    std::string_view why; // consecutive_failures, recovery_time, probe_succeeded, probe_failed, probe_silent, forced
};

class circuit_breaker {
public:
    enum class verdict : unsigned char { success, failure, overloaded, neutral }; // overloaded: a failure of the ratio only
    // What a verdict is judged by, known to whoever reports.
    struct facts {
        bool alone = true;                    // no other endpoint of the request's route is admissible
        std::optional<duration> usual_p95{};  // of this endpoint; a pending attempt older than this hides nothing
    };

    // Leave to send one attempt. Movable; destroyed without a verdict it was neutral, and gives a probe's place back.
    class permit {
    public:
        permit() noexcept = default;
        permit(permit&&) noexcept;
        permit& operator=(permit&&) noexcept;
        ~permit();
        void sent(steady_time now) noexcept; // takes its place in the order of start
        // May be called again: a stream that was a success at its first event may still break. Empty: no transition.
        std::optional<circuit_transition> report(verdict what, const facts& known, double u, steady_time now) noexcept;
        [[nodiscard]] bool is_probe() const noexcept;
        [[nodiscard]] explicit operator bool() const noexcept { return of_ != nullptr; }

    private:
        friend class circuit_breaker;
        circuit_breaker* of_ = nullptr;
        std::uint64_t generation_ = 0;
        std::uint64_t slot_ = 0;
        bool probe_ = false;
    };

    struct refusal {
        enum class reason : unsigned char { open, probes_busy, ramping } why;
        steady_time again;      // no use in asking before
        steady_time down_since; // when the outage began: the trip, not the latest failed recovery
    };
    struct admission {
        permit leave;                                   // holds if there is no refusal
        std::optional<refusal> refused;
        std::optional<circuit_transition> transition{}; // open -> half-open happens at the first request after its time
    };

    explicit circuit_breaker(const breaker_options& options) noexcept;
    circuit_breaker(const circuit_breaker&) = delete;
    circuit_breaker& operator=(const circuit_breaker&) = delete;
    ~circuit_breaker(); // outlives its permits

    void configure(const breaker_options& options) noexcept; // after a reload; state and counts are kept

    // `probe_allowed`: hedges and, while a closed endpoint is there, retries take no probe's place. `ramp_applies`: false
    // where there is nowhere else to go: what ramps up is then paced by overload_control alone.
    [[nodiscard]] admission admit(bool probe_allowed, bool ramp_applies, double u, steady_time now);
    // The same question without taking anything: what choosing an endpoint asks. Empty: would be admitted.
    [[nodiscard]] std::optional<refusal> look(bool probe_allowed, bool ramp_applies, double u, steady_time now);

    struct summary {
        circuit_state state = circuit_state::closed;
        steady_time since{};                    // in this state
        std::optional<steady_time> next_probe;  // while open
        std::optional<steady_time> down_since;  // while not closed
        int consecutive_failures = 0, calls = 0, failures = 0; // in the window
        int probes = 0;                         // in flight
        std::optional<circuit_state> forced;
    };
    [[nodiscard]] summary report(const facts& known, steady_time now);

    // Control by an operator: stays until released with an empty state.
    std::optional<circuit_transition> force(std::optional<circuit_state> state, steady_time now);

private:
    std::mutex mutex_;
};

} // namespace evenkeel

#pragma once
// The one place where the request path says what happened. Metrics, access log and (later) traces and the dashboard
// listen here; no policy and no transport counts anything itself. Calls come from every worker's thread and must not
// block. Views in a record live for the call only.

#include "config/settings.hpp"
#include "policies/bulkhead.hpp"
#include "policies/chaos_fault.hpp"
#include "policies/circuit_breaker.hpp"
#include "policies/fallback.hpp"
#include "policies/flight_plan.hpp"
#include "policies/hedge.hpp"
#include "policies/time.hpp"
#include "proxy/events/outcomes.hpp"
#include "proxy/events/request_account.hpp"

#include <cstdint>
#include <string_view>

namespace evenkeel::telemetry {

struct attempt_record {
    const config::route* route = nullptr;
    const config::upstream* upstream = nullptr;
    attempt_kind kind = attempt_kind::first;
    attempt_result result = attempt_result::success;
    std::string_view error{}; // RFC 9209 token, empty if none
    int status = 0;           // of the upstream's answer; 0: none came
    bool reused = false;      // on a pooled connection
    duration connect{};       // 0 if reused
    duration to_head{};       // from launch; 0 if no head came
    duration total{};
    steady_time at{};                                 // when it ended; epoch: just now
    std::uint64_t bytes_sent = 0, bytes_received = 0; // body bytes
    std::uint64_t events = 0;                         // meaningful events of a stream that were read
    duration to_first_event{};                        // from launch to the first of them; 0 if none came
    bool committed = false; // its answer became the request's; the events of others are wasted
    bool probe = false;     // sent to a half-open circuit to learn whether it has recovered
};

struct bulkhead_passage {
    duration waited{};
    bool queued = false;   // false: refused, or admitted after all, at once
    bool admitted = false; // neither admitted nor refused: its client left
    bulkhead_refusal refused = bulkhead_refusal::none;
    bool tenant_limited = false; // the share of its tenant had a part in it: others were let pass, or it was refused
};

enum class side : unsigned char { downstream, upstream };

// What became of a connection that was opened ahead of demand; the label `result` of prewarm_connections_total.
enum class prewarm_event : unsigned char {
    opened,
    failed, // it could not be opened
    used,   // an attempt took it
    unused, // it was closed before any did
};
inline constexpr int prewarm_event_count = 4;

// How a request of `prewarm.probe` ended; the label `result` of prewarm_probes_total.
enum class probe_result : unsigned char {
    answered, // below 500, and the credential was taken
    refused,  // 401 or 403
    error,    // 500 and above
    failed,   // no answer, or none in time
};
inline constexpr int probe_result_count = 4;
[[nodiscard]] std::string_view to_string(probe_result) noexcept;
[[nodiscard]] std::string_view to_string(prewarm_event) noexcept;

class observer {
public:
    virtual ~observer() = default;
    // Once the route is known; nullptr: none. Each request_started is followed by one request_finished with the same
    // route, and each request_finished preceded by one request_started; the same holds for attempts. Gauges rely on it.
    virtual void request_started(const config::route*) noexcept {}
    virtual void request_finished(const request_account&) noexcept {}
    virtual void attempt_started(const config::route&, const config::upstream&) noexcept {}
    virtual void attempt_finished(const attempt_record&) noexcept {}
    // The policies. `route` is the one whose request made it happen; circuits may be shared by several.
    virtual void circuit_changed(const config::route& route, const config::upstream&,
                                 const circuit_transition&) noexcept {
        static_cast<void>(route);
    }
    virtual void cooldown_began(const config::route& route, const config::upstream&, outcome_kind why,
                                duration length) noexcept {
        static_cast<void>(route), static_cast<void>(why), static_cast<void>(length);
    }
    virtual void overload_changed(const config::route& route, const config::upstream&, bool overloaded) noexcept {
        static_cast<void>(route), static_cast<void>(overloaded);
    }
    virtual void hedge_refused(const config::route&, hedge_refusal why) noexcept { static_cast<void>(why); }
    virtual void budget_refused(const config::route& route, const config::upstream&, attempt_kind wanted) noexcept {
        static_cast<void>(route), static_cast<void>(wanted);
    }
    // A request waits because no endpoint may be asked; then it goes on, is refused, or its client leaves.
    virtual void hold_began(const config::route&) noexcept {}
    virtual void hold_ended(const config::route&, duration waited, bool went_on) noexcept {
        static_cast<void>(waited), static_cast<void>(went_on);
    }
    // The fallback ladder: a step was passed over; none of them could answer. (Which one did is in the record.)
    virtual void fallback_skipped(const config::route&, fallback_kind, fallback_skip why) noexcept {
        static_cast<void>(why);
    }
    virtual void fallback_exhausted(const config::route&) noexcept {}
    virtual void stream_resumed(const config::route&, stream_resumption how) noexcept { static_cast<void>(how); }
    virtual void upcast_ended(const config::route&, upcast_result how) noexcept { static_cast<void>(how); }
    // A model of this upstream is not asked for streams again for a while. `what`: the word that was not understood; a
    // peer's.
    virtual void upcast_excluded(const config::route&, const config::upstream&, upcast_result why,
                                 std::string_view what) noexcept {
        static_cast<void>(why), static_cast<void>(what);
    }
    // A request that found no permit of the bulkhead free: once, when it has one, is refused, or its client has left.
    virtual void bulkhead_passed(const config::route&, const bulkhead_passage&) noexcept {}
    // A chaos rule chose an attempt of this route.
    virtual void fault_injected(const config::route&, chaos_fault) noexcept {}
    // `coalesce`: a request has entered a shared flight as its leader or a follower; a leader's flight is over, once
    // for each; a reader has lost its flight.
    virtual void request_coalesced(const config::route&, coalesce_role) noexcept {}
    virtual void coalesced_flight_ended(const config::route&) noexcept {}
    virtual void coalesced_detached(const config::route&, coalesce_detachment) noexcept {}
    // A connection was accepted from a client, or opened to an upstream (upstream == nullptr for clients).
    virtual void connection_opened(side, const config::upstream*) noexcept {}
    virtual void connection_closed(side, const config::upstream*) noexcept {}
    // The pool: a connection became idle (+1) or stopped being idle (-1).
    virtual void idle_changed(const config::upstream&, int by) noexcept { static_cast<void>(by); }
    virtual void prewarmed(const config::upstream&, prewarm_event what) noexcept { static_cast<void>(what); }
    virtual void upstream_probed(const config::upstream&, probe_result how) noexcept { static_cast<void>(how); }
    virtual void prewarm_target_changed(const config::upstream&, int by) noexcept { static_cast<void>(by); }
    // An attempt found no connection ready, and opened one.
    virtual void connected_cold(const config::upstream&) noexcept {}
    // max_connections, no_fds.
    virtual void connection_refused(std::string_view reason) noexcept { static_cast<void>(reason); }
    // An exception of ours ended the work under way. `what`: its words.
    virtual void internal_error(std::string_view what) noexcept { static_cast<void>(what); }
    // Before the snapshot is handed to the workers: whoever listens prepares what it keeps per route here.
    virtual void configuration_loaded(const config::snapshot&) noexcept {}
    virtual void configuration_failed() noexcept {}
};

} // namespace evenkeel::telemetry

#pragma once
// The one place where the request path says what happened. Metrics, logs, the health document and whoever else wants to
// know listen here; no policy and no transport counts anything itself. Calls come from every worker's thread and must
// not block. Views in what they are told live for the call only.

#include "config/settings.hpp"
#include "policies/circuit_breaker.hpp"
#include "policies/outcome.hpp"
#include "policies/time.hpp"
#include "proxy/events/happened.hpp"
#include "proxy/events/outcomes.hpp"

#include <cstdint>
#include <string_view>
#include <variant>

namespace evenkeel::telemetry {

struct request_account;

// What is known of an attempt when it has ended.
struct attempt_record {
    const config::route* route = nullptr;
    const config::upstream* upstream = nullptr;
    std::string_view request_id{};
    attempt_number attempt = 0;
    attempt_kind kind = attempt_kind::first;
    std::string_view why{};          // it was launched (happened::launched)
    lane_index credential = no_lane; // likewise
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
    spending spent{};
};

// What changes at an endpoint. Its circuit may be shared by several routes: the origin says whose request, and which
// attempt of it, made it happen.
struct model_circuit_changed { // of one model, and none of its endpoint's
    circuit_transition change;
    std::string_view model; // a name, or "others": those that are too many to be told apart
};
struct rest_began {
    outcome_kind why;
    duration length;
};
struct rest_ended {}; // before its time: the endpoint answers
struct overload_changed {
    bool active;
};
// A model is not asked for streams in place of answers in one piece for a while. `what`: the word that was not
// understood; a peer's.
// It is asked second, if another endpoint is up; or no longer.
struct doubt_changed {
    bool doubted;
    bool lapsed = false;      // nobody could look: it is asked first again to find out
    bool reached = false;     // a connection was made, which is all that was held against it
    std::string_view model{}; // for this one only; empty: for all
};
// A connection was opened to find out whether its endpoint is there again, beside all requests.
struct connection_probed {
    bool made;
};
struct upcast_excluded {
    upcast_result why;
    std::string_view what;
};
// A request of `prewarm.probe` has ended; it is no client's.
using any_endpoint_change =
    std::variant<circuit_transition, model_circuit_changed, rest_began, rest_ended, overload_changed, doubt_changed,
                 upcast_excluded, probe_result, connection_probed>;

// What changes about connections.
struct connection_event {
    enum class kind : unsigned char {
        opened, // accepted from a client, or opened to an upstream
        closed,
        idle,           // `by` more of them wait for work, or fewer
        cold,           // an attempt found none ready, and opens one
        prewarmed,      // what became of one that was opened ahead of demand: `warm`
        prewarm_target, // so many more idle ones are wanted, or fewer
    };
    kind is;
    const config::upstream* upstream = nullptr; // null: a client's
    int by = 1;
    prewarm_event warm = prewarm_event::opened;
};

class observer {
public:
    virtual ~observer() = default;

    // Once the route is known; nullptr: none. Each request_started is followed by one request_finished with the same
    // route, and each request_finished preceded by one request_started. Gauges rely on it.
    virtual void request_started(const config::route*) noexcept {}
    virtual void request_finished(const request_account&) noexcept {}
    // Each `launched` is followed by one attempt_finished of the same attempt, each attempt_finished preceded by one
    // `launched`.
    virtual void request_event(const event_origin&, const any_happening&) noexcept {}
    virtual void attempt_finished(const attempt_record&) noexcept {}
    virtual void endpoint_changed(const event_origin&, const any_endpoint_change&) noexcept {}
    virtual void connection_changed(const connection_event&) noexcept {}
    // max_connections, no_fds.
    virtual void connection_refused(std::string_view reason) noexcept { static_cast<void>(reason); }
    // An exception of ours ended the work under way. `what`: its words.
    virtual void internal_error(std::string_view what) noexcept { static_cast<void>(what); }
    // Before the snapshot is handed to the workers: whoever listens prepares what it keeps per route here.
    virtual void configuration_loaded(const config::snapshot&) noexcept {}
    // The same configuration with other endpoints of its upstreams; likewise.
    virtual void endpoints_changed(const config::snapshot&) noexcept {}
    virtual void configuration_failed() noexcept {}
};

} // namespace evenkeel::telemetry

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

#include <cstdint>
#include <string_view>

namespace evenkeel::telemetry {

// What became of one attempt; the label `result` of the attempts counter.
enum class attempt_result : unsigned char {
    success,         // a complete answer below 400
    caller_error,    // a 4xx of the request's own making
    credential,      // 401, 403
    server_error,    // 5xx, 408, 409, 425
    rate_limited,    // 429 that ends by itself
    overloaded,      // 529, 503 with a hint, slow_down
    quota,           // 402, insufficient_quota
    connect_failure, // refused, unreachable, name not found, connect timeout
    tls_failure,     // handshake or verification
    reset,           // died before the answer was whole, and nothing of it was passed on
    protocol_error,  // an answer the response gate refused, or not the promised format
    stream_error,    // an error inside a 200
    timeout,         // attempt, idle or total
    truncated,       // ended before its framing or its dialect said so, after part of it was passed on
    cancelled,       // the client left, a better answer came, or shutdown
};
inline constexpr int attempt_result_count = 15;
// plain_retry: the same attempt again, without the stream that its client had not asked for (`stream.upcast`).
enum class attempt_kind : unsigned char { first, retry, stale_retry, hedge, plain_retry };
inline constexpr int attempt_kind_count = 5;

// What became of one request; the label `outcome`.
enum class request_outcome : unsigned char {
    ok,               // answered whole, status below 400
    upstream_error,   // the upstream's own error, passed on
    proxy_error,      // an error we made after trying: 502, 504
    rejected,         // refused before anything was sent: no route, limits, bad request
    truncated,        // the answer broke after its head had been sent
    client_cancelled, // the client left first
};
inline constexpr int request_outcome_count = 6;

// How the answer came about; the field x-evenkeel-outcome.
enum class request_service : unsigned char {
    ok,          // the first attempt's answer
    retried,     // a later attempt's, same upstream
    hedged,      // a hedge's
    failed_over, // another upstream's than the first attempt's
    error,       // no attempt had a good answer: the last upstream error, or one of ours
    rejected,    // refused before anything was sent
    degraded,    // not what was asked for, and labelled so: a step of the fallback ladder, some parts of a fan-out only
};
inline constexpr int request_service_count = 7;

// Which step of the ladder answered.
struct degradation {
    bool is = false;
    fallback_kind by = fallback_kind::respond;
    duration age{};           // last_good: of the answer
    std::string_view route{}; // route: its name; lives as long as the configuration of the request
};

// Why a failed attempt was not followed by another; the label `reason` of retries_denied_total.
using denied_reason = evenkeel::retry_denial;

// How a stream that had begun towards the client ended; the label `reason` of stream_ends_total.
enum class stream_end : unsigned char {
    none,           // not a stream, or nothing of it was passed on
    complete,       // with its terminal marker, or cleanly where the dialect has none
    truncated,      // without
    upstream_error, // an error event after content
    idle,           // silent for stream_idle or content_idle
    client_gone,
};
inline constexpr int stream_end_count = 6;

// What became of a stream that broke on a route with `stream.resume: verified_replay`; the label `result` of
// stream_resumptions_total.
enum class stream_resumption : unsigned char {
    resumed,        // another attempt said the same so far, and the stream went on
    differs,        // it did not
    no_attempt,     // none could be made, or it failed
    not_comparable, // what had been said holds something that is not understood, or is more than may be kept
};
inline constexpr int stream_resumption_count = 4;
[[nodiscard]] std::string_view to_string(stream_resumption) noexcept;

// A request that shared a flight with identical ones (`coalesce`); the label `role` of coalesced_requests_total.
enum class coalesce_role : unsigned char {
    none,     // it did not
    leader,   // the flight was started for it
    follower, // it was under way already
    detached, // it followed one, had to leave it before anything was sent to its client, and was sent by itself
};
inline constexpr int coalesce_role_count = 4;
[[nodiscard]] std::string_view to_string(coalesce_role) noexcept;

// Why a follower lost its flight; the label `reason` of coalesced_detached_total.
enum class coalesce_detachment : unsigned char {
    slow,    // it was further behind the fastest than is held
    memory,  // limits.memory had no room for what it had yet to read
    encoded, // the answer turned out to be a compressed stream, which nobody can follow
};
inline constexpr int coalesce_detachment_count = 3;
[[nodiscard]] std::string_view to_string(coalesce_detachment) noexcept;

// What became of a request that went upstream as a stream although its client wants the answer in one piece; the label
// `result` of upcast_total. After all but the first and the last of these the request was repeated as it was.
enum class upcast_result : unsigned char {
    assembled,     // the answer was put together
    unknown_field, // the stream holds something that has no known place in the answer, or cannot be read
    incomplete,    // ... or not all an answer has: no usage, no finish reason
    too_large,     // the answer is more than stream.hold_buffer or limits.memory hold
    refused,       // the upstream does not stream this: its error says so
    not_streamed,  // it answered in one piece, which was passed on
};
inline constexpr int upcast_result_count = 6;
[[nodiscard]] std::string_view to_string(upcast_result) noexcept;

// What an attempt says of its endpoint's health. An answer that is the caller's fault shows that the endpoint lives;
// asking for less, or for another credential, says nothing about it.
enum class health_verdict : unsigned char { success, failure, silent };
[[nodiscard]] health_verdict verdict_of(attempt_result) noexcept;

[[nodiscard]] std::string_view to_string(attempt_result) noexcept;
[[nodiscard]] std::string_view to_string(attempt_kind) noexcept;
[[nodiscard]] std::string_view to_string(request_outcome) noexcept;
[[nodiscard]] std::string_view to_string(request_service) noexcept;
[[nodiscard]] std::string_view to_string(stream_end) noexcept;

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

struct request_record {
    const config::route* route = nullptr; // nullptr: none matched, or refused before routing
    const config::upstream* upstream = nullptr;
    wall_time started{};
    std::string_view method{}, path{};                             // path without query
    std::string_view request_id{}, upstream_request_id{}, model{}; // model only where the route looked at the body
    // Of a refusal, or why the ladder was climbed: a word of wire::refusal or of ours (no_route, ...).
    std::string_view reason{};
    std::string_view proxy_error{}; // RFC 9209 token of an error we made
    int status = 0;                 // sent to the client; 0: nothing was
    int attempts = 0;
    int hedges = 0; // of them
    request_outcome outcome = request_outcome::ok;
    request_service service = request_service::ok;
    denied_reason denied = denied_reason::none;
    stream_end ended = stream_end::none;
    // The fan-out that sent it; its route is the part's own, and no client connection its.
    const config::route* part_of = nullptr;
    std::string_view parts{};          // of a fan-out: how each part went, a JSON object; empty: it is none
    std::string_view upstream_model{}; // what the model was renamed to on the way out; empty: it was not
    bool stream = false;
    coalesce_role coalesced = coalesce_role::none;
    bool upcast = false; // asked for as a stream and put together again
    int resumed = 0;     // how often its stream was asked for again after it broke
    duration total{};
    steady_time at{};       // when it ended; epoch: just now
    duration first_byte{};  // from the request's head to the first body byte sent; 0: none
    duration first_token{}; // ... to the first meaningful event of a stream sent; 0: none
    duration held{};        // waited for an endpoint to become admissible
    degradation degraded{};
    duration queued{};       // waited for the bulkhead
    bool probe = false;      // its answer came from a probe of a half-open circuit
    std::uint16_t chaos = 0; // faults injected into its attempts: a bit each, by chaos_fault
    // Our own share: head read -> sent upstream, upstream head -> sent to the client.
    duration overhead{};
    std::uint64_t bytes_in = 0, bytes_out = 0; // body bytes
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
    virtual void request_finished(const request_record&) noexcept {}
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

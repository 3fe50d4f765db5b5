#pragma once
// The words for what became of requests, attempts and streams: labels of metrics, fields of logs and answers.

#include "config/settings.hpp"
#include "policies/fallback.hpp"
#include "policies/flight_plan.hpp"
#include "policies/time.hpp"

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
    empty,           // a complete answer that says nothing
    timeout,         // attempt, idle or total
    truncated,       // ended before its framing or its dialect said so, after part of it was passed on
    cancelled,       // the client left, a better answer came, or shutdown
};
inline constexpr int attempt_result_count = 16;
// plain_retry: the same attempt again, without the stream that its client had not asked for (`stream.upcast`).
// rescue: beside one that is silent. probe: a copy of a request, whose answer nobody waits for.
enum class attempt_kind : unsigned char { first, retry, stale_retry, hedge, plain_retry, rescue, probe };
inline constexpr int attempt_kind_count = 7;

// What became of one request.
enum class request_outcome : unsigned char {
    ok,               // answered whole, status below 400
    upstream_error,   // the upstream's own error, passed on
    proxy_error,      // an error we made after trying: 502, 504
    rejected,         // refused before anything was sent: no route, limits, bad request
    truncated,        // the answer broke after its head had been sent
    client_cancelled, // the client left first
};
inline constexpr int request_outcome_count = 6;

// How the answer came about.
enum class request_service : unsigned char {
    ok,          // the first attempt's answer, of the endpoint that is asked first
    rerouted,    // ... of another one: the first choice was not asked
    retried,     // a later attempt's, same upstream
    hedged,      // a hedge's
    failed_over, // another upstream's than the first attempt's
    error,       // no attempt had a good answer: the last upstream error, or one of ours
    rejected,    // refused before anything was sent
    degraded,    // not what was asked for, and labelled so: a step of the fallback ladder, some parts of a fan-out only
};
inline constexpr int request_service_count = 8;

// Both in one word, the same wherever one is told: the field x-evenkeel-outcome, `outcome` of the access log and of
// the journal, the label of requests_total. Of a good answer how it came about, of all others what became of them.
enum class request_ending : unsigned char {
    ok,
    rerouted,
    retried,
    hedged,
    failed_over,
    degraded,
    upstream_error,
    proxy_error,
    rejected,
    truncated,
    client_cancelled,
};
inline constexpr int request_ending_count = 11;
[[nodiscard]] request_ending ending_of(request_outcome what, request_service how) noexcept;
[[nodiscard]] std::string_view to_string(request_ending) noexcept;

// What a client waited for when it left; the label `when` of client_departures_total.
enum class departure : unsigned char {
    before_attempt, // its body was still coming, or it stood in a queue
    unanswered,     // an upstream was asked, and nothing of an answer had been passed on
    answering,      // something had
};
inline constexpr int departure_count = 3;
[[nodiscard]] std::string_view to_string(departure) noexcept;

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
    slow,   // it was further behind the fastest than is held
    memory, // limits.memory had no room for what it had yet to read
};
inline constexpr int coalesce_detachment_count = 2;
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

// What became of a connection that was opened ahead of demand; the label `result` of prewarm_connections_total.
enum class prewarm_event : unsigned char {
    opened,
    failed, // it could not be opened
    used,   // an attempt took it
    unused, // it was closed before any did
};
inline constexpr int prewarm_event_count = 4;
[[nodiscard]] std::string_view to_string(prewarm_event) noexcept;

// How a request of `prewarm.probe` ended; the label `result` of prewarm_probes_total.
enum class probe_result : unsigned char {
    answered, // below 500, and the credential was taken
    refused,  // 401 or 403
    error,    // 500 and above
    failed,   // no answer, or none in time
};
inline constexpr int probe_result_count = 4;
[[nodiscard]] std::string_view to_string(probe_result) noexcept;

// What an attempt says of its endpoint's health. An answer that is the caller's fault shows that the endpoint lives;
// asking for less, or for another credential, says nothing about it.
enum class health_verdict : unsigned char { success, failure, silent };
[[nodiscard]] health_verdict verdict_of(attempt_result) noexcept;

[[nodiscard]] std::string_view to_string(attempt_result) noexcept;
[[nodiscard]] std::string_view to_string(attempt_kind) noexcept;
[[nodiscard]] std::string_view to_string(request_outcome) noexcept;
[[nodiscard]] std::string_view to_string(request_service) noexcept;
[[nodiscard]] std::string_view to_string(stream_end) noexcept;

} // namespace evenkeel::telemetry

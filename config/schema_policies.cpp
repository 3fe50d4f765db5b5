// Keys of the policies: each may stand under `defaults` and under a route, where it overrides that one key.

#include "config/schema_table.hpp"

namespace evenkeel::config {

void add_policy_keys(std::vector<key_row>& table) {
    using enum value_kind;
    using enum value_shape;
    const std::initializer_list<key_row> rows{
        {.path = "timeout", .kind = block, .documentation = "How long things may take. No other timeout may exceed `total`.",
         .policy = true},
        {.path = "timeout.total", .kind = duration, .fallback = "600s", .min = "1ms", .max = "24h",
         .documentation = "The whole request with all its attempts; of a stream, until its first content is sent.",
         .price = "How long a caller waits for an answer that never comes.", .policy = true},
        {.path = "timeout.connect", .kind = duration, .fallback = "5s", .min = "1ms", .max = "10m",
         .documentation = "Name resolution, TCP and TLS handshake together.",
         .price = "How long an unreachable upstream goes unnoticed.", .policy = true},
        {.path = "timeout.attempt", .kind = duration, .fallback = "off", .min = "1ms", .max = "24h", .words = "off",
         .documentation = "One attempt: of a stream to the first byte of its body, otherwise to the complete answer.",
         .price = "Off: only `total` ends a silent attempt.", .later_words = "adaptive", .policy = true},
        {.path = "timeout.stream_idle", .kind = duration, .fallback = "60s", .min = "1ms", .max = "24h",
         .documentation = "Longest silence of any kind inside a stream; then it is cut and marked as broken.",
         .price = "How long a dead stream looks alive; too low cuts models that think silently.", .policy = true},
    };
    table.insert(table.end(), rows.begin(), rows.end());

    add_later(table, true, {
        {.path = "timeout.content_idle", .kind = duration, .fallback = "300s", .documentation = "Silence of meaning in a stream; pings do not count."},
        {.path = "timeout.adaptive", .kind = block, .documentation = "How the attempt timeout is learned."},
        {.path = "timeout.adaptive.quantile", .kind = ratio, .fallback = "0.95", .documentation = "Quantile of the latency."},
        {.path = "timeout.adaptive.multiplier", .kind = ratio, .fallback = "3", .documentation = "Times the quantile."},
        {.path = "timeout.adaptive.min_samples", .kind = integer, .fallback = "10", .documentation = "Samples before it is trusted."},
        {.path = "timeout.adaptive.window", .kind = duration, .fallback = "60s", .documentation = "What counts as recent."},
        {.path = "timeout.adaptive.max", .kind = duration, .fallback = "300s", .documentation = "Upper clamp."},
        {.path = "timeout.adaptive.initial", .kind = block, .documentation = "Until enough is known.", .short_form = "stream"},
        {.path = "timeout.adaptive.initial.stream", .kind = duration, .fallback = "30s", .documentation = "For streams."},
        {.path = "timeout.adaptive.initial.buffered", .kind = duration, .fallback = "60s", .documentation = "For buffered answers."},
        {.path = "timeout.adaptive.min", .kind = block, .documentation = "Lower clamp.", .short_form = "stream"},
        {.path = "timeout.adaptive.min.stream", .kind = duration, .fallback = "10s", .documentation = "For streams."},
        {.path = "timeout.adaptive.min.buffered", .kind = duration, .fallback = "25s", .documentation = "For buffered answers."},

        {.path = "retry", .kind = block, .documentation = "Further attempts after a failed one."},
        {.path = "retry.max_retries", .kind = integer, .fallback = "5", .documentation = "Extra attempts per request, hedges included."},
        {.path = "retry.on", .kind = value_kind::word, .shape = list,
         .words = "connect_failure|reset|timeout|overloaded|rate_limited|server_error|stream_error|protocol_error",
         .documentation = "Failures that are retried."},
        {.path = "retry.backoff", .kind = block, .documentation = "Pause before a retry of the same endpoint."},
        {.path = "retry.backoff.initial", .kind = duration, .fallback = "250ms", .documentation = "The first pause."},
        {.path = "retry.backoff.max", .kind = duration, .fallback = "8s", .documentation = "The longest pause."},
        {.path = "retry.backoff.base", .kind = ratio, .fallback = "2.0", .documentation = "Growth per retry."},
        {.path = "retry.backoff.jitter", .kind = value_kind::word, .fallback = "full", .words = "equal|full|decorrelated|none",
         .documentation = "How the pause is randomised."},
        {.path = "retry.max_retry_after", .kind = duration, .fallback = "60s", .documentation = "A longer Retry-After is not waited for."},
        {.path = "retry.replay", .kind = value_kind::word, .fallback = "auto", .words = "auto|always|never",
         .documentation = "Which requests may be sent twice."},
        {.path = "retry.replay_buffer", .kind = size, .fallback = "32MiB", .documentation = "A larger body is served but not replayed."},
        {.path = "retry.budget", .kind = block, .documentation = "Cap on extra work, funded by successes."},
        {.path = "retry.budget.extra_work", .kind = ratio, .fallback = "0.2", .documentation = "Deposit per success."},
        {.path = "retry.budget.burst", .kind = integer, .fallback = "10", .documentation = "Largest balance."},
        {.path = "retry.budget.min_per_second", .kind = ratio, .fallback = "0.2", .documentation = "Deposit per second."},

        {.path = "circuit_breaker", .kind = block, .documentation = "Spares an endpoint that keeps failing."},
        {.path = "circuit_breaker.failure_threshold", .kind = integer, .fallback = "3", .documentation = "Consecutive failures, and"},
        {.path = "circuit_breaker.failure_ratio", .kind = ratio, .fallback = "auto", .words = "auto", .documentation = "share of failures in the window, of at least"},
        {.path = "circuit_breaker.min_calls", .kind = integer, .fallback = "auto", .words = "auto", .documentation = "this many calls."},
        {.path = "circuit_breaker.window", .kind = duration, .fallback = "30s", .documentation = "What counts as recent."},
        {.path = "circuit_breaker.recovery_timeout", .kind = duration, .fallback = "2s", .documentation = "First pause before a probe."},
        {.path = "circuit_breaker.max_recovery_timeout", .kind = duration, .fallback = "60s", .documentation = "Longest pause before a probe."},
        {.path = "circuit_breaker.half_open_max_calls", .kind = integer, .fallback = "2", .documentation = "Probes at a time."},
        {.path = "circuit_breaker.success_threshold", .kind = integer, .fallback = "2", .documentation = "Successful probes that close the circuit."},
        {.path = "circuit_breaker.ramp", .kind = duration, .fallback = "10s", .documentation = "How long full traffic takes to return."},
        {.path = "circuit_breaker.scope", .kind = value_kind::word, .fallback = "endpoint", .words = "endpoint|upstream|route", .documentation = "What one circuit covers."},
        {.path = "circuit_breaker.when_open", .kind = value_kind::word, .fallback = "hold", .words = "hold|reject", .documentation = "What requests do meanwhile."},
        {.path = "circuit_breaker.hold_max", .kind = duration, .fallback = "auto", .words = "auto", .documentation = "Longest hold."},
        {.path = "circuit_breaker.hold_queue", .kind = integer, .fallback = "64", .documentation = "Most requests on hold."},

        {.path = "cooldown", .kind = block, .documentation = "Rests an endpoint that says 429 or 529."},
        {.path = "cooldown.initial", .kind = duration, .fallback = "1s", .documentation = "First rest."},
        {.path = "cooldown.max", .kind = duration, .fallback = "60s", .documentation = "Longest rest."},
        {.path = "cooldown.overload", .kind = duration, .fallback = "10s", .documentation = "Rest after an overload."},
        {.path = "cooldown.quota", .kind = duration, .fallback = "15m", .documentation = "Rest after a spent quota."},

        {.path = "overload", .kind = block, .documentation = "Limits concurrency while an upstream is overloaded."},
        {.path = "overload.window", .kind = duration, .fallback = "10s", .documentation = "What counts as recent."},
        {.path = "overload.ratio", .kind = ratio, .fallback = "0.3", .documentation = "Share of verdicts that enters it."},
        {.path = "overload.min_verdicts", .kind = integer, .fallback = "20", .documentation = "Verdicts before it is entered."},
        {.path = "overload.max_wait", .kind = duration, .fallback = "5s", .documentation = "Longest wait for a slot."},

        {.path = "hedge", .kind = block, .documentation = "A second attempt while the first is still silent."},
        {.path = "hedge.delay", .kind = duration, .fallback = "auto", .words = "auto|p95", .documentation = "How long the first may be silent."},
        {.path = "hedge.max_hedges", .kind = integer, .fallback = "1", .documentation = "Hedges per request."},
        {.path = "hedge.max_extra", .kind = ratio, .fallback = "0.2", .documentation = "Extra work hedges may add."},
        {.path = "hedge.min_delay", .kind = duration, .fallback = "50ms", .documentation = "Lower clamp of a learned delay."},
        {.path = "hedge.max_delay", .kind = duration, .fallback = "30s", .documentation = "Upper clamp of a learned delay."},
        {.path = "hedge.target", .kind = value_kind::word, .fallback = "prefer_other", .words = "prefer_other|other|any", .documentation = "Where a hedge goes."},
        {.path = "hedge.guard", .kind = ratio, .fallback = "0.5", .documentation = "Share of hedges that must win."},

        {.path = "bulkhead", .kind = block, .documentation = "Bounds a route's concurrency."},
        {.path = "bulkhead.max_concurrent", .kind = integer, .fallback = "256", .documentation = "Requests at a time."},
        {.path = "bulkhead.max_queue", .kind = integer, .fallback = "256", .documentation = "Requests that wait."},
        {.path = "bulkhead.queue_timeout", .kind = duration, .fallback = "2s", .documentation = "Longest wait."},
        {.path = "bulkhead.tenant_share", .kind = ratio, .fallback = "0.5", .documentation = "Largest share of one tenant."},

        {.path = "coalesce", .kind = value_kind::word, .fallback = "off", .words = "off|deterministic|always",
         .documentation = "Identical requests in flight share one attempt."},
        {.path = "fallback", .kind = block, .shape = list, .documentation = "What is tried when every attempt failed."},
        {.path = "fallback.last_good", .kind = block, .documentation = "The last good answer."},
        {.path = "fallback.last_good.key", .kind = value_kind::word, .words = "partial_key|request", .documentation = "What makes two requests the same."},
        {.path = "fallback.last_good.max_age", .kind = duration, .documentation = "Oldest answer that is given."},
        {.path = "fallback.route", .kind = name, .documentation = "Another route."},
        {.path = "fallback.respond", .kind = block, .documentation = "A canned answer."},
        {.path = "fallback.respond.status", .kind = integer, .documentation = "Its status."},
        {.path = "fallback.respond.body_file", .kind = file, .documentation = "Its body."},

        {.path = "stream", .kind = block, .documentation = "How streams are held, kept alive and resumed."},
        {.path = "stream.head_hold", .kind = duration, .fallback = "auto", .words = "auto|off", .documentation = "How long the head of a stream is held back."},
        {.path = "stream.heartbeat", .kind = duration, .fallback = "10s", .documentation = "Pause between heartbeat comments."},
        {.path = "stream.hold_buffer", .kind = size, .fallback = "1MiB", .documentation = "Largest answer that is held until it is complete."},
        {.path = "stream.resume", .kind = value_kind::word, .fallback = "off", .words = "off|buffer|verified_replay", .documentation = "What happens to a stream that breaks."},
        {.path = "stream.upcast", .kind = value_kind::word, .fallback = "off", .words = "off|auto", .documentation = "Whether buffered requests go upstream as streams."},
        {.path = "stream.min_rate", .kind = ratio, .fallback = "off", .words = "off", .documentation = "Slowest stream that is tolerated, in events per second."},
    });
}

} // namespace evenkeel::config

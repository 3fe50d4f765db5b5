// Keys of the policies: each may stand under `defaults` and under a route, where it overrides that one key.

#include "config/schema_table.hpp"

namespace evenkeel::config {
namespace {

void attempt_timeout(const entry& from, route& to) {
    put(from, to.timeout.attempt, {});
    to.timeout.learn_attempt = from.is_word("adaptive");
}

void rescue_after(const entry& from, route& to) {
    to.timeout.rescue.on = !from.is_off();
    put(from, to.timeout.rescue.after, {});
}

void retry_or_not(const entry& from, route& to) {
    if (from.is_off()) to.retry.max_retries = 0;
}
void retried_failures(const entry& from, route& to) { // the words are in the order of the bits
    unsigned set = 0;
    for (const entry& each : from.children) set |= 1U << place_of_word(each);
    to.retry.on = static_cast<retry_on>(set);
}

void head_hold(const entry& from, route& to) {
    put(from, to.stream.head_hold, {});
    to.stream.hold_head = !from.is_off();
}

template <auto... Keys>
constexpr auto retries = member<&route::retry, Keys...>;

} // namespace

// The rows are laid out by hand: one key each, which the formatter would spread over six lines.
// clang-format off

void add_policy_keys(std::vector<key_row>& table) {
    using enum value_kind;
    using enum value_shape;
    add_policies(table, {
        {.path = "timeout", .kind = block,
         .documentation = "How long things may take. No other timeout may exceed `total`."},
        {.path = "timeout.total", .kind = duration, .fallback = "600s", .min = "1ms", .max = "24h",
         .documentation = "The whole request with all its attempts; of a stream, until its first content is sent.",
         .price = "How long a caller waits for an answer that never comes.",
         .fills = member<&route::timeout, &timeouts::total>},
        {.path = "timeout.connect", .kind = duration, .fallback = "5s", .min = "1ms", .max = "10m",
         .documentation = "Name resolution, TCP and TLS handshake together.",
         .price = "How long an unreachable upstream goes unnoticed.",
         .fills = member<&route::timeout, &timeouts::connect>},
        {.path = "timeout.attempt", .kind = duration, .fallback = "adaptive", .min = "1ms", .max = "24h",
         .words = "adaptive|off",
         .documentation = "One attempt: of a stream to its first meaningful event, otherwise to the complete "
                          "answer. adaptive: learned from what attempts take (timeout.adaptive).",
         .price = "How long a silent attempt goes unnoticed; off: only `total` ends it.", .fills = by<attempt_timeout>},
        {.path = "timeout.rescue", .kind = duration, .fallback = "auto", .min = "1ms", .max = "24h",
         .words = "auto|off",
         .documentation = "How long an attempt is silent before another one starts beside it, elsewhere if it can. "
                          "auto: three times what is usual (policies/README.md, Rescue).",
         .price = "Later: a provider that hangs costs more time. Sooner: slow answers are paid for twice.",
         .fills = by<rescue_after>},
        {.path = "timeout.stream_idle", .kind = duration, .fallback = "60s", .min = "1ms", .max = "24h",
         .documentation = "Longest silence of any kind inside a stream; then it is cut and marked as broken.",
         .price = "How long a dead stream looks alive; too low cuts models that think silently.",
         .fills = member<&route::timeout, &timeouts::stream_idle>},
        {.path = "timeout.content_idle", .kind = duration, .fallback = "300s", .min = "1ms", .max = "24h",
         .documentation = "Longest silence of meaning inside a stream; comments and pings do not count.",
         .price = "How long a stream that only pings looks alive.",
         .fills = member<&route::timeout, &timeouts::content_idle>},

        {.path = "retry", .kind = block, .words = "off",
         .documentation = "Further attempts after a failed one, before anything of an answer was sent.",
         .fills = by<retry_or_not>},
        {.path = "retry.max_retries", .kind = integer, .fallback = "5", .min = "1", .max = "100",
         .documentation = "Extra attempts per request, over all its upstreams.",
         .price = "A request that cannot succeed costs as many attempts more.",
         .fills = retries<&retry_options::max_retries>},
        {.path = "retry.on", .kind = value_kind::word, .shape = list,
         .fallback = "connect_failure|reset|timeout|overloaded|rate_limited|server_error|stream_error|protocol_error|"
                     "empty",
         .words = "connect_failure|reset|timeout|overloaded|rate_limited|server_error|stream_error|protocol_error|"
                  "empty",
         .documentation = "Which failures are followed by another attempt. empty: an answer without text, call, "
                          "refusal or reasoning, or whose first choice is an error; once a request.",
         .fills = by<retried_failures>},
        {.path = "retry.backoff", .kind = block,
         .documentation = "Pause before an upstream that failed is asked again; another one is asked at once."},
        {.path = "retry.backoff.initial", .kind = duration, .fallback = "250ms", .min = "1ms", .max = "10m",
         .documentation = "The first pause, before jitter.",
         .fills = retries<&retry_options::backoff, &backoff_options::initial>},
        {.path = "retry.backoff.max", .kind = duration, .fallback = "8s", .min = "1ms", .max = "1h",
         .documentation = "The longest pause.", .fills = retries<&retry_options::backoff, &backoff_options::max>},
        {.path = "retry.backoff.base", .kind = ratio, .fallback = "2", .min = "1", .max = "10",
         .documentation = "Each pause is this many times the one before.",
         .fills = retries<&retry_options::backoff, &backoff_options::base>},
        {.path = "retry.backoff.jitter", .kind = value_kind::word, .fallback = "full",
         .words = "equal|full|decorrelated|none",
         .documentation = "How the pause is drawn: all of it, its upper half, from the one before, or not at all.",
         .fills = retries<&retry_options::backoff, &backoff_options::jitter>},
        {.path = "retry.max_retry_after", .kind = duration, .fallback = "60s", .min = "0s", .max = "24h",
         .documentation = "A longer Retry-After is not waited for: another upstream, or the answer as it is.",
         .price = "How long a caller may be kept waiting for a rate limit to end.",
         .fills = retries<&retry_options::max_retry_after>},
        {.path = "retry.replay", .kind = value_kind::word, .fallback = "auto", .words = "auto|always|never",
         .documentation = "Which requests may be sent again after they may have arrived: auto: idempotent ones and "
                          "generations.",
         .price = "always: an effect of a request may happen twice.", .fills = retries<&retry_options::replay>},
        {.path = "retry.replay_buffer", .kind = size, .fallback = "32MiB", .min = "64KiB", .max = "1GiB",
         .documentation = "Held body of one request; a larger one is served but not sent again.",
         .price = "Counts against limits.memory; a few large bodies can use it up.",
         .fills = retries<&retry_options::replay_buffer>},
        {.path = "retry.budget", .kind = block, .words = "off",
         .documentation = "Bounds the extra work for each upstream: successes pay for retries and hedges.",
         .price = "off: nothing bounds what retries add to a struggling provider.",
         .fills = retries<&retry_options::budget, &budget_options::on>},
        {.path = "retry.budget.extra_work", .kind = ratio, .fallback = "0.2", .min = "0", .max = "10",
         .words = "off",
         .documentation = "Deposit per successful request; 1 is the work of one attempt.",
         .price = "Load that retries may add for good.",
         .fills = retries<&retry_options::budget, &budget_options::extra_work>},
        {.path = "retry.budget.burst", .kind = ratio, .fallback = "10", .min = "0", .max = "1000",
         .words = "off",
         .documentation = "Largest balance, and the first one.", .price = "Load that retries may add at once.",
         .fills = retries<&retry_options::budget, &budget_options::burst>},
        {.path = "retry.budget.min_per_second", .kind = ratio, .fallback = "0.2", .min = "0", .max = "100",
         .words = "off",
         .documentation = "Work per second while the balance is below 1.",
         .fills = retries<&retry_options::budget, &budget_options::min_per_second>},
    });

    add_resilience_keys(table);

    add_policies(table, {
        {.path = "stream", .kind = block,
         .documentation = "How answers are held back until they are known to be good."},
        {.path = "stream.head_hold", .kind = duration, .fallback = "auto", .min = "10ms", .max = "1h",
         .words = "auto|off",
         .documentation = "A stream without a first event gets its head after this long, then heartbeats; auto: "
                          "half the client's own timeout, at most 30s; 25s where none is told.",
         .price = "Off: clients and load balancers may give up before a slow model's first event.",
         .fills = by<head_hold>},
        {.path = "stream.heartbeat", .kind = duration, .fallback = "10s", .min = "10ms", .max = "1h",
         .documentation = "Pause between comments while a head was given and no event has come.",
         .fills = member<&route::stream, &stream_options::heartbeat>},
        {.path = "stream.hold_buffer", .kind = size, .fallback = "1MiB", .min = "1KiB", .max = "1GiB",
         .documentation = "Largest buffered answer that is held until it is whole; a longer one passes as it comes.",
         .price = "Memory per request in flight; counts against limits.memory.",
         .fills = member<&route::stream, &stream_options::hold_buffer>},
        {.path = "stream.resume", .kind = value_kind::word, .fallback = "off", .words = "off|buffer|verified_replay",
         .documentation = "A stream that breaks: buffer holds it until it is whole (up to stream.hold_buffer), so "
                          "that another attempt can take its place; verified_replay asks again where temperature is "
                          "0 or a seed is given, and goes on if the new answer says the same so far.",
         .price = "buffer: the client sees nothing but comments until the end. verified_replay: the beginning is "
                  "generated twice.", .fills = member<&route::stream, &stream_options::resume>},
        {.path = "stream.upcast", .kind = value_kind::word, .fallback = "off", .words = "off|on",
         .documentation = "A buffered chat/completions or messages request goes upstream as a stream, and its "
                          "answer is put together again, so that hedging, silences and timeouts see its first token.",
         .price = "The provider must tell usage in streams; what cannot be put together is asked for twice.",
         .fills = member<&route::stream, &stream_options::upcast>},
        {.path = "stream.usage", .kind = value_kind::word, .fallback = "read", .words = "read|ask",
         .documentation = "ask: streams of chat/completions and completions are asked to tell what tokens they took "
                          "(stream_options.include_usage) where their clients do not ask, and what they tell is "
                          "taken out again. read: it is read where it is told, else estimated.",
         .price = "A provider that does not know stream_options answers 400, and one that compresses its stream "
                  "although it was asked not to shows its client the events too. Events are passed on whole.",
         .fills = member<&route::stream, &stream_options::asks_usage>},
        {.path = "stream.min_rate", .kind = ratio, .fallback = "off", .min = "0.001", .max = "1000", .words = "off",
         .documentation = "Meaningful events per second; a stream that is slower over 5s (or three events' time) "
                          "counts as silent while another attempt can still take its place.",
         .price = "A slow model that would have come to its end is asked again.",
         .fills = member<&route::stream, &stream_options::min_rate>},
    });
    add_fallback_keys(table);
}

} // namespace evenkeel::config
// clang-format on

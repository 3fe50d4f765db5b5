// Keys of the policies that learn and watch: the learned attempt timeout, circuit breaker, cooldown, overload, hedging.

#include "config/schema_table.hpp"

namespace evenkeel::config {
namespace {

template <auto... Keys>
constexpr auto learns = member<&route::timeout, &timeouts::adaptive, Keys...>;
template <auto Key>
constexpr auto breaks = member<&route::circuit_breaker, Key>;
template <auto Key>
constexpr auto rests = member<&route::cooldown, Key>;
template <auto Key>
constexpr auto of_overload = member<&route::overload, Key>;
template <auto Key>
constexpr auto hedges = member<&route::hedge, Key>;
template <auto Key>
constexpr auto bounds = member<&route::bulkhead, Key>;

void delay_of_hedge(const entry& from, route& to) {
    const std::string quantile = format_leaf(from.value); // or `auto`
    if (const auto* fixed = from.get<duration>()) {
        to.hedge.delay = hedge_options::delay_kind::fixed;
        to.hedge.fixed = *fixed;
    } else if (quantile.starts_with('p')) {
        to.hedge.delay = hedge_options::delay_kind::quantile;
        to.hedge.quantile = quantile == "p99.9" ? 0.999 : std::stoi(quantile.substr(1)) / 100.0;
    }
}

// The rows are laid out by hand: one key each, which the formatter would spread over six lines.
// clang-format off
void add_adaptive_keys(std::vector<key_row>& table) {
    using enum value_kind;
    add_policies(table, {
        {.path = "timeout.adaptive", .kind = block,
         .documentation = "How the attempt timeout is learned: multiplier x quantile of what recent attempts took, "
                          "between min and max. It ends an attempt only where something else can be tried."},
        {.path = "timeout.adaptive.quantile", .kind = ratio, .fallback = "0.95", .min = "0.5", .max = "0.99",
         .documentation = "The share of attempts that stay within what is multiplied.",
         .price = "A higher one follows the slowest attempts, and is known later.",
         .fills = learns<&adaptive_options::quantile>},
        {.path = "timeout.adaptive.multiplier", .kind = ratio, .fallback = "3", .min = "1", .max = "100",
         .documentation = "Times the quantile.",
         .price = "How long a silent attempt goes unnoticed; too low ends attempts that would have answered.",
         .fills = learns<&adaptive_options::multiplier>},
        {.path = "timeout.adaptive.min_samples", .kind = integer, .fallback = "10", .min = "1", .max = "10000",
         .documentation = "Attempts before anything learned is trusted, for timeouts and for hedge delays.",
         .price = "Longer on `initial` after a start.", .fills = learns<&adaptive_options::min_samples>},
        {.path = "timeout.adaptive.window", .kind = duration, .fallback = "60s", .min = "100ms", .max = "15m",
         .documentation = "What counts as recent; a quiet route looks further back, up to 15 minutes.",
         .price = "Slower to follow a provider that changes.", .fills = learns<&adaptive_options::window>},
        {.path = "timeout.adaptive.max", .kind = duration, .fallback = "300s", .min = "1ms", .max = "24h",
         .documentation = "The longest timeout that is ever learned.",
         .price = "How long the slowest attempt may be waited for.", .fills = learns<&adaptive_options::max>},
        {.path = "timeout.adaptive.initial", .kind = block,
         .documentation = "The timeout until enough is known. A single duration sets both.",
         .short_form = "stream|buffered"},
        {.path = "timeout.adaptive.initial.stream", .kind = duration, .fallback = "30s", .min = "1ms", .max = "24h",
         .documentation = "Of a stream, to its first meaningful event.",
         .price = "How long a dead provider goes unnoticed after a start.",
         .fills = learns<&adaptive_options::initial, &by_shape::stream>},
        {.path = "timeout.adaptive.initial.buffered", .kind = duration, .fallback = "60s", .min = "1ms", .max = "24h",
         .documentation = "Of any other answer, to its end.",
         .price = "How long a dead provider goes unnoticed after a start.",
         .fills = learns<&adaptive_options::initial, &by_shape::buffered>},
        {.path = "timeout.adaptive.min", .kind = block,
         .documentation = "The shortest timeout that is ever learned. A single duration sets both.",
         .short_form = "stream|buffered"},
        {.path = "timeout.adaptive.min.stream", .kind = duration, .fallback = "10s", .min = "1ms", .max = "24h",
         .documentation = "Of a stream, to its first meaningful event.",
         .price = "How long a silent attempt of a fast provider is waited for.",
         .fills = learns<&adaptive_options::min, &by_shape::stream>},
        {.path = "timeout.adaptive.min.buffered", .kind = duration, .fallback = "25s", .min = "1ms", .max = "24h",
         .documentation = "Of any other answer, to its end.",
         .price = "How long a silent attempt of a fast provider is waited for.",
         .fills = learns<&adaptive_options::min, &by_shape::buffered>},
    });
}

void add_breaker_keys(std::vector<key_row>& table) {
    using enum value_kind;
    add_policies(table, {
        {.path = "circuit_breaker", .kind = block, .words = "off",
         .documentation = "Spares an endpoint that keeps failing, and the requests that would have failed there. It "
                          "opens when both `failure_threshold` and `failure_ratio` are reached; a row of errors "
                          "counts whatever its spacing while another endpoint can be asked.",
         .fills = breaks<&breaker_options::on>},
        {.path = "circuit_breaker.failure_threshold", .kind = integer, .fallback = "3", .min = "1", .max = "100",
         .documentation = "Consecutive failures, counted in the order in which attempts were started.",
         .price = "More requests meet an endpoint that is down.", .fills = breaks<&breaker_options::failure_threshold>},
        {.path = "circuit_breaker.failure_ratio", .kind = ratio, .fallback = "auto", .min = "0", .max = "1",
         .words = "auto|off",
         .documentation = "Share of failures in the window that must be reached as well; auto: 0.5 while another "
                          "endpoint can be asked, 0.97 where this is the only one, or a row of errors that the "
                          "rest of the window makes too unlikely for chance; 0 or off: the threshold alone decides.",
         .price = "Higher: an endpoint that half works is asked on; lower: honest error rates become outages.",
         .fills = breaks<&breaker_options::failure_ratio>},
        {.path = "circuit_breaker.min_calls", .kind = integer, .fallback = "auto", .min = "1", .max = "128",
         .words = "auto",
         .documentation = "Attempts in the window before the ratio is believed; auto: failure_threshold while "
                          "another endpoint can be asked, 15 where this is the only one.",
         .price = "Slower to notice an outage where there is little traffic.",
         .fills = breaks<&breaker_options::min_calls>},
        {.path = "circuit_breaker.window", .kind = duration, .fallback = "30s", .min = "100ms", .max = "1h",
         .documentation = "What counts as recent; the last 4,096 attempts at most.",
         .price = "Slower to forget and slower to notice.", .fills = breaks<&breaker_options::window>},
        {.path = "circuit_breaker.recovery_timeout", .kind = duration, .fallback = "2s", .min = "10ms", .max = "1h",
         .documentation = "Pause of an open circuit before its first probe; doubles with each failed recovery, with "
                          "jitter.",
         .price = "Longer closed to an endpoint that is back.", .fills = breaks<&breaker_options::recovery_timeout>},
        {.path = "circuit_breaker.max_recovery_timeout", .kind = duration, .fallback = "25s", .min = "10ms",
         .max = "24h",
         .documentation = "The longest pause before a probe.",
         .price = "Longer closed to an endpoint that is back after a long outage.",
         .fills = breaks<&breaker_options::max_recovery_timeout>},
        {.path = "circuit_breaker.half_open_max_calls", .kind = integer, .fallback = "2", .min = "1", .max = "100",
         .documentation = "Requests that may probe a half-open circuit at a time.",
         .price = "So many requests may fail for each recovery that does not succeed.",
         .fills = breaks<&breaker_options::half_open_max_calls>},
        {.path = "circuit_breaker.success_threshold", .kind = integer, .fallback = "2", .min = "1", .max = "100",
         .documentation = "Successful probes that close the circuit.", .price = "Longer half-open.",
         .fills = breaks<&breaker_options::success_threshold>},
        {.path = "circuit_breaker.ramp", .kind = duration, .fallback = "10s", .min = "0s", .max = "1h",
         .words = "off",
         .documentation = "How long full traffic takes to return to a circuit that has closed; 0s or off: at once.",
         .price = "Other endpoints carry its share as long.", .fills = breaks<&breaker_options::ramp>},
        {.path = "circuit_breaker.scope", .kind = value_kind::word, .fallback = "endpoint",
         .words = "endpoint|upstream|route",
         .documentation = "What one circuit covers: an endpoint, whichever route asks it; an upstream with all its "
                          "endpoints; or an endpoint as this one route sees it. Within it a model that fails while "
                          "others are well has one of its own.",
         .fills = breaks<&breaker_options::scope>},
        {.path = "circuit_breaker.when_open", .kind = value_kind::word, .fallback = "hold", .words = "hold|reject",
         .documentation = "What a request does when every endpoint's circuit is open: wait for the recovery and be "
                          "let through at a paced rate, or be refused at once with 503 circuit_open and Retry-After.",
         .price = "hold: callers wait; a short outage costs them time instead of errors.",
         .fills = breaks<&breaker_options::when_open>},
        {.path = "circuit_breaker.hold_max", .kind = duration, .fallback = "auto", .min = "10ms", .max = "24h",
         .words = "auto",
         .documentation = "Requests are held only while the outage is younger than this; an older one refuses at "
                          "once. auto: the time to the request's deadline, at most 60s.",
         .price = "How long callers of a dead provider are kept waiting.", .fills = breaks<&breaker_options::hold_max>},
        {.path = "circuit_breaker.hold_queue", .kind = integer, .fallback = "64", .min = "1", .max = "100000",
         .documentation = "Requests of a route that may be held at a time; further ones are refused.",
         .price = "Memory and sockets of those that wait; they are sent one after another when the endpoint is back.",
         .fills = breaks<&breaker_options::hold_queue>},
    });
}

void add_pressure_keys(std::vector<key_row>& table) {
    using enum value_kind;
    add_policies(table, {
        {.path = "cooldown", .kind = block, .words = "off",
         .documentation = "Rests an endpoint that says 429 or 529, for the credential it said it to and for every "
                          "request with it, until its hint or the ramp ends. Never opens a circuit.",
         .fills = rests<&cooldown_options::on>},
        {.path = "cooldown.initial", .kind = duration, .fallback = "1s", .min = "1ms", .max = "1h",
         .documentation = "Rest after a 429 without a hint; doubles with each one in a row.",
         .price = "Capacity that is not used.", .fills = rests<&cooldown_options::initial>},
        {.path = "cooldown.max", .kind = duration, .fallback = "60s", .min = "1ms", .max = "24h",
         .documentation = "The longest such rest, and the longest hint that is believed.",
         .price = "How long one wrong hint can keep an endpoint unused.", .fills = rests<&cooldown_options::max>},
        {.path = "cooldown.overload", .kind = duration, .fallback = "10s", .min = "1ms", .max = "1h",
         .documentation = "Rest after a 529 or `overloaded_error` without a hint, +-20 %.",
         .price = "Capacity that is not used.", .fills = rests<&cooldown_options::overload>},
        {.path = "cooldown.quota", .kind = duration, .fallback = "15m", .min = "1s", .max = "24h",
         .documentation = "Rest after a spent quota, or a credential of ours that is not accepted.",
         .price = "How long a topped-up account goes unnoticed.", .fills = rests<&cooldown_options::quota>},

        {.path = "overload", .kind = block, .words = "off",
         .documentation = "While an endpoint is overloaded, sends it no more attempts at a time than it can finish; "
                          "hedges pause and timeouts are not repeated. Nobody is refused for it.",
         .fills = of_overload<&overload_options::on>},
        {.path = "overload.window", .kind = duration, .fallback = "10s", .min = "100ms", .max = "10m",
         .documentation = "What counts as recent.", .price = "Slower to notice, and to end.",
         .fills = of_overload<&overload_options::window>},
        {.path = "overload.ratio", .kind = ratio, .fallback = "0.3", .min = "0.01", .max = "1",
         .documentation = "Share of timeouts and overload answers at which it begins; it ends under half of that.",
         .price = "Higher: a slow provider is pressed further before it is spared.",
         .fills = of_overload<&overload_options::ratio>},
        {.path = "overload.min_verdicts", .kind = integer, .fallback = "20", .min = "1", .max = "10000",
         .documentation = "Ended attempts in the window before the share is believed.",
         .price = "Unnoticed where there is little traffic.", .fills = of_overload<&overload_options::min_verdicts>},
        {.path = "overload.max_wait", .kind = duration, .fallback = "5s", .min = "1ms", .max = "10m",
         .documentation = "The longest wait for room after an outage; then it goes through.",
         .price = "Callers wait as long while it lasts.", .fills = of_overload<&overload_options::max_wait>},
    });
}

void add_hedge_keys(std::vector<key_row>& table) {
    using enum value_kind;
    add_policies(table, {
        {.path = "hedge", .kind = block, .fallback = "off", .words = "off",
         .documentation = "A second attempt while the first is still silent: the first good answer wins, the other "
                          "is cancelled. Off until a block is written (`hedge: {}` takes the values below).",
         .price = "Up to max_extra more work upstream, in return for a shorter tail.",
         .fills = hedges<&hedge_options::on>},
        {.path = "hedge.delay", .kind = delay, .fallback = "auto", .min = "1ms", .max = "1h", .words = "auto",
         .documentation = "How long the first may be silent: a duration, a learned quantile (p50 to p99, p99.9), or "
                          "auto: the smaller of p95 and 2.5 times the median, or earlier where a fresh attempt is "
                          "as likely to be first.",
         .price = "Longer helps fewer requests; shorter costs more attempts.", .fills = by<delay_of_hedge>},
        {.path = "hedge.max_hedges", .kind = integer, .fallback = "1", .min = "1", .max = "10",
         .documentation = "In flight at a time beside the first attempt; each counts as a retry.",
         .price = "A slow request costs as many attempts more.", .fills = hedges<&hedge_options::max_hedges>},
        {.path = "hedge.max_extra", .kind = ratio, .fallback = "0.2", .min = "0", .max = "10", .words = "off",
         .documentation = "Deposited into the budget per success on behalf of hedges, on top of "
                          "retry.budget.extra_work.",
         .price = "Load that hedging may add for good.", .fills = hedges<&hedge_options::max_extra>},
        {.path = "hedge.min_delay", .kind = duration, .fallback = "50ms", .min = "1ms", .max = "1h",
         .documentation = "Lower bound of a learned delay.",
         .price = "A fast provider's slow answers are hedged later.", .fills = hedges<&hedge_options::min_delay>},
        {.path = "hedge.max_delay", .kind = duration, .fallback = "30s", .min = "1ms", .max = "1h",
         .documentation = "Upper bound of a learned delay.",
         .price = "A slow provider's slower answers are hedged later.", .fills = hedges<&hedge_options::max_delay>},
        {.path = "hedge.target", .kind = value_kind::word, .fallback = "prefer_other",
         .words = "prefer_other|other|any",
         .documentation = "Where a hedge goes: another upstream if one can be asked, only to another, or to the one "
                          "that is best.",
         .price = "any and prefer_other may ask the same provider twice at a time.",
         .fills = hedges<&hedge_options::target>},
        {.path = "hedge.guard", .kind = ratio, .fallback = "0.5", .min = "0", .max = "1", .words = "off",
         .documentation = "Share of the last 20 hedges that must have won, or hedging pauses; 0 or off: no such "
                          "check.",
         .price = "Higher gives up sooner where waiting would have done as well.",
         .fills = hedges<&hedge_options::guard>},
    });
}

void add_bulkhead_keys(std::vector<key_row>& table) {
    using enum value_kind;
    add_policies(table, {
        {.path = "bulkhead", .kind = block, .words = "off",
         .documentation = "Bounds the requests of a route that are served at a time, retries and hedges included; "
                          "further ones wait in a queue, in order, or are refused with 503 and Retry-After.",
         .fills = bounds<&bulkhead_options::on>},
        {.path = "bulkhead.max_concurrent", .kind = integer, .fallback = "1024", .min = "1", .max = "100000",
         .documentation = "Requests at a time, each until the last byte of its answer.",
         .price = "Memory, sockets and load upstream when the provider is slow.",
         .fills = bounds<&bulkhead_options::max_concurrent>},
        {.path = "bulkhead.max_queue", .kind = integer, .fallback = "4096", .min = "0", .max = "10000",
         .words = "off", .documentation = "Requests that wait for their turn; 0 or off: none waits.",
         .price = "Callers wait who will be refused anyway.", .fills = bounds<&bulkhead_options::max_queue>},
        {.path = "bulkhead.queue_timeout", .kind = duration, .fallback = "auto", .min = "1ms", .max = "10m",
         .words = "auto",
         .documentation = "The longest wait in the queue; auto: as long as the request's own deadline allows.",
         .price = "Refusals come as much later.",
         .fills = bounds<&bulkhead_options::queue_timeout>},
        {.path = "bulkhead.tenant_share", .kind = ratio, .fallback = "0.5", .min = "0.01", .max = "1",
         .documentation = "What one tenant (a credential, or what shuffle_shard.by names) may have of both while "
                          "others wait; alone it may have all. 1: no such limit.",
         .price = "What is left for the others when one tenant floods the route.",
         .fills = bounds<&bulkhead_options::tenant_share>},

        {.path = "coalesce", .kind = value_kind::word, .fallback = "off", .words = "off|deterministic|always",
         .documentation = "Identical requests of one credential that are under way at the same time share one "
                          "answer. deterministic: GET, and a POST with temperature 0, a seed, or for embeddings; "
                          "always: whatever may be sent twice.",
         .price = "The body is read first; up to stream.hold_buffer of each answer is held while it is shared. "
                  "always: callers who ask at the same time get the same sample.", .fills = member<&route::coalesce>},
    });
}

} // namespace

void add_resilience_keys(std::vector<key_row>& table) {
    add_adaptive_keys(table);
    add_breaker_keys(table);
    add_pressure_keys(table);
    add_hedge_keys(table);
    add_bulkhead_keys(table);
}

} // namespace evenkeel::config
// clang-format on

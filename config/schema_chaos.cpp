// Keys of chaos: faults injected on purpose.

#include "config/schema_table.hpp"

namespace evenkeel::config {
namespace {
template <auto Key>
constexpr auto injects = member<&chaos_rule::fault, Key>;
} // namespace

// The rows are laid out by hand: one key each, which the formatter would spread over six lines.
// clang-format off

void add_chaos_keys(std::vector<key_row>& table) {
    using enum value_kind;
    using enum value_shape;
    const std::initializer_list<key_row> rows{
        {.path = "chaos", .kind = block, .words = "off",
         .documentation = "Faults injected on purpose into the attempts of a route, to rehearse failures. Every "
                          "rule expires."},
        {.path = "chaos.enabled", .kind = boolean, .fallback = "false",
         .documentation = "Whether this process may inject faults at all; rules in the file, and rules set over "
                          "admin.listen, are refused unless this is true.",
         .price = "Whoever may POST to admin.listen can disturb every route.",
         .fills = member<&settings::chaos, &chaos_options::enabled>},
        {.path = "chaos.seed", .kind = integer, .fallback = "0", .min = "0", .max = "4294967295",
         .documentation = "Of the draws: the same seed and the same x-request-id give the same decisions, at any "
                          "number of workers.", .fills = member<&settings::chaos, &chaos_options::seed>},
        {.path = "chaos.rules", .kind = block, .shape = list,
         .documentation = "Which attempts suffer which fault. An attempt suffers the first rule that is for it and "
                          "whose draw falls to it."},
        {.path = "chaos.rules.route", .kind = name, .documentation = "The route that suffers.", .required = true,
         .fills = member<&chaos_rule::route>},
        {.path = "chaos.rules.upstream", .kind = name,
         .documentation = "Only attempts at this upstream of the route; absent: at any.",
         .fills = member<&chaos_rule::upstream>},
        {.path = "chaos.rules.fault", .kind = value_kind::word,
         .words = "latency|abort|connect_fail|reset|stall|drip|truncate|malformed|stream_error|split|gzip",
         .documentation = "What goes wrong; excludes profile.", .fills = injects<&chaos_fault_options::is>},
        {.path = "chaos.rules.profile", .kind = value_kind::word,
         .words = "failoverbench|rate_limit_hint|rate_limit|server_error_once|overloaded|reset|silence|"
                  "slow_first_token|cut|stall|malformed_event|missing_done|missing_terminal|context_length|"
                  "content_filter|server_error|outage|invalid_request|drip|error_in_stream|utf8_split|gzip",
         .documentation = "A fault by the name of what it rehearses, with its parameters set; failoverbench: one of "
                          "its sixteen is drawn for each attempt.", .fills = member<&chaos_rule::profile>},
        {.path = "chaos.rules.probability", .kind = ratio, .min = "0", .max = "1",
         .documentation = "Share of the attempts that suffer.", .price = "1: every attempt.", .required = true,
         .fills = member<&chaos_rule::probability>},
        {.path = "chaos.rules.for", .kind = duration, .min = "1s", .max = "168h",
         .documentation = "When the rule expires, counted from the moment it is loaded or set; a reload that leaves "
                          "it unchanged does not start it again.",
         .required = true, .fills = member<&chaos_rule::lasts>},
        {.path = "chaos.rules.attempts", .kind = integer, .min = "1", .max = "100",
         .documentation = "Only the first so many attempts of a request; absent: any.",
         .fills = member<&chaos_rule::attempts>},
        {.path = "chaos.rules.max_active", .kind = integer, .min = "1", .max = "1000000",
         .documentation = "At most so many attempts suffer at a time; absent: unbounded. Who comes first then "
                          "matters, so decisions are no longer the same each time.",
         .fills = member<&chaos_rule::max_active>},
        {.path = "chaos.rules.delay", .kind = duration, .min = "1ms", .max = "1h",
         .documentation = "latency: how much later the answer begins; absent: 1s.",
         .fills = injects<&chaos_fault_options::delay>},
        {.path = "chaos.rules.jitter", .kind = duration, .min = "0s", .max = "1h",
         .documentation = "latency: up to so much more, drawn uniformly; absent: none.",
         .fills = injects<&chaos_fault_options::jitter>},
        {.path = "chaos.rules.status", .kind = integer, .min = "400", .max = "599",
         .documentation = "abort: the status; absent: 503.", .fills = injects<&chaos_fault_options::status>},
        {.path = "chaos.rules.retry_after", .kind = duration, .min = "0s", .max = "24h",
         .documentation = "abort: sent as Retry-After, in whole seconds, rounded up; absent: no such field.",
         .fills = injects<&chaos_fault_options::retry_after>},
        {.path = "chaos.rules.code", .kind = token,
         .documentation = "abort, stream_error: the code (Anthropic: the type) of the error; absent: what goes with "
                          "the status.", .fills = injects<&chaos_fault_options::code>},
        {.path = "chaos.rules.after_events", .kind = integer, .min = "0", .max = "1000000",
         .documentation = "reset, stall, truncate, malformed, stream_error: events of a stream that still pass, "
                          "comments not counted. Absent: reset, stall and malformed happen before the head, "
                          "truncate takes the last event away, stream_error takes the place of the first. In an "
                          "answer that is no stream: behind its head.",
         .fills = injects<&chaos_fault_options::after_events>},
        {.path = "chaos.rules.after_bytes", .kind = size, .min = "0B", .max = "1GiB",
         .documentation = "reset, stall, truncate: body bytes that still pass; excludes after_events.",
         .fills = injects<&chaos_fault_options::after_bytes>},
        {.path = "chaos.rules.mid_event", .kind = boolean,
         .documentation = "reset, stall, truncate: with after_events, half of the event after these passes as well; "
                          "absent: false.", .fills = injects<&chaos_fault_options::mid_event>},
        {.path = "chaos.rules.bytes_per_second", .kind = integer, .min = "1", .max = "1000000000",
         .documentation = "drip: how fast the body comes; absent: 20.",
         .fills = injects<&chaos_fault_options::bytes_per_second>},
    };
    table.insert(table.end(), rows.begin(), rows.end());
}

} // namespace evenkeel::config
// clang-format on

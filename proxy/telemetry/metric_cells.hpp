#pragma once
// What is counted, by whom it is about: a route, a route's use of an upstream (a pair), an upstream, the process. Each
// but the last in two parts: what every request touches, and what most never come to, so that a route pays memory for
// what has happened to it alone (a part is made at its first use: cells.hpp). metric_rows.cpp says what a member means
// and how it is shown; metrics.cpp adds to it.

#include "policies/bulkhead.hpp"
#include "policies/chaos_fault.hpp"
#include "policies/circuit_states.hpp"
#include "policies/fallback.hpp"
#include "policies/hedge.hpp"
#include "policies/retry.hpp"
#include "proxy/events/outcomes.hpp"
#include "proxy/events/spending.hpp"
#include "proxy/telemetry/cells.hpp"
#include "proxy/wire/refusal.hpp"

#include <array>
#include <cstddef>
#include <string_view>

namespace evenkeel::telemetry {

// The places in an array of cells that are no enumeration's, with their words. Where a list ends with `other`, that
// counts what the list does not name.
inline constexpr std::array<std::string_view, 5> code_classes{"2xx", "3xx", "4xx", "5xx", "none"};
inline constexpr std::array<std::string_view, 2> bill_sides{"served", "lost"};
inline constexpr std::array<std::string_view, 2> body_directions{"request", "response"};
enum hedge_end : std::size_t { hedge_won, hedge_lost, hedge_failed };
inline constexpr std::array<std::string_view, 3> hedge_ends{"won", "lost", "failed"};
inline constexpr std::array<std::string_view, 3> probe_verdicts{"success", "failure", "neutral"}; // of health_verdict
inline constexpr std::array<std::string_view, 5> cooldown_reasons{"rate_limited", "overloaded", "quota", "credential",
                                                                  "other"};
inline constexpr std::array<std::string_view, 2> overload_changes{"left", "entered"};
inline constexpr std::array<std::string_view, 2> connection_ends{"made", "failed"}; // of connection_probed
inline constexpr std::array<std::string_view, 2> budget_kinds{"retry", "hedge"};
// By happened::paced::end.
inline constexpr std::array<std::string_view, 3> pace_ends{"went_on", "went_through", "gave_up"};
inline constexpr std::array<std::string_view, 2> hold_ends{"gave_up", "went_on"};
inline constexpr std::array<std::string_view, 3> connection_refusals{"max_connections", "no_fds", "other"};

// What a circuit can do, and why; what is not on the list counts as the row with the same states and `other`.
struct known_transition {
    circuit_state from, to;
    std::string_view why;
};
inline constexpr std::size_t transition_count = 17;
inline constexpr std::array<known_transition, transition_count> transitions{{
    {circuit_state::closed, circuit_state::open, "consecutive_failures"}, // a trip: what an alert counts
    {circuit_state::open, circuit_state::half_open, "recovery_time"},
    {circuit_state::half_open, circuit_state::closed, "probe_succeeded"},
    {circuit_state::half_open, circuit_state::open, "probe_failed"},
    {circuit_state::half_open, circuit_state::open, "probe_silent"},
    {circuit_state::closed, circuit_state::open, "forced"},
    {circuit_state::closed, circuit_state::half_open, "forced"},
    {circuit_state::open, circuit_state::closed, "forced"},
    {circuit_state::open, circuit_state::half_open, "forced"},
    {circuit_state::half_open, circuit_state::closed, "forced"},
    {circuit_state::half_open, circuit_state::open, "forced"},
    {circuit_state::closed, circuit_state::open, "other"},
    {circuit_state::closed, circuit_state::half_open, "other"},
    {circuit_state::open, circuit_state::closed, "other"},
    {circuit_state::open, circuit_state::half_open, "other"},
    {circuit_state::half_open, circuit_state::closed, "other"},
    {circuit_state::half_open, circuit_state::open, "other"},
}};

// Why a request was rejected: the gate's words, then those of the request path.
inline constexpr std::array<std::string_view, 20> own_refusals{"no_route",
                                                               "foreign_host",
                                                               "foreign_origin",
                                                               "body_not_split",
                                                               "header_timeout",
                                                               "body_timeout",
                                                               "body_too_large_to_inspect",
                                                               "memory",
                                                               "draining",
                                                               "circuit_open",
                                                               "hold_queue_full",
                                                               "hold_timeout",
                                                               "bulkhead_full",
                                                               "bulkhead_timeout",
                                                               "bulkhead_tenant_share",
                                                               "client_key_unknown",
                                                               "client_route_denied",
                                                               "client_limit",
                                                               "internal_error",
                                                               "other"};
inline constexpr std::size_t gate_refusal_count = static_cast<std::size_t>(wire::refusal::unexpected_bytes);
inline constexpr std::size_t refusal_count = gate_refusal_count + own_refusals.size();
[[nodiscard]] inline std::string_view refusal_word(std::size_t place) noexcept {
    return place < gate_refusal_count ? wire::to_string(static_cast<wire::refusal>(place + 1))
                                      : own_refusals[place - gate_refusal_count];
}

template <std::size_t Count>
using counts = std::array<cell, Count>;
template <std::size_t Rows, std::size_t Columns>
using count_table = std::array<counts<Columns>, Rows>;

struct route_cells {
    count_table<request_ending_count, code_classes.size()> finished{};
    counts<stream_end_count> stream_ends{};
    counts<body_directions.size()> body_bytes{};
    cell in_flight{0};
    long_histogram duration;
    short_histogram overhead;
};
struct rare_route_cells {
    counts<retry_denial_count> denied{};
    counts<stream_resumption_count> resumptions{};
    counts<upcast_result_count> upcasts{};
    counts<hedge_refusal_count> hedges_refused{};
    counts<rescue_refusal_count> rescues_refused{};
    cell holding{0};
    counts<hold_ends.size()> held{};
    long_histogram hold;
    cell pacing{0};
    counts<pace_ends.size()> paced{};
    long_histogram pace_wait;
    counts<bulkhead_refusal_count> bulkhead_refused{};
    cell tenant_limited{0};
    long_histogram bulkhead_wait;
    counts<fallback_kind_count> fallbacks{};
    count_table<fallback_kind_count, fallback_skip_count> steps_skipped{};
    cell ladders_exhausted{0};
    counts<chaos_fault_count> faults{};
    counts<coalesce_role_count> coalesced{};
    cell shared_flights_ended{0};
    counts<departure_count> departures{};
    long_histogram departure_silence, lost, paused;
    counts<coalesce_detachment_count> detached{};
};
struct pair_cells {
    count_table<attempt_kind_count, attempt_result_count> attempts{};
    cell wasted_events{0};
    // By what became of them: of each kind those told, then those estimated. The cost in billionths, likewise.
    count_table<spent_on_count, 2 * token_kind_count> tokens{};
    count_table<spent_on_count, 2> cost{};
    long_histogram first_byte, first_token;
};
struct rare_pair_cells {
    counts<hedge_ends.size()> hedges{};
    counts<probe_verdicts.size()> probes{};
    counts<transition_count> transitions{};
    counts<cooldown_reasons.size()> cooldowns{};
    counts<overload_changes.size()> overload{};
    counts<overload_changes.size()> doubts{}, model_doubts{};
    counts<circuit_state_count> model_transitions{}; // by the state it came into
    counts<connection_ends.size()> connections{};
    counts<budget_kinds.size()> budget_refusals{};
    cell unread{0};
};
struct upstream_cells {
    long_histogram attempt_duration;
    cell attempts_in_flight{0};
    cell connections{0}, connections_opened{0}, idle_connections{0}, connected_cold{0};
};
struct rare_upstream_cells {
    counts<prewarm_event_count> prewarmed{};
    counts<probe_result_count> probed{};
    cell prewarm_target{0};
};
struct credential_cells {
    counts<attempt_result_count> attempts{};
};
struct rare_credential_cells {
    counts<cooldown_reasons.size()> refused{};
};
struct client_cells {
    counts<code_classes.size()> finished{};
    count_table<bill_sides.size(), token_kind_count> tokens{};
    counts<bill_sides.size()> cost{}; // billionths
};
struct process_cells {
    counts<connection_refusals.size()> connections_refused{};
    counts<refusal_count> requests_refused{};
    cell internal_errors{0};
};

template <class Usual, class Rare>
struct counted_about {
    explicit counted_about(unsigned workers) : usual(workers), rare(workers) {}
    sharded<Usual> usual;
    sharded<Rare> rare;
};

// For the series_index.
struct counted {
    using context = unsigned; // workers
    using route = counted_about<route_cells, rare_route_cells>;
    using pair = counted_about<pair_cells, rare_pair_cells>;
    using upstream = counted_about<upstream_cells, rare_upstream_cells>;
    using credential = counted_about<credential_cells, rare_credential_cells>;
    using client = sharded<client_cells>;
};

} // namespace evenkeel::telemetry

#pragma once
// What rows show, each a function without state of a subject and a place: a member of what is counted about it
// (`count`, `level`, `spread`), or a value that somebody reports. For metric_rows.cpp alone.

#include "proxy/telemetry/metric_rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace evenkeel::telemetry::row_readers {

// A member of the cells of its subject.

template <class Cells, class Member>
Cells cells_of_member(Member Cells::*);
template <auto Member>
using cells_with = decltype(cells_of_member(Member));

template <class Cells>
const sharded<Cells>& counted_of(const subject& of) {
    if constexpr (std::is_same_v<Cells, route_cells>) return of.route->usual;
    if constexpr (std::is_same_v<Cells, rare_route_cells>) return of.route->rare;
    if constexpr (std::is_same_v<Cells, pair_cells>) return of.pair->usual;
    if constexpr (std::is_same_v<Cells, rare_pair_cells>) return of.pair->rare;
    if constexpr (std::is_same_v<Cells, upstream_cells>) return of.upstream->usual;
    if constexpr (std::is_same_v<Cells, rare_upstream_cells>) return of.upstream->rare;
    if constexpr (std::is_same_v<Cells, credential_cells>) return of.credential->usual;
    if constexpr (std::is_same_v<Cells, rare_credential_cells>) return of.credential->rare;
    if constexpr (std::is_same_v<Cells, client_cells>) return *of.client;
    if constexpr (std::is_same_v<Cells, process_cells>) return *of.process;
}
inline const cell& at_place(const cell& single, const series_place&) { return single; }
template <std::size_t Count>
const cell& at_place(const counts<Count>& some, const series_place& at, std::size_t by = 0) {
    return some[at[by]];
}
template <std::size_t Rows, std::size_t Columns>
const cell& at_place(const count_table<Rows, Columns>& some, const series_place& at) {
    return at_place(some[at[0]], at, 1);
}
template <auto Member>
std::uint64_t sum(const subject& of, const series_place& at) {
    return counted_of<cells_with<Member>>(of).sum(
        [&](const auto& cells) -> const cell& { return at_place(cells.*Member, at); });
}

template <auto Member>
std::optional<double> count(const subject& of, const series_place& at) {
    return static_cast<double>(sum<Member>(of, at));
}
template <auto Member>
std::optional<double> billionths(const subject& of, const series_place& at) {
    return static_cast<double>(sum<Member>(of, at)) / 1e9;
}
template <auto Member>
std::optional<double> level(const subject& of, const series_place& at) {
    return static_cast<double>(static_cast<std::int64_t>(sum<Member>(of, at)));
}
template <auto Member>
histogram_view spread(const subject& of, const series_place&) {
    return counted_of<cells_with<Member>>(of).histogram([](const auto& cells) -> auto& { return cells.*Member; });
}
inline std::optional<double> flights_under_way(const subject& of, const series_place&) {
    // First: no more can have ended than have begun.
    const auto over = sum<&rare_route_cells::shared_flights_ended>(of, {});
    const auto begun = sum<&rare_route_cells::coalesced>(of, {static_cast<std::size_t>(coalesce_role::leader)});
    return static_cast<double>(std::max(begun, over) - over);
}
constexpr bool can_skip(std::size_t step, std::size_t why) {
    switch (static_cast<fallback_skip>(why)) {
    case fallback_skip::no_key:
    case fallback_skip::no_entry:
    case fallback_skip::too_old: return static_cast<fallback_kind>(step) == fallback_kind::last_good;
    case fallback_skip::no_time:
    case fallback_skip::not_replayable:
    case fallback_skip::failed: return static_cast<fallback_kind>(step) == fallback_kind::route;
    }
    return false;
}
inline std::optional<double> steps_skipped(const subject& of, const series_place& at) {
    return can_skip(at[0], at[1]) ? count<&rare_route_cells::steps_skipped>(of, at) : std::nullopt;
}

// What somebody reports.

template <auto Report, auto Member>
std::optional<double> reported(const subject& of, const series_place&) {
    return static_cast<double>((of.at->*Report).*Member);
}
template <auto Member>
std::optional<double> of_process(const subject& of, const series_place&) {
    if (!of.at->process) return std::nullopt;
    return static_cast<double>((*of.at->process).*Member);
}
template <auto Member>
std::optional<double> of_scrape(const subject& of, const series_place&) {
    return static_cast<double>(of.at->*Member);
}
inline std::optional<double> certificate_expires(const subject& of, const series_place&) {
    if (!of.at->process) return std::nullopt;
    if (of.upstream_name.empty()) return of.at->process->server_certificate_expires;
    const auto& shown = of.at->process->client_certificates_expire;
    const auto found = shown.find(of.upstream_name);
    return found == shown.end() ? std::nullopt : std::optional(found->second);
}
inline std::optional<double> just_one(const subject&, const series_place&) { return 1.0; }

// Of a pair, with the moment of the report. Empty: the policy is off, or there is nothing to tell.
template <auto Read>
std::optional<double> of_endpoint(const subject& of, const series_place& at) {
    return of.reported_endpoint == nullptr ? std::nullopt : Read(*of.reported_endpoint, *of.at, at);
}
using maybe = std::optional<double>;
inline double seconds_left(std::optional<steady_time> until, steady_time now) {
    return until && *until > now ? in_seconds(*until - now) : 0.0;
}
inline maybe circuit_state_of(const endpoint_report& seen, const scrape&, const series_place& at) {
    if (!seen.circuit) return std::nullopt;
    return static_cast<std::size_t>(seen.circuit->state) == at[0] ? 1.0 : 0.0;
}
inline maybe circuit_since(const endpoint_report& seen, const scrape& from, const series_place&) {
    if (!seen.circuit || seen.circuit->since == steady_time{}) return std::nullopt;
    // Whole seconds, or the difference of two clocks would make every scrape a change.
    return std::round(in_seconds(from.now.time_since_epoch() - (from.policies.at - seen.circuit->since)));
}
inline maybe next_probe(const endpoint_report& seen, const scrape& from, const series_place&) {
    if (!seen.circuit || !seen.circuit->next_probe) return std::nullopt;
    return seconds_left(seen.circuit->next_probe, from.policies.at);
}
inline maybe circuit_forced(const endpoint_report& seen, const scrape&, const series_place&) {
    return seen.circuit && seen.circuit->forced ? maybe(1.0) : std::nullopt;
}
inline maybe rest_left(const endpoint_report& seen, const scrape& from, const series_place&) {
    if (!seen.cooldown || seen.cooldown->resting == 0) return std::nullopt;
    return seconds_left(seen.cooldown->until, from.policies.at);
}
inline maybe credentials_resting(const endpoint_report& seen, const scrape&, const series_place&) {
    if (!seen.cooldown || seen.cooldown->resting == 0) return std::nullopt;
    return static_cast<double>(seen.cooldown->resting);
}
inline maybe state_of_credential(const subject& of, const series_place& at) {
    if (of.reported_credential == nullptr) return std::nullopt;
    return static_cast<std::size_t>(of.reported_credential->seen.state) == at[0] ? 1.0 : 0.0;
}
inline maybe credential_in_flight(const subject& of, const series_place&) {
    return of.reported_credential == nullptr ? std::nullopt : maybe(of.reported_credential->seen.in_flight);
}
inline maybe credential_left(const subject& of, const series_place&) {
    if (of.reported_credential == nullptr || !of.reported_credential->seen.until) return std::nullopt;
    return seconds_left(of.reported_credential->seen.until, of.at->policies.at);
}
inline maybe client_in_flight(const subject& of, const series_place&) {
    return of.reported_client == nullptr ? std::nullopt : maybe(of.reported_client->seen.in_use);
}
template <class Read>
maybe sum_of_quotas(const endpoint_report& seen, const series_place& at, const Read& read) {
    maybe sum;
    for (const pace_report& one : seen.pace) {
        for (const auto& unit : one.seen.units) {
            if (static_cast<std::size_t>(unit.unit) == at[0]) sum = sum.value_or(0) + read(unit);
        }
    }
    return sum;
}
inline maybe pace_limit(const endpoint_report& seen, const scrape&, const series_place& at) {
    return sum_of_quotas(seen, at, [](const auto& one) { return one.limit / std::max(in_seconds(one.window), 1e-3); });
}
inline maybe pace_remaining(const endpoint_report& seen, const scrape&, const series_place& at) {
    return sum_of_quotas(seen, at, [](const auto& one) { return one.left; });
}
inline maybe pace_guessed(const endpoint_report& seen, const scrape&, const series_place&) {
    maybe sum;
    for (const pace_report& one : seen.pace) {
        if (one.seen.guessed) sum = sum.value_or(0) + *one.seen.guessed;
    }
    return sum;
}
inline maybe is_doubted(const endpoint_report& seen, const scrape&, const series_place&) {
    return seen.doubt ? maybe(1.0) : std::nullopt;
}
inline maybe models_broken(const endpoint_report& seen, const scrape&, const series_place& at) {
    const auto is = [&](circuit_state state) {
        return std::count_if(seen.models.begin(), seen.models.end(),
                             [&](const model_report& one) { return one.circuit && one.circuit->state == state; });
    };
    if (is(circuit_state::open) + is(circuit_state::half_open) == 0) return std::nullopt;
    return static_cast<double>(is(static_cast<circuit_state>(at[0])));
}
inline maybe models_doubted(const endpoint_report& seen, const scrape&, const series_place&) {
    const auto doubted = std::count_if(seen.models.begin(), seen.models.end(),
                                       [](const model_report& one) { return one.doubt.has_value(); });
    return doubted > 0 ? maybe(static_cast<double>(doubted)) : std::nullopt;
}
inline maybe overload_active(const endpoint_report& seen, const scrape&, const series_place&) {
    return seen.overload ? maybe(seen.overload->active ? 1.0 : 0.0) : std::nullopt;
}
inline maybe overload_limit(const endpoint_report& seen, const scrape&, const series_place&) {
    return seen.overload ? seen.overload->limit : std::nullopt;
}
inline maybe overload_in_service(const endpoint_report& seen, const scrape&, const series_place&) {
    if (!seen.overload || seen.overload->in_service == 0) return std::nullopt;
    return seen.overload->in_service;
}
inline maybe budget_level(const endpoint_report& seen, const scrape&, const series_place&) { return seen.budget_level; }
inline constexpr std::array<std::string_view, 2> shapes{"stream", "buffered"};
inline maybe learned_timeout(const endpoint_report& seen, const scrape&, const series_place& at) {
    // What is in force without a sample is `initial` of the configuration.
    if (seen.latency.samples == 0) return std::nullopt;
    return in_seconds(at[0] == 0 ? seen.latency.current_timeout_stream : seen.latency.current_timeout_buffered);
}
inline constexpr std::array<std::string_view, 2> percentiles{"50", "95"}; // `quantile` is a summary's label
inline maybe learned_latency(const endpoint_report& seen, const scrape&, const series_place& at) {
    const std::optional<duration> known = at[0] == 0 ? seen.latency.p50 : seen.latency.p95;
    return known ? maybe(in_seconds(*known)) : std::nullopt;
}
inline maybe learned_samples(const endpoint_report& seen, const scrape&, const series_place&) {
    return seen.latency.samples == 0 ? std::nullopt : maybe(seen.latency.samples);
}

template <auto Member>
std::optional<double> of_bulkhead(const subject& of, const series_place&) {
    if (of.reported_route == nullptr || !of.reported_route->bulkhead) return std::nullopt;
    return static_cast<double>((*of.reported_route->bulkhead).*Member);
}
inline std::optional<double> hedging_suspended(const subject& of, const series_place&) {
    if (of.reported_route == nullptr || !of.reported_route->hedging) return std::nullopt;
    return of.reported_route->hedging->suspended || of.reported_route->hedging->slow ? 1.0 : 0.0;
}
inline constexpr std::array<std::string_view, 2> lookup_results{"hit", "miss"};
inline std::optional<double> lookups(const subject& of, const series_place& at) {
    return static_cast<double>(at[0] == 0 ? of.at->last_good.hits : of.at->last_good.misses);
}
inline std::optional<double> not_kept_for(const subject& of, const series_place& at) {
    return static_cast<double>(of.at->last_good.not_kept[at[0]]);
}
inline std::optional<double> spans_of_traces(const subject& of, const series_place& at) {
    if (!of.at->process) return std::nullopt;
    return static_cast<double>(of.at->process->traces.spans[at[0]]);
}

} // namespace evenkeel::telemetry::row_readers

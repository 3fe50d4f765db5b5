#include "proxy/telemetry/policy_metrics.hpp"

#include "proxy/telemetry/family_list.hpp"
#include "proxy/telemetry/from_start.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace evenkeel::telemetry {

namespace {

using enum circuit_state;
// The last six take what the others do not name.
constexpr std::array<policy_metrics::known_transition, policy_metrics::transition_count> transitions{{
    {closed, open, "consecutive_failures"},
    {open, half_open, "recovery_time"},
    {half_open, closed, "probe_succeeded"},
    {half_open, open, "probe_failed"},
    {half_open, open, "probe_silent"},
    {closed, open, "forced"},
    {closed, half_open, "forced"},
    {open, closed, "forced"},
    {open, half_open, "forced"},
    {half_open, closed, "forced"},
    {half_open, open, "forced"},
    {closed, open, "other"},
    {closed, half_open, "other"},
    {open, closed, "other"},
    {open, half_open, "other"},
    {half_open, closed, "other"},
    {half_open, open, "other"},
}};
constexpr std::size_t trip = 0; // what an alert counts

constexpr std::array<std::string_view, 5> cooldown_words{"rate_limited", "overloaded", "quota", "credential", "other"};
std::size_t place_of(outcome_kind why) noexcept {
    switch (why) {
    case outcome_kind::rate_limited: return 0;
    case outcome_kind::overloaded: return 1;
    case outcome_kind::quota: return 2;
    case outcome_kind::credential: return 3;
    default: return 4;
    }
}

constexpr std::array<std::string_view, 3> hedge_words{"won", "lost", "failed"};
constexpr std::array<std::string_view, 3> probe_words{"success", "failure", "neutral"};
constexpr std::array<std::string_view, 2> overload_words{"left", "entered"};
constexpr std::array<std::string_view, 2> budget_words{"retry", "hedge"};
constexpr std::array<std::string_view, 2> hold_words{"gave_up", "went_on"};

double seconds_left(std::optional<steady_time> until, steady_time now) {
    return until && *until > now ? in_seconds(*until - now) : 0.0;
}

} // namespace

void policy_metrics::attempt_finished(const attempt_record& record) noexcept {
    if (record.kind != attempt_kind::hedge && !record.probe) return;
    auto* pair = index_.find(record.route, record.upstream).pair;
    if (pair == nullptr) return;
    auto& cells = pair->mine();
    if (record.kind == attempt_kind::hedge)
        add(cells.hedges[record.committed ? won : record.result == attempt_result::cancelled ? lost : failed]);
    if (record.probe) add(cells.probes[static_cast<std::size_t>(verdict_of(record.result))]);
}

void policy_metrics::circuit_changed(const config::route& route, const config::upstream& upstream,
                                     const circuit_transition& change) noexcept {
    auto* pair = index_.find(&route, &upstream).pair;
    if (pair == nullptr) return;
    const auto matches = [&](const known_transition& row, std::string_view why) {
        return row.from == change.from && row.to == change.to && row.why == why;
    };
    for (const std::string_view why : {change.why, std::string_view("other")}) {
        const auto* found =
            std::find_if(transitions.begin(), transitions.end(), [&](const auto& row) { return matches(row, why); });
        if (found == transitions.end()) continue;
        add(pair->mine().transitions[static_cast<std::size_t>(found - transitions.begin())]);
        return;
    }
}

void policy_metrics::cooldown_began(const config::route& route, const config::upstream& upstream,
                                    outcome_kind why) noexcept {
    if (auto* pair = index_.find(&route, &upstream).pair) add(pair->mine().cooldowns[place_of(why)]);
}

void policy_metrics::overload_changed(const config::route& route, const config::upstream& upstream,
                                      bool overloaded) noexcept {
    if (auto* pair = index_.find(&route, &upstream).pair) add(pair->mine().overload[overloaded ? 1 : 0]);
}

void policy_metrics::hedge_refused(const config::route& route, hedge_refusal why) noexcept {
    if (auto* found = index_.find(&route)) add(found->mine().hedges_refused[static_cast<std::size_t>(why)]);
}

void policy_metrics::budget_refused(const config::route& route, const config::upstream& upstream,
                                    attempt_kind wanted) noexcept {
    if (auto* pair = index_.find(&route, &upstream).pair)
        add(pair->mine().budget_refusals[wanted == attempt_kind::hedge ? 1 : 0]);
}

void policy_metrics::hold_began(const config::route& route) noexcept {
    if (auto* found = index_.find(&route)) add(found->mine().holding);
}

void policy_metrics::hold_ended(const config::route& route, duration waited, bool went_on) noexcept {
    auto* found = index_.find(&route);
    if (found == nullptr) return;
    auto& cells = found->mine();
    subtract(cells.holding);
    add(cells.held[went_on ? 1 : 0]);
    cells.hold.observe(waited);
}

void policy_metrics::bulkhead_passed(const config::route& route, const bulkhead_passage& passage) noexcept {
    auto* found = index_.find(&route);
    if (found == nullptr) return;
    auto& cells = found->mine();
    if (passage.refused != bulkhead_refusal::none)
        add(cells.bulkhead_refused[static_cast<std::size_t>(passage.refused)]);
    if (passage.tenant_limited) add(cells.tenant_limited);
    if (passage.queued) cells.bulkhead_wait.observe(passage.waited);
}

// One counter per pair and word of an array of cells; `standing(route, upstream, i)`: whether it exists from the start.
void policy_metrics::for_each_count(family_list& out, std::string_view label, std::size_t count, auto member, auto word,
                                    auto standing) const {
    index_.for_each_pair([&](const std::string& route, const std::string& upstream, const counted::pair& series) {
        for (std::size_t i = 0; i < count; ++i)
            out.value(series.sum([&](const pair_cells& cells) -> const cell& { return (cells.*member)[i]; }),
                      {{"route", route}, {"upstream", upstream}, {label, word(i)}}, standing(route, upstream, i));
    });
}

namespace {
constexpr auto from_its_first_event = [](const std::string&, const std::string&, std::size_t) { return false; };
} // namespace

void policy_metrics::write_hedges(family_list& out, const from_start& shown) const {
    out.begin(counter, "hedges_total",
              "Hedges that were launched: won (its answer became the request's), lost (cancelled), failed by itself.");
    for_each_count(
        out, "result", hedge_end_count, &pair_cells::hedges, [](std::size_t i) { return hedge_words[i]; },
        [&](const std::string& route, const std::string& upstream, std::size_t) {
            const config::route* configured = shown.pair(route, upstream);
            return configured != nullptr && configured->hedge.on;
        });
    out.begin(counter, "hedges_refused_total", "Hedges that were wanted and not launched, by reason.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        const config::route* configured = shown.route(route);
        for (std::size_t i = 1; i < hedge_refusal_count; ++i)
            out.value(series.sum([&](const route_cells& cells) -> const cell& { return cells.hedges_refused[i]; }),
                      {{"route", route}, {"reason", to_string(static_cast<hedge_refusal>(i))}},
                      configured != nullptr && configured->hedge.on);
    });
}

void policy_metrics::write_circuits(family_list& out, const from_start& shown) const {
    out.begin(counter, "circuit_breaker_transitions_total",
              "Changes of a circuit, by the states between and the reason.");
    index_.for_each_pair([&](const std::string& route, const std::string& upstream, const counted::pair& series) {
        const config::route* configured = shown.pair(route, upstream);
        const bool on = configured != nullptr && configured->circuit_breaker.on;
        for (std::size_t i = 0; i < transition_count; ++i)
            out.value(series.sum([&](const pair_cells& cells) -> const cell& { return cells.transitions[i]; }),
                      {{"route", route},
                       {"upstream", upstream},
                       {"from", to_string(transitions[i].from)},
                       {"to", to_string(transitions[i].to)},
                       {"why", transitions[i].why}},
                      on && i == trip);
    });
    out.begin(counter, "circuit_breaker_probes_total", "Attempts sent to a half-open circuit, by what they showed.");
    for_each_count(
        out, "result", probe_words.size(), &pair_cells::probes, [](std::size_t i) { return probe_words[i]; },
        from_its_first_event);
}

void policy_metrics::write_pressure(family_list& out, const from_start& shown) const {
    out.begin(counter, "cooldowns_total", "Rests that began because an endpoint asked for less, by reason.");
    for_each_count(
        out, "reason", cooldown_words.size(), &pair_cells::cooldowns, [](std::size_t i) { return cooldown_words[i]; },
        from_its_first_event);
    out.begin(counter, "overload_changes_total", "Beginnings and ends of overload.");
    for_each_count(
        out, "change", overload_words.size(), &pair_cells::overload, [](std::size_t i) { return overload_words[i]; },
        from_its_first_event);
    out.begin(counter, "budget_refusals_total", "Extra attempts that an empty budget refused.");
    for_each_count(
        out, "kind", budget_words.size(), &pair_cells::budget_refusals, [](std::size_t i) { return budget_words[i]; },
        [&](const std::string& route, const std::string& upstream, std::size_t i) {
            const config::route* configured = shown.pair(route, upstream);
            return configured != nullptr && (i == 0 ? configured->retry.max_retries > 0 : configured->hedge.on);
        });
}

void policy_metrics::write_holds(family_list& out, const from_start& shown) const {
    // Only who asks an upstream waits for one.
    const auto waits = [&](const std::string& route) {
        const config::route* configured = shown.route(route);
        return configured != nullptr && configured->serves == config::route_serves::upstream;
    };
    out.begin(gauge, "requests_held", "Requests that wait because no endpoint may be asked.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        out.value(series.gauge([](const route_cells& cells) -> const cell& { return cells.holding; }),
                  {{"route", route}}, waits(route));
    });
    out.begin(counter, "holds_total",
              "Such waits by their end: went_on to an endpoint, or gave_up (refused, or its client left).");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        for (std::size_t i = 0; i < hold_words.size(); ++i)
            out.value(series.sum([&](const route_cells& cells) -> const cell& { return cells.held[i]; }),
                      {{"route", route}, {"result", hold_words[i]}}, waits(route));
    });
    out.begin(histogram, "hold_duration_seconds", "How long such waits lasted.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        out.histogram(series.histogram([](const route_cells& cells) -> auto& { return cells.hold; }),
                      {{"route", route}});
    });
}

void policy_metrics::write_bulkheads(family_list& out, const from_start& shown) const {
    const auto has_one = [&](const std::string& route) {
        const config::route* configured = shown.route(route);
        return configured != nullptr && configured->bulkhead.on;
    };
    out.begin(counter, "bulkhead_rejected_total",
              "Requests refused by the bulkhead: the queue was full, their time in it was over, or their tenant had "
              "its share.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        for (std::size_t i = 1; i < bulkhead_refusal_count; ++i)
            out.value(series.sum([&](const route_cells& cells) -> const cell& { return cells.bulkhead_refused[i]; }),
                      {{"route", route}, {"reason", to_string(static_cast<bulkhead_refusal>(i))}}, has_one(route));
    });
    out.begin(counter, "bulkhead_tenant_limited_total",
              "Requests that let others pass or were refused because their tenant had its share.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        out.value(series.sum([](const route_cells& cells) -> const cell& { return cells.tenant_limited; }),
                  {{"route", route}}, has_one(route));
    });
    out.begin(histogram, "bulkhead_queue_seconds", "How long requests were queued for a permit, whatever came of it.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        out.histogram(series.histogram([](const route_cells& cells) -> auto& { return cells.bulkhead_wait; }),
                      {{"route", route}});
    });
}

void policy_metrics::write_states(family_list& out, const policy_report& report, wall_time wall_now) const {
    std::map<std::pair<std::string_view, std::string_view>, const endpoint_report*> endpoints;
    std::map<std::string_view, const route_report*> routes;
    for (const auto& route : report.routes) {
        routes.emplace(route.route, &route);
        for (const auto& endpoint : route.endpoints)
            endpoints.emplace(std::pair(std::string_view(route.route), std::string_view(endpoint.upstream)), &endpoint);
    }
    // Of the pairs and routes there are cells for, so that no name comes from elsewhere; what the report does not name
    // has vanished, and what a policy that is off would say is empty in it: neither has a state to show.
    const auto for_each_endpoint = [&](auto&& function) {
        index_.for_each_pair([&](const std::string& route, const std::string& upstream, const counted::pair&) {
            const auto found = endpoints.find(std::pair(std::string_view(route), std::string_view(upstream)));
            if (found != endpoints.end()) function(route, upstream, *found->second);
        });
    };
    const auto for_each_route = [&](auto&& function) {
        index_.for_each_route([&](const std::string& route, const counted::route&) {
            if (const auto found = routes.find(route); found != routes.end()) function(route, *found->second);
        });
    };
    // `read` gives the value, or nothing where there is none.
    const auto gauge_of = [&](std::string_view name, std::string_view help, auto&& read) {
        out.begin(gauge, name, help);
        for_each_endpoint([&](const std::string& route, const std::string& upstream, const endpoint_report& seen) {
            if (const std::optional<double> value = read(seen))
                out.value(*value, {{"route", route}, {"upstream", upstream}});
        });
    };

    out.begin(gauge, "circuit_breaker_state", "1 for the state a circuit is in, 0 for the others.");
    for_each_endpoint([&](const std::string& route, const std::string& upstream, const endpoint_report& seen) {
        if (!seen.circuit) return;
        for (std::size_t i = 0; i < static_cast<std::size_t>(circuit_state_count); ++i)
            out.value(static_cast<std::size_t>(seen.circuit->state) == i ? 1.0 : 0.0,
                      {{"route", route}, {"upstream", upstream}, {"state", to_string(static_cast<circuit_state>(i))}});
    });
    gauge_of("circuit_breaker_last_transition_timestamp_seconds",
             "When a circuit came into its state, once it has left the first one.",
             [&](const endpoint_report& seen) -> std::optional<double> {
                 if (!seen.circuit || seen.circuit->since == steady_time{}) return std::nullopt;
                 // Whole seconds, or the difference of two clocks would make every scrape a change.
                 return std::round(in_seconds(wall_now.time_since_epoch() - (report.at - seen.circuit->since)));
             });
    gauge_of("circuit_breaker_next_probe_seconds", "Time until an open circuit may be probed; 0: now.",
             [&](const endpoint_report& seen) -> std::optional<double> {
                 if (!seen.circuit || !seen.circuit->next_probe) return std::nullopt;
                 return seconds_left(seen.circuit->next_probe, report.at);
             });
    gauge_of("circuit_breaker_forced", "1 while an operator holds a circuit in its state.",
             [](const endpoint_report& seen) -> std::optional<double> {
                 if (!seen.circuit || !seen.circuit->forced) return std::nullopt;
                 return 1.0;
             });
    gauge_of("cooldown_seconds", "Time until the last credential's rest ends, while one rests.",
             [&](const endpoint_report& seen) -> std::optional<double> {
                 if (!seen.cooldown || seen.cooldown->resting == 0) return std::nullopt;
                 return seconds_left(seen.cooldown->until, report.at);
             });
    gauge_of("cooldown_credentials", "Credentials for which an endpoint rests, while one rests.",
             [](const endpoint_report& seen) -> std::optional<double> {
                 if (!seen.cooldown || seen.cooldown->resting == 0) return std::nullopt;
                 return static_cast<double>(seen.cooldown->resting);
             });
    gauge_of("overload_active", "1 while an endpoint counts as overloaded.",
             [](const endpoint_report& seen) -> std::optional<double> {
                 if (!seen.overload) return std::nullopt;
                 return seen.overload->overloaded ? 1.0 : 0.0;
             });
    gauge_of("overload_limit", "Attempts at a time that an endpoint is given, while something limits.",
             [](const endpoint_report& seen) { return seen.overload ? seen.overload->limit : std::nullopt; });
    gauge_of("overload_in_service", "Attempts that occupy a place of that limit, while some do.",
             [](const endpoint_report& seen) -> std::optional<double> {
                 if (!seen.overload || seen.overload->in_service == 0) return std::nullopt;
                 return seen.overload->in_service;
             });
    gauge_of("budget_work", "What is left for extra attempts, in work; 1 is an ordinary attempt.",
             [](const endpoint_report& seen) { return std::optional(seen.budget_level); });
    // What is in force without a sample is `initial` of the configuration.
    out.begin(gauge, "adaptive_timeout_seconds",
              "How long an attempt may take, as learned, by the shape of its answer.");
    for_each_endpoint([&](const std::string& route, const std::string& upstream, const endpoint_report& seen) {
        if (seen.latency.samples == 0) return;
        out.value(in_seconds(seen.latency.current_timeout_stream),
                  {{"route", route}, {"upstream", upstream}, {"shape", "stream"}});
        out.value(in_seconds(seen.latency.current_timeout_buffered),
                  {{"route", route}, {"upstream", upstream}, {"shape", "buffered"}});
    });
    // `quantile` is a summary's label.
    out.begin(gauge, "learned_latency_seconds", "What share of the attempts stays within, once it is known.");
    for_each_endpoint([&](const std::string& route, const std::string& upstream, const endpoint_report& seen) {
        const auto write = [&](std::optional<duration> value, std::string_view percentile) {
            if (value)
                out.value(in_seconds(*value), {{"route", route}, {"upstream", upstream}, {"percentile", percentile}});
        };
        write(seen.latency.p50, "50");
        write(seen.latency.p95, "95");
    });
    gauge_of("learned_latency_samples", "Attempts that this is learned from, while there are some.",
             [](const endpoint_report& seen) -> std::optional<double> {
                 if (seen.latency.samples == 0) return std::nullopt;
                 return seen.latency.samples;
             });
    const auto bulkhead_gauge = [&](std::string_view name, std::string_view help, auto member) {
        out.begin(gauge, name, help);
        for_each_route([&](const std::string& route, const route_report& seen) {
            if (seen.bulkhead) out.value(static_cast<double>((*seen.bulkhead).*member), {{"route", route}});
        });
    };
    bulkhead_gauge("bulkhead_in_use", "Permits that are out: requests being served.", &bulkhead::summary::in_use);
    bulkhead_gauge("bulkhead_limit", "bulkhead.max_concurrent.", &bulkhead::summary::limit);
    bulkhead_gauge("bulkhead_queued", "Requests that wait for a permit.", &bulkhead::summary::queued);
    bulkhead_gauge("bulkhead_queue_limit", "bulkhead.max_queue.", &bulkhead::summary::queue_limit);
    out.begin(gauge, "hedging_suspended",
              "1 while a route's hedges pause, because they do not win or everything is slow.");
    for_each_route([&](const std::string& route, const route_report& seen) {
        if (seen.hedging) out.value(seen.hedging->suspended || seen.hedging->slow ? 1.0 : 0.0, {{"route", route}});
    });
}

void policy_metrics::write(family_list& out, const from_start& shown, const policy_report& report,
                           wall_time wall_now) const {
    write_hedges(out, shown);
    write_circuits(out, shown);
    write_pressure(out, shown);
    write_holds(out, shown);
    write_bulkheads(out, shown);
    write_states(out, report, wall_now);
}

} // namespace evenkeel::telemetry

#pragma once
// Which series of a route or an upstream exist before anything happened. Two wishes contradict each other: rate() does
// not see the event a series begins with, so what an alert counts must be there before, with zero; and a series that
// nobody needs costs every scrape and the monitoring's memory, for every route. The rule:
//
//   1. What alerts count and what shows a route at a glance exists from the start, for each configured route and
//      upstream: requests by the usual outcomes, first attempts by result, trips of circuits, gauges of the present.
//   2. What is off for a route has no series; what is on but off by default (hedges, bulkhead, fallback, ...) has all
//      of its.
//   3. Everything else, the details, exists from its first event on, histograms from their first observation, and what
//      is known for some of the time only while it is.
//
// The rules below are that; which row is under which stands in metric_rows.cpp, and so in deploy/README.md. What a
// route counted stays when a reload turns the feature off or removes the route; only zeros go.

#include "config/settings.hpp"
#include "proxy/telemetry/metric_rows.hpp"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

namespace evenkeel::telemetry {

// The configuration in force, by name.
class from_start {
public:
    explicit from_start(config::snapshot now) : now_(std::move(now)) {
        if (!now_) return;
        for (const auto& route : now_->routes) routes_.emplace(route->name, route.get());
        const auto add = [&](const config::upstream& one) {
            upstreams_.emplace(two_names{one.name, one.endpoint.label()}, &one);
        };
        for (const auto& upstream : now_->upstreams) add(*upstream);
        for (const auto& route : now_->routes)
            for (const auto& upstream : route->upstreams) add(*upstream);
    }

    // Null: not of this configuration.
    [[nodiscard]] const config::route* route(std::string_view name) const { return find(routes_, name); }
    [[nodiscard]] const config::upstream* upstream(std::string_view name, std::string_view endpoint) const {
        return find(upstreams_, two_names{name, endpoint});
    }
    // The route, where it uses this endpoint.
    [[nodiscard]] const config::route* pair(std::string_view route_name, std::string_view upstream_name,
                                            std::string_view endpoint) const {
        const config::route* found = route(route_name);
        if (found == nullptr) return nullptr;
        const auto uses = [&](const auto& upstream) {
            return upstream->name == upstream_name && upstream->endpoint.label() == endpoint;
        };
        return std::any_of(found->upstreams.begin(), found->upstreams.end(), uses) ? found : nullptr;
    }

private:
    using two_names = std::pair<std::string_view, std::string_view>;
    template <class Map>
    [[nodiscard]] static typename Map::mapped_type find(const Map& map, const typename Map::key_type& name) {
        const auto found = map.find(name);
        return found == map.end() ? nullptr : found->second;
    }

    config::snapshot now_;
    std::map<std::string_view, const config::route*> routes_;
    std::map<two_names, const config::upstream*> upstreams_;
};

// What rows say of themselves, `presence`.
namespace row_rules {

inline bool always(const subject&, const series_place&) { return true; }
inline bool never(const subject&, const series_place&) { return false; }
inline bool in_force(const subject& of, const series_place&) { return of.in_force; }
// Of a configured route or upstream, what its configuration says.
template <auto Holds>
bool route_has(const subject& of, const series_place& at) {
    return of.configured_route != nullptr && Holds(*of.configured_route, at);
}
template <auto Holds>
bool upstream_has(const subject& of, const series_place&) {
    return of.configured_upstream != nullptr && Holds(*of.configured_upstream);
}

inline constexpr presence from_the_start{"from the start", in_force};
inline constexpr presence with_its_first{"from its first event on", never};
inline constexpr presence when_observed{"from its first observation on", never};
constexpr presence while_told(std::string_view when) { return {when, always}; } // by whoever reports it

// Whether a request of this route can be answered in this way.
inline bool may_serve(const config::route& route, request_ending how) {
    switch (how) {
    case request_ending::retried: return route.retry.max_retries > 0;
    case request_ending::rerouted:
    case request_ending::failed_over: return route.upstreams.size() > 1;
    case request_ending::hedged: return route.hedge.on;
    case request_ending::degraded: return !route.fallback.empty() || route.serves == config::route_serves::fan_out;
    default: return true;
    }
}
// What every route comes to sooner or later.
inline bool is_usual(const subject& of, const series_place& at) {
    enum : std::size_t { success, redirection, client_error, server_error, nothing };
    if (!of.in_force) return false;
    const std::size_t code_class = at[1];
    const auto how = static_cast<request_ending>(at[0]);
    switch (how) {
    case request_ending::ok:
    case request_ending::truncated: return code_class == success;
    case request_ending::upstream_error:
    case request_ending::rejected: return code_class == client_error || code_class == server_error;
    case request_ending::proxy_error: return code_class == server_error;
    case request_ending::client_cancelled: return code_class == nothing;
    case request_ending::rerouted:
    case request_ending::retried:
    case request_ending::hedged:
    case request_ending::failed_over:
    case request_ending::degraded:
        return code_class == success && of.configured_route != nullptr && may_serve(*of.configured_route, how);
    }
    return false;
}
// First attempts whose results show how an upstream is: not the caller's doing, not what hardly ever happens, and not
// what requests_total tells as well (truncated).
inline bool is_alerted(const subject& of, const series_place& at) {
    if (!of.in_force || static_cast<attempt_kind>(at[0]) != attempt_kind::first) return false;
    switch (static_cast<attempt_result>(at[1])) {
    case attempt_result::success:
    case attempt_result::credential:
    case attempt_result::server_error:
    case attempt_result::rate_limited:
    case attempt_result::overloaded:
    case attempt_result::quota:
    case attempt_result::connect_failure:
    case attempt_result::reset:
    case attempt_result::timeout: return true;
    case attempt_result::caller_error:
    case attempt_result::tls_failure:
    case attempt_result::protocol_error:
    case attempt_result::stream_error:
    case attempt_result::empty:
    case attempt_result::truncated:
    case attempt_result::cancelled: return false;
    }
    return false;
}
inline bool hedges(const config::route& route, const series_place&) { return route.hedge.on; }
inline bool trips(const config::route& route, const series_place& at) { return route.circuit_breaker.on && at[0] == 0; }
inline bool spends(const config::route& route, const series_place& at) {
    return at[0] == 0 ? route.retry.max_retries > 0 : route.hedge.on;
}
inline bool asks_upstreams(const config::route& route, const series_place&) { // only who does waits for one
    return route.serves == config::route_serves::upstream;
}
inline constexpr presence of_asking{"from the start, of routes that ask upstreams", route_has<asks_upstreams>};
inline bool paces(const config::route& route, const series_place&) {
    return std::any_of(route.upstreams.begin(), route.upstreams.end(), [](const auto& one) { return one->pace.on; });
}
inline bool has_bulkhead(const config::route& route, const series_place&) { return route.bulkhead.on; }
inline bool resumes(const config::route& route, const series_place&) {
    return route.stream.resume == config::stream_resume::verified_replay;
}
inline bool upcasts(const config::route& route, const series_place&) { return route.stream.upcast; }
inline bool coalesces(const config::route& route, const series_place&) { return route.coalesce != coalesce_mode::off; }
inline bool has_step(const config::route& route, const series_place& at) {
    return std::any_of(route.fallback.begin(), route.fallback.end(),
                       [&](const config::fallback_step& step) { return step.is == static_cast<fallback_kind>(at[0]); });
}
inline bool has_ladder(const config::route& route, const series_place&) { // one that can fail: `respond` always answers
    return has_step(route, {static_cast<std::size_t>(fallback_kind::last_good)}) ||
           has_step(route, {static_cast<std::size_t>(fallback_kind::route)});
}
inline bool warms(const config::upstream& upstream) { return upstream.prewarm.on; }
inline bool probes(const config::upstream& upstream) {
    return upstream.prewarm.on && !upstream.prewarm.probe_path.empty();
}

} // namespace row_rules

} // namespace evenkeel::telemetry

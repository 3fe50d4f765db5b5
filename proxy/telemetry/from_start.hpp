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
// README.md's table marks what exists from the start. What a route counted stays when a reload turns the feature off or
// removes the route; only zeros go.

#include "config/settings.hpp"

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
        const auto add = [&](const config::upstream& one) { upstreams_.emplace(one.name, &one); };
        for (const auto& upstream : now_->upstreams) add(*upstream);
        for (const auto& route : now_->routes)
            for (const auto& upstream : route->upstreams) add(*upstream);
    }

    // Null: not of this configuration.
    [[nodiscard]] const config::route* route(std::string_view name) const { return find(routes_, name); }
    [[nodiscard]] const config::upstream* upstream(std::string_view name) const { return find(upstreams_, name); }
    // The route, where it uses this upstream.
    [[nodiscard]] const config::route* pair(std::string_view route_name, std::string_view upstream_name) const {
        const config::route* found = route(route_name);
        if (found == nullptr) return nullptr;
        const auto uses = [&](const auto& upstream) { return upstream->name == upstream_name; };
        return std::any_of(found->upstreams.begin(), found->upstreams.end(), uses) ? found : nullptr;
    }

private:
    template <class Map>
    [[nodiscard]] static typename Map::mapped_type find(const Map& map, std::string_view name) {
        const auto found = map.find(name);
        return found == map.end() ? nullptr : found->second;
    }

    config::snapshot now_;
    std::map<std::string_view, const config::route*> routes_;
    std::map<std::string_view, const config::upstream*> upstreams_;
};

} // namespace evenkeel::telemetry

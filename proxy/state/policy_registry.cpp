#include "proxy/state/policy_registry.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel::request {

namespace {
// '\n' is in no name.
std::string pair_key(const config::route& route, const config::upstream& upstream) {
    return route.name + '\n' + upstream.name;
}

// The object of a key: made with `options`, or given them.
template <class Map, class Options>
auto* configured(Map& map, const std::string& key, const Options& options) {
    auto& slot = map[key];
    if (slot) {
        slot->configure(options);
    } else {
        slot = std::make_unique<typename Map::mapped_type::element_type>(options);
    }
    return slot.get();
}

std::shared_ptr<const shuffle_shard> shard_of(const config::route& route) {
    std::vector<std::string> names;
    for (const auto& upstream : route.upstreams) names.push_back(upstream->name);
    return std::make_shared<const shuffle_shard>(
        names, route.balance == balance_kind::weighted ? route.weights : std::vector<double>{},
        route.shuffle_shard.size);
}

template <class Map>
auto* existing_or_new(Map& map, const std::string& key) {
    auto& slot = map[key];
    if (!slot) slot = std::make_unique<typename Map::mapped_type::element_type>();
    return slot.get();
}
} // namespace

endpoint_policies policy_registry::endpoint_of(const config::route& route, const config::upstream& upstream) {
    const std::string pair = pair_key(route, upstream);
    const std::string& circuit_key =
        route.own_circuit || route.circuit_breaker.scope == circuit_scope::route ? pair : upstream.name;
    endpoint_policies made;
    made.own_credential = config::hides_callers(route, upstream);
    made.budget = configured(budgets_, route.own_budget ? pair : upstream.name, route.retry.budget);
    made.latency = configured(latencies_, pair, route.timeout.adaptive);
    if (route.circuit_breaker.on) made.circuit = configured(circuits_, circuit_key, route.circuit_breaker);
    if (route.cooldown.on) made.rest = configured(rests_, upstream.name, route.cooldown);
    if (route.overload.on || route.circuit_breaker.on)
        made.load = configured(loads_, route.shuffle_shard.on ? pair : route.name, route.overload);
    return made;
}

std::shared_ptr<const policy_set> policy_registry::prepare(const config::settings& settings) {
    const std::scoped_lock lock(mutex_);
    auto set = std::make_shared<policy_set>();
    for (const auto& route : settings.routes) {
        route_policies& policies = set->routes_[route.get()];
        for (const auto& upstream : route->upstreams) policies.endpoints.push_back(endpoint_of(*route, *upstream));
        policies.line = existing_or_new(lines_, route->name);
        if (route->hedge.on) policies.guard = existing_or_new(guards_, route->name);
        if (route->bulkhead.on) policies.bulkhead = configured(bulkheads_, route->name, route->bulkhead);
        if (route->shuffle_shard.on) policies.shard = shard_of(*route);
        if (route->balance == balance_kind::failover || route->upstreams.empty()) continue;
        std::vector<double> weights = route->weights;
        weights.resize(route->upstreams.size(), 1.0);
        auto& balance = balances_[route->name];
        if (balance) {
            balance->configure(route->balance, std::move(weights));
        } else {
            balance = std::make_unique<balancer>(route->balance, std::move(weights));
        }
        policies.balance = balance.get();
    }
    return set;
}

telemetry::policy_report policy_registry::report(const config::settings& settings, steady_time now) {
    const auto set = prepare(settings);
    telemetry::policy_report all;
    all.at = now;
    for (const auto& route : settings.routes) {
        if (route->upstreams.empty()) continue;
        const route_policies& policies = set->of(*route);
        auto& shown = all.routes.emplace_back();
        shown.route = route->name;
        shown.holding = policies.line->size();
        if (policies.bulkhead != nullptr) shown.bulkhead = policies.bulkhead->report();
        if (policies.guard != nullptr) shown.hedging = policies.guard->report(route->hedge, now);
        for (std::size_t i = 0; i < policies.endpoints.size(); ++i) {
            const endpoint_policies& from = policies.endpoints[i];
            auto& to = shown.endpoints.emplace_back();
            to.upstream = route->upstreams[i]->name;
            to.latency = from.latency->report(now);
            if (from.circuit != nullptr)
                to.circuit = from.circuit->report({.alone = true, .usual_p95 = to.latency.p95}, now);
            if (from.rest != nullptr) to.cooldown = from.rest->report(now);
            if (from.load != nullptr && route->overload.on) to.overload = from.load->report(now);
            to.budget_level = from.budget->level(now);
            to.budget_burst = route->retry.budget.burst;
        }
    }
    return all;
}

bool policy_registry::force(const std::string& route, const std::string& upstream, std::optional<circuit_state> state,
                            steady_time now) {
    const std::scoped_lock lock(mutex_);
    bool found = false;
    for (auto& [key, circuit] : circuits_) {
        const std::size_t border = key.find('\n');
        const bool shared = border == std::string::npos;
        const bool same = shared
                              ? key == upstream && route.empty()
                              : key.substr(border + 1) == upstream && (route.empty() || key.substr(0, border) == route);
        if (!same) continue;
        static_cast<void>(circuit->force(state, now));
        found = true;
    }
    return found;
}

} // namespace evenkeel::request

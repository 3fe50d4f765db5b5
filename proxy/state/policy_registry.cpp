#include "proxy/state/policy_registry.hpp"

#include "proxy/reading/principal.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace evenkeel::request {

namespace {
// The object of a key: made with `options`, or given them.
template <class Map, class Options>
auto configured(Map& map, const typename Map::key_type& key, const Options& options) {
    auto& slot = map[key];
    if (slot) {
        slot->configure(options);
    } else {
        slot = std::make_shared<typename Map::mapped_type::element_type>(options);
    }
    return slot;
}

template <class Map>
auto existing_or_new(Map& map, const typename Map::key_type& key) {
    auto& slot = map[key];
    if (!slot) slot = std::make_shared<typename Map::mapped_type::element_type>();
    return slot;
}

std::shared_ptr<const shuffle_shard> shard_of(const config::route& route) {
    std::vector<std::string> names;
    for (const auto& upstream : route.upstreams) {
        const std::string_view endpoint = upstream->endpoint.label();
        names.push_back(endpoint.empty() ? upstream->name : upstream->name + '\n' + std::string(endpoint));
    }
    return std::make_shared<const shuffle_shard>(
        names, route.balance == balance_kind::weighted ? route.weights : std::vector<double>{},
        route.shuffle_shard.size);
}

// Whether a name still stands for the same secret, and nothing else: the key of the hash is this process's own.
std::uint64_t secret_of(const config::credential& shown) {
    std::string all;
    for (const auto& [name, value] : shown.set) all.append(name).append(1, '\0').append(value).append(1, '\0');
    return secret_hash(all);
}

// What was shown before may still be refused, to requests that are under way: that is nothing to the next one under
// this name, which has but an operator's word in common with it.
std::shared_ptr<credential_lane> in_place_of(credential_lane& before, std::uint64_t secret,
                                             const cooldown_options& options) {
    auto next = std::make_shared<credential_lane>(options);
    static_cast<void>(next->shows(secret));
    const credential_lane::summary said = before.report(steady_time{});
    if (said.state == credential_state::drained) next->drain();
    if (said.by_operator && said.until) next->rest_until(*said.until);
    return next;
}

balance_options balance_of(const config::route& route) {
    balance_options out{.kind = route.balance, .upstreams = {}};
    for (std::size_t at = 0; at < route.upstreams.size(); ++at) {
        const config::upstream& one = *route.upstreams[at];
        if (out.upstreams.empty() || out.upstreams.back().name != one.name) {
            const double weight = at < route.weights.size() ? route.weights[at] : 1;
            out.upstreams.push_back({.name = one.name, .weight = weight, .kind = one.balance, .endpoints = {}});
        }
        out.upstreams.back().endpoints.push_back(one.endpoint.authority);
    }
    return out;
}

// Those of its models whose circuit is not closed, or which alone are asked second here.
std::vector<telemetry::model_report> models_of(const endpoint_policies& from, steady_time now) {
    std::vector<telemetry::model_report> all;
    if (from.models != nullptr) {
        for (auto& one : from.models->report(now)) all.push_back({one.model, std::move(one.name), one.circuit, {}});
    }
    for (auto& one : from.doubt->report()) {
        const auto known = std::find_if(all.begin(), all.end(), [&](const auto& as) { return as.model == one.model; });
        if (known != all.end())
            known->doubt = one.doubt;
        else
            all.push_back({one.model, std::move(one.name), {}, one.doubt});
    }
    return all;
}
} // namespace

endpoint_policies policy_registry::endpoint_of(const config::route& route, const config::upstream& upstream,
                                               policy_set& holder, purpose what) {
    const bool own_circuit = route.own_circuit || route.circuit_breaker.scope == circuit_scope::route;
    const bool of_all = route.circuit_breaker.scope == circuit_scope::upstream;
    const bool passing = !upstream.endpoint.address.empty();
    const std::string nowhere;
    const auto at_endpoint = [&](const std::string& by) {
        return key{by, upstream.name, upstream.endpoint.authority, passing};
    };
    const auto at_upstream = [&](bool own) { return key{own ? route.name : nowhere, upstream.name, {}, false}; };
    const auto hold = [&](auto object) {
        holder.held_.push_back(object);
        return object.get();
    };
    endpoint_policies made;
    made.own_credential = config::hides_callers(route, upstream);
    made.budget = configured(budgets_, at_upstream(route.own_budget), route.retry.budget).get();
    made.latency = hold(configured(latencies_, at_endpoint(route.name), route.timeout.adaptive));
    made.rescues = hold(existing_or_new(rescues_, at_endpoint(route.name)));
    made.doubt = hold(existing_or_new(doubts_, at_endpoint(own_circuit ? route.name : nowhere)));
    if (route.circuit_breaker.on) {
        const key whose = of_all ? at_upstream(own_circuit) : at_endpoint(own_circuit ? route.name : nowhere);
        made.circuit = hold(configured(circuits_, whose, route.circuit_breaker));
        made.models = hold(configured(models_, whose, route.circuit_breaker));
    }
    if (route.cooldown.on) made.rest = hold(configured(rests_, at_endpoint(nowhere), route.cooldown));
    if (route.overload.on || route.circuit_breaker.on) {
        const bool each = route.shuffle_shard.on || upstream.endpoint.of_several;
        made.load = hold(configured(loads_, each ? at_endpoint(route.name) : key{route.name, {}, {}}, route.overload));
        if (!each && route.upstreams.size() > 1) made.share = hold(existing_or_new(shares_, at_endpoint(route.name)));
    }
    made.paces = upstream.pace.on;
    if (upstream.pace.on && (upstream.credentials.empty() || upstream.quota_scope == quota_scope::upstream))
        made.paced = hold(configured(paces_, at_upstream(false), upstream.pace));
    if (!upstream.credentials.empty()) made.lanes = hold(lanes_of(route, upstream, what));
    if (upstream.endpoint.of_several) made.gone = hold(existing_or_new(gone_, at_endpoint(nowhere)));
    return made;
}

std::shared_ptr<const credential_lanes> policy_registry::lanes_of(const config::route& route,
                                                                  const config::upstream& upstream, purpose what) {
    std::vector<std::shared_ptr<credential_lane>> all;
    for (const config::credential& one : upstream.credentials) {
        const key whose{{}, upstream.name, one.name};
        auto lane = configured(lanes_, whose, route.cooldown);
        // A report may be of a configuration that another has taken the place of since.
        if (what == purpose::use && lane->shows(secret_of(one)))
            lane = lanes_[whose] = in_place_of(*lane, secret_of(one), route.cooldown);
        all.push_back(std::move(lane));
    }
    std::shared_ptr<cooldown> common;
    if (upstream.quota_scope == quota_scope::upstream)
        common = configured(quotas_, key{{}, upstream.name, {}}, route.cooldown);
    std::vector<std::shared_ptr<pace>> paces;
    if (upstream.pace.on) {
        for (const config::credential& one : upstream.credentials) {
            const bool own = upstream.quota_scope == quota_scope::credential;
            paces.push_back(configured(paces_, key{{}, upstream.name, own ? one.name : std::string{}}, upstream.pace));
        }
    }
    return std::make_shared<const credential_lanes>(std::move(all), upstream.credential_order, std::move(common),
                                                    std::move(paces));
}

std::shared_ptr<policy_set> policy_registry::make_set(const config::settings& settings, purpose what) {
    auto set = std::make_shared<policy_set>();
    for (const auto& who : settings.clients)
        set->clients_.push_back(
            configured(clients_, key{who->name, {}, {}}, client_limit_options{.max_concurrent = who->max_concurrent})
                .get());
    for (const auto& route : settings.routes) {
        const key whole{route->name, {}, {}};
        route_policies& policies = set->routes_[route.get()];
        for (const auto& upstream : route->upstreams)
            policies.endpoints.push_back(endpoint_of(*route, *upstream, *set, what));
        policies.line = existing_or_new(lines_, whole).get();
        if (std::any_of(policies.endpoints.begin(), policies.endpoints.end(), [](const auto& at) { return at.paces; }))
            policies.tokens = existing_or_new(tokens_, whole).get();
        if (route->hedge.on) policies.guard = existing_or_new(guards_, whole).get();
        if (route->bulkhead.on) policies.bulkhead = configured(bulkheads_, whole, route->bulkhead).get();
        if (route->shuffle_shard.on) policies.shard = shard_of(*route);
        if (const balance_options balance = balance_of(*route); balance.chooses())
            policies.balance = std::make_unique<balancer>(existing_or_new(balances_, whole), balance);
    }
    return set;
}

std::shared_ptr<const policy_set> policy_registry::prepare(const config::settings& settings) {
    const std::scoped_lock lock(mutex_);
    auto set = make_set(settings, purpose::use);
    tell_who_is_gone(settings);
    forget_the_passed();
    return set;
}

void policy_registry::tell_who_is_gone(const config::settings& settings) {
    std::set<std::pair<std::string_view, std::string_view>> present;
    for (const auto& each : settings.upstreams) present.emplace(each->name, each->endpoint.authority);
    for (const auto& [whose, gone] : gone_)
        gone->store(!present.contains({whose.upstream, whose.endpoint}), std::memory_order_relaxed);
}

// What nobody but the registry holds.
void policy_registry::forget_the_passed() {
    const auto forget = [](auto&... maps) {
        (std::erase_if(maps, [](const auto& one) { return one.first.passing && one.second.use_count() == 1; }), ...);
    };
    forget(circuits_, models_, rests_, loads_, shares_, latencies_, rescues_, doubts_, gone_);
}

namespace {
// Where all of them rest, the endpoint does, until the first of them may be asked.
void report_pace(const config::upstream& upstream, const endpoint_policies& from, telemetry::endpoint_report& to,
                 steady_time now) {
    if (from.paced != nullptr) {
        for (auto& one : from.paced->report(now)) to.pace.push_back({{}, std::move(one)});
    } else if (from.lanes != nullptr) {
        for (lane_index at = 0; at < from.lanes->size(); ++at) {
            for (auto& one : from.lanes->report_pace(at, now))
                to.pace.push_back({upstream.credentials[at].name, std::move(one)});
        }
    }
}
void report_credentials(const config::upstream& upstream, const credential_lanes& lanes, telemetry::endpoint_report& to,
                        steady_time now) {
    cooldown::summary all;
    bool any_left = false;
    for (lane_index at = 0; at < lanes.size(); ++at) {
        const auto& one = to.credentials.emplace_back(
            telemetry::credential_report{upstream.credentials[at].name, lanes.report(at, now)});
        any_left = any_left || one.seen.state == credential_state::well;
        ++all.resting;
        if (!one.seen.until || (all.until && *all.until <= *one.seen.until)) continue;
        all.until = one.seen.until;
        all.why = one.seen.why;
    }
    if (any_left || !all.until || *all.until <= now) return;
    if (to.cooldown && to.cooldown->until && *to.cooldown->until > *all.until) return;
    to.cooldown = all;
}
} // namespace

telemetry::policy_report policy_registry::report(const config::settings& settings, steady_time now) {
    const auto set = [&] {
        const std::scoped_lock lock(mutex_);
        return make_set(settings, purpose::report);
    }();
    telemetry::policy_report all;
    all.at = now;
    for (const auto& who : settings.clients) all.clients.push_back({who->name, set->of(*who).report()});
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
            to.endpoint = route->upstreams[i]->endpoint.label();
            to.latency = from.latency->report(now);
            to.doubt = from.doubt->whole().report();
            to.models = models_of(from, now);
            if (from.circuit != nullptr)
                to.circuit = from.circuit->report({.alone = true, .usual_p95 = to.latency.p95}, now);
            if (from.rest != nullptr) to.cooldown = from.rest->report(now);
            to.paces = from.paces;
            if (from.paces) report_pace(*route->upstreams[i], from, to, now);
            if (from.lanes != nullptr) report_credentials(*route->upstreams[i], *from.lanes, to, now);
            if (from.load != nullptr && route->overload.on) to.overload = from.load->report(now);
            to.budget_level = from.budget->level(now);
            to.budget_burst = route->retry.budget.burst;
        }
    }
    return all;
}

bool policy_registry::force(const std::string& route, const std::string& upstream, const std::string& endpoint,
                            std::optional<circuit_state> state, steady_time now) {
    const std::scoped_lock lock(mutex_);
    const auto meant = [&](const key& whose) {
        return whose.upstream == upstream && (route.empty() || whose.route == route) &&
               (endpoint.empty() || whose.endpoint == endpoint);
    };
    bool found = false;
    for (auto& [whose, circuit] : circuits_) {
        if (!meant(whose)) continue;
        static_cast<void>(circuit->force(state, now));
        found = true;
    }
    for (auto& [whose, models] : models_) {
        if (meant(whose)) models->hold(state.has_value());
    }
    for (auto& [whose, doubt] : doubts_) { // whoever closes a circuit knows that the endpoint is well
        if (state == circuit_state::closed && meant(whose)) doubt->clear();
    }
    return found;
}

std::optional<std::size_t> policy_registry::end_rests(const std::string& upstream, const std::string& endpoint,
                                                      steady_time now) {
    const std::scoped_lock lock(mutex_);
    std::optional<std::size_t> ended;
    for (auto& [whose, rest] : rests_) {
        if (whose.upstream != upstream || (!endpoint.empty() && whose.endpoint != endpoint)) continue;
        ended = ended.value_or(0) + rest->end_all(now);
    }
    if (!endpoint.empty()) return ended;
    for (auto& [whose, quota] : quotas_) {
        if (whose.upstream == upstream) ended = ended.value_or(0) + quota->end_all(now);
    }
    for (auto& [whose, lane] : lanes_) {
        if (whose.upstream == upstream) ended = ended.value_or(0) + lane->end_rests(now);
    }
    return ended;
}

std::size_t policy_registry::say(const std::string& upstream, const std::string& credential,
                                 const credential_word& word, steady_time now) {
    const std::scoped_lock lock(mutex_);
    std::size_t meant = 0;
    for (auto& [whose, lane] : lanes_) {
        if (whose.upstream != upstream || (!credential.empty() && whose.endpoint != credential)) continue;
        ++meant;
        switch (word.is) {
        case credential_word::kind::drained: lane->drain(); break;
        case credential_word::kind::resting: lane->rest_until(word.until); break;
        case credential_word::kind::well: lane->revive(now); break;
        }
    }
    if (word.is == credential_word::kind::well && meant > 0) {
        for (auto& [whose, quota] : quotas_) {
            if (whose.upstream == upstream) static_cast<void>(quota->end_all(now));
        }
    }
    return meant;
}

} // namespace evenkeel::request

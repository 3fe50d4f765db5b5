#include "proxy/admin/overview_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

namespace evenkeel::admin {

namespace {

using telemetry::health_view;
using telemetry::route_health;
using telemetry::upstream_health;

constexpr double worth_a_word = 0.05;          // of a route's requests fail (chosen)
constexpr std::uint64_t enough_to_be_sure = 3; // failures without a success: one caller's bad luck is no outage
constexpr double most_of_them = 0.5;           // of an endpoint's attempts
constexpr duration still_so =
    std::chrono::seconds{15}; // since its last failure, where it has had successes: what is over is no news
constexpr std::size_t most_named = 3;

// Whole seconds, so that a countdown ticks and does not flicker.
std::string span(duration length) {
    const double seconds = std::max(std::ceil(in_seconds(length)), 0.0);
    if (seconds < 120) return fmt::format("{:.0f} s", seconds);
    if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
    return fmt::format("{:.0f} h", seconds / 3600);
}

std::string spaced(std::string_view word) {
    std::string out(word);
    std::replace(out.begin(), out.end(), '_', ' ');
    return out;
}

std::string name_of(const upstream_health& of) {
    return of.endpoint.empty() ? of.name : fmt::format("{} ({})", of.name, of.endpoint);
}

// "a, b, c and 2 more"
std::string named(const std::vector<std::string>& names) {
    std::string out;
    for (std::size_t at = 0; at < std::min(names.size(), most_named); ++at) {
        if (at > 0) out += at + 1 == names.size() ? " and " : ", ";
        out += names[at];
    }
    if (names.size() > most_named) out += fmt::format(" and {} more", names.size() - most_named);
    return out;
}

std::string last_of(const upstream_health& of) {
    std::string out = fmt::format(", the last: {}", spaced(to_string(of.last_failure->result)));
    if (of.last_failure->status != 0) out += fmt::format(" {}", of.last_failure->status);
    return out;
}

bool is_failing(const upstream_health& of, steady_time now) noexcept {
    const auto& seen = of.seen;
    const std::uint64_t failures = seen.requests - seen.successes;
    return failures >= enough_to_be_sure &&
           static_cast<double>(failures) >= most_of_them * static_cast<double>(seen.requests) && of.last_failure &&
           (seen.successes == 0 || now - of.last_failure->at < still_so);
}

std::string why_open(const upstream_health& of, steady_time now) {
    const auto& circuit = *of.policies->circuit;
    std::string out = "has an open circuit";
    if (circuit.consecutive_failures > 0 && circuit.failures > 0)
        out += fmt::format(" after {} failure{} in a row", circuit.consecutive_failures,
                           circuit.consecutive_failures == 1 ? "" : "s");
    else if (circuit.failures > 0)
        out += fmt::format(" after {} of {} attempts failed", circuit.failures, circuit.calls);
    if (of.last_failure && circuit.failures > 0) out += last_of(of);
    if (circuit.next_probe)
        out += *circuit.next_probe > now ? fmt::format("; next probe in {}", span(*circuit.next_probe - now))
                                         : "; the next request probes it";
    return out;
}

// What holds for single models of an endpoint that is up.
std::string about_models(const upstream_health& of, steady_time now) {
    std::vector<std::string> broken, probed, second;
    if (!of.policies) return {};
    for (const auto& one : of.policies->models) {
        const std::string name = one.name.empty() ? "others" : one.name;
        const auto& circuit = one.circuit;
        if (!circuit) {
            second.push_back(name);
        } else if (circuit->state == circuit_state::half_open) {
            probed.push_back(name);
        } else {
            broken.push_back(circuit->next_probe && *circuit->next_probe > now
                                 ? fmt::format("{} (next probe in {})", name, span(*circuit->next_probe - now))
                                 : name);
        }
    }
    std::string out;
    const auto add = [&](std::string_view what, const std::vector<std::string>& names) {
        if (names.empty()) return;
        out += fmt::format("{}{} for the model{} {}", out.empty() ? "" : "; ", what, names.size() == 1 ? "" : "s",
                           named(names));
    };
    add("has an open circuit", broken);
    add("is probed", probed);
    add("is asked second", second);
    return out;
}

bool is_up(endpoint_state state) noexcept { return state <= endpoint_state::held_closed; }

double failing_share(const route_health& of) noexcept { return of.seen.success_rate ? 1 - *of.seen.success_rate : 0; }

// Who is asked in its place, as a clause; empty where that is nothing to tell.
std::string stand_in_for(const route_health& route, const upstream_health& away, steady_time now) {
    const auto& all = route.upstreams;
    if (all.empty() || &all.front() != &away) return {};
    const auto other =
        std::find_if(all.begin(), all.end(), [&](const upstream_health& one) { return is_up(state_of(one, now)); });
    if (other == all.end()) return {};
    return fmt::format("; {} takes its traffic", name_of(*other));
}

void add_endpoints(std::vector<std::string>& told, const health_view& health) {
    struct trouble {
        bool of_dead_route; // why something does not serve comes first
        endpoint_state state;
        std::string says;
    };
    std::vector<trouble> all;
    std::set<std::string> names;
    for (const auto& route : health.routes) {
        for (const auto& endpoint : route.upstreams) {
            const endpoint_state state = state_of(endpoint, health.at);
            if (is_up(state) || !names.insert(name_of(endpoint)).second) continue;
            all.push_back({state_of(route, health.at) == route_state::down, state,
                           fmt::format("{} {}{}.", name_of(endpoint), note_of(endpoint, health.at),
                                       stand_in_for(route, endpoint, health.at))});
        }
    }
    std::stable_sort(all.begin(), all.end(), [](const trouble& a, const trouble& b) {
        return std::pair(a.of_dead_route, a.state) > std::pair(b.of_dead_route, b.state);
    });
    for (std::size_t at = 0; at < std::min(all.size(), most_named); ++at) told.push_back(std::move(all[at].says));
    if (all.size() > most_named)
        told.push_back(all.size() == most_named + 1
                           ? "One more endpoint is not up."
                           : fmt::format("{} more endpoints are not up.", all.size() - most_named));
}

// Endpoints that are up, but not for every model.
bool add_models(std::vector<std::string>& told, const health_view& health) {
    std::set<std::string> names;
    for (const auto& route : health.routes) {
        for (const auto& endpoint : route.upstreams) {
            if (state_of(endpoint, health.at) != endpoint_state::up) continue;
            const std::string says = about_models(endpoint, health.at);
            if (says.empty() || !names.insert(name_of(endpoint)).second) continue;
            if (names.size() <= most_named) told.push_back(fmt::format("{} {}.", name_of(endpoint), says));
        }
    }
    return !names.empty();
}

// What does not pass by itself, or somebody should remember. True: there is some of it.
bool add_credentials(std::vector<std::string>& told, const health_view& health) {
    std::vector<std::string> dead, drained;
    std::set<std::string> seen;
    for (const auto& route : health.routes) {
        for (const auto& endpoint : route.upstreams) {
            if (!endpoint.policies || !seen.insert(endpoint.name).second) continue;
            for (const auto& key : endpoint.policies->credentials) {
                const std::string name = fmt::format("'{}' of {}", key.name, endpoint.name);
                if (key.seen.state == credential_state::drained) drained.push_back(name);
                if (key.seen.state == credential_state::dead)
                    dead.push_back(
                        fmt::format("{} ({})", name, key.seen.why == outcome_kind::quota ? "money" : "not accepted"));
            }
        }
    }
    if (!dead.empty()) told.push_back(fmt::format("Dead credential{}: {}.", dead.size() == 1 ? "" : "s", named(dead)));
    if (!drained.empty())
        told.push_back(
            fmt::format("Drained by an operator: credential{} {}.", drained.size() == 1 ? "" : "s", named(drained)));
    return !dead.empty() || !drained.empty();
}

void add_failures(std::vector<std::string>& told, const health_view& health) {
    std::size_t failing = 0;
    for (const auto& route : health.routes) {
        if (failing_share(route) < worth_a_word || state_of(route, health.at) == route_state::down) continue;
        if (++failing > 2) continue;
        told.push_back(fmt::format("{}: {} of {} requests failed in the last minute.", route.name,
                                   route.seen.requests - route.seen.successes, route.seen.requests));
    }
    if (failing > 2) told.push_back(fmt::format("So it is with {} more.", failing - 2));
}

std::string about_routes(const health_view& health) {
    std::vector<std::string> down;
    for (const auto& route : health.routes)
        if (state_of(route, health.at) == route_state::down) down.push_back(route.name);
    const std::size_t all = health.routes.size();
    if (all == 0) return "No route has an upstream.";
    if (down.empty() && all == 1) return health.routes[0].name + " serves.";
    if (down.empty()) return all == 2 ? "Both routes serve." : fmt::format("All {} routes serve.", all);
    if (down.size() == all && all > 1) return fmt::format("None of the {} routes serves.", all);
    if (down.size() == 1)
        return fmt::format("{} does not serve{}.", down[0],
                           all == 1 ? "" : fmt::format("; {} of {} {}", all - 1, all, all == 2 ? "does" : "do"));
    return fmt::format("{} of {} routes do not serve: {}.", down.size(), all, named(down));
}

} // namespace

std::string_view to_string(endpoint_state state) noexcept {
    switch (state) {
    case endpoint_state::up: return "up";
    case endpoint_state::held_closed: return "held_closed";
    case endpoint_state::second: return "second";
    case endpoint_state::failing: return "failing";
    case endpoint_state::overloaded: return "overloaded";
    case endpoint_state::rests: return "rests";
    case endpoint_state::half_open: return "half_open";
    case endpoint_state::open: return "open";
    case endpoint_state::held_open: return "held_open";
    }
    return "up";
}

std::string_view to_string(route_state state) noexcept {
    switch (state) {
    case route_state::serves: return "serves";
    case route_state::disturbed: return "disturbed";
    case route_state::degraded: return "degraded";
    case route_state::down: return "down";
    }
    return "serves";
}

std::string_view to_string(alarm_level level) noexcept {
    switch (level) {
    case alarm_level::calm: return "calm";
    case alarm_level::notice: return "notice";
    case alarm_level::trouble: return "trouble";
    case alarm_level::down: return "down";
    }
    return "calm";
}

endpoint_state state_of(const upstream_health& of, steady_time now) {
    if (!of.policies) return is_failing(of, now) ? endpoint_state::failing : endpoint_state::up;
    const auto& policies = *of.policies;
    const auto& circuit = policies.circuit;
    if (circuit && circuit->state == circuit_state::open)
        return circuit->forced ? endpoint_state::held_open : endpoint_state::open;
    if (circuit && circuit->state == circuit_state::half_open) return endpoint_state::half_open;
    if (policies.cooldown && policies.cooldown->until && *policies.cooldown->until > now) return endpoint_state::rests;
    if (policies.overload && policies.overload->active) return endpoint_state::overloaded;
    if (is_failing(of, now)) return endpoint_state::failing;
    if (policies.doubt) return endpoint_state::second;
    return circuit && circuit->forced ? endpoint_state::held_closed : endpoint_state::up;
}

route_state state_of(const route_health& of, steady_time now) {
    const bool nothing_works = of.seen.successes == 0 && of.seen.requests >= enough_to_be_sure;
    const bool nobody_to_ask = of.circuit == circuit_state::open;
    // The ladder's answers count as failures of the service; whoever has them has an answer.
    if (of.degraded) return route_state::degraded;
    if (nothing_works || nobody_to_ask) return route_state::down;
    const bool all_up = std::all_of(of.upstreams.begin(), of.upstreams.end(),
                                    [&](const upstream_health& one) { return is_up(state_of(one, now)); });
    return !all_up || of.holding > 0 || failing_share(of) >= worth_a_word ? route_state::disturbed
                                                                          : route_state::serves;
}

std::string note_of(const upstream_health& of, steady_time now) {
    switch (state_of(of, now)) {
    case endpoint_state::up: return about_models(of, now);
    case endpoint_state::held_closed: return "has a circuit that an operator holds closed";
    case endpoint_state::held_open: return "is held open by an operator: nothing is sent there";
    case endpoint_state::open: return why_open(of, now);
    case endpoint_state::half_open: return "is probed: a few requests find out whether it is well";
    case endpoint_state::rests: {
        const auto& rest = *of.policies->cooldown;
        return fmt::format("rests ({}{}) for {} more", spaced(to_string(rest.why)),
                           rest.resting > 1 ? fmt::format(", {} models or credentials", rest.resting) : "",
                           span(*rest.until - now));
    }
    case endpoint_state::overloaded: {
        const auto& limit = of.policies->overload->limit;
        return limit ? fmt::format("is overloaded, and given {:.0f} attempts at a time", *limit) : "is overloaded";
    }
    case endpoint_state::failing:
        return fmt::format("fails: {} of {} attempts in the last minute{}", of.seen.requests - of.seen.successes,
                           of.seen.requests, last_of(of));
    case endpoint_state::second: {
        const auto& doubt = *of.policies->doubt;
        return fmt::format("is asked second, {} {}", doubt.slow ? "slow for" : "since it was silent",
                           doubt.slow ? span(now - doubt.since) : span(now - doubt.since) + " ago");
    }
    }
    return {};
}

overall overall_of(const whole_state& of) {
    const auto& routes = of.health.routes;
    std::vector<std::string> told;
    alarm_level level = alarm_level::calm;
    const auto at_least = [&](alarm_level least) { level = std::max(level, least); };

    if (!of.not_ready.empty()) {
        told.push_back(fmt::format("Not ready: {}.", of.not_ready));
        at_least(alarm_level::notice);
    }
    told.push_back(about_routes(of.health));
    std::vector<std::string> degraded;
    std::size_t holding = 0;
    for (const auto& route : routes) {
        const route_state state = state_of(route, of.health.at);
        if (state == route_state::degraded) degraded.push_back(route.name);
        if (state == route_state::down) at_least(alarm_level::down);
        if (state != route_state::serves) at_least(alarm_level::trouble);
        holding += route.holding;
    }
    if (!degraded.empty())
        told.push_back(fmt::format("{} {} by the fallback.", named(degraded),
                                   degraded.size() == 1 ? "is answered" : "are answered"));
    add_endpoints(told, of.health);
    if (add_models(told, of.health)) at_least(alarm_level::notice);
    if (add_credentials(told, of.health)) at_least(alarm_level::notice);
    add_failures(told, of.health);
    if (holding > 0)
        told.push_back(fmt::format("{} request{} for an upstream.", holding, holding == 1 ? " waits" : "s wait"));
    if (of.chaos_rules > 0) {
        told.push_back(fmt::format("A rehearsal is on: {} rule{} faults on purpose.", of.chaos_rules,
                                   of.chaos_rules == 1 ? " injects" : "s inject"));
        at_least(alarm_level::notice);
    }
    if (of.configuration != nullptr && !of.configuration->last_reload_taken) {
        told.emplace_back("The last reload failed: the configuration before it stays in force.");
        at_least(alarm_level::trouble);
    }
    if (of.configuration != nullptr && !of.configuration->restart_required.empty()) {
        told.push_back(
            fmt::format("A changed key waits for a restart: {}.", named(of.configuration->restart_required)));
        at_least(alarm_level::notice);
    }
    std::string sentence;
    for (const std::string& each : told) sentence += (sentence.empty() ? "" : " ") + each;
    return {level, std::move(sentence)};
}

} // namespace evenkeel::admin

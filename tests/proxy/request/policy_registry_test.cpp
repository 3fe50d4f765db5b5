#include "proxy/state/policy_registry.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test::policy_registry_test {

using namespace std::chrono_literals;

namespace {
std::shared_ptr<config::upstream> upstream_named(const std::string& name) {
    auto made = std::make_shared<config::upstream>();
    made->name = name;
    return made;
}
config::settings settings_of(double burst, double own_burst) {
    const auto a = upstream_named("a"), b = upstream_named("b");
    config::settings made;
    made.upstreams = {a, b};
    for (const std::string name : {"one", "two", "own"}) {
        auto route = std::make_shared<config::route>();
        route->name = name;
        route->upstreams = {a, b};
        route->own_budget = name == "own";
        route->retry.budget.burst = route->own_budget ? own_burst : burst;
        made.routes.push_back(route);
    }
    return made;
}
constexpr steady_time now{1000s};
} // namespace

TEST_CASE("routes share the budget of an upstream, unless they have their own") {
    request::policy_registry registry;
    const auto settings = settings_of(10, 3);
    const auto set = registry.prepare(settings);
    const auto budget = [&](std::size_t route, std::size_t at) {
        return set->of(*settings.routes[route]).endpoints.at(at).budget;
    };
    CHECK(budget(0, 0) == budget(1, 0));
    CHECK(budget(0, 0) != budget(0, 1));
    CHECK(budget(2, 0) != budget(0, 0));
    CHECK(budget(0, 0)->level(now) == 10);
    CHECK(budget(2, 0)->level(now) == 3);
}

TEST_CASE("a reload keeps the balance of a key and gives it the new options") {
    request::policy_registry registry;
    const auto before = settings_of(10, 3), after = settings_of(5, 3);
    work_budget* const first = registry.prepare(before)->of(*before.routes[0]).endpoints[0].budget;
    REQUIRE(first->reserve(7, now));
    work_budget* const again = registry.prepare(after)->of(*after.routes[0]).endpoints[0].budget;
    CHECK(again == first);
    CHECK(again->level(now) == 3);
    again->deposit(false, now);
    for (int i = 0; i < 100; ++i) again->deposit(false, now);
    CHECK(again->level(now) == 5); // the new burst
}

namespace {
std::shared_ptr<const config::upstream> endpoint_at(const std::string& authority, const std::string& address = "") {
    auto made = std::make_shared<config::upstream>();
    made->name = "u";
    made->endpoint = {authority, address, true};
    return made;
}
// One route `r`, and `s` beside it, over these endpoints of one upstream.
config::settings over(std::vector<std::shared_ptr<const config::upstream>> endpoints,
                      circuit_scope scope = circuit_scope::endpoint) {
    config::settings made;
    made.upstreams = endpoints;
    for (const std::string name : {"r", "s"}) {
        auto route = std::make_shared<config::route>();
        route->name = name;
        route->upstreams = endpoints;
        route->circuit_breaker.on = route->cooldown.on = route->overload.on = true;
        route->circuit_breaker.scope = scope;
        made.routes.push_back(route);
    }
    return made;
}
} // namespace

TEST_CASE(
    "a circuit is of an endpoint, of an upstream with all of its endpoints, or of an endpoint as a route sees it") {
    const auto circuits = [](circuit_scope scope) {
        request::policy_registry registry;
        const auto settings = over({endpoint_at("a"), endpoint_at("b")}, scope);
        const auto set = registry.prepare(settings);
        const auto& r = set->of(*settings.routes[0]).endpoints;
        const auto& s = set->of(*settings.routes[1]).endpoints;
        CHECK(r[0].budget == r[1].budget); // of the upstream
        CHECK(r[0].latency != r[1].latency);
        CHECK(r[0].rest != r[1].rest);
        CHECK(r[0].load != r[1].load);
        return std::pair{r[0].circuit == r[1].circuit, r[0].circuit == s[0].circuit}; // endpoints share it, routes do
    };
    CHECK(circuits(circuit_scope::endpoint) == std::pair{false, true});
    CHECK(circuits(circuit_scope::upstream) == std::pair{true, true});
    CHECK(circuits(circuit_scope::route) == std::pair{false, false});
}

TEST_CASE("an operator holds the circuit of one endpoint, or those of all") {
    request::policy_registry registry;
    const auto settings = over({endpoint_at("a"), endpoint_at("b")});
    const auto set = registry.prepare(settings);
    const auto states = [&] {
        std::string out;
        const auto shown = registry.report(settings, now);
        for (const auto& one : shown.routes[0].endpoints)
            out += one.endpoint + (one.circuit->state == circuit_state::open ? "+" : "-");
        return out;
    };
    CHECK(registry.force("", "u", "b", circuit_state::open, now));
    CHECK(states() == "a-b+");
    CHECK(registry.force("", "u", "", circuit_state::open, now));
    CHECK(states() == "a+b+");
    CHECK(registry.force("", "u", "a", std::nullopt, now));
    CHECK_FALSE(registry.force("", "u", "c", circuit_state::open, now));
    CHECK_FALSE(registry.force("r", "u", "a", circuit_state::open, now)); // no route has one of its own
}

TEST_CASE("a reload that adds and removes endpoints keeps the state of the others") {
    request::policy_registry registry;
    const auto a = endpoint_at("a"), b = endpoint_at("b");
    const auto before = over({a, b});
    const auto first = registry.prepare(before);
    const auto& of_b = first->of(*before.routes[0]).endpoints[1];
    const auto after = over({endpoint_at("b"), endpoint_at("c")}); // other objects of other settings
    const auto second = registry.prepare(after);
    const auto& kept = second->of(*after.routes[0]).endpoints[0];
    CHECK(kept.circuit == of_b.circuit);
    CHECK(kept.latency == of_b.latency);
    CHECK(kept.rest == of_b.rest);
    CHECK(kept.load == of_b.load);
    // Who began before it still has `a`, and is told that it is gone.
    CHECK(first->of(*before.routes[0]).endpoints[0].gone->load());
    CHECK_FALSE(of_b.gone->load());
    CHECK_FALSE(second->of(*after.routes[0]).endpoints[1].gone->load());
}

TEST_CASE("the state of an address that DNS no longer gives goes with the last request that has it") {
    request::policy_registry registry;
    const auto opens = [&](const config::settings& settings) {
        const auto set = registry.prepare(settings);
        static_cast<void>(set->of(*settings.routes[0]).endpoints[0].circuit->force(circuit_state::open, now));
        return set;
    };
    const auto state = [&](const config::settings& settings) {
        return registry.report(settings, now).routes[0].endpoints[0].circuit->state;
    };
    const auto first = over({endpoint_at("1", "10.0.0.1")}), second = over({endpoint_at("2", "10.0.0.2")});
    auto held = opens(first);
    static_cast<void>(registry.prepare(second));
    CHECK(state(first) == circuit_state::open); // somebody still holds it
    held.reset();
    static_cast<void>(registry.prepare(second));
    CHECK(state(first) == circuit_state::closed); // made anew
}

} // namespace evenkeel::test::policy_registry_test

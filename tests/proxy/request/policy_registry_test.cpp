#include "proxy/state/policy_registry.hpp"

#include <doctest/doctest.h>

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

} // namespace evenkeel::test::policy_registry_test

#include "config/load.hpp"
#include "proxy/demo/demo_config.hpp"
#include "proxy/simulate/profiles.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <string>

namespace evenkeel::test::demo_config_test {

using namespace std::chrono_literals;

TEST_CASE("the demo's configuration is one that `check --strict` takes, at any speed") {
    for (const double speed : {0.1, 1.0, 7.3, 20.0, 200.0}) {
        CAPTURE(speed);
        const auto text = demo::demo_config({.provider = "http://127.0.0.1:8000", .speed = speed});
        const auto loaded = config::load_text(text, "demo", config::environment{});
        std::ostringstream problems;
        config::print_text(problems, loaded.diagnostics);
        INFO(problems.str());
        CHECK(loaded.diagnostics.empty());
        CHECK(loaded.ok());
    }
}

TEST_CASE("its durations are those of the simulations' profiles divided by the speed") {
    for (const auto* profile : {"tuned", "classic"}) {
        CAPTURE(profile);
        const auto loaded = config::load_text(
            demo::demo_config({.profile = profile, .provider = "http://127.0.0.1:8000", .speed = 20}), "demo", {});
        REQUIRE(loaded.ok());
        const auto& demo = *loaded.settings->routes.front();
        const auto& known = simulate::profiles();
        const auto wanted = simulate::settings_of(*std::ranges::find(known, profile, &simulate::profile::name));
        const auto& real = *wanted->routes.front();

        CHECK(demo.timeout.total == real.timeout.total / 20);
        CHECK(demo.timeout.stream_idle == real.timeout.stream_idle / 20);
        CHECK(demo.timeout.adaptive.initial.stream == real.timeout.adaptive.initial.stream / 20);
        CHECK(demo.timeout.adaptive.initial.buffered == real.timeout.adaptive.initial.buffered / 20);
        CHECK(demo.timeout.adaptive.min.stream == real.timeout.adaptive.min.stream / 20);
        CHECK(demo.timeout.adaptive.min.buffered == real.timeout.adaptive.min.buffered / 20);
        CHECK(demo.timeout.adaptive.max == real.timeout.adaptive.max / 20);
        CHECK(demo.timeout.adaptive.window == real.timeout.adaptive.window / 20);
        CHECK(demo.timeout.adaptive.multiplier == real.timeout.adaptive.multiplier);
        CHECK(demo.retry.max_retries == real.retry.max_retries);
        CHECK(demo.retry.backoff.initial == real.retry.backoff.initial / 20);
        CHECK(demo.retry.backoff.max == real.retry.backoff.max / 20);
    }
}

TEST_CASE("what is a rate is multiplied, what is neither stays") {
    const auto loaded =
        config::load_text(demo::demo_config({.provider = "http://127.0.0.1:8000", .speed = 20}), "demo", {});
    REQUIRE(loaded.ok());
    const auto& route = *loaded.settings->routes.front();
    CHECK(route.retry.budget.min_per_second == doctest::Approx(4));
    CHECK(route.circuit_breaker.recovery_timeout == 100ms);
    CHECK(route.circuit_breaker.window == 1500ms);
    CHECK(route.circuit_breaker.hold_queue == 256);
    CHECK(route.cooldown.overload == 500ms);
    CHECK(route.overload.window == 500ms);
    CHECK(route.hedge.max_hedges == 3);
    CHECK(route.hedge.max_extra == doctest::Approx(0.4));
    CHECK(route.hedge.max_delay == 1500ms);
}

TEST_CASE("two endpoints of the one provider") {
    const auto loaded =
        config::load_text(demo::demo_config({.provider = "http://127.0.0.1:8000", .speed = 10}), "demo", {});
    REQUIRE(loaded.ok());
    const auto& route = *loaded.settings->routes.front();
    REQUIRE(route.upstreams.size() == 2);
    CHECK(route.upstreams[1]->address.base_path == "/second");
}

} // namespace evenkeel::test::demo_config_test

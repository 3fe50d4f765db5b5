#include "config/load.hpp"
#include "proxy/demo/demo_config.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <sstream>
#include <string>

using namespace evenkeel;
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

TEST_CASE("its durations are those of the original divided by the speed") {
    const auto text = demo::demo_config({.provider = "http://127.0.0.1:8000", .speed = 20});
    const auto loaded = config::load_text(text, "demo", config::environment{});
    REQUIRE(loaded.ok());
    const auto& timeout = loaded.settings->routes.front()->timeout;
    CHECK(timeout.total == 3s);
    CHECK(timeout.attempt == 600ms);
    CHECK(timeout.stream_idle == 1s);
}

TEST_CASE("two endpoints of the one provider, and pauses at the demo's speed") {
    const auto text = demo::demo_config({.provider = "http://127.0.0.1:8000", .speed = 10});
    const auto loaded = config::load_text(text, "demo", config::environment{});
    REQUIRE(loaded.ok());
    const auto& route = *loaded.settings->routes.front();
    REQUIRE(route.upstreams.size() == 2);
    CHECK(route.upstreams[1]->address.base_path == "/second");
    CHECK(route.retry.backoff.initial == 25ms);
    CHECK(route.retry.backoff.max == 800ms);
}

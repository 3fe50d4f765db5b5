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

TEST_CASE("what a version's configuration does not take is left out") {
    const demo::config_choice choice{.provider = "http://127.0.0.1:8000", .speed = 10};
    const auto least = demo::demo_config(choice, {.two_upstreams = false, .retry = false});
    const auto most = demo::demo_config(choice, {.two_upstreams = true, .retry = true});
    CHECK(least.find("upstreams: [first]") != std::string::npos);
    CHECK(least.find("retry") == std::string::npos);
    CHECK(most.find("upstreams: [first, second]") != std::string::npos);
    CHECK(most.find("url: http://127.0.0.1:8000/second") != std::string::npos);
    CHECK(most.find("initial: 25ms") != std::string::npos);
}

// What metrics, logs and the health document say of an upstream with several endpoints.

#include "proxy/events/journal.hpp"
#include "proxy/telemetry/access_log.hpp"
#include "proxy/telemetry/health.hpp"
#include "proxy/telemetry/metrics.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace evenkeel::test::endpoint_telemetry_test {

using namespace evenkeel::telemetry;
using namespace std::chrono_literals;

namespace {
// One route over endpoints of one upstream, by their authorities.
std::shared_ptr<config::settings> over(const std::vector<std::string>& authorities) {
    auto made = std::make_shared<config::settings>();
    auto route = std::make_shared<config::route>();
    route->name = "all";
    for (const std::string& each : authorities) {
        auto one = std::make_shared<config::upstream>();
        one->name = "u";
        one->address.authority = "replicas.example";
        one->endpoint = {each, {}, true};
        made->upstreams.push_back(one);
    }
    route->upstreams = made->upstreams;
    made->routes.push_back(route);
    return made;
}
void one_attempt(observer& to, const config::settings& settings, std::size_t at, int status = 200) {
    const auto& route = *settings.routes[0];
    const config::upstream* const upstream = route.upstreams[at].get();
    to.request_event({&route, upstream}, happened::launched{attempt_kind::first, "first"});
    to.attempt_finished({.route = &route,
                         .upstream = upstream,
                         .result = status == 200 ? attempt_result::success : attempt_result::server_error,
                         .status = status,
                         .total = 100ms});
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
std::string attempts(const std::string& endpoint, int count) {
    return "evenkeel_upstream_attempts_total{route=\"all\",upstream=\"u\",endpoint=\"" + endpoint +
           "\",kind=\"first\",result=\"success\"} " + std::to_string(count) + "\n";
}
} // namespace

TEST_CASE("each endpoint has series of its own; one that is gone loses them once nobody has it any more") {
    metrics to({.version = "1", .workers = 1});
    auto first = over({"a:1", "b:1"});
    to.configuration_loaded(first);
    one_attempt(to, *first, 0);
    CHECK(has(to.text(), attempts("a:1", 1)));
    CHECK(has(to.text(), attempts("b:1", 0)));
    CHECK(has(to.text(), "evenkeel_connections{side=\"upstream\",upstream=\"u\",endpoint=\"b:1\"} 0\n"));

    auto second = over({"b:1", "c:1"});
    to.endpoints_changed(second);
    one_attempt(to, *first, 0); // a request that began before
    one_attempt(to, *second, 0);
    CHECK(has(to.text(), attempts("a:1", 2)));
    CHECK(has(to.text(), attempts("b:1", 1)));
    to.endpoints_changed(second);
    CHECK(has(to.text(), attempts("a:1", 2))); // somebody still has it
    first.reset();
    to.endpoints_changed(second);
    to.endpoints_changed(second);
    CHECK_FALSE(has(to.text(), "\"a:1\""));
    CHECK(has(to.text(), attempts("b:1", 1)));

    auto third = over({"a:1", "b:1"}); // is back
    to.endpoints_changed(third);
    one_attempt(to, *third, 0);
    CHECK(has(to.text(), attempts("a:1", 1)));
    CHECK(has(to.text(), attempts("b:1", 1)));
}

TEST_CASE("a change of endpoints is no reload") {
    auto now = wall_time{1000s};
    metrics to({.version = "1", .workers = 1, .wall_now = [&] { return now; }});
    const std::string when = "evenkeel_config_last_reload_success_timestamp_seconds 1000\n";
    to.configuration_loaded(over({"a:1"}));
    now += 60s;
    to.endpoints_changed(over({"a:1", "b:1"}));
    CHECK(has(to.text(), when));
    to.configuration_loaded(over({"a:1"}));
    CHECK_FALSE(has(to.text(), when));
}

TEST_CASE("the health document shows each endpoint; where host names are not shown they are numbered") {
    steady_time now{5000s};
    health to([&] { return now; });
    const auto settings = over({"a:1", "b:1"});
    to.configuration_loaded(settings);
    one_attempt(to, *settings, 0);
    one_attempt(to, *settings, 1, 500);
    to.report_from([&] {
        policy_report out{now, {}};
        route_report shown{"all", std::nullopt, 0, {}, {}};
        for (const char* endpoint : {"a:1", "b:1"}) {
            endpoint_report one{"u", circuit_breaker::summary{}, {}, {}, {}, 0, 0, endpoint};
            if (one.endpoint == "b:1") one.circuit->state = circuit_state::open;
            shown.endpoints.push_back(one);
        }
        out.routes.push_back(shown);
        return out;
    });
    const auto view = to.view();
    CHECK(view.open_circuits == 1);
    CHECK(view.healthy);
    const auto endpoints = [&](bool with_hosts) {
        return boost::json::parse(health_json(view, with_hosts))
            .at("services")
            .at("all")
            .at("upstreams")
            .at("u")
            .at("endpoints")
            .as_object();
    };
    const auto shown = endpoints(true);
    REQUIRE(shown.size() == 2);
    CHECK(shown.at("a:1").at("circuit_state") == "closed");
    CHECK(shown.at("a:1").at("success_rate").to_number<double>() == 1);
    CHECK(shown.at("a:1").at("url") == "http://replicas.example");
    CHECK(shown.at("b:1").at("circuit_state") == "open");
    CHECK(shown.at("b:1").at("success_rate").to_number<double>() == 0);
    const auto numbered = endpoints(false);
    REQUIRE(numbered.size() == 2);
    CHECK(numbered.at("1").at("circuit_state") == "closed");
    CHECK(numbered.at("2").at("circuit_state") == "open");
    CHECK_FALSE(has(health_json(view, false), "a:1"));
    CHECK_FALSE(has(health_json(view, false), "example"));
}

TEST_CASE("a request's line and its journal name the endpoint, where there are several") {
    const auto settings = over({"gpu-1.example:8000", "b:1"});
    const auto line = [](const config::upstream& by) {
        std::string out(max_access_line, '\0');
        out.resize(static_cast<std::size_t>(write_access_line(out.data(), {.upstream = &by}) - out.data()));
        return boost::json::parse(out).as_object();
    };
    CHECK(line(*settings->upstreams[0]).at("endpoint") == "gpu-1.example:8000");
    config::upstream longest = *settings->upstreams[0];
    longest.endpoint.authority = std::string(300, 'x');
    CHECK(line(longest).at("endpoint").as_string().size() == 272);
    longest.endpoint.of_several = false;
    CHECK_FALSE(line(longest).contains("endpoint"));

    journal told;
    told.add(steady_time{1s}, settings->upstreams[1].get(), 1, happened::launched{attempt_kind::first, "first"});
    CHECK(text_of(told, steady_time{1s}) == "+0.000s launched first attempt=1 upstream=u endpoint=b:1");
}

} // namespace evenkeel::test::endpoint_telemetry_test

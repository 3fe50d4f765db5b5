#include "proxy/telemetry/health.hpp"

#include "proxy/telemetry/liveness.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

namespace evenkeel::test::health_test {

using namespace evenkeel::telemetry;
using namespace std::chrono_literals;

namespace {
const steady_time start{1000s};
}

TEST_CASE("a window that saw nothing says nothing") {
    const health_window window;
    const auto seen = window.sample(start);
    CHECK(seen.requests == 0);
    CHECK_FALSE(seen.success_rate);
    CHECK_FALSE(seen.avg_latency);
    CHECK_FALSE(seen.p95_latency);
}

TEST_CASE("a sample counts until its slice leaves the window, after 55 to 60 seconds") {
    health_window window;
    window.record(start, true, 2s); // the slice begins at 1000 s
    CHECK(window.sample(start).requests == 1);
    CHECK(window.sample(start + 60s - 1ns).requests == 1);
    CHECK(window.sample(start + 60s).requests == 0);
    CHECK(window.sample(start + 24h).requests == 0);

    window.record(start + 24h, false, 1s);
    const auto seen = window.sample(start + 24h);
    CHECK(seen.requests == 1);
    CHECK(seen.successes == 0);
    CHECK(*seen.success_rate == 0.0);
    CHECK_FALSE(seen.avg_latency);
}

TEST_CASE("p95 lies between the true value and a quarter above it, over five decades") {
    const unsigned seed = 7;
    CAPTURE(seed);
    std::mt19937 random(seed);
    for (const double median : {0.002, 0.03, 0.9, 12.0, 100.0}) {
        health_window window;
        std::lognormal_distribution<double> latency(std::log(median), 0.8);
        std::vector<double> all;
        double sum = 0;
        for (int i = 0; i < 2000; ++i) {
            const duration value{static_cast<std::int64_t>(std::clamp(latency(random), 0.0012, 1000.0) * 1e9)};
            all.push_back(std::chrono::duration<double>(value).count());
            sum += all.back();
            window.record(start + i * 25ms, true, value);
        }
        std::sort(all.begin(), all.end());
        const auto exact = all[1899];

        const auto seen = window.sample(start + 50s);
        CAPTURE(median);
        CHECK(*seen.p95_latency >= exact);
        CHECK(*seen.p95_latency <= exact * 1.2501);
        CHECK(*seen.avg_latency == doctest::Approx(sum / 2000));
    }
}

TEST_CASE("the slowest and the fastest have a bucket") {
    health_window window;
    window.record(start, true, 0ns);
    CHECK(*window.sample(start).p95_latency == 0.001);
    window.record(start, true, 1h);
    CHECK(*window.sample(start).p95_latency == doctest::Approx(1048.576));
    window.record(start, true, -1h);
    CHECK(window.sample(start).requests == 3);
}

namespace {
struct watched {
    steady_time now = start;
    std::shared_ptr<config::settings> settings = sample_settings({{"phase1", "deepseek"}, {"phase2", "backup"}});
    health to{[this] { return now; }};
    watched() { to.configuration_loaded(settings); }

    void request(std::size_t route, request_outcome outcome, int status, attempt_result result) {
        const auto& over = *settings->routes[route];
        to.attempt_finished(
            {.route = &over, .upstream = over.upstreams[0].get(), .result = result, .status = status, .total = 2s});
        to.request_finished(
            {.route = &over, .upstream = over.upstreams[0].get(), .status = status, .outcome = outcome, .total = 2s});
    }
};
} // namespace

TEST_CASE("what says nothing about the service is not counted, the caller's own errors are successes") {
    struct row {
        request_outcome outcome;
        int status;
        int requests, successes;
    };
    for (const auto& [outcome, status, requests, successes] :
         {row{request_outcome::ok, 200, 1, 1}, row{request_outcome::upstream_error, 400, 1, 1},
          row{request_outcome::upstream_error, 408, 1, 0}, row{request_outcome::upstream_error, 429, 1, 0},
          row{request_outcome::upstream_error, 503, 1, 0}, row{request_outcome::proxy_error, 502, 1, 0},
          row{request_outcome::truncated, 200, 1, 0}, row{request_outcome::rejected, 413, 0, 0},
          row{request_outcome::client_cancelled, 0, 0, 0}}) {
        watched seen;
        seen.request(0, outcome, status, attempt_result::cancelled);
        const auto view = seen.to.view();
        CAPTURE(to_string(outcome));
        CAPTURE(status);
        REQUIRE(view.routes.size() == 2);
        CHECK(view.routes[0].seen.requests == static_cast<std::uint64_t>(requests));
        CHECK(view.routes[0].seen.successes == static_cast<std::uint64_t>(successes));
        CHECK(view.routes[0].upstreams[0].seen.requests == 0);
    }
}

TEST_CASE("unhealthy means that every attempt of the window failed") {
    watched seen;
    CHECK(seen.to.view().healthy);
    seen.request(0, request_outcome::proxy_error, 502, attempt_result::connect_failure);
    CHECK_FALSE(seen.to.view().healthy);
    seen.request(1, request_outcome::ok, 200, attempt_result::success);
    CHECK(seen.to.view().healthy);
    seen.now += 61s;
    CHECK(seen.to.view().healthy);
}

TEST_CASE("the document has the promised shape, null before the first sample, and hosts only for operators") {
    watched seen;
    seen.request(0, request_outcome::ok, 200, attempt_result::success);

    const auto document = boost::json::parse(health_json(seen.to.view(), true)).as_object();
    const auto& first = document.at("services").at("phase1").as_object();
    CHECK(first.at("avg_latency").to_number<double>() == 2.0);
    CHECK(first.at("p95_latency").to_number<double>() == doctest::Approx(2.048));
    CHECK(first.at("success_rate").to_number<double>() == 1.0);
    CHECK(first.at("current_timeout").to_number<double>() == 600.0);
    CHECK(first.at("requests") == 1);
    CHECK(first.at("upstreams").at("deepseek").at("url") == "http://deepseek.secret-host.example");
    CHECK(first.at("upstreams").at("deepseek").at("avg_latency").to_number<double>() == 2.0);
    const auto& second = document.at("services").at("phase2").as_object();
    CHECK(second.at("avg_latency").is_null());
    CHECK(second.at("p95_latency").is_null());
    CHECK(second.at("success_rate").is_null());
    CHECK(document.at("overall_status").at("healthy") == true);
    CHECK(document.at("overall_status").at("open_circuits") == 0);
    CHECK(first.at("circuit_state").is_null());
    CHECK_FALSE(first.at("upstreams").at("deepseek").as_object().contains("circuit_state"));

    const auto outside = health_json(seen.to.view(), false);
    CHECK(outside.find("secret-host") == std::string::npos);
    CHECK(boost::json::parse(outside).at("services").as_object().size() == 2);
    CHECK(health_json({}, true) == R"({"services":{},"overall_status":{"healthy":true,"open_circuits":0}})");
}

TEST_CASE("a reload keeps the window of a route that stays and hides one that went") {
    watched seen;
    seen.request(0, request_outcome::ok, 200, attempt_result::success);
    seen.request(1, request_outcome::ok, 200, attempt_result::success);
    seen.to.configuration_loaded(sample_settings({{"phase1", "deepseek"}}));
    seen.request(1, request_outcome::ok, 200, attempt_result::success); // of the old snapshot

    const auto view = seen.to.view();
    REQUIRE(view.routes.size() == 1);
    CHECK(view.routes[0].name == "phase1");
    CHECK(view.routes[0].seen.requests == 1);
}

TEST_CASE("workers record while the document is read") {
    watched seen;
    {
        std::jthread first([&] {
            for (int i = 0; i < 5000; ++i) seen.request(0, request_outcome::ok, 200, attempt_result::success);
        });
        std::jthread second([&] {
            for (int i = 0; i < 5000; ++i) seen.request(0, request_outcome::ok, 200, attempt_result::success);
        });
        for (int i = 0; i < 50; ++i) CHECK(!health_json(seen.to.view(), true).empty());
    }
    CHECK(seen.to.view().routes[0].seen.requests == 10'000);
}

TEST_CASE("a loop is alive until its last beat is more than ten seconds old") {
    liveness beats(2, start);
    CHECK(beats.alive(start + 10s));
    CHECK_FALSE(beats.alive(start + 10s + 1ns));
    beats.beat(0, start + 10s);
    CHECK_FALSE(beats.alive(start + 11s));
    beats.beat(1, start + 9s);
    CHECK(beats.alive(start + 19s));
}

TEST_CASE("a pulse beats once a second for as long as it lives") {
    net::loop loop(start);
    liveness beats(1, start);
    {
        const pulse of_loop(beats, 0, loop);
        loop.run_virtual(start + 1h);
        CHECK(beats.alive(start + 1h + 9s));
        CHECK(loop.timers().armed() == 1);
    }
    CHECK(loop.timers().armed() == 0);
    CHECK_FALSE(beats.alive(start + 1h + 11s));
}

TEST_CASE("a loop that ended in order is none that hangs, and how long is too long can be told") {
    net::loop loop(start);
    liveness beats(2, start);
    {
        pulse of_loop(beats, 0, loop);
        of_loop.end();
        CHECK(loop.timers().armed() == 0);
    }
    beats.beat(1, start + 1h);
    CHECK(beats.alive(start + 1h + 9s));
    CHECK_FALSE(beats.alive(start + 1h + 3s, 2s));
    CHECK_FALSE(beats.alive(start + 1h + 11s));
}

TEST_CASE("an upstream's health: what shows that it lives, what shows that it does not, and what shows nothing") {
    struct row {
        attempt_result result;
        int requests, successes;
    };
    for (const auto& [result, requests, successes] :
         {row{attempt_result::success, 1, 1}, row{attempt_result::caller_error, 1, 1},
          row{attempt_result::server_error, 1, 0}, row{attempt_result::stream_error, 1, 0},
          row{attempt_result::overloaded, 1, 0}, row{attempt_result::timeout, 1, 0},
          row{attempt_result::rate_limited, 0, 0}, row{attempt_result::quota, 0, 0},
          row{attempt_result::credential, 0, 0}, row{attempt_result::cancelled, 0, 0}}) {
        watched seen;
        seen.request(0, request_outcome::rejected, 0, result);
        CAPTURE(to_string(result));
        const auto view = seen.to.view();
        CHECK(view.routes[0].upstreams[0].seen.requests == static_cast<std::uint64_t>(requests));
        CHECK(view.routes[0].upstreams[0].seen.successes == static_cast<std::uint64_t>(successes));
    }
}

namespace {

struct state_of {
    const char* upstream;
    circuit_state circuit;
    duration rest{};
};
// One route of two upstreams, shared with a second route of only the first.
struct reported {
    steady_time now = start;
    std::shared_ptr<config::settings> settings =
        sample_settings({{"both", "first"}, {"one", "first"}, {"rest", "second"}});
    std::vector<state_of> states{{"first", circuit_state::closed}, {"second", circuit_state::closed}};
    health to{[this] { return now; }};

    reported() {
        auto both = std::make_shared<config::route>(*settings->routes[0]);
        both->upstreams.push_back(settings->routes[2]->upstreams[0]);
        settings->routes[0] = both;
        settings->routes.pop_back();
        to.configuration_loaded(settings);
        to.report_from([this] { return report(); });
    }
    [[nodiscard]] policy_report report() const {
        policy_report out{now, {}};
        for (const auto& route : settings->routes) {
            route_report shown{route->name, std::nullopt, 0, {}, {}};
            if (route->name == "both") shown.bulkhead = bulkhead::summary{3, 4, 1, 5};
            for (const auto& upstream : route->upstreams) {
                const auto& at = upstream->name == "first" ? states[0] : states[1];
                endpoint_report endpoint{upstream->name,
                                         circuit_breaker::summary{},
                                         cooldown::summary{},
                                         overload_control::summary{},
                                         {},
                                         2,
                                         10};
                endpoint.circuit->state = at.circuit;
                endpoint.circuit->since = now - 4s;
                if (at.circuit == circuit_state::open) endpoint.circuit->next_probe = now + 1500ms;
                if (at.rest > duration::zero()) endpoint.cooldown->until = now + at.rest;
                endpoint.latency.p50 = 2s;
                endpoint.latency.current_timeout_stream = upstream->name == "first" ? 10s : 12s;
                endpoint.latency.current_timeout_buffered = upstream->name == "first" ? 25s : 30s;
                shown.endpoints.push_back(endpoint);
            }
            out.routes.push_back(shown);
        }
        return out;
    }
};
constexpr auto closed = circuit_state::closed;
constexpr auto opened = circuit_state::open;
constexpr auto half_open = circuit_state::half_open;

} // namespace

TEST_CASE("a route's circuit is that of the upstream it would ask, and open only if all are") {
    struct row {
        circuit_state first;
        duration first_rests;
        circuit_state second;
        circuit_state both, one;
        int open_circuits;
        bool healthy;
    };
    for (const auto& r :
         {row{closed, 0s, closed, closed, closed, 0, true}, row{half_open, 0s, closed, half_open, half_open, 0, true},
          row{opened, 0s, closed, closed, opened, 1, true}, row{opened, 0s, half_open, half_open, opened, 1, true},
          row{opened, 0s, opened, opened, opened, 2, false}, row{closed, 5s, half_open, half_open, closed, 0, true},
          row{half_open, 5s, opened, half_open, half_open, 1, true},
          row{closed, 0s, opened, closed, closed, 1, true}}) {
        reported seen;
        seen.states[0].circuit = r.first;
        seen.states[0].rest = r.first_rests;
        seen.states[1].circuit = r.second;
        CAPTURE(static_cast<int>(r.first));
        CAPTURE(static_cast<int>(r.second));
        const auto view = seen.to.view();
        REQUIRE(view.routes.size() == 2);
        CHECK(view.routes[0].circuit == r.both);
        CHECK(view.routes[1].circuit == r.one);
        CHECK(view.open_circuits == r.open_circuits);
        CHECK(view.healthy == r.healthy);
    }
}

TEST_CASE("what holds for single models is listed beside the endpoint's own, by name for operators only") {
    reported seen;
    CHECK(health_json(seen.to.view(), true).find("\"models\"") == std::string::npos);
    seen.to.report_from([&] {
        policy_report all = seen.report();
        model_report big{.model = 0xb16, .name = "b\"ig"}, rest{.model = 1};
        big.circuit.emplace().state = opened;
        big.circuit->next_probe = seen.now + 1500ms;
        rest.doubt.emplace().since = seen.now - 3s;
        all.routes[0].endpoints[0].models = {big, rest};
        return all;
    });
    const auto view = seen.to.view();
    CHECK(view.open_circuits == 0);
    const std::string json = health_json(view, true);
    CHECK(json.find(R"("circuit_state":"closed")") != std::string::npos);
    CHECK(json.find(R"("models":[{"model":"b\"ig","circuit_state":"open","next_probe":1.5,"doubted":null},)"
                    R"({"model":"others","circuit_state":"closed","next_probe":null,"doubted":3}])") !=
          std::string::npos);
    CHECK(health_json(view, false).find(R"("models":[{"model":"#0000000000000b16",)") != std::string::npos);
    CHECK(health_json(view, false).find("ig\"") == std::string::npos);
}

TEST_CASE("a circuit that a route has for itself counts by itself") {
    reported seen;
    seen.states[0].circuit = opened;
    CHECK(seen.to.view().open_circuits == 1);
    auto own = std::make_shared<config::route>(*seen.settings->routes[1]);
    own->own_circuit = true;
    seen.settings->routes[1] = own;
    seen.to.configuration_loaded(seen.settings);
    CHECK(seen.to.view().open_circuits == 2);
}

TEST_CASE("the current timeout is the learned one, the fixed one, or the deadline") {
    reported seen;
    CHECK(seen.to.view().routes[0].current_timeout == 600.0);
    const auto change = [&](auto&& how) {
        auto route = std::make_shared<config::route>(*seen.settings->routes[0]);
        how(route->timeout);
        seen.settings->routes[0] = route;
        seen.to.configuration_loaded(seen.settings);
        return seen.to.view().routes[0].current_timeout;
    };
    CHECK(change([](config::timeouts& t) { t.learn_attempt = true; }) == 25.0);
    seen.states[0].circuit = opened; // the second one would be asked
    CHECK(seen.to.view().routes[0].current_timeout == 30.0);
    CHECK(change([](config::timeouts& t) { t.total = 20s; }) == 20.0);
    CHECK(change([](config::timeouts& t) { t.learn_attempt = false, t.attempt = 7s; }) == 7.0);
}

TEST_CASE("before anything is reported the learned timeout is the initial one") {
    watched seen;
    auto route = std::make_shared<config::route>(*seen.settings->routes[0]);
    route->timeout.learn_attempt = true;
    seen.settings->routes[0] = route;
    seen.to.configuration_loaded(seen.settings);
    CHECK(seen.to.view().routes[0].current_timeout == 60.0);
}

TEST_CASE("the document shows the state of every policy") {
    reported seen;
    seen.states[0] = {"first", opened, 9s};

    const auto document = boost::json::parse(health_json(seen.to.view(), true)).as_object();
    CHECK(document.at("overall_status").at("open_circuits") == 1);
    const auto& both = document.at("services").at("both").as_object();
    CHECK(both.at("circuit_state") == "closed");
    CHECK(both.at("held") == 0);
    CHECK(both.at("bulkhead") == boost::json::parse(R"({"in_use":3,"limit":4,"queued":1,"queue_limit":5})"));
    CHECK(document.at("services").at("one").at("bulkhead").is_null());
    const auto& first = both.at("upstreams").at("first").as_object();
    CHECK(first.at("circuit_state") == "open");
    CHECK(first.at("in_state").to_number<double>() == 4.0);
    CHECK(first.at("next_probe").to_number<double>() == 1.5);
    CHECK(first.at("forced") == false);
    CHECK(first.at("cooldown").to_number<double>() == 9.0);
    CHECK(first.at("overload") == "normal");
    CHECK(first.at("budget").to_number<double>() == 2.0);
    CHECK(first.at("learned_p50").to_number<double>() == 2.0);
    CHECK(first.at("learned_p95").is_null());
    CHECK(first.at("current_timeout").at("buffered").to_number<double>() == 25.0);
    const auto& second = both.at("upstreams").at("second").as_object();
    CHECK(second.at("next_probe").is_null());
    CHECK(second.at("cooldown").is_null());
    CHECK(document.at("services").at("one").at("circuit_state") == "open");
    CHECK(health_json(seen.to.view(), false).find("secret-host") == std::string::npos);
}

TEST_CASE("an endpoint's last failure is told, a refusal to come back later too, and no success or cancellation") {
    reported seen;
    const auto& route = *seen.settings->routes[0];
    const auto ends = [&](attempt_result result, int status) {
        seen.now += 1s;
        seen.to.attempt_finished({.route = &route,
                                  .upstream = route.upstreams[0].get(),
                                  .result = result,
                                  .status = status,
                                  .at = seen.now});
        return seen.to.view().routes[0].upstreams[0].last_failure;
    };
    CHECK_FALSE(ends(attempt_result::success, 200));
    CHECK_FALSE(ends(attempt_result::cancelled, 0));
    CHECK(ends(attempt_result::rate_limited, 429)->result == attempt_result::rate_limited);
    CHECK(ends(attempt_result::server_error, 500)->status == 500);
    const auto later = ends(attempt_result::success, 200);
    CHECK(later->result == attempt_result::server_error);
    CHECK(later->at == seen.now - 1s);
    CHECK_FALSE(seen.to.view().routes[1].upstreams[0].last_failure); // of another route's use of it
}

TEST_CASE("a query asks for a strict status in few words") {
    for (const char* query : {"strict", "strict=", "strict=1", "strict=true", "a=b&strict=1", "strict=1&c"})
        CHECK(asks_strict(query));
    for (const char* query : {"", "strict=0", "strict=false", "strictly=1", "a=strict=1", "&&", "a=strict"})
        CHECK_FALSE(asks_strict(query));
}

} // namespace evenkeel::test::health_test

#include "proxy/telemetry/health.hpp"

#include "proxy/telemetry/heartbeat.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

using namespace evenkeel;
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
    heartbeat beats(2, start);
    CHECK(beats.alive(start + 10s));
    CHECK_FALSE(beats.alive(start + 10s + 1ns));
    beats.beat(0, start + 10s);
    CHECK_FALSE(beats.alive(start + 11s));
    beats.beat(1, start + 9s);
    CHECK(beats.alive(start + 19s));
}

TEST_CASE("a pulse beats once a second for as long as it lives") {
    net::loop loop(start);
    heartbeat beats(1, start);
    {
        const pulse of_loop(beats, 0, loop);
        loop.run_virtual(start + 1h);
        CHECK(beats.alive(start + 1h + 9s));
        CHECK(loop.timers().armed() == 1);
    }
    CHECK(loop.timers().armed() == 0);
    CHECK_FALSE(beats.alive(start + 1h + 11s));
}

TEST_CASE("an upstream's health: what shows that it lives, what shows that it does not, and what shows nothing") {
    struct row {
        attempt_result result;
        int requests, successes;
    };
    for (const auto& [result, requests, successes] :
         {row{attempt_result::success, 1, 1}, row{attempt_result::caller_error, 1, 1}, row{attempt_result::server_error, 1, 0},
          row{attempt_result::stream_error, 1, 0}, row{attempt_result::overloaded, 1, 0}, row{attempt_result::timeout, 1, 0},
          row{attempt_result::rate_limited, 0, 0}, row{attempt_result::quota, 0, 0}, row{attempt_result::credential, 0, 0},
          row{attempt_result::cancelled, 0, 0}}) {
        watched seen;
        seen.request(0, request_outcome::rejected, 0, result);
        CAPTURE(to_string(result));
        const auto view = seen.to.view();
        CHECK(view.routes[0].upstreams[0].seen.requests == static_cast<std::uint64_t>(requests));
        CHECK(view.routes[0].upstreams[0].seen.successes == static_cast<std::uint64_t>(successes));
    }
}

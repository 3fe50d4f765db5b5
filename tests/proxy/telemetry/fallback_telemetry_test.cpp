// What metrics, access log and health tell of degraded answers.

#include "proxy/telemetry/access_log.hpp"
#include "proxy/telemetry/health.hpp"
#include "proxy/telemetry/metrics.hpp"
#include "proxy/telemetry/observer_group.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::fallback_telemetry_test {

using namespace evenkeel::telemetry;
using namespace std::chrono_literals;

namespace {
std::string value_of(const metrics& from, const std::string& series) {
    const std::string text = "\n" + from.text();
    const auto at = text.find("\n" + series + " ");
    if (at == std::string::npos) return "absent";
    const auto begin = at + series.size() + 2;
    return text.substr(begin, text.find('\n', begin) - begin);
}
request_account degraded(const config::route& route, fallback_kind by) {
    return {.route = &route,
            .status = 200,
            .effort = {.attempts = 2},
            .service = request_service::degraded,
            .degraded = {.is = true, .by = by, .age = 35s, .route = "cheap"}};
}
} // namespace

TEST_CASE("fallbacks are counted by route and step, steps that could not answer by reason; those of a ladder's steps "
          "are there from the start") {
    metrics seen({.version = "1", .workers = 2});
    const auto settings = sample_settings({{"one", "a"}, {"two", "b"}, {"none of it", "b"}});
    for (std::size_t i = 0; i < 2; ++i) {
        auto with_ladder = std::make_shared<config::route>(*settings->routes[i]);
        with_ladder->fallback = {
            {.is = fallback_kind::last_good}, {.is = fallback_kind::route}, {.is = fallback_kind::respond}};
        settings->routes[i] = with_ladder;
    }
    seen.configuration_loaded(settings);
    CHECK(value_of(seen, R"(evenkeel_fallbacks_total{route="none of it",step="respond"})") == "absent");
    for (const char* route : {"one", "two"}) {
        const std::string of = std::string(R"({route=")") + route + "\"";
        for (const char* step : {"last_good", "route", "respond"})
            CHECK(value_of(seen, "evenkeel_fallbacks_total" + of + ",step=\"" + step + "\"}") == "0");
        for (const char* rest : {R"(,step="last_good",reason="no_key"})", R"(,step="last_good",reason="no_entry"})",
                                 R"(,step="last_good",reason="too_old"})", R"(,step="route",reason="no_time"})",
                                 R"(,step="route",reason="not_replayable"})", R"(,step="route",reason="failed"})"})
            CHECK(value_of(seen, "evenkeel_fallback_steps_skipped_total" + of + rest) == "0");
        CHECK(value_of(seen, "evenkeel_fallbacks_exhausted_total" + of + "}") == "0");
        CHECK(value_of(seen, "evenkeel_requests_total" + of + R"(,outcome="degraded",code_class="2xx"})") == "0");
    }
    observer_group everyone({&seen});
    const config::route& one = *settings->routes[0];
    for (const auto by :
         {fallback_kind::last_good, fallback_kind::last_good, fallback_kind::route, fallback_kind::respond}) {
        everyone.request_started(&one);
        everyone.request_finished(degraded(one, by));
    }
    everyone.request_event({&one}, happened::step_skipped{fallback_kind::last_good, fallback_skip::too_old});
    everyone.request_event({&one}, happened::step_skipped{fallback_kind::route, fallback_skip::failed});
    everyone.request_event({&one}, happened::ladder_exhausted{});
    CHECK(value_of(seen, R"(evenkeel_fallbacks_total{route="one",step="last_good"})") == "2");
    CHECK(value_of(seen, R"(evenkeel_fallbacks_total{route="one",step="route"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_fallbacks_total{route="one",step="respond"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_fallbacks_total{route="two",step="respond"})") == "0");
    CHECK(value_of(seen, R"(evenkeel_requests_total{route="one",outcome="degraded",code_class="2xx"})") == "4");
    CHECK(value_of(seen, R"(evenkeel_fallback_steps_skipped_total{route="one",step="last_good",reason="too_old"})") ==
          "1");
    CHECK(value_of(seen, R"(evenkeel_fallback_steps_skipped_total{route="one",step="route",reason="failed"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_fallbacks_exhausted_total{route="one"})") == "1");
}

TEST_CASE("the store of last good answers is read at each scrape") {
    metrics seen({.version = "1"});
    for (const char* series :
         {"evenkeel_last_good_entries", "evenkeel_last_good_bytes", "evenkeel_last_good_max_bytes",
          "evenkeel_last_good_kept_total", "evenkeel_last_good_evictions_total", "evenkeel_last_good_file_configured",
          "evenkeel_last_good_file_working", "evenkeel_last_good_file_errors_total",
          "evenkeel_last_good_file_dropped_total", R"(evenkeel_last_good_lookups_total{result="hit"})",
          R"(evenkeel_last_good_not_kept_total{reason="not_ready"})"})
        CHECK(value_of(seen, series) == "0");
    last_good_report report{.entries = 1,
                            .bytes = 2,
                            .max_bytes = 3,
                            .hits = 4,
                            .misses = 5,
                            .kept = 6,
                            .evicted = 7,
                            .not_kept = {8, 9, 10, 11, 12},
                            .has_file = true,
                            .file_works = true,
                            .file_dropped = 13,
                            .file_errors = 14};
    seen.report_last_good_from([&] { return report; });
    CHECK(value_of(seen, "evenkeel_last_good_entries") == "1");
    CHECK(value_of(seen, "evenkeel_last_good_bytes") == "2");
    CHECK(value_of(seen, "evenkeel_last_good_max_bytes") == "3");
    CHECK(value_of(seen, R"(evenkeel_last_good_lookups_total{result="hit"})") == "4");
    CHECK(value_of(seen, R"(evenkeel_last_good_lookups_total{result="miss"})") == "5");
    CHECK(value_of(seen, "evenkeel_last_good_kept_total") == "6");
    CHECK(value_of(seen, "evenkeel_last_good_evictions_total") == "7");
    CHECK(value_of(seen, R"(evenkeel_last_good_not_kept_total{reason="not_storable"})") == "8");
    CHECK(value_of(seen, R"(evenkeel_last_good_not_kept_total{reason="too_large"})") == "9");
    CHECK(value_of(seen, R"(evenkeel_last_good_not_kept_total{reason="no_memory"})") == "10");
    CHECK(value_of(seen, R"(evenkeel_last_good_not_kept_total{reason="not_whole"})") == "11");
    CHECK(value_of(seen, "evenkeel_last_good_file_configured") == "1");
    CHECK(value_of(seen, "evenkeel_last_good_file_working") == "1");
    CHECK(value_of(seen, "evenkeel_last_good_file_dropped_total") == "13");
    CHECK(value_of(seen, "evenkeel_last_good_file_errors_total") == "14");
}

TEST_CASE("the access log says which step answered, how old the answer is, which route it came from") {
    const auto settings = sample_settings({{"one", "a"}});
    const auto line = [&](fallback_kind by) {
        std::string out(max_access_line, '\0');
        out.resize(
            static_cast<std::size_t>(write_access_line(out.data(), degraded(*settings->routes[0], by)) - out.data()));
        return boost::json::parse(out).as_object();
    };
    CHECK(line(fallback_kind::last_good).at("degraded") == boost::json::value("last_good"));
    CHECK(line(fallback_kind::last_good).at("degraded_age_s") == boost::json::value(35.0));
    CHECK(line(fallback_kind::last_good).at("outcome") == boost::json::value("degraded"));
    CHECK(line(fallback_kind::route).at("degraded") == boost::json::value("route"));
    CHECK(line(fallback_kind::route).at("fallback_route") == boost::json::value("cheap"));
    CHECK(!line(fallback_kind::route).contains("degraded_age_s"));
    CHECK(line(fallback_kind::respond).at("degraded") == boost::json::value("respond"));
}

TEST_CASE("health: a degraded answer is no success of the service; a route is degraded for a minute after it") {
    steady_time now{1000s};
    const auto settings = sample_settings({{"one", "a"}, {"two", "b"}});
    health seen([&] { return now; });
    seen.configuration_loaded(settings);
    request_account good{.route = settings->routes[0].get(), .status = 200, .effort = {.attempts = 1}, .total = 1s};
    seen.request_finished(good);
    const auto shown = [&](const char* route) {
        return boost::json::parse(health_json(seen.view(), false)).as_object().at("services").at(route).as_object();
    };
    CHECK(shown("one").at("degraded") == boost::json::value(false));
    CHECK(boost::json::serialize(shown("one").at("fallbacks")) == R"({"last_good":0,"route":0,"respond":0})");
    for (const auto by : {fallback_kind::last_good, fallback_kind::respond, fallback_kind::respond})
        seen.request_finished(degraded(*settings->routes[0], by));
    CHECK(shown("one").at("degraded") == boost::json::value(true));
    CHECK(boost::json::serialize(shown("one").at("fallbacks")) == R"({"last_good":1,"route":0,"respond":2})");
    CHECK(shown("one").at("success_rate") == boost::json::value(0.25));
    CHECK(shown("two").at("degraded") == boost::json::value(false));
    now += 60s - 1ns;
    CHECK(shown("one").at("degraded") == boost::json::value(true));
    now += 1ns;
    CHECK(shown("one").at("degraded") == boost::json::value(false));
    // Since the start.
    CHECK(boost::json::serialize(shown("one").at("fallbacks")) == R"({"last_good":1,"route":0,"respond":2})");
}

TEST_CASE("injected faults are counted by route and fault, from the first one on, and rules in force are a gauge") {
    metrics seen({.version = "1"});
    const auto settings = sample_settings({{"one", "a"}, {"two", "a"}});
    seen.configuration_loaded(settings);
    CHECK(value_of(seen, R"(evenkeel_chaos_injected_total{route="two",fault="stall"})") == "absent");
    CHECK(value_of(seen, "evenkeel_chaos_active_rules") == "0");
    seen.request_event({settings->routes[0].get()}, happened::faulted{chaos_fault::stall});
    seen.request_event({settings->routes[0].get()}, happened::faulted{chaos_fault::stall});
    seen.report_from([] {
        policy_report report;
        report.chaos_rules = 3;
        return report;
    });
    CHECK(value_of(seen, R"(evenkeel_chaos_injected_total{route="one",fault="stall"})") == "2");
    CHECK(value_of(seen, R"(evenkeel_chaos_injected_total{route="two",fault="stall"})") == "absent");
    CHECK(value_of(seen, "evenkeel_chaos_active_rules") == "3");
}

TEST_CASE("the access log names the faults that a request met, in a fixed order, and says nothing of chaos otherwise") {
    const auto line_of = [](std::uint16_t faults) {
        request_account record;
        record.effort.chaos = faults;
        std::string out(max_access_line, '\0');
        out.resize(static_cast<std::size_t>(write_access_line(out.data(), record) - out.data()));
        return out;
    };
    CHECK(line_of(0).find("chaos") == std::string::npos);
    CHECK(line_of(1U << 4).find(R"(,"chaos":"stall",)") != std::string::npos);
    CHECK(line_of(1U << 1 | 1U << 10).find(R"(,"chaos":"abort,gzip",)") != std::string::npos);
    CHECK(line_of((1U << chaos_fault_count) - 1)
              .find(R"(,"chaos":"latency,abort,connect_fail,reset,stall,drip,truncate,malformed,)"
                    R"(stream_error,split,gzip",)") != std::string::npos);
}

} // namespace evenkeel::test::fallback_telemetry_test

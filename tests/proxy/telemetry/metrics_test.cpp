#include "proxy/telemetry/metrics.hpp"

#include "proxy/telemetry/cells.hpp"
#include "proxy/telemetry/metric_totals.hpp"
#include "proxy/telemetry/scrape_cache.hpp"
#include "proxy/wire/refusal.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::metrics_test {

using namespace evenkeel::telemetry;
using namespace std::chrono_literals;

namespace {

const any_happening first_launched = happened::launched{attempt_kind::first, "first"};

metrics_options options(unsigned workers = 2) {
    return {.version = "0.1.0", .workers = workers, .wall_now = [] { return wall_time{1'790'000'000s}; }};
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

// The value of exactly this series, "absent" if there is none.
std::string value_of(const metrics& from, const std::string& series) {
    for (const auto& line : lines_of(from.text()))
        if (line.size() > series.size() && line.starts_with(series) && line[series.size()] == ' ')
            return line.substr(series.size() + 1);
    return "absent";
}

std::set<std::string> series_of(const metrics& from) {
    std::set<std::string> names;
    for (const auto& line : lines_of(from.text()))
        if (!line.starts_with("#")) names.insert(line.substr(0, line.rfind(' ')));
    return names;
}

void one_request(observer& to, const config::settings& settings, std::size_t route = 0) {
    const auto& over = *settings.routes[route];
    to.request_started(&over);
    to.request_event({&over, over.upstreams[0].get()}, first_launched);
    to.attempt_finished(
        {.route = &over, .upstream = over.upstreams[0].get(), .status = 200, .to_head = 300ms, .total = 900ms});
    to.request_finished({.route = &over,
                         .upstream = over.upstreams[0].get(),
                         .method = "POST",
                         .path = "/v1/chat/completions",
                         .status = 200,
                         .effort = {.attempts = 1},
                         .total = 1s,
                         .first_byte = 310ms,
                         .overhead = 45us,
                         .bytes_in = 700,
                         .bytes_out = 2000});
}

// Everything that can be seen of `phase1`, which has one upstream.
policy_report sample_report() {
    const steady_time now{5000s};
    circuit_breaker::summary circuit;
    circuit.state = circuit_state::open;
    circuit.since = now - 10s;
    circuit.next_probe = now + 2500ms;
    circuit.forced = circuit_state::open;
    cooldown::summary rest;
    rest.resting = 2;
    rest.until = now + 7s;
    overload_control::summary overload;
    overload.active = true;
    overload.limit = 4.5;
    overload.in_service = 3;
    endpoint_latency::summary latency{};
    latency.p50 = 1500ms;
    latency.current_timeout_stream = 10s;
    latency.current_timeout_buffered = 25s;
    latency.samples = 40;
    hedge_guard::summary hedging;
    hedging.suspended = true;
    return {now,
            {{"phase1",
              hedging,
              1,
              {{"deepseek", circuit, rest, overload, latency, 3.5, 10}},
              bulkhead::summary{7, 8, 2, 9}}}};
}

// phase1 as configured by default, phase2 with everything that is off by default.
std::shared_ptr<config::settings> plain_and_full() {
    auto settings = sample_settings({{"phase1", "deepseek"}, {"phase2", "backup"}});
    auto plain = std::make_shared<config::route>(*settings->routes[0]);
    plain->circuit_breaker.on = plain->cooldown.on = plain->overload.on = true;
    auto full = std::make_shared<config::route>(*settings->routes[1]);
    auto warm = std::make_shared<config::upstream>(*full->upstreams[0]);
    warm->prewarm = {.on = true, .probe_path = "/v1/models"};
    full->upstreams = {warm, settings->upstreams[0]};
    full->circuit_breaker.on = full->cooldown.on = full->overload.on = true;
    full->hedge.on = full->bulkhead.on = full->stream.upcast = true;
    full->stream.resume = config::stream_resume::verified_replay;
    full->coalesce = coalesce_mode::always;
    full->fallback = {{.is = fallback_kind::last_good}, {.is = fallback_kind::route}, {.is = fallback_kind::respond}};
    settings->upstreams[1] = warm;
    settings->routes = {plain, full};
    return settings;
}

} // namespace

TEST_CASE("what alerts count exists before the first request, with zero") {
    metrics seen(options());
    seen.configuration_loaded(plain_and_full());

    for (const char* series : {
             R"(evenkeel_requests_total{route="phase1",outcome="client_cancelled",code_class="none"})",
             R"(evenkeel_requests_total{route="phase1",outcome="upstream_error",code_class="5xx"})",
             R"(evenkeel_requests_total{route="phase1",outcome="truncated",code_class="2xx"})",
             R"(evenkeel_requests_total{route="phase2",outcome="ok",code_class="2xx"})",
             R"(evenkeel_requests_total{route="none",outcome="rejected",code_class="4xx"})",
             R"(evenkeel_requests_in_flight{route="phase1"})",
             R"(evenkeel_upstream_attempts_total{route="phase1",upstream="deepseek",kind="first",result="quota"})",
             R"(evenkeel_upstream_attempts_total{route="phase2",upstream="deepseek",kind="first",result="success"})",
             R"(evenkeel_requests_total{route="phase1",outcome="retried",code_class="2xx"})",
             R"(evenkeel_circuit_breaker_transitions_total{route="phase1",upstream="deepseek",from="closed",)"
             R"(to="open",why="consecutive_failures"})",
             R"(evenkeel_budget_refusals_total{route="phase1",upstream="deepseek",kind="retry"})",
             R"(evenkeel_requests_held{route="phase1"})",
             R"(evenkeel_holds_total{route="phase1",result="gave_up"})",
             R"(evenkeel_upstream_attempts_in_flight{upstream="deepseek"})",
             R"(evenkeel_connections{side="downstream"})",
             R"(evenkeel_connections{side="upstream",upstream="deepseek"})",
             R"(evenkeel_connections_opened_total{side="upstream",upstream="deepseek"})",
             R"(evenkeel_upstream_idle_connections{upstream="backup"})",
             R"(evenkeel_upstream_cold_connections_total{upstream="backup"})",
             R"(evenkeel_connections_refused_total{reason="max_connections"})",
             R"(evenkeel_requests_refused_total{reason="no_route"})",
             R"(evenkeel_requests_refused_total{reason="body_not_split"})",
             R"(evenkeel_requests_refused_total{reason="bulkhead_full"})",
             R"(evenkeel_requests_refused_total{reason="bulkhead_timeout"})",
             R"(evenkeel_requests_refused_total{reason="bulkhead_tenant_share"})",
             R"(evenkeel_requests_refused_total{reason="circuit_open"})",
             R"(evenkeel_requests_refused_total{reason="other"})",
             // What is off by default, where it is on.
             R"(evenkeel_requests_total{route="phase2",outcome="failed_over",code_class="2xx"})",
             R"(evenkeel_requests_total{route="phase2",outcome="hedged",code_class="2xx"})",
             R"(evenkeel_requests_total{route="phase2",outcome="degraded",code_class="2xx"})",
             R"(evenkeel_stream_resumptions_total{route="phase2",result="not_comparable"})",
             R"(evenkeel_upcast_total{route="phase2",result="unknown_field"})",
             R"(evenkeel_wasted_output_events_total{route="phase2",upstream="backup"})",
             R"(evenkeel_hedges_total{route="phase2",upstream="deepseek",result="won"})",
             R"(evenkeel_hedges_total{route="phase2",upstream="backup",result="failed"})",
             R"(evenkeel_hedges_refused_total{route="phase2",reason="guard"})",
             R"(evenkeel_hedges_refused_total{route="phase2",reason="deadline"})",
             R"(evenkeel_budget_refusals_total{route="phase2",upstream="deepseek",kind="hedge"})",
             R"(evenkeel_bulkhead_rejected_total{route="phase2",reason="queue_full"})",
             R"(evenkeel_bulkhead_rejected_total{route="phase2",reason="queue_timeout"})",
             R"(evenkeel_bulkhead_rejected_total{route="phase2",reason="tenant_share"})",
             R"(evenkeel_bulkhead_tenant_limited_total{route="phase2"})",
             R"(evenkeel_coalesced_requests_total{route="phase2",role="leader"})",
             R"(evenkeel_coalesced_requests_total{route="phase2",role="follower"})",
             R"(evenkeel_coalesced_flights{route="phase2"})",
             R"(evenkeel_coalesced_detached_total{route="phase2",reason="slow"})",
             R"(evenkeel_coalesced_detached_total{route="phase2",reason="memory"})",
             R"(evenkeel_fallbacks_total{route="phase2",step="last_good"})",
             R"(evenkeel_fallbacks_exhausted_total{route="phase2"})",
             R"(evenkeel_prewarm_target_connections{upstream="backup"})",
             R"(evenkeel_prewarm_connections_total{upstream="backup",result="unused"})",
             R"(evenkeel_prewarm_probes_total{upstream="backup",result="refused"})",
         }) {
        CAPTURE(series);
        CHECK(value_of(seen, series) == "0");
    }
    for (int why = 1; why <= static_cast<int>(wire::refusal::unexpected_bytes); ++why) {
        const std::string word(wire::to_string(static_cast<wire::refusal>(why)));
        CHECK(value_of(seen, "evenkeel_requests_refused_total{reason=\"" + word + "\"}") == "0");
    }
    CHECK(value_of(seen, R"(evenkeel_config_info{hash="0123abcd"})") == "1");
    CHECK(value_of(seen, "evenkeel_config_last_reload_successful") == "1");
    CHECK(value_of(seen, "evenkeel_config_last_reload_success_timestamp_seconds") == "1790000000");
    CHECK(value_of(seen, "process_start_time_seconds") != "absent");
}

TEST_CASE("what is off for a route or an upstream has no series of it, and a family without series is not named") {
    metrics seen(options());
    seen.configuration_loaded(plain_and_full());
    for (const auto& series : series_of(seen)) {
        CAPTURE(series);
        if (series.find("route=\"phase1\"") == std::string::npos &&
            series.find("upstream=\"deepseek\"") == std::string::npos)
            continue;
        if (series.find("route=\"phase2\"") != std::string::npos) continue;
        for (const char* feature : {"hedge", "bulkhead", "coalesced", "fallback", "prewarm", "upcast", "resumption",
                                    "chaos", "wasted", "failed_over", "degraded"})
            CHECK(series.find(feature) == std::string::npos);
    }
    const auto text = seen.text();
    CHECK(text.find("evenkeel_chaos_injected_total") == std::string::npos);
    CHECK(text.find("evenkeel_request_duration_seconds") == std::string::npos);
}

TEST_CASE(
    "details exist from their first event on, histograms from their first observation, also where the feature is off") {
    metrics seen(options());
    const auto settings = plain_and_full();
    seen.configuration_loaded(settings);
    const auto& route = *settings->routes[0];
    const auto& upstream = *route.upstreams[0];
    const auto before = series_of(seen);
    const event_origin of_route{&route};

    seen.request_event(of_route, happened::not_hedged{hedge_refusal::budget});
    seen.endpoint_changed({&route, &upstream}, rest_began{outcome_kind::quota, 3s});
    seen.endpoint_changed({&route, &upstream},
                          circuit_transition{circuit_state::half_open, circuit_state::closed, "probe_succeeded"});
    seen.request_event(of_route, happened::faulted{chaos_fault::reset});
    seen.request_started(&route);
    seen.request_finished({.route = &route, .status = 304, .denied = denied_reason::budget, .total = 1s});

    std::set<std::string> fresh,
        expected{
            R"(evenkeel_hedges_refused_total{route="phase1",reason="budget"})",
            R"(evenkeel_cooldowns_total{route="phase1",upstream="deepseek",reason="quota"})",
            R"(evenkeel_circuit_breaker_transitions_total{route="phase1",upstream="deepseek",from="half_open",)"
            R"(to="closed",why="probe_succeeded"})",
            R"(evenkeel_chaos_injected_total{route="phase1",fault="reset"})",
            R"(evenkeel_requests_total{route="phase1",outcome="ok",code_class="3xx"})",
            R"(evenkeel_retries_denied_total{route="phase1",reason="budget"})",
            R"(evenkeel_request_duration_seconds_sum{route="phase1"})",
            R"(evenkeel_request_duration_seconds_count{route="phase1"})",
        };
    for (const char* le :
         {"0.08", "0.16", "0.32", "0.64", "1.28", "2.56", "5.12", "10.24", "20.48", "40.96", "81.92", "300", "+Inf"})
        expected.insert(R"(evenkeel_request_duration_seconds_bucket{route="phase1",le=")" + std::string(le) + "\"}");
    const auto after = series_of(seen);
    std::set_difference(after.begin(), after.end(), before.begin(), before.end(), std::inserter(fresh, fresh.end()));
    CHECK(fresh == expected);
    CHECK(std::includes(after.begin(), after.end(), before.begin(), before.end()));

    seen.configuration_loaded(sample_settings({{"other", "backup"}}, "4567"));
    const auto left = series_of(seen);
    for (const auto& series : expected) {
        CAPTURE(series);
        CHECK(left.contains(series));
    }
    CHECK(!left.contains(R"(evenkeel_requests_total{route="phase1",outcome="ok",code_class="5xx"})"));
    CHECK(!left.contains(R"(evenkeel_requests_in_flight{route="phase1"})"));
}

TEST_CASE("a pair that is only half known is not counted, and the gauge of attempts comes back to zero") {
    metrics seen(options());
    const auto settings = sample_settings({{"phase1", "deepseek"}, {"phase2", "backup"}});
    seen.configuration_loaded(settings);
    const auto& route = *settings->routes[0];
    const auto& stranger = *settings->routes[1]->upstreams[0];

    seen.request_event({&route, &stranger}, first_launched);
    CHECK(value_of(seen, R"(evenkeel_upstream_attempts_in_flight{upstream="backup"})") == "0");
    seen.attempt_finished({.route = &route, .upstream = &stranger});
    CHECK(value_of(seen, R"(evenkeel_upstream_attempts_in_flight{upstream="backup"})") == "0");
}

TEST_CASE("one request shows where it belongs") {
    metrics seen(options());
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    seen.configuration_loaded(settings);

    seen.request_started(settings->routes[0].get());
    CHECK(value_of(seen, R"(evenkeel_requests_in_flight{route="phase1"})") == "1");
    seen.request_finished({.route = settings->routes[0].get(), .outcome = request_outcome::client_cancelled});
    CHECK(value_of(seen, R"(evenkeel_requests_in_flight{route="phase1"})") == "0");
    CHECK(value_of(seen, R"(evenkeel_requests_total{route="phase1",outcome="client_cancelled",code_class="none"})") ==
          "1");
    CHECK(value_of(seen, R"(evenkeel_proxy_overhead_seconds_count{route="phase1"})") == "absent");

    one_request(seen, *settings);
    CHECK(value_of(seen, R"(evenkeel_requests_total{route="phase1",outcome="ok",code_class="2xx"})") == "1");
    CHECK(
        value_of(
            seen,
            R"(evenkeel_upstream_attempts_total{route="phase1",upstream="deepseek",kind="first",result="success"})") ==
        "1");
    CHECK(
        value_of(seen, R"(evenkeel_time_to_first_byte_seconds_bucket{route="phase1",upstream="deepseek",le="0.16"})") ==
        "0");
    CHECK(
        value_of(seen, R"(evenkeel_time_to_first_byte_seconds_bucket{route="phase1",upstream="deepseek",le="0.32"})") ==
        "1");
    CHECK(value_of(seen, R"(evenkeel_proxy_overhead_seconds_bucket{route="phase1",le="3.125e-05"})") == "0");
    CHECK(value_of(seen, R"(evenkeel_proxy_overhead_seconds_bucket{route="phase1",le="6.25e-05"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_upstream_attempt_duration_seconds_sum{upstream="deepseek"})") == "0.9");
    CHECK(value_of(seen, R"(evenkeel_body_bytes_total{route="phase1",direction="request"})") == "700");
    CHECK(value_of(seen, R"(evenkeel_body_bytes_total{route="phase1",direction="response"})") == "2000");
    CHECK(value_of(seen, R"(evenkeel_upstream_attempts_in_flight{upstream="deepseek"})") == "0");
}

TEST_CASE("totals: the same counts as plain numbers") {
    const auto settings = sample_settings({{"phase1", "deepseek"}, {"phase2", "backup"}});
    metrics all(options());
    all.configuration_loaded(settings);
    one_request(all, *settings);
    const auto& route = *settings->routes[0];
    all.request_started(&route); // under way
    spending spent{.became = spent_on::failed, .cost = 2'000};
    spent.tokens.at(token_kind::input) = 30;
    spent.tokens.at(token_kind::output) = 5;
    spent.tokens.output_estimated = true;
    for (const auto result : {attempt_result::timeout, attempt_result::cancelled, attempt_result::caller_error}) {
        all.request_event({&route, route.upstreams[0].get()}, first_launched);
        all.attempt_finished({.route = &route,
                              .upstream = route.upstreams[0].get(),
                              .kind = attempt_kind::retry,
                              .result = result,
                              .total = 1s,
                              .spent = result == attempt_result::timeout ? spent : spending{}});
    }
    all.request_started(nullptr);
    all.request_finished({.reason = "no_route", .status = 404, .outcome = request_outcome::rejected});

    const metric_totals told = all.totals();
    CHECK(told.version == "0.1.0");
    REQUIRE(told.routes.size() == 2);
    CHECK(told.routes[0].route == "phase1");
    CHECK(told.routes[0].ended[static_cast<std::size_t>(request_ending::ok)] == 1);
    CHECK(told.routes[0].duration.count == 1);
    CHECK(told.routes[0].duration.seconds == doctest::Approx(1));
    CHECK(told.routes[0].in_flight == 1);
    CHECK(told.routes[1].in_flight == 0);
    CHECK(told.unrouted.ended[static_cast<std::size_t>(request_ending::rejected)] == 1);
    REQUIRE(told.pairs.size() == 2);
    const pair_total& pair = told.pairs[0];
    CHECK(pair.upstream == "deepseek");
    CHECK(pair.attempts[static_cast<std::size_t>(attempt_kind::first)] == 1);
    CHECK(pair.attempts[static_cast<std::size_t>(attempt_kind::retry)] == 3);
    CHECK(pair.failed == 1);
    CHECK(pair.cancelled == 1);
    CHECK(pair.tokens[static_cast<std::size_t>(spent_on::failed)] == 35);
    CHECK(pair.estimated == 5);
    CHECK(pair.cost[static_cast<std::size_t>(spent_on::failed)] == 2'000);
    CHECK_FALSE(told.process);
    CHECK(told.sample.resident_bytes > 0);
}

TEST_CASE("a bound belongs to its bucket, the nanosecond after it does not") {
    struct row {
        duration value;
        double first_bucket; // seconds; 0: beyond every bound
    };
    for (const auto& [value, first_bucket] :
         {row{0ns, 0.08}, row{-5s, 0.08}, row{1ns, 0.08}, row{80ms, 0.08}, row{80ms + 1ns, 0.16}, row{160ms, 0.16},
          row{160ms + 1ns, 0.32}, row{10ms * 8192, 81.92}, row{10ms * 8192 + 1ns, 300}, row{300s, 300},
          row{300s + 1ns, 0}, row{24h * 365, 0}}) {
        long_histogram cells;
        cells.observe(value);
        histogram_view view;
        cells.add_to(view);

        const auto at =
            static_cast<std::size_t>(std::find(view.counts.begin(), view.counts.end(), 1U) - view.counts.begin());
        CAPTURE(value.count());
        CHECK((at < view.size ? view.bounds[at] : 0.0) == first_bucket);
    }
}

TEST_CASE("bounds of the proxy's own time: doubling, then milliseconds") {
    struct row {
        duration value;
        double first_bucket;
    };
    for (const auto& [value, first_bucket] :
         {row{31us, 3.125e-05}, row{31'250ns, 3.125e-05}, row{31'251ns, 6.25e-05}, row{1ms, 0.001},
          row{1ms + 1ns, 0.008}, row{8ms, 0.008}, row{8ms + 1ns, 0.064}, row{64ms, 0.064}, row{64ms + 1ns, 0}}) {
        short_histogram cells;
        cells.observe(value);
        histogram_view view;
        cells.add_to(view);
        const auto at =
            static_cast<std::size_t>(std::find(view.counts.begin(), view.counts.end(), 1U) - view.counts.begin());
        CAPTURE(value.count());
        CHECK((at < view.size ? view.bounds[at] : 0.0) == first_bucket);
    }
}

TEST_CASE("connections come and go, on whatever thread, and the gauges return to zero") {
    metrics seen(options(4));
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    seen.configuration_loaded(settings);
    const auto* upstream = settings->upstreams[0].get();

    seen.connection_changed({connection_event::kind::opened, upstream});
    seen.connection_changed({connection_event::kind::idle, upstream, 1});
    CHECK(value_of(seen, R"(evenkeel_connections{side="upstream",upstream="deepseek"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_upstream_idle_connections{upstream="deepseek"})") == "1");
    std::jthread([&] {
        seen.connection_changed({connection_event::kind::idle, upstream, -1});
        seen.connection_changed({connection_event::kind::closed, upstream});
    }).join();
    CHECK(value_of(seen, R"(evenkeel_connections{side="upstream",upstream="deepseek"})") == "0");
    CHECK(value_of(seen, R"(evenkeel_upstream_idle_connections{upstream="deepseek"})") == "0");
    CHECK(value_of(seen, R"(evenkeel_connections_opened_total{side="upstream",upstream="deepseek"})") == "1");

    seen.connection_changed({connection_event::kind::opened});
    CHECK(value_of(seen, R"(evenkeel_connections{side="downstream"})") == "1");
    seen.connection_refused("no_fds");
    seen.connection_refused("something new");
    CHECK(value_of(seen, R"(evenkeel_connections_refused_total{reason="no_fds"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_connections_refused_total{reason="other"})") == "1");
}

TEST_CASE("what pre-warming does is counted per upstream") {
    metrics seen(options());
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    seen.configuration_loaded(settings);
    const auto& upstream = *settings->upstreams[0];

    seen.connection_changed({connection_event::kind::prewarm_target, &upstream, 5});
    seen.connection_changed({connection_event::kind::prewarm_target, &upstream, -2});
    seen.connection_changed({connection_event::kind::cold, &upstream});
    for (int i = 0; i < 3; ++i)
        seen.connection_changed(
            {.is = connection_event::kind::prewarmed, .upstream = &upstream, .warm = prewarm_event::opened});
    seen.connection_changed(
        {.is = connection_event::kind::prewarmed, .upstream = &upstream, .warm = prewarm_event::used});
    seen.connection_changed(
        {.is = connection_event::kind::prewarmed, .upstream = &upstream, .warm = prewarm_event::used});
    seen.connection_changed(
        {.is = connection_event::kind::prewarmed, .upstream = &upstream, .warm = prewarm_event::unused});

    CHECK(value_of(seen, R"(evenkeel_prewarm_target_connections{upstream="deepseek"})") == "3");
    CHECK(value_of(seen, R"(evenkeel_upstream_cold_connections_total{upstream="deepseek"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_prewarm_connections_total{upstream="deepseek",result="opened"})") == "3");
    CHECK(value_of(seen, R"(evenkeel_prewarm_connections_total{upstream="deepseek",result="used"})") == "2");
    CHECK(value_of(seen, R"(evenkeel_prewarm_connections_total{upstream="deepseek",result="unused"})") == "1");
    // Pre-warming is off here.
    CHECK(value_of(seen, R"(evenkeel_prewarm_connections_total{upstream="deepseek",result="failed"})") == "absent");
}

TEST_CASE("a reload keeps counts by name, counts requests of the old snapshot, and keeps what vanished") {
    metrics seen(options());
    auto before = sample_settings({{"phase1", "deepseek"}, {"old", "deepseek"}});
    seen.configuration_loaded(before);
    one_request(seen, *before, 0);
    one_request(seen, *before, 1);

    const auto after = sample_settings({{"phase1", "deepseek"}, {"new", "deepseek"}}, "4567");
    seen.configuration_loaded(after);
    one_request(seen, *before, 1); // still in flight
    one_request(seen, *after, 0);
    one_request(seen, *after, 1);

    CHECK(value_of(seen, R"(evenkeel_requests_total{route="phase1",outcome="ok",code_class="2xx"})") == "2");
    CHECK(value_of(seen, R"(evenkeel_requests_total{route="old",outcome="ok",code_class="2xx"})") == "2");
    CHECK(value_of(seen, R"(evenkeel_requests_total{route="new",outcome="ok",code_class="2xx"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_config_info{hash="4567"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_config_info{hash="0123abcd"})") == "absent");

    seen.configuration_failed();
    CHECK(value_of(seen, "evenkeel_config_last_reload_successful") == "0");
    CHECK(value_of(seen, R"(evenkeel_config_info{hash="4567"})") == "1");
}

TEST_CASE("a thousand reloads with other routes at reused addresses never count for the wrong one") {
    metrics seen(options());
    for (int i = 0; i < 1000; ++i) {
        const auto settings =
            i % 2 == 0 ? sample_settings({{"even", "deepseek"}}) : sample_settings({{"odd", "deepseek"}});
        seen.configuration_loaded(settings);
        one_request(seen, *settings);
    }
    CHECK(value_of(seen, R"(evenkeel_requests_total{route="even",outcome="ok",code_class="2xx"})") == "500");
    CHECK(value_of(seen, R"(evenkeel_requests_total{route="odd",outcome="ok",code_class="2xx"})") == "500");
}

TEST_CASE("nothing a client chooses becomes a label: 100000 paths, models and reasons add no series") {
    metrics seen(options());
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    seen.configuration_loaded(settings);
    std::set<std::string> before;

    for (int i = 0; i < 100'000; ++i) {
        if (i == 1000) before = series_of(seen); // every status of the loop was seen on both
        const auto word = "sk-CANARY-" + std::to_string(i);
        const auto* route = i % 2 == 0 ? settings->routes[0].get() : nullptr;
        seen.request_started(route);
        seen.request_finished({.route = route,
                               .method = word,
                               .path = word,
                               .request_id = word,
                               .upstream_request_id = word,
                               .model = word,
                               .reason = word,
                               .proxy_error = word,
                               .status = 400 + i % 200 * 100,
                               .outcome = request_outcome::rejected});
    }

    CHECK(series_of(seen) == before);
    CHECK(seen.text().find("CANARY") == std::string::npos);
    CHECK(value_of(seen, R"(evenkeel_requests_refused_total{reason="other"})") == "100000");
}

TEST_CASE("records without a configuration are counted under no route") {
    metrics seen(options());
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    one_request(seen, *settings);
    seen.request_started(nullptr);
    seen.request_finished({.reason = "no_route", .status = 404, .outcome = request_outcome::rejected});

    CHECK(value_of(seen, R"(evenkeel_requests_total{route="none",outcome="ok",code_class="2xx"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_requests_total{route="none",outcome="rejected",code_class="4xx"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_requests_refused_total{reason="no_route"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_requests_in_flight{route="none"})") == "0");
}

TEST_CASE("two threads count while a third scrapes and a fourth reloads, and nothing is lost") {
    metrics seen(options());
    const auto settings = sample_settings({{"phase1", "deepseek"}, {"phase2", "backup"}});
    seen.configuration_loaded(settings);
    constexpr int each = 20'000;
    std::atomic<bool> done{false};
    {
        std::jthread scraper([&] {
            while (!done) CHECK(!seen.text().empty());
        });
        std::jthread reloader([&] {
            while (!done) seen.configuration_loaded(sample_settings({{"phase1", "deepseek"}, {"phase2", "backup"}}));
        });
        {
            std::jthread first([&] {
                for (int i = 0; i < each; ++i) one_request(seen, *settings, static_cast<std::size_t>(i % 2));
            });
            std::jthread second([&] {
                for (int i = 0; i < each; ++i) one_request(seen, *settings, static_cast<std::size_t>(i % 2));
            });
        }
        done = true;
    }
    for (const char* route : {"phase1", "phase2"})
        CHECK(value_of(seen, std::string("evenkeel_requests_total{route=\"") + route +
                                 R"(",outcome="ok",code_class="2xx"})") == std::to_string(each));
}

TEST_CASE("counters kept elsewhere are read at each scrape") {
    metrics seen(options());
    std::atomic<std::uint64_t> dropped{0};
    CHECK(value_of(seen, "evenkeel_access_log_dropped_total") == "absent");
    seen.report_process_from(
        [&] { return process_report{.access_log_dropped = dropped.load(), .memory_held = 5, .memory_limit = 6}; });
    CHECK(value_of(seen, "evenkeel_memory_held_bytes") == "5");
    CHECK(value_of(seen, "evenkeel_memory_limit_bytes") == "6");
    CHECK(value_of(seen, "evenkeel_access_log_dropped_total") == "0");
    dropped = 7;
    CHECK(value_of(seen, "evenkeel_access_log_dropped_total") == "7");
}

TEST_CASE("when certificates expire is told by side and upstream, of those that are shown") {
    metrics seen(options());
    seen.configuration_loaded(sample_settings({{"phase1", "deepseek"}, {"phase2", "backup"}}));
    process_report shown;
    seen.report_process_from([&] { return shown; });
    const std::string name = "evenkeel_certificate_expiry_timestamp_seconds";
    const std::string clients = name + R"({side="downstream"})";
    const std::string backup = name + R"({side="upstream",upstream="backup"})";
    CHECK(seen.text().find(name + "{") == std::string::npos);

    shown.server_certificate_expires = 2e9;
    CHECK(value_of(seen, clients) == "2000000000");
    CHECK(value_of(seen, backup) == "absent");

    shown.client_certificates_expire.emplace("backup", 1.9e9);
    CHECK(value_of(seen, backup) == "1900000000");
    CHECK(value_of(seen, name + R"({side="upstream",upstream="deepseek"})") == "absent");
}

TEST_CASE("whether a restart is waited for is 0 or 1 from the start") {
    metrics seen(options());
    bool waits = false;
    seen.report_process_from([&] { return process_report{.restart_required = waits}; });
    CHECK(value_of(seen, "evenkeel_config_restart_required") == "0");
    waits = true;
    CHECK(value_of(seen, "evenkeel_config_restart_required") == "1");
}

TEST_CASE("scrapes within the lifetime of the cache share one text") {
    metrics seen(options());
    scrape_cache cache(seen, 200ms);
    const steady_time start{100s};

    const auto first = cache.text(start);
    CHECK(cache.text(start + 200ms - 1ns) == first);
    CHECK(cache.text(start + 200ms) != first);
}

TEST_CASE("promtool finds nothing to complain about") {
    const std::string tool = EVENKEEL_PROMTOOL;
    if (tool.empty()) {
        MESSAGE("skipped: promtool is missing (apt-get install prometheus)");
        return;
    }
    metrics seen(options());
    const auto settings = sample_settings({{"phase1", "deepseek"}, {"weird \"name\"\\", "ba\nckup"}});
    seen.configuration_loaded(settings);
    one_request(seen, *settings, 0);
    one_request(seen, *settings, 1);
    seen.report_process_from([] { return process_report{.access_log_dropped = 3}; });
    seen.report_from([] { return sample_report(); });

    const auto file =
        std::filesystem::temp_directory_path() / ("evenkeel_metrics_" + std::to_string(getpid()) + ".prom");
    const auto complaints = file.string() + ".out";
    std::ofstream(file) << seen.text();
    const int status = std::system((tool + " check metrics < " + file.string() + " > " + complaints + " 2>&1").c_str());
    std::ostringstream said;
    said << std::ifstream(complaints).rdbuf();
    std::filesystem::remove(file);
    std::filesystem::remove(complaints);
    INFO(said.str());
    CHECK(status == 0);
}

TEST_CASE("how answers came about, why retries were denied, how streams ended, what was wasted") {
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    metrics seen(options());
    seen.configuration_loaded(settings);
    const auto& route = *settings->routes[0];
    const auto& upstream = *settings->upstreams[0];
    for (const bool committed : {false, true}) {
        seen.request_event({&route, &upstream}, first_launched);
        seen.attempt_finished({.route = &route,
                               .upstream = &upstream,
                               .kind = committed ? attempt_kind::retry : attempt_kind::first,
                               .result = committed ? attempt_result::success : attempt_result::stream_error,
                               .events = 7,
                               .committed = committed});
    }
    seen.request_started(&route);
    seen.request_finished({.route = &route,
                           .upstream = &upstream,
                           .status = 200,
                           .effort = {.attempts = 2},
                           .service = request_service::retried,
                           .denied = denied_reason::limit,
                           .ended = stream_end::complete,
                           .first_token = 200ms});
    seen.request_event({&route}, happened::resumed{stream_resumption::differs});
    CHECK(value_of(seen, R"(evenkeel_stream_resumptions_total{route="phase1",result="differs"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_stream_resumptions_total{route="phase1",result="resumed"})") == "absent");
    seen.request_event({&route}, happened::upcast{upcast_result::assembled});
    seen.request_event({&route}, happened::upcast{upcast_result::refused});
    CHECK(value_of(seen, R"(evenkeel_upcast_total{route="phase1",result="assembled"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_upcast_total{route="phase1",result="refused"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_upcast_total{route="phase1",result="incomplete"})") == "absent");
    CHECK(value_of(seen, R"(evenkeel_wasted_output_events_total{route="phase1",upstream="deepseek"})") == "7");
    CHECK(value_of(seen, R"(evenkeel_upstream_attempts_total{route="phase1",upstream="deepseek",kind="first",)"
                         R"(result="stream_error"})") == "1");
    CHECK(
        value_of(
            seen,
            R"(evenkeel_upstream_attempts_total{route="phase1",upstream="deepseek",kind="retry",result="success"})") ==
        "1");
    CHECK(value_of(seen, R"(evenkeel_requests_total{route="phase1",outcome="retried",code_class="2xx"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_retries_denied_total{route="phase1",reason="limit"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_stream_ends_total{route="phase1",reason="complete"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_time_to_first_token_seconds_count{route="phase1",upstream="deepseek"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_time_to_first_token_seconds_sum{route="phase1",upstream="deepseek"})") == "0.2");
}

TEST_CASE("what the policies did is counted where it happened") {
    const auto settings = sample_settings({{"phase1", "deepseek"}});
    metrics seen(options());
    seen.configuration_loaded(settings);
    const auto& route = *settings->routes[0];
    const auto& upstream = *settings->upstreams[0];
    const event_origin of_route{&route}, of_pair{&route, &upstream};
    const auto attempt = [&](attempt_kind kind, attempt_result result, bool committed, bool probe) {
        seen.request_event({&route, &upstream}, first_launched);
        seen.attempt_finished({.route = &route,
                               .upstream = &upstream,
                               .kind = kind,
                               .result = result,
                               .committed = committed,
                               .probe = probe});
    };

    attempt(attempt_kind::hedge, attempt_result::success, true, false);
    attempt(attempt_kind::hedge, attempt_result::cancelled, false, false);
    attempt(attempt_kind::hedge, attempt_result::cancelled, false, false);
    attempt(attempt_kind::hedge, attempt_result::server_error, false, false);
    attempt(attempt_kind::first, attempt_result::success, true, true);
    attempt(attempt_kind::first, attempt_result::timeout, false, true);
    attempt(attempt_kind::first, attempt_result::rate_limited, false, true);
    seen.request_event(of_pair, happened::not_hedged{hedge_refusal::budget});
    seen.endpoint_changed(of_pair,
                          circuit_transition{circuit_state::closed, circuit_state::open, "consecutive_failures"});
    seen.endpoint_changed(of_pair, circuit_transition{circuit_state::open, circuit_state::closed, "something new"});
    seen.endpoint_changed(of_pair, rest_began{outcome_kind::rate_limited, 3s});
    seen.endpoint_changed(of_pair, rest_began{outcome_kind::timeout, 3s});
    seen.endpoint_changed(of_pair, overload_changed{true});
    seen.request_event(of_pair, happened::passed_over{attempt_purpose::retry, retry_denial::budget});
    seen.request_event(of_route, happened::holding{retry_denial::circuit_open});
    seen.request_event(of_route, happened::holding{retry_denial::circuit_open});
    CHECK(value_of(seen, R"(evenkeel_requests_held{route="phase1"})") == "2");
    seen.request_event(of_route, happened::held{3s, true});
    seen.request_event(of_route, happened::held{5s, false});
    seen.request_event(of_route,
                       happened::queued{.waited = 2s, .in_line = true, .admitted = true, .tenant_limited = true});
    seen.request_event(of_route,
                       happened::queued{.waited = 1s, .in_line = true, .refused = bulkhead_refusal::queue_timeout});
    seen.request_event(of_route, happened::queued{.waited = 1s, .in_line = true}); // its client left
    seen.request_event(of_route, happened::queued{.refused = bulkhead_refusal::queue_full});
    seen.request_event(of_route, happened::queued{.refused = bulkhead_refusal::tenant_share, .tenant_limited = true});
    for (const auto role : {coalesce_role::leader, coalesce_role::leader, coalesce_role::follower,
                            coalesce_role::follower, coalesce_role::follower})
        seen.request_event(of_route, happened::joined{role});
    seen.request_event(of_route, happened::shared_flight_ended{});
    seen.request_event(of_route, happened::detached{coalesce_detachment::memory});

    struct row {
        const char* series;
        const char* value;
    };
    for (const auto& [series, value] : {
             row{R"(evenkeel_hedges_total{route="phase1",upstream="deepseek",result="won"})", "1"},
             row{R"(evenkeel_hedges_total{route="phase1",upstream="deepseek",result="lost"})", "2"},
             row{R"(evenkeel_hedges_total{route="phase1",upstream="deepseek",result="failed"})", "1"},
             row{R"(evenkeel_hedges_refused_total{route="phase1",reason="budget"})", "1"},
             row{R"(evenkeel_circuit_breaker_probes_total{route="phase1",upstream="deepseek",result="success"})", "1"},
             row{R"(evenkeel_circuit_breaker_probes_total{route="phase1",upstream="deepseek",result="failure"})", "1"},
             row{R"(evenkeel_circuit_breaker_probes_total{route="phase1",upstream="deepseek",result="neutral"})", "1"},
             row{R"(evenkeel_circuit_breaker_transitions_total{route="phase1",upstream="deepseek",from="closed",)"
                 R"(to="open",why="consecutive_failures"})",
                 "1"},
             row{R"(evenkeel_circuit_breaker_transitions_total{route="phase1",upstream="deepseek",from="open",)"
                 R"(to="closed",why="other"})",
                 "1"},
             row{R"(evenkeel_cooldowns_total{route="phase1",upstream="deepseek",reason="rate_limited"})", "1"},
             row{R"(evenkeel_cooldowns_total{route="phase1",upstream="deepseek",reason="other"})", "1"},
             row{R"(evenkeel_overload_changes_total{route="phase1",upstream="deepseek",change="entered"})", "1"},
             row{R"(evenkeel_budget_refusals_total{route="phase1",upstream="deepseek",kind="retry"})", "1"},
             row{R"(evenkeel_budget_refusals_total{route="phase1",upstream="deepseek",kind="hedge"})", "1"},
             row{R"(evenkeel_requests_held{route="phase1"})", "0"},
             row{R"(evenkeel_holds_total{route="phase1",result="went_on"})", "1"},
             row{R"(evenkeel_holds_total{route="phase1",result="gave_up"})", "1"},
             row{R"(evenkeel_hold_duration_seconds_sum{route="phase1"})", "8"},
             row{R"(evenkeel_bulkhead_queue_seconds_count{route="phase1"})", "3"},
             row{R"(evenkeel_coalesced_requests_total{route="phase1",role="leader"})", "2"},
             row{R"(evenkeel_coalesced_requests_total{route="phase1",role="follower"})", "3"},
             row{R"(evenkeel_coalesced_flights{route="phase1"})", "1"},
             row{R"(evenkeel_coalesced_detached_total{route="phase1",reason="memory"})", "1"},
             row{R"(evenkeel_coalesced_detached_total{route="phase1",reason="slow"})", "absent"},
             row{R"(evenkeel_bulkhead_queue_seconds_sum{route="phase1"})", "4"},
             row{R"(evenkeel_bulkhead_rejected_total{route="phase1",reason="queue_timeout"})", "1"},
             row{R"(evenkeel_bulkhead_rejected_total{route="phase1",reason="queue_full"})", "1"},
             row{R"(evenkeel_bulkhead_rejected_total{route="phase1",reason="tenant_share"})", "1"},
             row{R"(evenkeel_bulkhead_tenant_limited_total{route="phase1"})", "2"},
         }) {
        CAPTURE(series);
        CHECK(value_of(seen, series) == value);
    }
}

TEST_CASE("the state of the policies is read at each scrape") {
    const auto settings = sample_settings({{"phase1", "deepseek"}, {"phase2", "backup"}});
    metrics seen(options());
    seen.configuration_loaded(settings);
    seen.report_from([] { return sample_report(); });

    struct row {
        const char* series;
        const char* value;
    };
    for (const auto& [series, value] : {
             row{R"(evenkeel_circuit_breaker_state{route="phase1",upstream="deepseek",state="open"})", "1"},
             row{R"(evenkeel_circuit_breaker_state{route="phase1",upstream="deepseek",state="closed"})", "0"},
             row{R"(evenkeel_circuit_breaker_state{route="phase2",upstream="backup",state="closed"})",
                 "absent"}, // not in the report
             row{R"(evenkeel_circuit_breaker_last_transition_timestamp_seconds{route="phase1",upstream="deepseek"})",
                 "1789999990"},
             row{R"(evenkeel_circuit_breaker_next_probe_seconds{route="phase1",upstream="deepseek"})", "2.5"},
             row{R"(evenkeel_circuit_breaker_forced{route="phase1",upstream="deepseek"})", "1"},
             row{R"(evenkeel_cooldown_seconds{route="phase1",upstream="deepseek"})", "7"},
             row{R"(evenkeel_cooldown_credentials{route="phase1",upstream="deepseek"})", "2"},
             row{R"(evenkeel_overload_active{route="phase1",upstream="deepseek"})", "1"},
             row{R"(evenkeel_overload_limit{route="phase1",upstream="deepseek"})", "4.5"},
             row{R"(evenkeel_overload_limit{route="phase2",upstream="backup"})", "absent"},
             row{R"(evenkeel_overload_in_service{route="phase1",upstream="deepseek"})", "3"},
             row{R"(evenkeel_budget_work{route="phase1",upstream="deepseek"})", "3.5"},
             row{R"(evenkeel_adaptive_timeout_seconds{route="phase1",upstream="deepseek",shape="stream"})", "10"},
             row{R"(evenkeel_adaptive_timeout_seconds{route="phase1",upstream="deepseek",shape="buffered"})", "25"},
             row{R"(evenkeel_learned_latency_seconds{route="phase1",upstream="deepseek",percentile="50"})", "1.5"},
             row{R"(evenkeel_learned_latency_seconds{route="phase1",upstream="deepseek",percentile="95"})", "absent"},
             row{R"(evenkeel_learned_latency_samples{route="phase1",upstream="deepseek"})", "40"},
             row{R"(evenkeel_bulkhead_in_use{route="phase1"})", "7"},
             row{R"(evenkeel_bulkhead_limit{route="phase1"})", "8"},
             row{R"(evenkeel_bulkhead_queued{route="phase1"})", "2"},
             row{R"(evenkeel_bulkhead_queue_limit{route="phase1"})", "9"},
             row{R"(evenkeel_bulkhead_limit{route="phase2"})", "absent"},
             row{R"(evenkeel_hedging_suspended{route="phase1"})", "1"},
             row{R"(evenkeel_hedging_suspended{route="phase2"})", "absent"},
         }) {
        CAPTURE(series);
        CHECK(value_of(seen, series) == value);
    }

    // Each pair has its own.
    seen.report_from([] {
        auto report = sample_report();
        report.routes.push_back({"phase2", std::nullopt, 0, {{"backup", {}, {}, {}, {}, 1.25, 10}}});
        return report;
    });
    CHECK(value_of(seen, R"(evenkeel_budget_work{route="phase1",upstream="deepseek"})") == "3.5");
    CHECK(value_of(seen, R"(evenkeel_budget_work{route="phase2",upstream="backup"})") == "1.25");
    CHECK(value_of(seen, R"(evenkeel_circuit_breaker_state{route="phase1",upstream="deepseek",state="open"})") == "1");
    CHECK(value_of(seen, R"(evenkeel_circuit_breaker_state{route="phase2",upstream="backup",state="open"})") ==
          "absent");

    // What a report names beside the configuration adds no series.
    const auto before = series_of(seen);
    seen.report_from([] {
        auto report = sample_report();
        report.routes[0].route = report.routes[0].endpoints[0].upstream = "sk-CANARY";
        return report;
    });
    const auto after = series_of(seen);
    CHECK(std::includes(before.begin(), before.end(), after.begin(), after.end()));
    CHECK(seen.text().find("CANARY") == std::string::npos);
}

} // namespace evenkeel::test::metrics_test

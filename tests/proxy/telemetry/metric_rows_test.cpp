// Every row of the table of metrics can be made to appear, with each of its words, and deploy/README.md says what the
// rows say.

#include "proxy/telemetry/metric_rows.hpp"

#include "proxy/telemetry/metrics.hpp"
#include "tests/proxy/telemetry/sample_config.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace evenkeel::test::metric_rows_test {

using namespace evenkeel::telemetry;
using namespace std::chrono_literals;

namespace {

template <class Word>
void for_each(int count, auto&& function, int first = 0) {
    for (int i = first; i < count; ++i) function(static_cast<Word>(i));
}

void every_request(metrics& to, const event_origin& of) {
    for_each<request_outcome>(request_outcome_count, [&](request_outcome outcome) {
        for (const int status : {200, 302, 404, 500, 0}) {
            to.request_started(of.route);
            to.request_finished({.route = of.route,
                                 .upstream = of.upstream,
                                 .status = status,
                                 .effort = {.attempts = 1},
                                 .outcome = outcome,
                                 .total = 1s,
                                 .first_byte = 1ms,
                                 .first_token = 2ms,
                                 .overhead = 1us,
                                 .bytes_in = 1,
                                 .bytes_out = 1});
        }
    });
    for (std::size_t i = 0; i < refusal_count; ++i)
        to.request_finished({.reason = refusal_word(i), .outcome = request_outcome::rejected});
    for_each<request_service>(request_service_count, [&](auto how) {
        for (const int status : {200, 302, 404, 500, 0})
            to.request_finished({.route = of.route, .status = status, .service = how, .lost = 1s, .paused = 1s});
    });
    for (const int attempts : {0, 1}) {
        for (const int status : {0, 200})
            to.request_finished({.route = of.route,
                                 .status = status,
                                 .effort = {.attempts = attempts},
                                 .outcome = request_outcome::client_cancelled});
    }
    for_each<denied_reason>(
        retry_denial_count, [&](auto why) { to.request_finished({.route = of.route, .denied = why}); }, 1);
    for_each<stream_end>(
        stream_end_count, [&](auto end) { to.request_finished({.route = of.route, .ended = end}); }, 1);
    for_each<fallback_kind>(fallback_kind_count, [&](auto by) {
        to.request_finished({.route = of.route, .degraded = {.is = true, .by = by}});
    });
}

void every_client(metrics& to, const event_origin& of, const config::client& who) {
    for (const int status : {200, 302, 404, 500, 0})
        to.request_finished({.route = of.route,
                             .by = &who,
                             .status = status,
                             .effort = {.served = {.tokens = {1, 2, 3, 4, 5}, .cost = 1'500'000'000},
                                        .lost = {.tokens = {6, 7, 8, 9, 10}, .cost = 7}}});
}

void every_attempt(metrics& to, const event_origin& of) {
    for_each<attempt_kind>(attempt_kind_count, [&](attempt_kind kind) {
        for_each<attempt_result>(attempt_result_count, [&](attempt_result result) {
            to.request_event(of, happened::launched{kind, "first"});
            to.attempt_finished({.route = of.route,
                                 .upstream = of.upstream,
                                 .kind = kind,
                                 .credential = 0,
                                 .result = result,
                                 .total = 1s,
                                 .events = 1,
                                 .committed = result == attempt_result::success,
                                 .probe = true});
        });
    });
    for_each<spent_on>(spent_on_count, [&](spent_on became) {
        for (const bool guessed : {true, false}) {
            const token_count tokens{.of = {1, 2, 3, 4, 5}, .input_estimated = guessed, .output_estimated = guessed};
            to.request_event(of, happened::launched{attempt_kind::first, "first"});
            to.attempt_finished({.route = of.route, .upstream = of.upstream, .spent = {tokens, became, 7}});
        }
    });
}

void every_event(metrics& to, const event_origin& of) {
    for_each<stream_resumption>(stream_resumption_count,
                                [&](auto how) { to.request_event(of, happened::resumed{how}); });
    for_each<upcast_result>(upcast_result_count, [&](auto how) { to.request_event(of, happened::upcast{how}); });
    to.request_event(of, happened::unread{});
    for_each<hedge_refusal>(
        hedge_refusal_count, [&](auto why) { to.request_event(of, happened::not_hedged{why}); }, 1);
    for_each<rescue_refusal>(
        rescue_refusal_count, [&](auto why) { to.request_event(of, happened::not_rescued{why}); }, 1);
    to.request_event(of, happened::passed_over{attempt_purpose::retry, retry_denial::budget});
    for (const bool went_on : {true, false}) {
        to.request_event(of, happened::holding{retry_denial::circuit_open});
        to.request_event(of, happened::held{1s, went_on});
    }
    for (const auto how :
         {happened::paced::end::went_on, happened::paced::end::went_through, happened::paced::end::left}) {
        to.request_event(of, happened::pacing{});
        to.request_event(of, happened::paced{1s, how});
    }
    for_each<bulkhead_refusal>(
        bulkhead_refusal_count,
        [&](auto why) {
            to.request_event(of,
                             happened::queued{.waited = 1s, .in_line = true, .refused = why, .tenant_limited = true});
        },
        1);
    for_each<fallback_kind>(fallback_kind_count, [&](fallback_kind step) {
        for_each<fallback_skip>(fallback_skip_count, [&](auto why) {
            to.request_event(of, happened::step_skipped{step, why});
        });
    });
    to.request_event(of, happened::ladder_exhausted{});
    for_each<chaos_fault>(chaos_fault_count, [&](auto fault) { to.request_event(of, happened::faulted{fault}); });
    for (const auto role : {coalesce_role::leader, coalesce_role::leader, coalesce_role::follower})
        to.request_event(of, happened::joined{role});
    to.request_event(of, happened::shared_flight_ended{});
    for_each<coalesce_detachment>(coalesce_detachment_count,
                                  [&](auto why) { to.request_event(of, happened::detached{why}); });
}

void every_change(metrics& to, const event_origin& of) {
    for (const known_transition& one : transitions)
        to.endpoint_changed(of, circuit_transition{one.from, one.to, one.why});
    for (const auto why : {outcome_kind::rate_limited, outcome_kind::overloaded, outcome_kind::quota,
                           outcome_kind::credential, outcome_kind::timeout})
        to.endpoint_changed(of, rest_began{why, 1s});
    for (const bool overloaded : {true, false}) to.endpoint_changed(of, overload_changed{overloaded});
    for (const bool doubted : {true, false}) {
        to.endpoint_changed(of, doubt_changed{doubted});
        to.endpoint_changed(of, connection_probed{doubted});
        to.endpoint_changed(of, doubt_changed{.doubted = doubted, .model = "m"});
    }
    for_each<circuit_state>(circuit_state_count, [&](auto state) {
        to.endpoint_changed(of, model_circuit_changed{{circuit_state::closed, state, "recovery_time"}, "m"});
    });
    for_each<probe_result>(probe_result_count, [&](auto how) { to.endpoint_changed({nullptr, of.upstream}, how); });
    for_each<prewarm_event>(prewarm_event_count, [&](auto what) {
        to.connection_changed({.is = connection_event::kind::prewarmed, .upstream = of.upstream, .warm = what});
    });
    using enum connection_event::kind;
    for (const auto is : {opened, closed, opened, idle, cold, prewarm_target}) {
        to.connection_changed({is, of.upstream});
        if (is == opened) to.connection_changed({is});
    }
    for (const std::string_view reason : connection_refusals) to.connection_refused(reason);
    to.internal_error("ours");
}

policy_report every_state() {
    const steady_time now{5000s};
    return {now,
            {{"one",
              hedge_guard::summary{},
              1,
              {{"a",
                circuit_breaker::summary{.state = circuit_state::open,
                                         .since = now - 10s,
                                         .next_probe = now + 2s,
                                         .down_since = {},
                                         .forced = circuit_state::open},
                cooldown::summary{.resting = 2, .until = now + 7s},
                overload_control::summary{.active = true, .limit = 4.5, .in_service = 3},
                {.p50 = 1s, .p95 = 2s, .current_timeout_stream = 3s, .current_timeout_buffered = 4s, .samples = 40},
                3.5,
                10,
                "",
                endpoint_doubt::summary{.since = now - 3s},
                {{1, "m", circuit_breaker::summary{circuit_state::half_open, {}, {}, {}, 0, 0, 0, 0, {}}, {}},
                 {2, "", {}, endpoint_doubt::summary{.since = now - 3s}}},
                {credential_report{"team",
                                   {.state = credential_state::dead,
                                    .until = now + 9s,
                                    .why = outcome_kind::credential,
                                    .by_operator = false,
                                    .in_flight = 2}}},
                true,
                {pace_report{"team",
                             {.name = "m",
                              .units = {{quota_unit::requests, 60, 59, 1, 60s, 1},
                                        {quota_unit::tokens, 6000, 5900, 100, 60s, 1},
                                        {quota_unit::input_tokens, 3000, 2900, 50, 60s, 1},
                                        {quota_unit::output_tokens, 3000, 2900, 50, 60s, 1}},
                              .guessed = 2.5,
                              .waiting = 1}}}}},
              bulkhead::summary{7, 8, 2, 9}}},
            2,
            {{"search", {.in_use = 1, .limit = 2}}}};
}

// One that has a choice of credentials.
void give_key(config::settings& to) {
    auto used = std::make_shared<config::upstream>(*to.upstreams[0]);
    used->credentials = {{"team", {{"authorization", "Bearer sk-CANARY-team"}}}};
    used->pace.on = true;
    auto route = std::make_shared<config::route>(*to.routes[0]);
    route->upstreams = {used};
    to.upstreams[0] = used;
    to.routes[0] = route;
}

// One caller that is known by its key.
std::shared_ptr<const config::client> give_client(config::settings& to) {
    auto who = std::make_shared<config::client>();
    who->name = "search";
    to.clients = {who};
    return who;
}

// Of a text, by family: its HELP, its TYPE and its series.
std::vector<std::string> lines_of(const std::string& text, const std::string& family) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);)
        if (line.starts_with(family + " ") || line.starts_with(family + "{") || line.starts_with(family + "_count"))
            lines.push_back(line);
    return lines;
}
std::string full_name(const metric_row& row) {
    return (row.name.starts_with("process_") ? "" : "evenkeel_") + std::string(row.name);
}

} // namespace

TEST_CASE("every metric of the table appears once everything has happened, with every word of its labels") {
    metrics seen({.version = "1", .workers = 2});
    const auto settings = sample_settings({{"one", "a"}});
    give_key(*settings);
    const auto who = give_client(*settings);
    seen.configuration_loaded(settings);
    const event_origin of{.route = settings->routes[0].get(),
                          .upstream = settings->upstreams[0].get(),
                          .credential = &settings->upstreams[0]->credentials[0]};
    every_request(seen, of);
    every_client(seen, of, *who);
    every_attempt(seen, of);
    every_event(seen, of);
    every_change(seen, of);
    seen.report_from(every_state);
    seen.report_process_from([] {
        return process_report{
            .access_log_dropped = 1, .memory_held = 2, .memory_limit = 3, .server_certificate_expires = 4};
    });

    const std::string text = seen.text();
    for (const metric_row& row : metric_rows()) {
        const std::string name = full_name(row);
        CAPTURE(name);
        CHECK(text.find("# HELP " + name + " " + std::string(row.help) + "\n") != std::string::npos);
        CHECK(text.find("# TYPE " + name + " " + std::string(to_string(row.type)) + "\n") != std::string::npos);
        const auto lines = lines_of(text, name);
        CHECK(!lines.empty());
        for (const label& one : row.labels) {
            for (std::size_t i = one.first; i < one.end; ++i) {
                const std::string word = std::string(one.name).append("=\"").append(one.word({}, i)) + "\"";
                CAPTURE(word);
                CHECK(std::any_of(lines.begin(), lines.end(),
                                  [&](const std::string& line) { return line.find(word) != std::string::npos; }));
            }
        }
    }
}

TEST_CASE("credentials are counted by name, over reloads and over endpoints, and nothing else of them is shown") {
    metrics seen({.version = "1", .workers = 2});
    auto settings = sample_settings({{"one", "a"}});
    give_key(*settings);
    seen.configuration_loaded(settings);
    const auto ends = [&](const config::settings& in, lane_index key, attempt_result result) {
        const auto* route = in.routes[0].get();
        seen.request_event({route, route->upstreams[0].get()}, happened::launched{attempt_kind::first, "first"});
        seen.attempt_finished(
            {.route = route, .upstream = route->upstreams[0].get(), .credential = key, .result = result});
    };
    ends(*settings, 0, attempt_result::success);
    ends(*settings, no_lane, attempt_result::success);
    auto next = sample_settings({{"one", "a"}});
    give_key(*next);
    auto changed = std::make_shared<config::upstream>(*next->upstreams[0]);
    changed->credentials.insert(changed->credentials.begin(), {"spare", {{"authorization", "Bearer sk-CANARY-spare"}}});
    auto route = std::make_shared<config::route>(*next->routes[0]);
    route->upstreams = {changed};
    next->upstreams[0] = changed;
    next->routes[0] = route;
    seen.configuration_loaded(next);
    ends(*settings, 0, attempt_result::success); // of the configuration before
    ends(*next, 1, attempt_result::success);
    ends(*next, 0, attempt_result::rate_limited);
    seen.endpoint_changed({.route = route.get(), .upstream = changed.get(), .credential = &changed->credentials[0]},
                          rest_began{outcome_kind::rate_limited, 1s});
    const std::string text = seen.text();
    const auto shows = [&](const std::string& line) {
        CAPTURE(line);
        CHECK(text.find("\nevenkeel_" + line + "\n") != std::string::npos);
    };
    shows(R"(upstream_credential_attempts_total{upstream="a",credential="team",result="success"} 3)");
    shows(R"(upstream_credential_attempts_total{upstream="a",credential="spare",result="rate_limited"} 1)");
    shows(R"(upstream_credential_refusals_total{upstream="a",credential="spare",reason="rate_limited"} 1)");
    CHECK(lines_of(text, "evenkeel_upstream_credential_attempts_total").size() == 2);
    CHECK(text.find("CANARY") == std::string::npos);
}

TEST_CASE(
    "clients are counted by name, over reloads, with what their requests took; parts of one are no further ones") {
    metrics seen({.version = "1", .workers = 2});
    const auto settings = sample_settings({{"one", "a"}});
    const auto who = give_client(*settings);
    seen.configuration_loaded(settings);
    const auto* route = settings->routes[0].get();
    const auto ends = [&](const config::client& by, const config::route* part_of = nullptr) {
        seen.request_finished({.route = route,
                               .by = &by,
                               .status = 200,
                               .effort = {.served = {.tokens = {10, 0, 0, 20, 0}, .cost = 500'000'000}},
                               .part_of = part_of});
    };
    ends(*who);
    ends(*who, route);
    const auto next = sample_settings({{"one", "a"}});
    const auto again = give_client(*next);
    seen.configuration_loaded(next);
    ends(*who); // of the configuration before
    ends(*again);
    const std::string text = seen.text();
    for (const char* line : {R"(client_requests_total{client="search",code_class="2xx"} 3)",
                             R"(client_tokens_total{client="search",outcome="served",kind="input"} 30)",
                             R"(client_tokens_total{client="search",outcome="served",kind="output"} 60)",
                             R"(client_cost_total{client="search",outcome="served"} 1.5)"}) {
        CAPTURE(line);
        CHECK(text.find("\nevenkeel_" + std::string(line) + "\n") != std::string::npos);
    }
    CHECK(lines_of(text, "evenkeel_client_requests_total").size() == 1);
}

TEST_CASE("tokens are counted by kind, by what became of them and whether they were told; what they cost likewise") {
    metrics seen({.version = "1", .workers = 2});
    const auto settings = sample_settings({{"one", "a"}});
    seen.configuration_loaded(settings);
    const auto ends = [&](const token_count& tokens, spent_on became, std::uint64_t cost) {
        const auto* route = settings->routes[0].get();
        seen.request_event({route, route->upstreams[0].get()}, happened::launched{attempt_kind::first, "first"});
        seen.attempt_finished({.route = route, .upstream = route->upstreams[0].get(), .spent = {tokens, became, cost}});
    };
    ends({.of = {10, 20, 30, 40, 50}}, spent_on::served, 1'500'000'000);
    ends({.of = {10, 20, 0, 7, 0}, .output_estimated = true}, spent_on::served, 250'000'000);
    ends({.of = {9, 0, 0, 0, 0}, .input_estimated = true, .output_estimated = true}, spent_on::lost_hedge, 0);
    ends({}, spent_on::failed, 0);
    const std::string text = seen.text();
    const auto shows = [&](const std::string& outcome, const std::string& kind, const std::string& guessed, int count) {
        const std::string line = "evenkeel_tokens_total{route=\"one\",upstream=\"a\",outcome=\"" + outcome +
                                 "\",kind=\"" + kind + "\",estimated=\"" + guessed + "\"} " + std::to_string(count) +
                                 "\n";
        CAPTURE(line);
        CHECK(text.find(line) != std::string::npos);
    };
    shows("served", "input", "false", 20);
    shows("served", "cached_read", "false", 40);
    shows("served", "cached_write", "false", 30);
    shows("served", "output", "false", 40);
    shows("served", "output", "true", 7);
    shows("served", "reasoning", "false", 50);
    shows("lost_hedge", "input", "true", 9);
    CHECK(lines_of(text, "evenkeel_tokens_total").size() == 7);
    CHECK(text.find("evenkeel_cost_total{route=\"one\",upstream=\"a\",outcome=\"served\",estimated=\"false\"} 1.5\n") !=
          std::string::npos);
    CHECK(text.find("evenkeel_cost_total{route=\"one\",upstream=\"a\",outcome=\"served\",estimated=\"true\"} 0.25\n") !=
          std::string::npos);
}

TEST_CASE("no metric is written that the table does not have, names are unique, help texts need no escape") {
    metrics seen({.version = "1"});
    seen.configuration_loaded(sample_settings({{"one", "a"}}));
    seen.report_from(every_state);
    seen.report_process_from([] { return process_report{}; });
    std::set<std::string> names;
    for (const metric_row& row : metric_rows()) {
        CAPTURE(row.name);
        CHECK(names.insert(full_name(row)).second);
        CHECK((row.type == metric_type::counter) == row.name.ends_with("_total"));
        CHECK(std::holds_alternative<histogram_reader>(row.read) == (row.type == metric_type::histogram));
        CHECK(!row.help.empty());
        CHECK(row.help.find_first_of("\\\n|") == std::string_view::npos);
        CHECK(!row.exists.when.empty());
    }
    std::istringstream in(seen.text());
    for (std::string line; std::getline(in, line);) {
        if (!line.starts_with("# TYPE ")) continue;
        CAPTURE(line);
        CHECK(names.contains(line.substr(7, line.find(' ', 7) - 7)));
    }
}

TEST_CASE("deploy/README.md has the table of metrics as the rows say it: `evenkeel metrics` prints it") {
    std::ifstream in(EVENKEEL_README);
    const std::string readme{std::istreambuf_iterator<char>(in), {}};
    const std::string table = metrics_reference();
    std::istringstream rows(table);
    for (std::string row; std::getline(rows, row);) {
        CAPTURE(row);
        CHECK(readme.find("\n" + row + "\n") != std::string::npos);
    }
    const bool whole = readme.find("\n\n" + table + "\n") != std::string::npos; // no row beside them
    CHECK(whole);
}

} // namespace evenkeel::test::metric_rows_test

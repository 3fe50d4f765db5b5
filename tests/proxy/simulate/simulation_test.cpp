// The real request path over the simulated provider.

#include "config/load.hpp"
#include "proxy/simulate/comparison.hpp"
#include "proxy/simulate/model_traffic.hpp"
#include "proxy/simulate/profiles.hpp"
#include "proxy/simulate/report.hpp"
#include "proxy/simulate/scenario.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace evenkeel::simulate::simulation_test {

using namespace model;
using model::verdict;

namespace {

// Traffic told request by request: each meets the same fate at each of its attempts, unless more are given.
struct told final : traffic {
    struct one {
        planned_request plan;
        std::vector<fate> fates; // the last one for all further attempts
    };
    std::vector<one> requests;
    traffic_facts about{.requests = 0, .warm_up = 0, .begin = 0, .end = 0};

    void add(double due, bool stream, std::vector<fate> fates) {
        requests.push_back({{.due = due, .stream = stream}, std::move(fates)});
        about.requests = static_cast<unsigned>(requests.size());
        about.end = due;
    }
    const traffic_facts& facts() const noexcept override { return about; }
    planned_request plan(unsigned number) const override { return requests[number].plan; }
    fate meet(unsigned number, unsigned attempt, int, double) const override {
        const auto& fates = requests[number].fates;
        return fates[std::min<std::size_t>(attempt, fates.size()) - 1];
    }
};

fate answer(double first, double whole) {
    fate met;
    met.first = first;
    met.whole = whole;
    return met;
}
fate broken(fate::flaw how, int at) {
    fate met = answer(1, 4.6);
    met.broken = how;
    met.broken_at = at;
    return met;
}
fate status(int code, double after) {
    fate met;
    met.is = fate::kind::status;
    met.first = after;
    met.status = code;
    return met;
}
fate of_kind(fate::kind kind, double after = 0.5) {
    fate met;
    met.is = kind;
    met.first = met.whole = after;
    return met;
}
config::snapshot settings_from(const std::string& defaults) {
    const auto loaded = config::load_text("version: 1\nupstreams: {a: {url: 'http://a.invalid'}, b: {url: "
                                          "'http://b.invalid', caller_credentials: drop}}\ndefaults:\n" +
                                              defaults + "\nroutes: [{name: all, upstreams: [a, b]}]\n",
                                          "test.yaml", {});
    REQUIRE(loaded.ok());
    return only_route(*loaded.settings, "all");
}

} // namespace

TEST_CASE("each fate reaches a client without a proxy as what it is") {
    struct row {
        const char* name;
        fate met;
        verdict stream, buffered;
    };
    using enum verdict;
    const std::vector<row> rows{
        {"answer", answer(1, 4.6), success, success},
        {"too slow an answer", answer(1, 60.1), late, late},
        {"error", status(503, 0.4), error, error},
        {"reset before the head", of_kind(fate::kind::reset), broken, broken},
        {"hang", of_kind(fate::kind::hang), late, late},
        {"reset at the first piece", simulation_test::broken(fate::flaw::reset, 0), broken, broken},
        {"reset at the last piece", simulation_test::broken(fate::flaw::reset, 9), broken, broken},
        {"truncation", simulation_test::broken(fate::flaw::truncated, 5), broken, broken},
        {"truncation at the first piece", simulation_test::broken(fate::flaw::truncated, 0), broken, broken},
        {"error inside a 200", simulation_test::broken(fate::flaw::error, 0), broken, broken},
        {"error inside a 200, behind text", simulation_test::broken(fate::flaw::error, 7), broken, broken},
        {"stall", simulation_test::broken(fate::flaw::stall, 3), late, late},
    };
    for (const row& each : rows) {
        CAPTURE(each.name);
        told traffic;
        traffic.add(0, true, {each.met});
        traffic.add(0.5, false, {each.met});
        const run_result run = simulate(traffic, nullptr, 1);
        CHECK(run.samples[0].how == each.stream);
        CHECK(run.samples[1].how == each.buffered);
        CHECK(run.samples[0].attempts == 1);
        CHECK(run.left.none());
        // A failure counts as the deadline.
        if (each.stream != success) CHECK(run.samples[0].seconds == 60);
    }
}

TEST_CASE("an answer takes its time, straight and through the proxy") {
    told traffic;
    traffic.add(0, true, {answer(1, 4.6)});
    traffic.add(0.25, false, {answer(1, 4.6)});
    for (const auto& settings : {config::snapshot{}, settings_from("  retry: off"), settings_of(profiles().back())}) {
        const run_result run = simulate(traffic, settings, 1);
        REQUIRE(run.samples.size() == 2);
        for (const sample& each : run.samples) {
            CHECK(each.how == verdict::success);
            CHECK(each.seconds == doctest::Approx(4.6).epsilon(0.001)); // timers have milliseconds
            CHECK(each.attempts == 1);
        }
        CHECK(run.samples[0].first_token == doctest::Approx(1).epsilon(0.002));
        CHECK(run.left.none());
    }
}

TEST_CASE("the proxy's retries meet the next attempt's luck") {
    told traffic;
    traffic.add(0, true, {status(500, 0.4), broken(fate::flaw::error, 0), answer(1, 4.6)});
    traffic.add(5, false, {of_kind(fate::kind::reset), broken(fate::flaw::truncated, 4), answer(1, 4.6)});
    traffic.add(20, true, {broken(fate::flaw::reset, 4), answer(1, 4.6)}); // after content: nobody repeats it
    const run_result run = simulate(traffic, settings_of(profiles().back()), 1);
    CHECK(run.samples[0].how == verdict::success);
    CHECK(run.samples[0].attempts == 3);
    CHECK(run.samples[0].seconds > 0.4 + 1 + 4.6);
    CHECK(run.samples[1].how == verdict::success);
    CHECK(run.samples[1].attempts == 3);
    CHECK(run.samples[2].how == verdict::broken);
    CHECK(run.samples[2].attempts == 1);
    CHECK(run.left.none());
}

TEST_CASE("a client leaves at its deadline, and its attempts with it") {
    told traffic;
    traffic.add(0, true, {of_kind(fate::kind::hang)});
    traffic.add(1, false, {of_kind(fate::kind::hang)});
    traffic.add(2, true, {broken(fate::flaw::stall, 3)});
    const run_result run =
        simulate(traffic, settings_from("  timeout: {total: 600s, stream_idle: 600s, content_idle: 600s}"), 1);
    for (const sample& each : run.samples) {
        CHECK(each.how == verdict::late);
        CHECK(each.seconds == 60);
    }
    CHECK(run.left.none());
}

TEST_CASE("attempts share the server's capacity, and those given up leave it") {
    // Four of 1 s of work each on a server for two: x = 2, alpha 0: each takes 2 s. A fifth hangs and holds nothing.
    told traffic;
    traffic.about.server = {2, 0};
    for (int i = 0; i < 4; ++i) traffic.add(0, false, {answer(0.5, 1)});
    traffic.add(0, false, {of_kind(fate::kind::hang)});
    for (const auto& settings : {config::snapshot{}, settings_from("  retry: off")}) {
        const run_result run = simulate(traffic, settings, 1);
        for (int i = 0; i < 4; ++i)
            CHECK(run.samples[static_cast<std::size_t>(i)].seconds == doctest::Approx(2).epsilon(0.001));
    }
    // With an attempt timeout of 1 s all four are given up and closed; a later request is alone.
    traffic.add(5, false, {answer(0.5, 0.9)});
    const run_result run = simulate(traffic, settings_from("  timeout: {attempt: 1s}\n  retry: {on: [reset]}"), 1);
    CHECK(run.samples[0].how == verdict::error);
    CHECK(run.samples[5].seconds == doctest::Approx(0.9).epsilon(0.002));
}

TEST_CASE("a full server answers 503 after half a second, however loaded it is") {
    told traffic;
    traffic.about.server = {1, 1};
    traffic.about.refuse_from = 3;
    for (int i = 0; i < 3; ++i) traffic.add(0, false, {answer(0.5, 1)});
    traffic.add(0.1, true, {answer(0.5, 1)});
    traffic.add(30, true, {answer(0.5, 1)});
    const run_result run = simulate(traffic, nullptr, 1);
    CHECK(run.samples[0].how == verdict::success);
    CHECK(run.samples[3].how == verdict::error);
    CHECK(run.samples[4].how == verdict::success);
    CHECK(run.samples[4].seconds == doctest::Approx(1).epsilon(0.002));
}

TEST_CASE("a cut resets what is open, and nothing later") {
    told traffic;
    traffic.about.cuts = {2};
    traffic.add(0, true, {answer(1, 4)});
    traffic.add(0, false, {answer(1, 4)});
    traffic.add(3, true, {answer(1, 4)});
    const run_result run = simulate(traffic, nullptr, 1);
    CHECK(run.samples[0].how == verdict::broken);
    CHECK(run.samples[1].how == verdict::broken);
    CHECK(run.samples[2].how == verdict::success);
}

TEST_CASE("the same seed gives the same result, on any number of threads") {
    std::vector<subject> subjects;
    for (const char* name : {"errors-30", "collapse", "everything"})
        subjects.push_back(subject_of(*find_scenario(name)));
    const auto contestants = usual_contestants();
    const auto alone = compare(subjects, contestants, {3, 4}, 1);
    const auto together = compare(subjects, contestants, {3, 4}, 4);
    CHECK(json_of(alone) == json_of(together));
    CHECK(text_of(alone) == text_of(together));
    CHECK(json_of(alone) != json_of(compare(subjects, contestants, {5, 6}, 2)));
}

TEST_CASE("first attempts meet the same luck with and without a proxy") {
    scenario model = *find_scenario("errors-30");
    const model_traffic traffic(model, 5);
    const run_result direct = simulate(traffic, nullptr, 5);
    const profile retries_only{"retries only", R"(version: 1
upstreams:
  first: {url: "http://first.invalid"}
  second: {url: "http://second.invalid", caller_credentials: drop}
defaults: {timeout: {total: 60s, attempt: off}, circuit_breaker: off, cooldown: off, overload: off}
routes:
  - {name: llm, match: {path_prefix: /v1}, upstreams: [first, second]}
)"};
    const run_result proxied = simulate(traffic, settings_of(retries_only), 5);
    unsigned same = 0;
    for (std::size_t at = 0; at < direct.samples.size(); ++at) {
        if (direct.samples[at].how != verdict::success) continue;
        CHECK(proxied.samples[at].attempts == 1);
        CHECK(proxied.samples[at].seconds == doctest::Approx(direct.samples[at].seconds).epsilon(0.001));
        ++same;
    }
    CHECK(same > 400);
}

TEST_CASE("nothing is left over in any scenario under any profile") {
    std::vector<subject> subjects;
    for (const scenario& each : scenarios()) subjects.push_back(subject_of(each));
    const auto contestants = usual_contestants();
    const comparison result = compare(subjects, contestants, {11});
    for (const row& each : result.rows) {
        for (std::size_t who = 0; who < contestants.size(); ++who) {
            CAPTURE(each.name);
            CAPTURE(contestants[who].name);
            const leftovers& left = each.by_contestant[who].left;
            CHECK(left.coroutines == 0);
            CHECK(left.timers == 0);
            CHECK(left.exchanges == 0);
            CHECK(left.requests == 0);
            CHECK(left.held_bytes == 0);
            CHECK(left.attempts == 0);
        }
    }
}

TEST_CASE("of a file one route is simulated, whatever it matches") {
    const auto loaded = config::load_text(R"(version: 1
upstreams: {a: {url: 'http://a.invalid', dialect: anthropic}}
routes:
  - {name: health, match: {path: /health}, serve: health}
  - {name: narrow, match: {path: /x, methods: [GET], model: ['gpt-*']}, rewrite: {path: /v1/messages},
     upstreams: [a], retry: {max_retries: 2}}
  - {name: last, upstreams: [a], retry: off}
)",
                                          "test.yaml", {});
    REQUIRE(loaded.ok());
    CHECK(only_route(*loaded.settings, "none") == nullptr);
    CHECK(only_route(*loaded.settings, "health") == nullptr);
    CHECK(only_route(*loaded.settings, "last")->routes[0]->name == "last");
    const auto narrow = only_route(*loaded.settings, "");
    CHECK(narrow->routes.size() == 1);
    CHECK(narrow->routes[0]->name == "narrow");
    CHECK(narrow->routes[0]->retry.max_retries == 2);
    told traffic;
    traffic.add(0, true, {status(500, 0.4), answer(1, 2)});
    CHECK(simulate(traffic, narrow, 1).samples[0].how == verdict::success);
}

TEST_CASE("more at a time than memory allows is said, not tried") {
    told traffic;
    for (std::size_t i = 0; i <= max_under_way; ++i) traffic.add(0, false, {of_kind(fate::kind::hang)});
    CHECK_THROWS_AS(static_cast<void>(simulate(traffic, nullptr, 1)), std::runtime_error);
}

} // namespace evenkeel::simulate::simulation_test

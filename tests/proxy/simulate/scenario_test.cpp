// What the models draw, and what a client without a proxy makes of them.

#include "proxy/simulate/comparison.hpp"
#include "proxy/simulate/figures.hpp"
#include "proxy/simulate/model_traffic.hpp"
#include "proxy/simulate/percentile.hpp"
#include "proxy/simulate/scenario.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace evenkeel::simulate::scenario_test {

using namespace model;

namespace {

const scenario& model(std::string_view name) {
    const scenario* found = find_scenario(name);
    REQUIRE(found != nullptr);
    return *found;
}
bool same(const fate& a, const fate& b) {
    return a.is == b.is && a.first == b.first && a.whole == b.whole && a.status == b.status &&
           a.retry_after == b.retry_after && a.broken == b.broken && a.broken_at == b.broken_at;
}

// Of many attempts at one moment: how often each fate came.
std::map<std::string, double> shares(const model_traffic& traffic, int server, double now, unsigned attempt = 1) {
    constexpr unsigned from = 24, draws = 40'000;
    std::map<std::string, double> out;
    for (unsigned number = from; number < from + draws; ++number) {
        const fate met = traffic.meet(number, attempt, server, now);
        std::string what;
        switch (met.is) {
        case fate::kind::status: what = met.status == 429 ? "429" : "error"; break;
        case fate::kind::reset: what = "reset"; break;
        case fate::kind::hang: what = "hang"; break;
        case fate::kind::answer:
            what = met.broken == fate::flaw::none        ? "answer"
                   : met.broken == fate::flaw::reset     ? "reset after"
                   : met.broken == fate::flaw::truncated ? "truncated"
                   : met.broken == fate::flaw::error     ? "error in 200"
                                                         : "stall";
        }
        out[what] += 1.0 / draws;
    }
    return out;
}
// Four standard deviations of a share of 40,000 draws are at most 0.01; the seed is fixed.
bool about(double found, double due) { return std::abs(found - due) < 0.01; }

} // namespace

TEST_CASE("luck is a function of seed, request and attempt") {
    const model_traffic one(model("errors-30"), 7), again(model("errors-30"), 7), other(model("errors-30"), 8);
    unsigned other_seed = 0, other_attempt = 0, both_fail = 0, first_fails = 0;
    for (unsigned number = 24; number < 724; ++number) {
        const fate first = one.meet(number, 1, 0, 3), second = one.meet(number, 2, 0, 3);
        CHECK(same(first, again.meet(number, 1, 0, 3)));
        CHECK(same(first, one.meet(number, 1, 0, 250))); // nothing lasts in this model
        CHECK(one.plan(number).due == again.plan(number).due);
        CHECK(one.plan(number).stream == again.plan(number).stream);
        other_seed += same(first, other.meet(number, 1, 0, 3)) ? 1U : 0U;
        other_attempt += same(first, second) ? 1U : 0U;
        first_fails += first.is == fate::kind::status ? 1U : 0U;
        both_fail += first.is == fate::kind::status && second.is == fate::kind::status ? 1U : 0U;
    }
    CHECK(other_seed == 0);
    CHECK(other_attempt == 0);
    CHECK(both_fail / double(first_fails) == doctest::Approx(0.3).epsilon(0.2)); // independent of each other
}

TEST_CASE("requests come open loop, in order, half of them streamed, and the warm-up is healthy") {
    const model_traffic traffic(model("one-hanging"), 3);
    CHECK(traffic.facts().requests == 724);
    CHECK(traffic.facts().begin == doctest::Approx(-9.6));
    CHECK(traffic.facts().end == doctest::Approx(280));
    double before = traffic.facts().begin;
    unsigned streams = 0;
    for (unsigned number = 0; number < 724; ++number) {
        const auto planned = traffic.plan(number);
        const double place = (number - 24.0) / 2.5;
        CHECK(planned.due >= place);
        CHECK(planned.due <= place + 0.2);
        CHECK(planned.due >= before);
        before = planned.due;
        streams += planned.stream ? 1U : 0U;
        if (number < 24) CHECK(traffic.meet(number, 1, 1, planned.due).is == fate::kind::answer);
        if (number >= 24) CHECK(traffic.meet(number, 1, 1, planned.due).is == fate::kind::hang);
    }
    CHECK(streams / 724.0 == doctest::Approx(0.5).epsilon(0.1));
}

TEST_CASE("an undisturbed answer takes 0.8 s to its first token and 0.03 s for each of 120 tokens") {
    scenario healthy = model("calm");
    healthy.usual = {};
    const model_traffic traffic(healthy, 1);
    std::vector<double> first, rest;
    for (unsigned number = 24; number < 20'000; ++number) {
        const fate met = traffic.meet(number, 1, 0, 0);
        first.push_back(met.first);
        rest.push_back(met.whole - met.first);
        CHECK(met.whole - met.first < 512 * 0.03 * 2); // max_tokens
    }
    CHECK(percentile(first, 0.5) == doctest::Approx(0.8).epsilon(0.02));
    CHECK(percentile(first, 0.841) == doctest::Approx(0.8 * std::exp(0.45)).epsilon(0.03)); // one sigma
    CHECK(percentile(rest, 0.5) == doctest::Approx(3.6).epsilon(0.02));
    CHECK(percentile(rest, 0.841) == doctest::Approx(3.6 * std::exp(std::hypot(0.4, 0.15))).epsilon(0.03));
}

TEST_CASE("each model draws the shares it names") {
    struct row {
        std::string_view name;
        int server;
        double now;
        std::map<std::string, double> due;
    };
    const std::vector<row> rows{
        {"calm", 0, 10, {{"answer", 1}}},
        {"errors-30", 0, 10, {{"error", 0.3}, {"answer", 0.7}}},
        {"outage", 0, 79.9, {{"answer", 1}}},
        {"outage", 0, 80, {{"reset", 1}}},
        {"outage", 0, 124.9, {{"reset", 1}}},
        {"outage", 0, 125, {{"answer", 1}}},
        {"brown-out", 0, 100, {{"error", 0.1}, {"answer", 0.9}}},
        {"brown-out", 0, 180, {{"answer", 1}}},
        {"collapse", 0, 99, {{"hang", 1}}},
        {"collapse", 0, 100, {{"answer", 1}}},
        {"resets",
         0,
         10,
         {{"reset", 0.08}, {"reset after", 0.04}, {"truncated", 0.03}, {"error in 200", 0.02}, {"answer", 0.83}}},
        {"stalls", 0, 10, {{"stall", 0.04}, {"answer", 0.96}}},
        {"throttled", 0, 70, {{"429", 1}}},
        {"throttled", 0, 100, {{"answer", 1}}},
        {"throttled", 0, 170, {{"429", 0.6}, {"answer", 0.4}}},
        {"one-dead", 0, 10, {{"answer", 1}}},
        {"one-hanging", 1, 10, {{"hang", 1}}},
        {"mixed-lengths", 0, 10, {{"hang", 0.03}, {"answer", 0.97}}},
        {"original", 0, 10, {{"error", 0.3}, {"hang", 0.04}, {"answer", 0.66}}},
    };
    for (const row& each : rows) {
        CAPTURE(each.name);
        CAPTURE(each.now);
        const model_traffic traffic(model(each.name), 1);
        for (const unsigned attempt : {1U, 2U}) {
            const auto found = shares(traffic, each.server, each.now, attempt);
            CHECK(found.size() == each.due.size());
            for (const auto& [what, share] : each.due) {
                CAPTURE(what);
                REQUIRE(found.contains(what));
                CHECK(about(found.at(what), share));
            }
        }
    }
    CHECK(model_traffic(model("one-dead"), 1).refuses_connections(1, 0));
    CHECK(!model_traffic(model("one-dead"), 1).refuses_connections(1, -0.1)); // warm-up
    CHECK(!model_traffic(model("one-dead"), 1).refuses_connections(0, 10));
}

TEST_CASE("a throttled attempt is told the end of its window") {
    const model_traffic traffic(model("throttled"), 1);
    CHECK(traffic.meet(100, 1, 0, 60).retry_after == 20);
    CHECK(traffic.meet(100, 1, 0, 75.5).retry_after == 5); // it says so 0.1 s later
    CHECK(traffic.meet(100, 1, 0, 79.9).retry_after == 1);
}

TEST_CASE("the tail is as heavy and as frequent as its name says") {
    for (const auto& [name, share, slower] :
         {std::tuple{"calm", 0.01, 4.0}, {"tail-5", 0.05, 10.0}, {"tail-20", 0.2, 10.0}}) {
        CAPTURE(name);
        scenario healthy = model(name);
        healthy.usual = {};
        const model_traffic with(model(name), 1), without(healthy, 1);
        unsigned slow = 0;
        for (unsigned number = 24; number < 40'024; ++number) {
            const double ratio = with.meet(number, 1, 0, 0).whole / without.meet(number, 1, 0, 0).whole;
            slow += ratio > 1 ? 1U : 0U;
            CHECK((ratio == doctest::Approx(1) || ratio == doctest::Approx(slower)));
        }
        CHECK(about(slow / 40'000.0, share));
    }
}

TEST_CASE("spells by chance last as long as they should, and the error rate is redrawn") {
    scenario long_run = model("bursts");
    long_run.requests = 250'000; // 100,000 s
    const model_traffic bursts(long_run, 1);
    CHECK(bursts.at(0, 0).meanwhile.errors == 0.01);
    double bad = 0;
    int turns = 0;
    bool was_bad = false;
    for (double now = 0; now < 100'000; now += 0.1) {
        const bool is_bad = bursts.at(0, now).meanwhile.errors > 0.5;
        bad += is_bad ? 0.1 : 0;
        turns += is_bad && !was_bad ? 1 : 0;
        was_bad = is_bad;
    }
    CHECK(bad / 100'000 == doctest::Approx(8.0 / 38).epsilon(0.08));
    CHECK(turns == doctest::Approx(100'000.0 / 38).epsilon(0.08));

    const model_traffic varying(model("varying-errors"), 1);
    CHECK(varying.at(0, 10).meanwhile.errors == varying.at(0, 19.9).meanwhile.errors);
    double sum = 0;
    for (int slot = 0; slot < 10'000; ++slot) {
        const double share = varying.at(0, slot * 10.0 + 5).meanwhile.errors;
        if (share < 0.2 || share > 0.95) FAIL(slot);
        sum += share;
    }
    CHECK(sum / 10'000 == doctest::Approx(0.575).epsilon(0.02));
}

TEST_CASE("without a proxy each scenario fares as its numbers say") {
    // Success in %, from the shares; the tolerance covers the luck of five seeds' median and the spells' own chance.
    struct row {
        std::string_view name;
        double success, tolerance;
    };
    const std::vector<row> rows{
        {"calm", 100, 0.5},  // 4x 4.5 s is still in time
        {"tail-5", 98.9, 1}, // 5 % of 45 s, sigma 0.37: a fifth of them too late
        {"tail-20", 95.6, 2},     {"errors-30", 70, 2.5}, {"varying-errors", 42.5, 8}, {"bursts", 82.4, 8},
        {"outage", 82.2, 1.5},    // 45 of 280 s, and what was under way when it began
        {"brown-out", 96.4, 1.5}, // 10 % of 100 of 280 s
        {"collapse", 92.9, 1},    // 20 of 280 s
        {"resets", 83, 2.5},      {"stalls", 96, 1.5},    {"throttled", 81.4, 2}, // 52 of 280 s
        {"one-dead", 50, 1},      {"one-hanging", 50, 1}, {"one-slow", 99, 1.5},       {"mixed-lengths", 97, 1.5},
        {"slowdown", 99.8, 0.5},  {"everything", 76, 5},  {"original", 66, 2},
    };
    std::vector<subject> subjects;
    for (const row& each : rows) subjects.push_back(subject_of(model(each.name)));

    const comparison result = compare(subjects, {{"direct", nullptr}}, {1, 2, 3, 4, 5});

    for (std::size_t at = 0; at < rows.size(); ++at) {
        CAPTURE(rows[at].name);
        const cell& found = result.rows[at].by_contestant[0];
        CHECK(std::abs(100 * found.median.success - rows[at].success) <= rows[at].tolerance);
        CHECK(found.median.attempts == 1);
        CHECK(found.median.within_15s <= found.median.success);
        CHECK(found.left.none());
    }
    CHECK(result.rows[0].by_contestant[0].median.p50 == doctest::Approx(4.5).epsilon(0.05));
    CHECK(result.rows[0].by_contestant[0].median.first_token_p50 == doctest::Approx(0.8).epsilon(0.1));
}

} // namespace evenkeel::simulate::scenario_test

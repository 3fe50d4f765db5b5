// When a hedge is due and why one is not launched, by itself.

#include "tests/policies/plan_bench.hpp"

#include "policies/hedge_schedule.hpp"

#include <algorithm>

namespace evenkeel::test::hedge_schedule_test {

using namespace evenkeel::testing;

namespace {
struct scheduling : plan_bench {
    explicit scheduling(int endpoints = 2) : plan_bench(endpoints), search(options) {
        options.hedge = &hedging;
        learned_delay = 3s;
        flat = true;
        of.in_flight.add(0);
        hedges.launched(0, true, now, *this);
    }
    endpoint_search search;
    hedge_schedule hedges;
    hedge_schedule::silence of{.at = 0, .in_flight = {}, .attempts = 1, .one_left = true};

    hedge_schedule::verdict ask() { return hedges.ask(of, search, options, now, *this); }
    hedge_schedule::verdict ask_when_due() { return now = hedges.due(), ask(); }
};
} // namespace

TEST_CASE("a hedge is due after the delay of the latest launch, where one may follow and enough is known") {
    scheduling bench;
    CHECK(bench.hedges.due() == start + 3s);
    bench.hedges.launched(1, true, start + 1s, bench);
    CHECK(bench.hedges.due() == start + 4s);
    bench.hedges.not_after(start + 2s);
    CHECK(bench.hedges.due() == start + 2s);
    bench.hedges.not_after(start + 3s);
    CHECK(bench.hedges.due() == start + 2s);
    bench.hedges.not_wanted();
    CHECK(bench.hedges.due() == steady_time::max());
    bench.hedges.launched(1, false, start + 1s, bench);
    CHECK(bench.hedges.due() == steady_time::max());
    bench.learned_delay.reset();
    bench.hedges.launched(1, true, start + 1s, bench);
    CHECK(bench.hedges.due() == steady_time::max());
}

TEST_CASE("max_hedges counts those beside the first attempt") {
    hedge_options options;
    CHECK(hedge_schedule::allows(&options, 1));
    CHECK_FALSE(hedge_schedule::allows(&options, 2));
    options.max_hedges = 2;
    CHECK(hedge_schedule::allows(&options, 2));
    CHECK_FALSE(hedge_schedule::allows(nullptr, 0));
}

TEST_CASE("what is launched is paid for and let through, elsewhere") {
    scheduling bench;
    const auto got = bench.ask_when_due();
    CHECK(got.why == hedge_refusal::none);
    CHECK(got.at == 1);
    CHECK(got.permit == 1);
    CHECK(bench.admitted == std::vector{attempt_purpose::hedge});
    CHECK(bench.costs == std::vector{1.0});
}

TEST_CASE("each reason not to hedge, whom it is about, and whether it is asked again after as long a silence") {
    struct row {
        hedge_refusal why;
        endpoint_index at;
        bool again;
        void (*arrange)(scheduling&);
    };
    for (const row& one :
         {row{hedge_refusal::limit, 0, false, [](scheduling& b) { b.of.one_left = false; }},
          row{hedge_refusal::limit, 0, false, [](scheduling& b) { b.of.attempts = 2; }},
          row{hedge_refusal::overload, 0, true, [](scheduling& b) { b.overloaded_now = true; }},
          row{hedge_refusal::guard, 0, true, [](scheduling& b) { b.guard = hedge_refusal::guard; }},
          row{hedge_refusal::slow, 0, false, [](scheduling& b) { b.guard = hedge_refusal::slow; }},
          row{hedge_refusal::no_endpoint, 0, true,
              [](scheduling& b) {
                  b.hedging.target = hedge_target::other;
                  b.refusing[1] = {endpoint_refusal::reason::circuit, start + 9s};
              }},
          row{hedge_refusal::not_replayable, 1, false, [](scheduling& b) { b.may_repeat = false; }},
          row{hedge_refusal::deadline, 1, false, [](scheduling& b) { b.options.deadline = start + 3s + 49ms; }},
          row{hedge_refusal::budget, 1, true, [](scheduling& b) {
                  b.level = {{1, 0.5}};
              }}}) {
        CAPTURE(to_string(one.why));
        scheduling bench;
        one.arrange(bench);
        const auto got = bench.ask_when_due();
        CHECK(got.why == one.why);
        CHECK(got.at == one.at);
        CHECK(got.permit == 0);
        CHECK(bench.hedges.due() == (one.again ? start + 6s : steady_time::max()));
        CHECK(bench.admitted.empty());
    }
}

TEST_CASE("the guard counts what it is asked, so it is asked once a request: what it refused is launched later") {
    scheduling bench;
    bench.guard = hedge_refusal::guard;
    CHECK(bench.ask_when_due().why == hedge_refusal::guard);
    CHECK(bench.ask_when_due().why == hedge_refusal::none);
}

TEST_CASE("a learned delay is never asked again sooner than min_delay") {
    scheduling bench;
    bench.learned_delay = 1ms;
    bench.overloaded_now = true;
    bench.hedges.launched(0, true, start, bench);
    CHECK(bench.hedges.due() == start + 1ms);
    static_cast<void>(bench.ask_when_due());
    CHECK(bench.hedges.due() == start + 1ms + bench.hedging.min_delay);
}

TEST_CASE("somebody who was quicker leaves nothing reserved") {
    struct taken : scheduling {
        admission admit(endpoint_index, attempt_purpose, urgency, steady_time) override {
            return {0, endpoint_refusal{endpoint_refusal::reason::circuit, start + 9s}};
        }
    } bench;
    const auto got = bench.ask_when_due();
    CHECK(got.why == hedge_refusal::no_endpoint);
    CHECK(got.at == 1);
    CHECK(bench.refunded == 1);
    bench.hedges.ended(1, 1s, bench.now, bench);
    CHECK(bench.hedges_settled.empty());
}

TEST_CASE("a hedge is settled at its own endpoint, or else with the first attempt that ends without winning; once") {
    scheduling bench(3);
    bench.hedging.max_hedges = 2;
    CHECK(bench.ask_when_due().at == 1);
    bench.of.in_flight.add(1);
    bench.of.attempts = 2;
    CHECK(bench.ask().at == 2);
    bench.hedges.ended(2, 5s, bench.now, bench);
    bench.hedges.ended(0, 7s, bench.now, bench); // the first attempt lost: the hedge at 1 is what was extra
    bench.hedges.ended(1, 9s, bench.now, bench);
    CHECK(bench.hedges_settled == std::vector<duration>{5s, 7s});
}

TEST_CASE("10^4 random schedules: each hedge is settled once and what is reserved adds up") {
    for (std::uint64_t seed = 1; seed <= 10000; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed), moods(seed + 1);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        scheduling bench(1 + below(4));
        if (below(2)) bench.moods = &moods;
        if (below(3) == 0) bench.level = {{0, below(4)}, {1, below(4)}};
        bench.hedging.max_hedges = 1 + below(3);
        bench.hedging.target = static_cast<hedge_target>(below(3));
        std::vector<endpoint_index> flying{0};
        std::size_t launched = 0, losers = 0;
        for (int step = 0; step < 20; ++step) {
            bench.of = {flying.back(), {}, flying.size(), true};
            for (const endpoint_index at : flying) bench.of.in_flight.add(at);
            if (flying.size() > 1 && below(3) == 0) {
                const auto gone = flying.begin() + below(static_cast<int>(flying.size()));
                bench.hedges.ended(*gone, 1s, bench.now, bench);
                flying.erase(gone);
                ++losers;
                continue;
            }
            bench.now += std::chrono::milliseconds(below(5000));
            const auto got = bench.ask();
            if (got.why != hedge_refusal::none) {
                REQUIRE(bench.hedges.due() > bench.now);
                continue;
            }
            REQUIRE(got.permit == ++launched);
            REQUIRE(bench.admitted.size() == launched);
            flying.push_back(got.at);
            REQUIRE(flying.size() <= static_cast<std::size_t>(1 + bench.hedging.max_hedges));
        }
        double reserved = -bench.refunded;
        for (const double work : bench.costs) reserved += work;
        REQUIRE(reserved == doctest::Approx(static_cast<double>(launched)));
        for (; !flying.empty(); flying.pop_back(), ++losers) bench.hedges.ended(flying.back(), 1s, bench.now, bench);
        REQUIRE(bench.hedges_settled.size() == std::min(launched, losers));
        REQUIRE(bench.hedges_settled.size() == launched); // of n attempts beside the first n - 1 lose at least
    }
}

} // namespace evenkeel::test::hedge_schedule_test

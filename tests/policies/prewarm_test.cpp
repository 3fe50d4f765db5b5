#include "policies/prewarm.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <queue>
#include <random>
#include <vector>

namespace evenkeel::test::prewarm_test {

using namespace std::chrono_literals;

namespace {
const steady_time start{1000s};
constexpr prewarm_options two{.on = true, .min_idle = 2, .predict = false};

std::size_t wanted(prewarm& of, prewarm::connections present, steady_time now) { return of.decide(present, now).open; }
} // namespace

TEST_CASE("what is missing of min_idle is opened, and nothing where it is there or pre-warming is off") {
    prewarm policy(two);
    CHECK(wanted(policy, {.open = 0, .idle = 0, .opening = 0, .max = 10}, start) == 2);
    CHECK(wanted(policy, {.open = 1, .idle = 1, .opening = 0, .max = 10}, start) == 1);
    CHECK(wanted(policy, {.open = 1, .idle = 0, .opening = 1, .max = 10}, start) == 1);
    CHECK(wanted(policy, {.open = 2, .idle = 1, .opening = 1, .max = 10}, start) == 0);
    CHECK(wanted(policy, {.open = 9, .idle = 5, .opening = 0, .max = 10}, start) == 0);
    policy.configure({}, 1);
    const auto off = policy.decide({.open = 0, .idle = 0, .opening = 0, .max = 10}, start);
    CHECK(off.open == 0);
    CHECK(off.target == 0);
    CHECK(!off.again);
}

TEST_CASE("min_idle is divided among the workers, rounded up") {
    const auto share = [](std::uint32_t min_idle, unsigned workers) {
        prewarm policy({.on = true, .min_idle = min_idle, .predict = false}, workers);
        return policy.decide({.open = 0, .idle = 0, .opening = 0, .max = 100}, start).target;
    };
    CHECK(share(2, 1) == 2);
    CHECK(share(2, 4) == 1);
    CHECK(share(5, 2) == 3);
    CHECK(share(8, 4) == 2);
}

TEST_CASE("few are opened at a time") {
    prewarm policy({.on = true, .min_idle = 50, .predict = false});
    CHECK(wanted(policy, {.open = 0, .idle = 0, .opening = 0, .max = 100}, start) == prewarm::max_opening);
    CHECK(wanted(policy, {.open = 3, .idle = 0, .opening = 3, .max = 100}, start) == prewarm::max_opening - 3);
    CHECK(wanted(policy, {.open = 4, .idle = 0, .opening = 4, .max = 100}, start) == 0);
}

TEST_CASE("whatever is asked, connections.max is not exceeded") {
    std::mt19937_64 dice(1);
    for (int round = 0; round < 20000; ++round) {
        const std::uint64_t seed = dice();
        CAPTURE(seed);
        std::mt19937_64 draw(seed);
        prewarm policy(
            {.on = true, .min_idle = static_cast<std::uint32_t>(1 + draw() % 40), .predict = draw() % 2 == 0});
        steady_time now = start;
        for (std::size_t i = draw() % 60; i > 0; --i) {
            now += std::chrono::milliseconds{draw() % 100};
            policy.taken(draw() % 2 == 0, 0.5, now);
            if (draw() % 2 == 0) policy.released(std::chrono::milliseconds{draw() % 20000});
        }
        prewarm::connections present;
        present.max = 1 + draw() % 20;
        present.open = draw() % (present.max + 1);
        present.idle = draw() % (present.open + 1);
        present.opening = draw() % (present.open - present.idle + 1);
        const auto decided = policy.decide(present, now);
        REQUIRE(present.open + decided.open <= present.max);
        REQUIRE(decided.target <= present.max);
    }
}

TEST_CASE("20 requests/s of half a second each want some 17 connections at once") {
    prewarm policy({.on = true, .min_idle = 2, .predict = true});
    steady_time now = start;
    for (int i = 0; i < 1200; ++i) { // a minute
        now += 50ms;
        policy.taken(true, 0.5, now);
        policy.released(500ms);
    }
    CHECK(policy.rate(now) == doctest::Approx(20).epsilon(0.05));
    // 10 in use, 10 + 2 sqrt(10) needed.
    const auto decided = policy.decide({.open = 10, .idle = 0, .opening = 0, .max = 256}, now);
    CHECK(decided.target >= 6);
    CHECK(decided.target <= 8);
    CHECK(decided.open == prewarm::max_opening);
}

TEST_CASE("a rising rate is seen ahead of itself, a falling one is not undershot") {
    prewarm rising({.on = true}), falling({.on = true});
    steady_time now = start;
    for (double at = 0, rate = 2; at < 20; at += 1 / rate, rate = 2 + at) { // 2/s to 22/s in 20 s
        now = start + std::chrono::duration_cast<duration>(std::chrono::duration<double>(at));
        rising.taken(true, 0.5, now);
    }
    CHECK(rising.rate(now) > 21);
    CHECK(rising.rate(now) < 27);
    CHECK(falling.rate(now) == 0);
}

TEST_CASE("the need is forgotten slowly") {
    prewarm policy({.on = true, .min_idle = 1, .predict = true});
    steady_time now = start;
    for (int i = 0; i < 1200; ++i) {
        now += 50ms;
        policy.taken(true, 0.5, now);
        policy.released(500ms);
    }
    const prewarm::connections none{.open = 0, .idle = 0, .opening = 0, .max = 256};
    const std::size_t peak = policy.decide(none, now).target;
    CHECK(peak >= 16);
    CHECK(policy.decide(none, now + 1s).target > peak * 8 / 10);
    const std::size_t later = policy.decide(none, now + 10s).target;
    CHECK(later < peak / 2);
    CHECK(later > 2);
    CHECK(policy.decide(none, now + 60s).target == 1);
}

TEST_CASE("a failing endpoint is tried once per step, and the steps double to a minute") {
    prewarm policy(two);
    const prewarm::connections none{.open = 0, .idle = 0, .opening = 0, .max = 10};
    steady_time now = start;
    CHECK(wanted(policy, none, now) == 2);
    policy.failed(1 - 0x1p-53, now); // a burst of failures is one step
    policy.failed(1 - 0x1p-53, now);
    int attempts = 0;
    std::vector<duration> steps;
    while (attempts < 9) {
        const auto waiting = policy.decide(none, now);
        REQUIRE(waiting.open == 0);
        REQUIRE(waiting.again);
        CHECK(policy.decide(none, *waiting.again - 1ns).open == 0);
        policy.taken(false, 0, now + 1ms); // requests do not hurry it
        CHECK(policy.decide(none, *waiting.again - 1ns).open == 0);
        steps.push_back(*waiting.again - now);
        now = *waiting.again;
        CHECK(wanted(policy, none, now) == 1);
        CHECK(wanted(policy, {.open = 1, .idle = 0, .opening = 1, .max = 10}, now) == 0);
        ++attempts;
        policy.failed(1 - 0x1p-53, now);
    }
    const std::vector<duration> expected{1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s, 60s};
    for (std::size_t i = 0; i < steps.size(); ++i) CHECK(std::abs((steps[i] - expected[i]).count()) < 1000);
    policy.opened();
    CHECK(wanted(policy, none, now) == 2);
}

TEST_CASE("a pause is shortened by up to half") {
    const auto pause = [](double u) {
        prewarm policy(two);
        policy.failed(u, start);
        return *policy.decide({.open = 0, .idle = 0, .opening = 0, .max = 10}, start).again - start;
    };
    CHECK(pause(0) == 500ms);
    CHECK(pause(0.5) == 750ms);
    CHECK(pause(1 - 0x1p-53) <= 1s);
}

TEST_CASE("what nobody uses is replaced ever more rarely, until somebody does") {
    prewarm policy(two);
    const prewarm::connections none{.open = 0, .idle = 0, .opening = 0, .max = 10};
    steady_time now = start;
    int opened = 0;
    while (now < start + 1h) { // the server ends idle connections after 5 s
        const auto decided = policy.decide(none, now);
        if (decided.again) {
            now = *decided.again;
            continue;
        }
        opened += static_cast<int>(decided.open);
        now += 5s;
        policy.unused(0.5, now);
        policy.unused(0.5, now);
    }
    CHECK(opened < 90);
    CHECK(opened > 50); // not given up either

    policy.unused(0.5, now);
    CHECK(wanted(policy, none, now) == 0);
    policy.taken(false, 0.5, now);
    CHECK(wanted(policy, none, now) == 0);
    CHECK(wanted(policy, none, now + 1s) == 1);
    policy.unused(0.5, now + 2s);
    policy.taken(true, 0.5, now + 2s);
    CHECK(wanted(policy, none, now + 2s) == 2);
}

TEST_CASE("a server that ends every idle connection at once is not stormed, however many requests there are") {
    prewarm policy(two);
    steady_time now = start;
    int opened = 0;
    for (int i = 0; i < 6000; ++i) { // 100 requests/s for a minute, none of which finds one
        now += 10ms;
        policy.taken(false, 0.5, now);
        const auto decided = policy.decide({.open = 5, .idle = 0, .opening = 0, .max = 100}, now);
        opened += static_cast<int>(decided.open);
        if (decided.open > 0) {
            policy.opened();
            policy.unused(0.5, now);
        }
    }
    CHECK(opened <= 2 + 60 * 2); // a step is half a second at least
    CHECK(opened > 40);
}

} // namespace evenkeel::test::prewarm_test

#include "policies/endpoint_doubt.hpp"

#include <doctest/doctest.h>

#include <random>
#include <vector>

namespace evenkeel::test::endpoint_doubt_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
}

TEST_CASE("one silence is enough where nothing sent later has been answered") {
    endpoint_doubt doubt;
    CHECK_FALSE(doubt.answered(start, true, start + 1s));
    CHECK(doubt.silent(start + 10s, start + 15s));
    CHECK(doubt.doubted());
    CHECK(doubt.report()->since == start + 15s);
    CHECK_FALSE(doubt.report()->slow);
    CHECK_FALSE(doubt.silent(start + 11s, start + 16s)); // as before
}

TEST_CASE("a silence beside later answers says nothing of the endpoint") {
    endpoint_doubt doubt;
    CHECK_FALSE(doubt.answered(start + 11s, true, start + 12s));
    CHECK_FALSE(doubt.silent(start + 10s, start + 15s));
    CHECK_FALSE(doubt.doubted());
}

TEST_CASE("an answer to what was sent before the silence ends no doubt; one to what was sent later does") {
    endpoint_doubt doubt;
    REQUIRE(doubt.silent(start + 10s, start + 15s));
    CHECK_FALSE(doubt.answered(start + 9s, true, start + 16s));
    CHECK(doubt.doubted());
    CHECK(doubt.answered(start + 17s, true, start + 18s));
    CHECK_FALSE(doubt.doubted());
    CHECK_FALSE(doubt.report());
}

TEST_CASE("a relapse asks for twice as many good answers as the last time, and a later one begins anew") {
    endpoint_doubt doubt;
    steady_time now = start;
    const auto goods = [&] {
        now += 1s;
        REQUIRE(doubt.silent(now, now + 5s));
        now += 10s;
        for (int n = 1;; ++n) {
            now += 1s;
            if (doubt.answered(now, true, now)) return n;
        }
    };
    CHECK(goods() == 1);
    CHECK(goods() == 2);
    CHECK(goods() == 4);
    CHECK(goods() == 8);
    CHECK(goods() == endpoint_doubt::most_goods);
    now += endpoint_doubt::relapse_within;
    CHECK(goods() == 1);
}

TEST_CASE("two answers in a row that took far too long are a doubt, one is not") {
    endpoint_doubt doubt;
    CHECK_FALSE(doubt.answered(start, false, start));
    CHECK_FALSE(doubt.answered(start + 1s, true, start + 1s));
    CHECK_FALSE(doubt.answered(start + 2s, false, start + 2s));
    CHECK(doubt.answered(start + 3s, false, start + 3s));
    CHECK(doubt.report()->slow);
    CHECK(doubt.report()->next_probe == start + 3s);
    CHECK(doubt.doubted());
    CHECK_FALSE(doubt.answered(start + 4s, false, start + 4s));
    CHECK(doubt.answered(start + 5s, true, start + 5s));
}

TEST_CASE("probes are due at once, then after 3 s and more, at most 20 s and a fifth; sooner when one was good") {
    endpoint_doubt doubt;
    REQUIRE(doubt.silent(start, start + 5s));
    steady_time now = start + 5s;
    CHECK(doubt.probe_due(0, 0s, now));
    CHECK_FALSE(doubt.probe_due(0, 0s, now + 3s - 1ns));
    CHECK(doubt.probe_due(0, 0s, now + 3s));
    now += 3s;
    CHECK_FALSE(doubt.probe_due(0, 0s, now + 4500ms - 1ns));
    for (int i = 0; i < 10; ++i) {
        now = doubt.next_probe();
        REQUIRE(doubt.probe_due(1, 0s, now));
    }
    CHECK(doubt.next_probe() == now + 24s);
    CHECK(doubt.answered(now, true, now)); // one is enough
    now += 1s;
    REQUIRE(doubt.silent(now, now)); // a relapse: two
    REQUIRE(doubt.probe_due(0, 0s, now));
    CHECK_FALSE(doubt.answered(now + 1s, true, now + 1s));
    CHECK(doubt.next_probe() == now + 2s);
}

TEST_CASE("an operator's word ends a doubt") {
    endpoint_doubt doubt;
    REQUIRE(doubt.silent(start, start));
    doubt.clear();
    CHECK_FALSE(doubt.doubted());
}

// A second implementation: the latest word of each kind, by when it was sent.
TEST_CASE(
    "property: a doubt begins only while no later answer is known, and ends only by what was sent after the silence") {
    for (unsigned seed = 0; seed < 200; ++seed) {
        std::mt19937 dice(seed);
        endpoint_doubt doubt;
        steady_time good = steady_time::min(), bad = steady_time::min(), now = start;
        for (int step = 0; step < 400; ++step) {
            now += std::chrono::milliseconds(dice() % 4000);
            const steady_time sent = now - std::chrono::milliseconds(dice() % 9000);
            const bool before = doubt.doubted();
            if (dice() % 3 == 0) {
                const bool begins = doubt.silent(sent, now);
                bad = std::max(bad, sent);
                REQUIRE(begins == (!before && sent >= good));
            } else {
                const bool ends = doubt.answered(sent, true, now);
                good = std::max(good, sent);
                if (ends) REQUIRE((before && sent >= bad));
                if (!before) REQUIRE_FALSE(doubt.doubted());
            }
        }
    }
}

TEST_CASE("a doubt that nobody looks into lapses a minute after the latest word, later after each relapse") {
    endpoint_doubt doubt;
    steady_time now = start;
    for (const int minutes : {1, 2, 4, 8, 8}) {
        REQUIRE(doubt.silent(now, now));
        CHECK_FALSE(doubt.lapse(now + minutes * 1min - 1ns));
        CHECK_FALSE(doubt.silent(now, now + 10s));
        CHECK_FALSE(doubt.lapse(now + minutes * 1min));
        REQUIRE(doubt.lapse(now + minutes * 1min + 10s));
        CHECK_FALSE(doubt.doubted());
        CHECK_FALSE(doubt.lapse(now + 1h));
        now += minutes * 1min + 11s;
    }
    REQUIRE(doubt.silent(now, now));
    now += 7min;
    CHECK(doubt.probe_due(0, 0s, now)); // somebody looks
    CHECK_FALSE(doubt.lapse(now + 2min));
}

TEST_CASE("a suspicion is a doubt, and shows others nothing; what is given up does, and slowness never") {
    using silence = endpoint_doubt::silence;
    endpoint_doubt doubt;
    REQUIRE(doubt.silent(start, start + 10s, silence::so_far));
    CHECK(doubt.silent());
    CHECK_FALSE(doubt.shown());
    CHECK_FALSE(doubt.silent(start, start + 15s));
    CHECK(doubt.shown());
    CHECK(doubt.answered(start + 16s, true, start + 17s));
    CHECK_FALSE(doubt.silent());
    CHECK_FALSE(doubt.shown());
    CHECK_FALSE(doubt.silent(start + 15s, start + 30s)); // of before the answer: as if nothing had been said
    CHECK_FALSE(doubt.shown());

    endpoint_doubt slow;
    CHECK_FALSE(slow.answered(start, false, start + 1s));
    REQUIRE(slow.answered(start + 1s, false, start + 2s));
    CHECK_FALSE(slow.silent());
    CHECK_FALSE(slow.silent(start + 3s, start + 20s, silence::so_far));
    CHECK_FALSE(slow.silent());
    CHECK_FALSE(slow.silent(start + 3s, start + 30s)); // it has become worse
    CHECK(slow.shown());
    CHECK_FALSE(slow.report()->slow);
}

TEST_CASE("a connection ends a doubt that began because none could be made, and no other one") {
    using silence = endpoint_doubt::silence;
    endpoint_doubt away;
    REQUIRE(away.silent(start, start + 1s, silence::no_way));
    CHECK_FALSE(away.connected(false, start + 50s));
    CHECK_FALSE(away.lapse(start + 100s)); // it was looked at, and is still away
    CHECK(away.connected(true, start + 101s));
    CHECK_FALSE(away.doubted());
    CHECK_FALSE(away.connected(true, start + 102s)); // nothing to end
    REQUIRE(away.silent(start + 200s, start + 201s, silence::no_way));
    CHECK_FALSE(away.connected(true, start + 202s)); // a relapse asks for more
    CHECK(away.connected(true, start + 203s));

    endpoint_doubt silent;
    REQUIRE(silent.silent(start, start + 10s));
    CHECK_FALSE(silent.silent(start + 11s, start + 12s, silence::no_way));
    for (int i = 0; i < 10; ++i) CHECK_FALSE(silent.connected(true, start + 20s));
    CHECK(silent.lapse(start + 72s)); // a connection is no word of it
    REQUIRE(silent.silent(start + 80s, start + 90s, silence::no_way));
    CHECK_FALSE(silent.silent(start + 81s, start + 95s)); // a later attempt was connected, and silent
    CHECK_FALSE(silent.connected(true, start + 96s));
    CHECK_FALSE(silent.connected(true, start + 97s));
    CHECK_FALSE(silent.connected(false, start + 200s)); // ... and now it cannot even be reached
    CHECK_FALSE(silent.lapse(start + 250s));
    CHECK(silent.doubted());
}

TEST_CASE("where answers take long, one of them and a while without a bad word is enough") {
    endpoint_doubt doubt;
    steady_time now = start;
    for (int relapse = 0; relapse < 3; ++relapse) { // then four are asked for
        now += 10s;
        REQUIRE(doubt.silent(now, now + 1s));
        while (doubt.doubted()) {
            now += 2s;
            static_cast<void>(doubt.answered(now, true, now));
        }
    }
    now += 10s;
    REQUIRE(doubt.silent(now, now));
    const steady_time bad = now;
    CHECK_FALSE(doubt.answered(bad + 1s, true, bad + 8 * endpoint_doubt::good_for - 1s));
    CHECK(doubt.answered(bad + 1s, true, bad + 8 * endpoint_doubt::good_for));
}

TEST_CASE("where few requests come few copies are sent: about one for each") {
    const auto copies = [](duration gap) {
        endpoint_doubt doubt;
        REQUIRE(doubt.silent(start, start + 10s));
        int all = 0;
        for (steady_time now = start + 10s; now < start + 10s + 1h; now += 1s) {
            if ((now - start - 10s) % gap == 0s) doubt.passed(now);
            all += doubt.probe_due(0.5, 0s, now);
        }
        return all;
    };
    CHECK(copies(10s) > 150); // as it would be without
    CHECK(copies(10s) < 180);
    CHECK(copies(60s) >= 60);
    CHECK(copies(60s) <= 70);
    CHECK(copies(300s) >= 20); // those of the first gap, of which nobody knows yet how long it is, and 11
    CHECK(copies(300s) <= 32);
}

TEST_CASE("where few requests come the copy goes shortly before the next one, so that this one profits from it") {
    endpoint_doubt doubt;
    REQUIRE(doubt.silent(start, start + 10s));
    steady_time now = start + 10s;
    REQUIRE(doubt.probe_due(0, 6s, now));        // at once
    const auto gone_in = [&](duration so_long) { // since the latest request: when they go
        std::vector<duration> all;
        const steady_time passed = now;
        for (; now < passed + so_long; now += 1s) {
            if (doubt.probe_due(0, 6s, now)) all.push_back(now - passed);
        }
        doubt.passed(now);
        return all;
    };
    using times = std::vector<duration>;
    static_cast<void>(gone_in(300s)); // nobody knows yet when the next one comes
    static_cast<void>(gone_in(90s));
    static_cast<void>(gone_in(90s));
    for (int i = 0; i < 5; ++i) CHECK(gone_in(90s) == times{84s});
    CHECK(gone_in(60s).empty()); // sooner than was expected: beside it, then
    CHECK(gone_in(60s) == times{0s, 54s});
    CHECK(gone_in(60s) == times{54s});
    CHECK(gone_in(100s) == times{54s}); // later: it is as good as it was
    CHECK(gone_in(100s) == times{94s});
    CHECK(doubt.gap() == 100s);
    static_cast<void>(gone_in(24h));
    CHECK(doubt.gap() == endpoint_doubt::longest_gap);
}

TEST_CASE("what answers well is asked in pairs for the rest of what is wanted, and no further once it is silent") {
    endpoint_doubt doubt;
    steady_time now = start;
    for (int relapse = 0; relapse < 3; ++relapse) { // then eight are asked for
        now += 10s;
        REQUIRE(doubt.silent(now, now));
        while (doubt.doubted()) {
            now += 2s;
            static_cast<void>(doubt.answered(now, true, now));
        }
    }
    now += 10s;
    REQUIRE(doubt.silent(now, now));
    for (int i = 0; i < 4; ++i) {
        now = doubt.next_probe();
        REQUIRE(doubt.probe_due(0, 4s, now));
    }
    CHECK_FALSE(doubt.goes_on_well(1));
    now += 4s;
    CHECK_FALSE(doubt.answered(now - 4s, true, now)); // the first of eight
    CHECK(doubt.goes_on_well(1));
    CHECK(doubt.goes_on_well(6));
    CHECK_FALSE(doubt.goes_on_well(7));
    CHECK_FALSE(doubt.probe_due(0, 4s, now));
    CHECK(doubt.probe_due(0, 4s, now + 1s));
    CHECK(doubt.probe_due(0, 4s, now + 2s)); // a second one, without an answer to the first
    now += 12s;
    CHECK_FALSE(doubt.silent(now - 10s, now));
    CHECK_FALSE(doubt.goes_on_well(0));
    CHECK(doubt.next_probe() >= now + 9s); // at its pace again
}

} // namespace evenkeel::test::endpoint_doubt_test

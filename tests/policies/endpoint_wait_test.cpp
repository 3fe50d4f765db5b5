// What becomes of a request while no endpoint can be asked, by itself.

#include "tests/policies/plan_bench.hpp"

#include "policies/endpoint_wait.hpp"

#include <algorithm>

namespace evenkeel::test::endpoint_wait_test {

using namespace evenkeel::testing;

namespace {
using obstacles = endpoint_search::obstacles;

struct stuck : plan_bench {
    stuck() : search(options) {}
    endpoint_search search;
    endpoint_wait wait;
    endpoint_search::wish wanted{};
    obstacles why{};

    // Behind a circuit, or without room.
    stuck& shut(duration again, duration down_for = 1s) {
        why.circuit = true;
        why.again = now + again;
        why.down_since = now - down_for;
        return *this;
    }
    stuck& crowded(duration again) {
        why.overload = true;
        why.again = now + again;
        why.passable = 0;
        return *this;
    }
    endpoint_wait::verdict decide() { return wait.decide(why, wanted, search, options, now, *this); }
    endpoint_wait::verdict decide_again(duration later) {
        why.again = (now += later) + 1s;
        return decide();
    }
};
bool waits(const endpoint_wait::verdict& one) { return one.denied == retry_denial::none && !one.through; }
} // namespace

TEST_CASE("behind a circuit a request waits until it may ask again, and stands in line once") {
    stuck bench;
    const auto first = bench.shut(2s).decide();
    CHECK(waits(first));
    CHECK(first.joined);
    CHECK(bench.wait.again() == start + 2s);
    CHECK_FALSE(bench.decide_again(2s).joined);
    CHECK(bench.waiting == 1);
    CHECK(bench.wait.over());
    CHECK_FALSE(bench.wait.over());
    CHECK(bench.decide_again(1s).joined); // another wait of the same request
}

TEST_CASE("why a request behind a circuit is refused, to the instant") {
    struct row {
        const char* name;
        bool refused;
        void (*arrange)(stuck&);
    };
    for (const row& one : {row{"as old as may be", false, [](stuck& b) { b.shut(2s, b.options.hold_max); }},
                           row{"too old", true, [](stuck& b) { b.shut(2s, b.options.hold_max + 1ns); }},
                           row{"rejected", true,
                               [](stuck& b) {
                                   b.shut(2s);
                                   b.options.when_open = when_open::reject;
                               }},
                           row{"just in time", false,
                               [](stuck& b) {
                                   b.shut(2s);
                                   b.options.deadline = start + 2s + 50ms;
                               }},
                           row{"too late", true,
                               [](stuck& b) {
                                   b.shut(2s);
                                   b.options.deadline = start + 2s + 50ms - 1ns;
                               }},
                           row{"no room in line", true, [](stuck& b) {
                                   b.shut(2s);
                                   b.line_full = true;
                               }}}) {
        CAPTURE(one.name);
        stuck bench;
        one.arrange(bench);
        const auto got = bench.decide();
        CHECK(got.denied == (one.refused ? retry_denial::circuit_open : retry_denial::none));
        CHECK(bench.wait.line_full() == bench.line_full);
        CHECK(got.joined == !one.refused);
        CHECK(bench.wait.over() == !one.refused);
    }
}

TEST_CASE("where a fallback answers in its place a request waits for hold_max at most, however young the outage") {
    stuck bench;
    bench.options.something_follows = true;
    bench.options.hold_max = 3s;
    CHECK(waits(bench.shut(10s).decide()));
    CHECK(bench.wait.again() == start + 3s);
    bench.why.down_since = start + 2s; // another outage
    CHECK(waits(bench.decide_again(3s - 1ns)));
    CHECK(bench.decide_again(1ns).denied == retry_denial::circuit_open);
}

TEST_CASE("... and is asked again in the time to come where another endpoint has no room") {
    stuck bench;
    bench.options.something_follows = true;
    bench.options.hold_max = 3s;
    bench.wanted.what = attempt_purpose::retry;
    CHECK(waits(bench.shut(1s).crowded(1s).decide()));
    CHECK(waits(bench.decide_again(3s)));
    CHECK(bench.wait.again() == start + 4s);
}

TEST_CASE("who finds no room goes through after max_wait; an extra attempt and one that a circuit kept do not") {
    stuck came;
    CHECK(waits(came.crowded(9s).decide()));
    CHECK(came.wait.again() == start + 5s);
    CHECK(waits(came.decide_again(5s - 1ns)));
    const auto gone = came.decide_again(1ns);
    REQUIRE(gone.through);
    CHECK(gone.through->at == 0);
    CHECK(gone.through->permit == 1);
    CHECK(came.costs.empty());

    stuck extra;
    extra.wanted.what = attempt_purpose::retry;
    CHECK(waits(extra.crowded(1s).decide()));
    CHECK(waits(extra.decide_again(20s)));

    stuck held;
    CHECK(waits(held.shut(1s).decide()));
    held.why = {};
    CHECK(waits(held.crowded(1s).decide()));
    CHECK(waits(held.decide_again(20s)));
}

TEST_CASE("where only a long rest stands in the way the request goes through at once, if that is paid for") {
    for (const bool paid : {true, false}) {
        stuck bench;
        bench.wanted.what = attempt_purpose::retry;
        bench.why.too_long = true;
        bench.why.passable = 0;
        if (!paid) bench.level = {{0, 0.0}};
        const auto got = bench.decide();
        CHECK(got.through.has_value() == paid);
        CHECK(got.denied == (paid ? retry_denial::none : retry_denial::budget));
        CHECK(got.unpaid.has_value() != paid);
    }
}

TEST_CASE("an empty budget refuses who comes, not who waits already: waiting costs the upstream nothing") {
    stuck bench;
    bench.wanted.what = attempt_purpose::retry;
    bench.shut(1s).why.budget = true;
    CHECK(bench.decide().denied == retry_denial::budget);
    bench.why.budget = false;
    CHECK(waits(bench.decide()));
    bench.why.budget = true;
    CHECK(waits(bench.decide_again(1s)));
}

TEST_CASE("nothing that passes by itself stands in the way: refused with the weightiest reason") {
    stuck bench;
    CHECK(bench.decide().denied == retry_denial::no_endpoint);
    bench.why.too_late = true;
    CHECK(bench.decide().denied == retry_denial::deadline);
    CHECK(bench.waiting == 0);
}

TEST_CASE("10^5 random waits: in line at most once, never asked again in the past, over before the deadline") {
    for (std::uint64_t seed = 1; seed <= 20000; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        stuck bench;
        bench.options.deadline = start + std::chrono::seconds(1 + below(90));
        bench.options.hold_max = std::chrono::seconds(below(40));
        bench.options.when_open = below(5) == 0 ? when_open::reject : when_open::hold;
        bench.options.something_follows = below(3) == 0;
        if (below(3) == 0) bench.wanted.what = attempt_purpose::retry;
        if (below(4) == 0) bench.level = {{0, below(2)}};
        const duration down_at = std::chrono::seconds(below(50));
        bool joined = false;
        for (int step = 0; step < 200; ++step) {
            bench.why = {};
            if (below(2)) bench.shut(std::chrono::milliseconds(below(4000)), bench.now - start + down_at);
            if (below(2)) bench.crowded(std::chrono::milliseconds(below(4000)));
            bench.why.budget = below(8) == 0;
            const auto got = bench.decide();
            REQUIRE_FALSE((got.joined && joined));
            joined = joined || got.joined;
            REQUIRE(bench.waiting == (joined ? 1 : 0));
            if (!waits(got)) {
                REQUIRE_FALSE((got.through && got.denied != retry_denial::none));
                REQUIRE((!got.through || (bench.why.passable && !bench.wanted.is_extra())));
                break;
            }
            REQUIRE(joined);
            REQUIRE(bench.wait.again() > bench.now);
            if (bench.wanted.is_extra()) REQUIRE(bench.wait.again() + min_attempt_time <= bench.options.deadline);
            bench.now = bench.wait.again();
        }
        REQUIRE(bench.wait.over() == joined);
    }
}

} // namespace evenkeel::test::endpoint_wait_test

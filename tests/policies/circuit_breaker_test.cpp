#include "policies/circuit_breaker.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

namespace evenkeel::test::circuit_breaker_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
using verdict = circuit_breaker::verdict;
using reason = circuit_breaker::refusal::reason;
constexpr circuit_breaker::facts lone{true, 5s}, beside_others{false, 5s};

const breaker_options classic{.on = true,
                              .failure_threshold = 3,
                              .failure_ratio = 0,
                              .min_calls = 0,
                              .recovery_timeout = 30s,
                              .max_recovery_timeout = 30s,
                              .half_open_max_calls = 2,
                              .success_threshold = 2,
                              .ramp = 0s,
                              .when_open = when_open::reject};

// A breaker and the time of day; u = 0, so that recovery times are exact.
struct bench {
    explicit bench(const breaker_options& options = {}) : breaker(options) {}
    circuit_breaker breaker;
    steady_time now = start;

    circuit_breaker::permit begin() {
        auto got = breaker.admit(true, true, 0, now);
        REQUIRE_FALSE(got.refused);
        got.given.sent(now);
        return std::move(got.given);
    }
    std::optional<circuit_transition> one(verdict what, const circuit_breaker::facts& known = beside_others,
                                          duration took = 100ms) {
        auto permit = begin();
        now += took;
        return permit.give_verdict(what, known, 0, now);
    }
    std::optional<circuit_transition> some(int n, verdict what, const circuit_breaker::facts& known = beside_others) {
        std::optional<circuit_transition> last;
        for (int i = 0; i < n; ++i) last = one(what, known);
        return last;
    }
    circuit_state state() { return breaker.report(beside_others, now).state; }
    std::optional<circuit_breaker::refusal> look(bool probe = true) { return breaker.look(probe, true, 0, now); }
};
} // namespace

TEST_CASE("three failures in a row open the circuit where another endpoint is there") {
    bench bench;
    CHECK_FALSE(bench.some(2, verdict::failure));
    const auto change = bench.one(verdict::failure);
    REQUIRE(change);
    CHECK(change->from == circuit_state::closed);
    CHECK(change->to == circuit_state::open);
    CHECK(change->why == "consecutive_failures");

    const auto refused = bench.look();
    REQUIRE(refused);
    CHECK(refused->why == reason::open);
    CHECK(refused->again == bench.now + 2s);
    CHECK(refused->down_since == bench.now);
}

TEST_CASE("after seconds of health a dead endpoint takes about the threshold, not as many failures as there were "
          "successes (A16)") {
    for (const int a_second : {1, 4, 40, 100}) {
        CAPTURE(a_second);
        bench bench;
        for (int i = 0; i < 8 * a_second; ++i) {
            bench.one(verdict::success, beside_others, 0s);
            bench.now += duration{1s} / a_second;
        }
        int failures = 1;
        for (; failures < 100 && !bench.one(verdict::failure, beside_others, 0s); ++failures)
            bench.now += duration{1s} / a_second;
        CHECK(failures <= 8);
    }
    // A given ratio means what it says.
    struct bench told({.on = true, .failure_ratio = 0.5});
    told.some(40, verdict::success);
    CHECK_FALSE(told.some(39, verdict::failure));
    CHECK(told.one(verdict::failure));
}

TEST_CASE("an endpoint that fails now and then by chance is not opened by a row that chance explains (A16)") {
    for (const double share : {0.01, 0.1, 0.3}) {
        CAPTURE(share);
        std::mt19937_64 random(7);
        std::uniform_real_distribution<double> u(0, 1);
        bench bench;
        bench.some(50, verdict::success);
        int opened = 0;
        for (int i = 0; i < 100'000; ++i) {
            opened += bench.one(u(random) < share ? verdict::failure : verdict::success).has_value();
            if (opened > 0) break;
        }
        CHECK(opened == 0);
    }
}

TEST_CASE("errors in a row need no window beside another endpoint; alone they do") {
    for (const duration spacing : {duration{1min}, duration{10min}, duration{3h}}) {
        bench bench;
        for (int i = 0; i < 20; ++i) {
            bench.one(verdict::success);
            bench.now += spacing;
        }
        for (int i = 0; i < 2; ++i) {
            CHECK_FALSE(bench.one(verdict::failure));
            bench.now += spacing;
        }
        CHECK(bench.one(verdict::failure));

        struct bench silent; // what only takes too long may have too much to do
        circuit_breaker::facts timed_out = beside_others;
        timed_out.timed_out = true;
        for (int i = 0; i < 25; ++i) {
            CHECK_FALSE(silent.one(verdict::failure, timed_out));
            silent.now += spacing;
        }

        struct bench alone;
        for (int i = 0; i < 25;
             ++i) { // of which a window holds one at most; thirty in a row are no chance there either
            CHECK_FALSE(alone.one(verdict::failure, lone));
            alone.now += spacing;
        }
        struct bench mixed; // a success in between ends the row
        for (int i = 0; i < 40; ++i) {
            CHECK_FALSE(mixed.one(i % 3 == 2 ? verdict::success : verdict::failure));
            mixed.now += spacing;
        }
    }
}

TEST_CASE("a lone endpoint takes fifteen, nearly all of them failures") {
    const breaker_options ratio_only{.failure_ratio = 0.97, .min_calls = 15};
    bench bench(ratio_only);
    CHECK_FALSE(bench.some(14, verdict::failure, lone));
    CHECK(bench.one(verdict::failure, lone));

    struct bench mixed(ratio_only);
    mixed.one(verdict::success, lone);
    CHECK_FALSE(mixed.some(32, verdict::failure, lone)); // 32 of 33 are 0.9697
    CHECK(mixed.one(verdict::failure, lone));            // 33 of 34
}

TEST_CASE("a lone endpoint does not need a window full of failures where a row of them cannot be chance") {
    bench healthy;
    healthy.some(75, verdict::success, lone);
    CHECK_FALSE(healthy.some(14, verdict::failure, lone));
    CHECK(healthy.one(verdict::failure, lone));

    // Four of five failing is bad, but twenty in a row are nothing out of the ordinary then.
    struct bench poor;
    for (int i = 0; i < 50; ++i) poor.one(i % 5 == 0 ? verdict::success : verdict::failure, lone);
    CHECK_FALSE(poor.some(60, verdict::failure, lone));
    CHECK(poor.state() == circuit_state::closed);
}

TEST_CASE("a lone endpoint is asked again after a twentieth of the outage, not twice as late each time") {
    bench bench;
    bench.some(15, verdict::failure, lone);
    const steady_time down = bench.now;
    for (int i = 0; i < 200; ++i) {
        const auto refused = bench.look();
        REQUIRE(refused);
        CHECK(refused->again - bench.now == std::clamp<duration>((bench.now - down) / 20, 2s, 25s));
        bench.now = refused->again;
        bench.one(verdict::failure, lone);
    }
    CHECK(bench.look()->again == bench.now + 25s);
}

TEST_CASE("a lone endpoint's failed probe does not silence the other one, and successes add up") {
    bench bench;
    bench.some(15, verdict::failure, lone);
    bench.now += 2s;
    auto fast = bench.begin(), slow = bench.begin();
    bench.now += 400ms;
    CHECK_FALSE(fast.give_verdict(verdict::failure, lone, 0, bench.now));
    CHECK(bench.look()->why == reason::probes_busy); // no new one before the round is over
    bench.now += 4s;

    SUBCASE("and it succeeds") {
        CHECK(slow.give_verdict(verdict::success, lone, 0, bench.now)->why == "probe_failed");
        bench.now += 2s;
        CHECK(bench.one(verdict::success, lone)->why == "probe_succeeded"); // the second one
    }
    SUBCASE("and it fails") {
        CHECK(slow.give_verdict(verdict::failure, lone, 0, bench.now)->why == "probe_failed");
        bench.now += 2s;
        CHECK_FALSE(bench.one(verdict::success, lone));
    }
    SUBCASE("and it leaves") {
        slow = {};
        CHECK(bench.state() == circuit_state::open);
        CHECK_FALSE(bench.look()); // the wait was counted from the failure
    }
    SUBCASE("and breaks after it counted") {
        auto first = bench.breaker.report(lone, bench.now);
        CHECK(first.probes == 1);
        CHECK(slow.give_verdict(verdict::success, lone, 0, bench.now));
        CHECK_FALSE(slow.give_verdict(verdict::failure, lone, 0, bench.now)); // of a round that is over
    }
}

TEST_CASE("with a given ratio an endpoint is judged alike, alone or not") {
    bench bench(classic);
    bench.some(3, verdict::failure, lone);
    bench.now += 30s;
    auto fast = bench.begin(), slow = bench.begin();
    CHECK(fast.give_verdict(verdict::failure, lone, 0, bench.now)->why == "probe_failed");
    CHECK_FALSE(slow.give_verdict(verdict::success, lone, 0, bench.now));
}

TEST_CASE("slow successes that were started in between keep failures from being consecutive") {
    bench bench;
    std::vector<circuit_breaker::permit> slow;
    for (int i = 0; i < 20; ++i) {
        slow.push_back(bench.begin());
        CHECK_FALSE(bench.one(verdict::failure));
    }
    for (auto& permit : slow) CHECK_FALSE(permit.give_verdict(verdict::success, beside_others, 0, bench.now));
    CHECK(bench.state() == circuit_state::closed);
}

TEST_CASE("an attempt that is silent for longer than usual hides no failures") {
    for (const bool unusual : {false, true}) {
        CAPTURE(unusual);
        bench bench;
        bench.one(verdict::failure);
        const steady_time began = bench.now;
        const auto hanging = bench.begin();
        bench.one(verdict::failure);
        bench.now = began + 5s - 100ms - (unusual ? 0ns : 1ns);
        CHECK(bench.one(verdict::failure).has_value() == unusual);
    }
}

TEST_CASE("where nothing is known of latency a silent attempt may be a success as long as the window is") {
    for (const bool unusual : {false, true}) {
        CAPTURE(unusual);
        bench bench(classic);
        bench.one(verdict::failure, {});
        const steady_time began = bench.now;
        const auto hanging = bench.begin();
        bench.one(verdict::failure, {});
        bench.now = began + 30s - 100ms - (unusual ? 0ns : 1ns);
        CHECK(bench.one(verdict::failure, {}).has_value() == unusual);
    }
}

TEST_CASE("P2.2: what is neutral is as if it had not been, overload counts for the ratio only") {
    bench bench;
    bench.one(verdict::failure);
    bench.one(verdict::neutral);
    static_cast<void>(bench.begin()); // left without a verdict
    bench.one(verdict::failure);
    CHECK_FALSE(bench.some(5, verdict::overloaded));
    CHECK(bench.breaker.report(beside_others, bench.now).calls == 7);
    CHECK(bench.breaker.report(beside_others, bench.now).failures == 7);
    CHECK(bench.one(verdict::failure));
}

TEST_CASE("classic: three in a row, nothing else, thirty seconds, two probes") {
    bench bench(classic);
    bench.some(100, verdict::success);
    CHECK_FALSE(bench.some(2, verdict::failure));
    CHECK(bench.one(verdict::failure));
    CHECK(bench.look()->again == bench.now + 30s);

    bench.now += 30s;
    CHECK_FALSE(bench.look());
    const auto change = bench.one(verdict::failure);
    REQUIRE(change);
    CHECK(change->why == "probe_failed");
    CHECK(bench.look()->again == bench.now + 30s);

    bench.now += 30s;
    CHECK_FALSE(bench.one(verdict::success));
    CHECK(bench.one(verdict::success)->to == circuit_state::closed);
    CHECK_FALSE(bench.look());
}

// P5.8 as the reference has it asks for a window of at least two timeouts, because it counts by the time of start.
// Counted by the time of the verdict, as here, no timeout is too long for any window.
TEST_CASE("P5.8: failures that lie outside of the window do not count, however long ago they were started") {
    bench bench;
    bench.some(3, verdict::overloaded);
    bench.now += 30s;
    CHECK(bench.breaker.report(beside_others, bench.now).calls == 0);

    // Started 100 s ago, failed now: a timeout longer than the window still counts.
    struct bench hanging;
    std::vector<circuit_breaker::permit> permits;
    for (int i = 0; i < 3; ++i) permits.push_back(hanging.begin());
    hanging.now += 100s;
    CHECK_FALSE(permits[0].give_verdict(verdict::failure, beside_others, 0, hanging.now));
    CHECK_FALSE(permits[1].give_verdict(verdict::failure, beside_others, 0, hanging.now));
    CHECK(permits[2].give_verdict(verdict::failure, beside_others, 0, hanging.now));
}

TEST_CASE("each failed recovery doubles the wait up to the maximum, a success begins anew") {
    bench bench;
    bench.some(3, verdict::failure);
    for (const duration wait : {2s, 4s, 8s, 16s, 25s, 25s}) {
        CHECK(bench.look()->again == bench.now + wait);
        bench.now += wait - 1ns;
        CHECK(bench.look());
        bench.now += 1ns;
        CHECK_FALSE(bench.look());
        CHECK(bench.one(verdict::failure)->why == "probe_failed");
        CHECK(bench.look()->down_since == start + 300ms);
    }
    bench.now += 60s;
    bench.some(2, verdict::success);
    CHECK(bench.state() == circuit_state::closed);
    bench.now += 10s;
    bench.some(3, verdict::failure);
    CHECK(bench.look()->again == bench.now + 2s);
}

TEST_CASE("P5.2: half-open lets two at a time through, and none that may not probe") {
    bench bench;
    bench.some(3, verdict::failure);
    bench.now += 2s;
    CHECK(bench.breaker.admit(false, true, 0, bench.now).refused->why == reason::open);
    auto first = bench.breaker.admit(true, true, 0, bench.now);
    REQUIRE(first.transition);
    CHECK(first.transition->why == "recovery_time");
    CHECK(first.given.is_probe());
    auto second = bench.breaker.admit(true, true, 0, bench.now);
    CHECK_FALSE(second.transition);
    const auto refused = bench.breaker.admit(true, true, 0, bench.now).refused;
    REQUIRE(refused);
    CHECK(refused->why == reason::probes_busy);
    CHECK(refused->again == bench.now + 1s); // a P95 of 5 s, at most a second
    CHECK(bench.breaker.admit(false, true, 0, bench.now).refused->why == reason::probes_busy);

    SUBCASE("a verdict gives the place back, and only the first one does") {
        CHECK_FALSE(first.given.give_verdict(verdict::success, lone, 0, bench.now));
        CHECK_FALSE(first.given.give_verdict(verdict::success, lone, 0, bench.now));
        CHECK(bench.breaker.report(lone, bench.now).probes == 1);
        CHECK(second.given.give_verdict(verdict::success, lone, 0, bench.now)->why == "probe_succeeded");
    }
    SUBCASE("leaving gives it back without a verdict") {
        first.given = {};
        CHECK(bench.breaker.report(lone, bench.now).probes == 1);
        CHECK(bench.state() == circuit_state::half_open);
    }
    SUBCASE("overload is no verdict on a probe") {
        CHECK_FALSE(first.given.give_verdict(verdict::overloaded, lone, 0, bench.now));
        CHECK(bench.state() == circuit_state::half_open);
        CHECK(bench.breaker.report(lone, bench.now).probes == 1);
    }
    SUBCASE("a probe's stream that breaks after it counted fails the recovery") {
        CHECK_FALSE(first.given.give_verdict(verdict::success, beside_others, 0, bench.now));
        CHECK(first.given.give_verdict(verdict::failure, beside_others, 0, bench.now)->why == "probe_failed");
    }
}

TEST_CASE("P5.3: probes that never say anything do not wedge the circuit") {
    bench bench;
    bench.some(3, verdict::failure);
    bench.now += 2s;
    auto first = bench.begin(), second = bench.begin();
    bench.now += 60s - 1ns;
    CHECK(bench.look());
    bench.now += 1ns;
    CHECK_FALSE(bench.look());
    auto next = bench.breaker.admit(true, true, 0, bench.now);
    REQUIRE(next.transition);
    CHECK(next.transition->why == "probe_silent");
    CHECK(bench.breaker.report(lone, bench.now).probes == 1);
    CHECK_FALSE(first.give_verdict(verdict::failure, lone, 0, bench.now)); // too late to say anything
    second = {};
    CHECK(bench.breaker.report(lone, bench.now).probes == 1);
    next.given.give_verdict(verdict::success, lone, 0, bench.now);
    CHECK(bench.one(verdict::success)->to == circuit_state::closed);
}

TEST_CASE("P5.4: verdicts from before the circuit opened move nothing") {
    bench bench;
    auto old_success = bench.begin(), old_failure = bench.begin();
    bench.some(3, verdict::failure, {false, 10ms});
    bench.now += 2s;
    auto probe = bench.begin();
    CHECK_FALSE(old_failure.give_verdict(verdict::failure, lone, 0, bench.now));
    CHECK_FALSE(old_success.give_verdict(verdict::success, lone, 0, bench.now));
    CHECK(bench.state() == circuit_state::half_open);
    CHECK(bench.breaker.report(lone, bench.now).probes == 1);
}

TEST_CASE("a stream that broke after it was a success counts as a failure") {
    bench bench;
    bench.some(2, verdict::failure);
    auto stream = bench.begin();
    CHECK_FALSE(stream.give_verdict(verdict::success, beside_others, 0, bench.now));
    CHECK(bench.breaker.report(beside_others, bench.now).consecutive_failures == 0);
    CHECK(stream.give_verdict(verdict::failure, beside_others, 0, bench.now));
}

TEST_CASE("P5.7: after the circuit closed the share that passes grows, and says exactly when it reaches a draw") {
    bench bench;
    bench.some(3, verdict::failure);
    bench.now += 2s;
    bench.some(2, verdict::success);
    const steady_time closed = bench.now;
    for (const double u : {0.0, 0.0999}) CHECK_FALSE(bench.breaker.look(true, true, u, closed));
    for (const double u : {0.11, 0.5, 0.9, 0.999999}) {
        CAPTURE(u);
        const auto refused = bench.breaker.look(true, true, u, closed);
        REQUIRE(refused);
        CHECK(refused->why == reason::ramping);
        CHECK(bench.breaker.look(true, true, u, refused->again - 1ns));
        CHECK_FALSE(bench.breaker.look(true, true, u, refused->again));
        CHECK_FALSE(bench.breaker.look(true, false, u, closed));
    }
    CHECK_FALSE(bench.breaker.look(true, true, 0.9999999999, closed + 10s));
}

TEST_CASE("where no connection was made one that is, or is not, says whether the next request may be a probe") {
    constexpr circuit_breaker::facts unreached{.alone = false, .usual_p95 = 5s, .unreached = true};
    bench bench(classic);
    CHECK_FALSE(bench.breaker.unreached());
    bench.some(1, verdict::failure); // of before a success
    bench.some(1, verdict::success);
    REQUIRE(bench.some(3, verdict::failure, unreached));
    CHECK(bench.breaker.unreached());
    bench.now += 20s;
    bench.breaker.connected(false, bench.now);
    bench.now += circuit_breaker::away_for - 1s; // longer than its own 30 s
    CHECK(bench.look());
    bench.breaker.connected(false, bench.now);
    bench.now += 5s;
    CHECK(bench.look());
    bench.breaker.connected(true, bench.now);
    CHECK_FALSE(bench.look());
    bench.some(1, verdict::failure, unreached); // the probe finds nobody
    CHECK(bench.state() == circuit_state::open);
    CHECK(bench.breaker.unreached());
    bench.breaker.connected(true, bench.now);
    bench.some(2, verdict::success);
    CHECK(bench.state() == circuit_state::closed);
    CHECK_FALSE(bench.breaker.unreached());

    SUBCASE("what was sent and failed is not proved well by a connection") {
        bench.some(1, verdict::failure);
        REQUIRE(bench.some(2, verdict::failure, unreached));
        CHECK_FALSE(bench.breaker.unreached());
        bench.breaker.connected(true, bench.now);
        CHECK(bench.look());
        bench.breaker.connected(false, bench.now);
        bench.now += 30s;
        CHECK_FALSE(bench.look());
    }
    SUBCASE("nor is what a person holds") {
        bench.breaker.force(circuit_state::open, bench.now);
        bench.breaker.connected(true, bench.now);
        CHECK(bench.look());
        bench.breaker.force(std::nullopt, bench.now);
        CHECK_FALSE(bench.breaker.unreached());
    }
}

TEST_CASE("an operator's word stays until it is taken back") {
    bench bench;
    const auto change = bench.breaker.force(circuit_state::open, bench.now);
    REQUIRE(change);
    CHECK(change->why == "forced");
    bench.now += 1h;
    CHECK(bench.look());
    CHECK(bench.breaker.report(lone, bench.now).forced == circuit_state::open);
    CHECK_FALSE(bench.breaker.force(std::nullopt, bench.now));
    CHECK_FALSE(bench.look());
    bench.some(2, verdict::success);
    CHECK(bench.state() == circuit_state::closed);

    CHECK_FALSE(bench.breaker.force(circuit_state::closed, bench.now));
    CHECK_FALSE(bench.some(20, verdict::failure));
    CHECK(bench.state() == circuit_state::closed);
    bench.breaker.force(std::nullopt, bench.now);
    CHECK_FALSE(bench.some(2, verdict::failure));
    CHECK(bench.one(verdict::failure));
}

TEST_CASE("with more in flight than there are places, the verdicts of a sample still open the circuit") {
    bench bench;
    std::vector<circuit_breaker::permit> permits;
    for (int i = 0; i < 1000; ++i) {
        permits.push_back(bench.begin());
        bench.now += 1ms;
    }
    std::optional<circuit_transition> change;
    for (auto& permit : permits) {
        if (auto now = permit.give_verdict(verdict::failure, beside_others, 0, bench.now)) change = now;
    }
    CHECK(change);
}

TEST_CASE("a permit moves, and only the last owner answers for it") {
    bench bench;
    bench.some(3, verdict::failure);
    bench.now += 2s;
    auto first = bench.begin();
    auto second = std::move(first);
    CHECK_FALSE(first);
    CHECK_FALSE(first.give_verdict(verdict::failure, lone, 0, bench.now));
    CHECK(bench.breaker.report(lone, bench.now).probes == 1);
    second = bench.begin();
    CHECK(bench.breaker.report(lone, bench.now).probes == 1);
}

} // namespace evenkeel::test::circuit_breaker_test

// The states of a circuit by themselves: each function from one to the next, and what holds on every way through them.

#include "policies/circuit_states.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

namespace evenkeel::test::circuit_states_test {

using namespace std::chrono_literals;

namespace {
namespace circuit = evenkeel::circuit;
using circuit::verdict;
constexpr steady_time start{1000s};
constexpr circuit::question anybody{.probe_allowed = true, .ramp_applies = true, .u = 0.5};

circuit::half_open half_open_with(int probes, bool lone) {
    circuit::half_open at{{.since = start - 10s, .lone = lone}, start};
    for (int i = 0; i < probes; ++i) at = circuit::probe_started(at, start);
    return at;
}
circuit::probe_verdict said(verdict what, bool alone, bool counted_before = false) {
    return {.is = what, .first = true, .counted_before = counted_before, .alone = alone, .u = 0};
}
} // namespace

TEST_CASE("beside others the recovery time doubles with each failed recovery up to the longest; alone it is a "
          "twentieth of the outage") {
    struct row {
        bool alone;
        duration outage;
        int failed_before;
        duration pause;
    };
    for (const row& one :
         {row{false, 10s, 0, 4s}, row{false, 10s, 1, 8s}, row{false, 10s, 3, 25s}, row{false, 10s, 4, 25s},
          row{false, 10s, 61, 25s}, row{true, 10s, 3, 2s}, row{true, 100s, 3, 5s}, row{true, 1h, 3, 25s}}) {
        CAPTURE(one.failed_before);
        circuit::half_open at = half_open_with(1, one.alone);
        at.down.since = start - one.outage;
        at.down.failed_recoveries = one.failed_before;
        const auto after = circuit::heard(at, said(verdict::failure, one.alone), {}, start);
        CHECK(std::get<circuit::open>(after.next).until == start + one.pause);
    }
}

TEST_CASE("a draw of 0, 1/2 and almost 1 spreads the first recovery time over a fifth") {
    CHECK(circuit::trip({}, false, 0, start).until == start + 2s);
    CHECK(circuit::trip({}, false, 0.5, start).until == start + 2200ms);
    CHECK(circuit::trip({}, false, 1 - 1e-12, start).until <= start + 2400ms);
}

TEST_CASE("a failed probe ends the round beside others; alone the one beside it may still speak, and its success "
          "counts") {
    const auto others = circuit::heard(half_open_with(2, false), said(verdict::failure, false), {}, start);
    CHECK(circuit::name_of(others.next) == circuit_state::open);

    const auto alone = circuit::heard(half_open_with(2, true), said(verdict::failure, true), {}, start);
    const auto& waits = std::get<circuit::half_open>(alone.next);
    CHECK(waits.probes == 1);
    CHECK_FALSE(circuit::has_place(waits, {})); // nobody new in a round that has failed
    const auto last = circuit::heard(waits, said(verdict::success, true), {}, start + 1s);
    const auto& again = std::get<circuit::open>(last.next);
    CHECK(again.until == *waits.failed); // of the failure, not of the word that ended the round
    CHECK(again.down.successes == 1);
}

TEST_CASE("successes of a round that failed count for nothing beside others, and add up where there is nothing else") {
    for (const bool alone : {false, true}) {
        CAPTURE(alone);
        circuit::half_open at = half_open_with(1, alone);
        at.down.successes = 1;
        const auto opened = std::get<circuit::open>(circuit::heard(at, said(verdict::failure, alone), {}, start).next);
        const auto probe = circuit::probe_started(circuit::probe(opened, start + 60s), start + 60s);
        const auto next = circuit::heard(probe, said(verdict::success, alone), {}, start + 61s).next;
        CHECK(circuit::name_of(next) == (alone ? circuit_state::closed : circuit_state::half_open));
    }
}

TEST_CASE("a success counts once, and is taken back by the stream that breaks after it") {
    const auto first = circuit::heard(half_open_with(1, true), said(verdict::success, true), {}, start);
    CHECK(first.counts);
    const auto& at = std::get<circuit::half_open>(first.next);
    CHECK(at.down.successes == 1);
    auto again = said(verdict::success, true, true);
    again.first = false;
    CHECK(std::get<circuit::half_open>(circuit::heard(at, again, {}, start).next).down.successes == 1);
    again.is = verdict::failure;
    const auto broken = circuit::heard(at, again, {}, start);
    CHECK_FALSE(broken.counts);
    CHECK(std::get<circuit::open>(broken.next).down.successes == 0);
}

TEST_CASE("a probe that is destroyed gives its place back; the last one of a round that failed ends it") {
    CHECK(std::get<circuit::half_open>(circuit::unheard(half_open_with(2, false))).probes == 1);
    circuit::half_open failed = half_open_with(1, true);
    failed.failed = start + 3s;
    CHECK(std::get<circuit::open>(circuit::unheard(failed)).until == start + 3s);
}

TEST_CASE("a ramp lets the draw u through once 0.1 + 0.9 * time / ramp has passed it, not an instant before") {
    const circuit::state ramping = circuit::closed{start};
    const auto let = [&](double u, duration after) {
        return !circuit::refuse(ramping, {}, {.probe_allowed = true, .ramp_applies = true, .u = u}, start + after);
    };
    CHECK(let(0.05, 0s));
    CHECK_FALSE(let(0.55, 5s)); // 0.1 + 0.9 * 0.5 is 0.55
    CHECK(let(0.55, 5s + 1ns));
    CHECK(let(1 - 1e-12, 10s));
    CHECK_FALSE(circuit::refuse(ramping, {}, {.probe_allowed = true, .ramp_applies = false, .u = 0.99}, start));
    CHECK(circuit::heard(half_open_with(1, true), said(verdict::success, true), {.success_threshold = 1, .ramp = 0s},
                         start)
              .next.index() == 0);
}

TEST_CASE("an operator's word begins the outage anew but for when it began, and silent probes keep what he forced") {
    circuit::half_open tried = half_open_with(2, true);
    tried.down = {.since = start - 1h, .lone = true, .failed_recoveries = 5, .successes = 1, .silent_rounds = 3};
    const auto next = std::get<circuit::half_open>(circuit::forced(tried, circuit_state::half_open, start));
    CHECK(next.probes == 0);
    CHECK(next.down.since == start - 1h);
    CHECK(next.down.failed_recoveries + next.down.successes + next.down.silent_rounds == 0);
    CHECK(std::get<circuit::open>(circuit::forced(circuit::closed{}, circuit_state::open, start)).down.since == start);

    circuit::question held = anybody;
    held.forced = true;
    CHECK(circuit::refuse(half_open_with(2, true), {}, held, start + 1h));
    CHECK_FALSE(circuit::refuse(half_open_with(2, true), {}, anybody, start + 1h));
}

// Whatever the way: probes are never more than there are places, an outage begins once, it ends by a success only, and
// who is told to come back at a time that time alone decides is let through then and not an instant before.
TEST_CASE("10^5 random ways through the states keep every promise") {
    for (std::uint64_t seed = 1; seed <= 5000; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        const auto draw = [&] { return std::uniform_real_distribution<double>(0, 1)(random); };
        breaker_options options{.on = true};
        if (below(2)) options.failure_ratio = 0.5;
        options.half_open_max_calls = below(4);
        options.success_threshold = 1 + below(3);
        options.recovery_timeout = std::chrono::milliseconds(100 + below(5000));
        const int places = std::max(options.half_open_max_calls, 1);

        steady_time now = start;
        circuit::state at = circuit::trip(options, below(2) != 0, draw(), now);
        for (int step = 0; step < 20; ++step) {
            now += std::chrono::milliseconds(below(4000));
            const steady_time since = circuit::outage_of(at)->since;
            const circuit::question asked{true, true, draw(), 2s};
            if (const auto refused = circuit::refuse(at, options, asked, now)) {
                REQUIRE(refused->again > now);
                REQUIRE(refused->down_since == since);
                if (refused->why == circuit::refusal::reason::open) {
                    REQUIRE(circuit::refuse(at, options, asked, refused->again - 1ns));
                    REQUIRE_FALSE(circuit::refuse(at, options, asked, refused->again));
                }
            } else if (const auto* open = std::get_if<circuit::open>(&at)) {
                at = circuit::probe_started(circuit::probe(*open, now), now);
            } else {
                const auto& half = std::get<circuit::half_open>(at);
                at = circuit::probe_started(circuit::has_place(half, options) ? half : circuit::next_round(half, now),
                                            now);
            }
            if (const auto* half = std::get_if<circuit::half_open>(&at); half != nullptr && half->probes > 0) {
                const auto what = static_cast<verdict>(below(4));
                if (below(5) == 0) {
                    at = circuit::unheard(*half);
                } else if (below(3) != 0) {
                    const circuit::probe_verdict word{what, true, false, below(2) != 0, draw()};
                    at = circuit::heard(*half, word, options, now).next;
                }
                if (circuit::name_of(at) == circuit_state::closed) {
                    REQUIRE(what == verdict::success);
                    break;
                }
            }
            REQUIRE(circuit::outage_of(at)->since == since);
            if (const auto* half = std::get_if<circuit::half_open>(&at)) {
                REQUIRE(half->probes >= 0);
                REQUIRE(half->probes <= places);
                REQUIRE(half->down.silent_rounds <= 10);
                REQUIRE((!half->failed || half->probes > 0));
            }
        }
    }
}

} // namespace evenkeel::test::circuit_states_test

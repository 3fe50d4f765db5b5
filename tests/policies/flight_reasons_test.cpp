// What a plan does not do is in its list as well: who is passed over, which failure nothing follows, why no hedge is
// launched, and that the request waits.

#include "tests/policies/plan_bench.hpp"

#include <algorithm>

namespace evenkeel::test::flight_reasons_test {

using namespace evenkeel::testing;

namespace {
attempt_outcome reset() { return outcome_of(outcome_kind::reset); }
endpoint_refusal shut(duration again) { return {endpoint_refusal::reason::circuit, start + again, start - 1s}; }

template <class Action>
std::vector<Action> of(const std::vector<any_flight_action>& all) {
    std::vector<Action> some;
    for (const auto& each : all) {
        if (const auto* one = std::get_if<Action>(&each)) some.push_back(*one);
    }
    return some;
}

struct hedging : plan_bench {
    hedging() : plan_bench(2) {
        options.hedge = &this->plan_bench::hedging;
        learned_delay = 3s;
    }
};
} // namespace

TEST_CASE("an endpoint that is passed over is named with its reason, and what was wanted of it") {
    plan_bench bench(2);
    bench.refusing[0] = shut(2s);
    bench.begin();
    CHECK(bench.launched->endpoint == 1);
    REQUIRE(bench.reasons.size() == 1);
    const auto first = of<flight_action::refuse>(bench.reasons)[0];
    CHECK(first.endpoint == 0);
    CHECK(first.wanted == attempt_purpose::first);
    CHECK(first.why == retry_denial::circuit_open);

    plan_bench poor(2);
    poor.level = {{1, 0.0}};
    poor.begin().fail(1, reset());
    const auto refused = of<flight_action::refuse>(poor.reasons);
    REQUIRE(refused.size() == 1);
    CHECK(refused[0].endpoint == 1);
    CHECK(refused[0].wanted == attempt_purpose::retry);
    CHECK(refused[0].why == retry_denial::budget);
    CHECK_FALSE(poor.finished); // the other one is asked after its pause
}

TEST_CASE("a request that waits says why, once, and that it waits no longer before it goes on or ends") {
    for (const bool goes_on : {true, false}) {
        plan_bench bench;
        bench.refusing[0] = shut(2s);
        bench.begin();
        REQUIRE(of<flight_action::hold>(bench.reasons).size() == 1);
        CHECK(of<flight_action::hold>(bench.reasons)[0].why == retry_denial::circuit_open);
        bench.refusing[0] = shut(4s);
        bench.sleep();
        CHECK(of<flight_action::hold>(bench.reasons).empty()); // it waits already
        bench.refusing.clear();

        // In this order, by whoever performs them.
        bench.now = start + 4s;
        const auto steps = goes_on ? bench.plan->step(flight_event::timer{}, bench.now, bench)
                                   : bench.plan->step(flight_event::client_gone{}, bench.now, bench);
        REQUIRE(steps.size() >= 2);
        const auto* over = std::get_if<flight_action::end_hold>(&steps[0]);
        REQUIRE(over);
        CHECK(over->goes_on == goes_on);
        CHECK(std::holds_alternative<flight_action::launch>(steps[1]) == goes_on);
        CHECK(std::holds_alternative<flight_action::finish>(steps[1]) == !goes_on);
    }
}

TEST_CASE("a full line is a reason of its own") {
    plan_bench bench;
    bench.refusing[0] = shut(2s);
    bench.line_full = true;
    CHECK(bench.begin().finished->why == "hold_queue_full");
    CHECK(of<flight_action::hold>(bench.reasons).empty());
    plan_bench open;
    open.refusing[0] = shut(2s);
    open.options.when_open = when_open::reject;
    CHECK(open.begin().finished->why == "circuit_open");
}

TEST_CASE("a failure that nothing follows while a sibling is in flight is denied by name") {
    hedging bench;
    bench.begin().sleep();
    bench.fail(1, reset());
    const auto denied = of<flight_action::deny>(bench.reasons);
    REQUIRE(denied.size() == 1);
    CHECK(denied[0].id == 1);
    CHECK(denied[0].endpoint == 0);
    CHECK(denied[0].why == retry_denial::no_endpoint);

    hedging told;
    told.begin().sleep();
    auto no = answered_with(outcome_kind::server_error);
    no.should_retry = false;
    told.fail(2, no);
    CHECK(of<flight_action::deny>(told.reasons)[0].why == retry_denial::upstream_said);
    told.fail(1, no); // the last one: the end of the flight says it
    CHECK(of<flight_action::deny>(told.reasons).empty());
    CHECK(told.finished->denied == retry_denial::upstream_said);

    hedging late;
    late.options.attempt_timeout = 10s;
    late.begin().sleep().sleep(); // its hedge, then its timeout
    CHECK(late.cancelled->id == 1);
    CHECK(of<flight_action::deny>(late.reasons)[0].id == 1);
}

TEST_CASE("a hedge that is not launched names where it would have gone") {
    hedging bench;
    bench.level = {{1, 0.5}};
    bench.begin().sleep();
    const auto none = of<flight_action::no_hedge>(bench.reasons);
    REQUIRE(none.size() == 1);
    CHECK(none[0].endpoint == 1);
    CHECK(none[0].why == hedge_refusal::budget);
}

TEST_CASE("an attempt that goes on for want of anything better leaves no trace but who refused to take its place") {
    plan_bench bench(2);
    bench.options.learned_timeout = true;
    bench.learned_timeout = 10s;
    bench.level = {{1, 0.0}};
    bench.begin().sleep();
    CHECK(bench.cancels == 0);
    REQUIRE(bench.actions.size() == 2);
    CHECK(std::get<flight_action::overdue>(bench.actions[0]).id == 1);
    REQUIRE(bench.reasons.size() == 1);
    CHECK(of<flight_action::refuse>(bench.reasons)[0].why == retry_denial::budget);
}

TEST_CASE("10^5 random races: each failure is followed, waited for, denied or the end, and holds are told in pairs") {
    for (std::uint64_t seed = 1; seed <= 100000; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed), moods(seed + 1);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        plan_bench bench(1 + below(4), std::chrono::milliseconds(500 + below(60000)));
        bench.random = &random;
        bench.retry.max_retries = below(6);
        bench.stream = below(2) != 0;
        bench.may_repeat = below(6) != 0;
        bench.options.something_follows = below(3) == 0;
        bench.options.learned_timeout = below(2) != 0;
        if (below(2)) bench.moods = &moods;
        if (below(2)) bench.learned_timeout = std::chrono::milliseconds(1 + below(20000));
        if (below(2)) bench.options.attempt_timeout = std::chrono::milliseconds(1 + below(20000));
        if (below(3) == 0) bench.level = {{0, below(3)}, {1, below(2)}};
        if (below(4) != 0) {
            bench.options.hedge = &bench.hedging;
            bench.hedging.max_hedges = 1 + below(2);
            bench.learned_delay = std::chrono::milliseconds(1 + below(5000));
        }
        std::vector<attempt_id> alive;
        bool held = false;
        const auto look = [&](std::optional<attempt_id> failed) {
            for (const auto& cut : of<flight_action::cancel>(bench.actions)) {
                alive.erase(std::find(alive.begin(), alive.end(), cut.id));
                if (cut.why == cancel_cause::attempt_timeout) failed = cut.id;
            }
            if (failed) {
                const auto denied = of<flight_action::deny>(bench.reasons);
                const bool waits = bench.waits && alive.empty() && !bench.launched;
                REQUIRE(bench.launched.has_value() + bench.finished.has_value() + denied.size() + waits == 1);
                REQUIRE((denied.empty() || (denied[0].id == *failed && !alive.empty())));
            } else {
                REQUIRE(of<flight_action::deny>(bench.reasons).empty());
            }
            for (const auto& one : bench.reasons) {
                if (const auto* none = std::get_if<flight_action::no_hedge>(&one)) {
                    REQUIRE(none->why != hedge_refusal::none);
                    REQUIRE_FALSE(bench.launched);
                } else if (const auto* passed = std::get_if<flight_action::refuse>(&one)) {
                    REQUIRE(passed->endpoint < bench.options.endpoints);
                    REQUIRE(passed->wanted != attempt_purpose::hedge);
                } else if (std::holds_alternative<flight_action::hold>(one)) {
                    REQUIRE_FALSE(std::exchange(held, true));
                } else if (std::holds_alternative<flight_action::end_hold>(one)) {
                    REQUIRE(std::exchange(held, false));
                }
            }
            if (bench.launched) alive.push_back(bench.launched->id);
            if (bench.finished) REQUIRE_FALSE(held);
        };
        bench.begin();
        look(std::nullopt);
        while (!bench.finished) {
            const auto wake = bench.waits->when;
            if (alive.empty() || below(3) == 0) {
                bench.now = std::max(bench.now, wake);
                bench.feed(flight_event::timer{});
                look(std::nullopt);
                continue;
            }
            bench.now = std::min(bench.now + std::chrono::milliseconds(below(2000)), std::max(bench.now, wake - 1ns));
            const auto which = alive.begin() + below(static_cast<int>(alive.size()));
            const attempt_id id = *which;
            if (below(6) == 0) {
                alive.erase(which);
                bench.feed(flight_event::complete{id});
                look(std::nullopt);
                continue;
            }
            attempt_outcome outcome = outcome_of(static_cast<outcome_kind>(1 + below(outcome_kind_count - 1)));
            outcome.never_sent = outcome.what.kind == outcome_kind::connect_failure;
            outcome.has_answer = !outcome.never_sent && below(2);
            alive.erase(which);
            bench.feed(flight_event::failed{id, outcome});
            look(id);
        }
        REQUIRE(bench.waiting == 0);
    }
}

} // namespace evenkeel::test::flight_reasons_test

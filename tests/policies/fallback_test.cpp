#include "policies/fallback.hpp"
#include "tests/policies/plan_bench.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::fallback_test {

using namespace evenkeel::testing;

TEST_CASE("what goes to the ladder, and what never does") {
    struct row {
        const char* name;
        unaided_answer so_far;
        bool needs;
    };
    const row rows[] = {
        {"a good answer", {.is_there = true, .status = 200}, false},
        {"a redirection", {.is_there = true, .status = 302}, false},
        {"circuits open", {.is_there = true, .status = 503}, true},
        {"the deadline", {.is_there = true, .status = 504}, true},
        {"no connection", {.is_there = true, .status = 502}, true},
        {"a full queue", {.is_there = true, .status = 429}, true},
        {"a request we refuse", {.is_there = true, .status = 400}, false},
        {"a body too large", {.is_there = true, .status = 413}, false},
        {"a body that stopped coming", {.is_there = true, .status = 502, .body_failed = true}, false},
        {"a client that left", {.is_there = false}, false},
        {"an upstream's 500", {.is_there = true, .status = 500, .failed_as = outcome_kind::server_error}, true},
        {"its rate limit", {.is_there = true, .status = 429, .failed_as = outcome_kind::rate_limited}, true},
        {"its overload", {.is_there = true, .status = 529, .failed_as = outcome_kind::overloaded}, true},
        {"money", {.is_there = true, .status = 402, .failed_as = outcome_kind::quota}, true},
        {"our own credential", {.is_there = true, .status = 401, .failed_as = outcome_kind::credential}, true},
        {"an overload inside a 200", {.is_there = true, .status = 200, .failed_as = outcome_kind::overloaded}, true},
        {"the caller's mistake inside a 200",
         {.is_there = true, .status = 200, .failed_as = outcome_kind::caller_error},
         false},
        {"a conflict that passes", {.is_there = true, .status = 409, .failed_as = outcome_kind::server_error}, true},
        {"the caller's mistake", {.is_there = true, .status = 400, .failed_as = outcome_kind::caller_error}, false},
        {"a 500 that is the caller's",
         {.is_there = true, .status = 500, .failed_as = outcome_kind::caller_error},
         false},
        {"a 404 nobody judged", {.is_there = true, .status = 404}, false},
        {"a 503 nobody judged", {.is_there = true, .status = 503}, true},
    };
    for (const row& r : rows) {
        CAPTURE(r.name);
        CHECK(needs_fallback(r.so_far) == r.needs);
    }
}

TEST_CASE("another route is asked where the request may go out again and there is time") {
    const reroute_facts good{
        .time_left = 50ms, .attempt_needs = 50ms, .body_held = true, .may_have_arrived = true, .repeatable = true};
    CHECK_FALSE(why_not_reroute(good));
    reroute_facts late = good;
    late.time_left = 50ms - 1ns;
    CHECK(why_not_reroute(late) == fallback_skip::no_time);
    reroute_facts gone = good;
    gone.body_held = false;
    CHECK(why_not_reroute(gone) == fallback_skip::not_replayable);
    reroute_facts once = good;
    once.repeatable = false;
    CHECK(why_not_reroute(once) == fallback_skip::not_replayable);
    once.may_have_arrived = false; // nobody has it yet
    CHECK_FALSE(why_not_reroute(once));
}

TEST_CASE("where a fallback follows, answers are held at the last attempt, with retry off, and where nothing may be "
          "repeated") {
    for (const int retries : {0, 1}) {
        for (const bool may_repeat : {false, true}) {
            plan_bench bench;
            bench.options.something_follows = true;
            bench.retry.max_retries = retries;
            bench.may_repeat = may_repeat;
            CHECK(bench.begin().launched->hold == holding::answers);
        }
    }
}

TEST_CASE("a learned timeout ends a lone attempt for the sake of a fallback, and of nothing else") {
    for (const bool follows : {false, true}) {
        plan_bench bench;
        bench.options.something_follows = follows;
        bench.options.learned_timeout = true;
        bench.learned_timeout = 5s;
        bench.retry.max_retries = 0;
        bench.begin();
        bench.now += 5s;
        bench.feed(flight_event::timer{});
        CHECK(bench.finished.has_value() == follows);
        if (!follows) continue;
        CHECK(bench.finished->how == flight_action::ending::timed_out);
        REQUIRE(bench.cancelled);
        CHECK(bench.cancelled->why == cancel_cause::attempt_timeout);
    }
}

TEST_CASE(
    "where a fallback follows, nobody waits for a circuit for longer than hold_max, and is told when to come back") {
    for (const bool follows : {false, true}) {
        plan_bench bench(1, 600s);
        bench.options.something_follows = follows;
        bench.options.hold_max = 2s;
        bench.refusing[0] = {endpoint_refusal::reason::circuit, start + 30s, start};
        bench.begin();
        CHECK(bench.waiting == 1);
        bench.sleep();
        CHECK(bench.now == start + (follows ? 2s : 30s));
        CHECK(bench.finished.has_value());
        CHECK(bench.finished->how == flight_action::ending::refused);
        CHECK(bench.finished->denied == retry_denial::circuit_open);
        if (follows) CHECK(bench.finished->retry_after >= 28s);
        CHECK(bench.waiting == 0);
    }
}

} // namespace evenkeel::test::fallback_test

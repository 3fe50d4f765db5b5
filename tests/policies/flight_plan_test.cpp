#include "tests/policies/plan_bench.hpp"

#include <algorithm>

namespace evenkeel::test::flight_plan_test {

using namespace evenkeel::testing;

namespace {
using ending = flight_action::ending;
attempt_outcome reset() { return outcome_of(outcome_kind::reset); }
attempt_outcome refused() {
    auto out = outcome_of(outcome_kind::connect_failure);
    out.never_sent = true;
    return out;
}
} // namespace

TEST_CASE("a flight starts by launching its first attempt and waits until the deadline") {
    plan_bench bench;
    bench.begin();
    REQUIRE(bench.launched);
    CHECK(bench.launched->id == 1);
    CHECK(bench.launched->endpoint == 0);
    CHECK(bench.launched->why == "first");
    CHECK(bench.waits->when == start + 60s);
    CHECK(bench.costs.empty());
}

TEST_CASE(
    "what is held back: answers while another attempt could follow, errors on the last one, nothing with retry off") {
    SUBCASE("another may follow") { CHECK(plan_bench().begin().launched->hold == holding::answers); }
    SUBCASE("retry: off") {
        plan_bench bench;
        bench.retry.max_retries = 0;
        CHECK(bench.begin().launched->hold == holding::nothing);
    }
    SUBCASE("not to be sent twice") {
        plan_bench bench;
        bench.may_repeat = false;
        CHECK(bench.begin().launched->hold == holding::errors);
    }
    SUBCASE("the last attempt") {
        plan_bench bench(2);
        bench.retry.max_retries = 1;
        bench.begin();
        CHECK(bench.fail(1, reset()).launched->hold == holding::errors);
    }
}

TEST_CASE("an attempt timeout comes before the deadline, never after it") {
    plan_bench early;
    early.options.attempt_timeout = 10s;
    CHECK(early.begin().waits->when == start + 10s);
    plan_bench late;
    late.options.attempt_timeout = 90s;
    CHECK(late.begin().waits->when == start + 60s);
}

TEST_CASE("head, meaningful and complete commit the attempt and end the flight") {
    for (const any_flight_event& event :
         {any_flight_event{flight_event::head{1}}, any_flight_event{flight_event::meaningful{1}},
          any_flight_event{flight_event::complete{1}}}) {
        plan_bench bench;
        bench.begin().feed(event);
        CHECK(bench.committed->id == 1);
        CHECK(bench.finished->how == ending::answered);
        CHECK(bench.plan->finished());
        CHECK(bench.feed(flight_event::timer{}).finished == std::nullopt);
    }
}

TEST_CASE("what is said of a credential leaves the endpoint as it is while it has another one: at once, unpaid") {
    for (const auto kind : {outcome_kind::rate_limited, outcome_kind::quota, outcome_kind::credential}) {
        CAPTURE(to_string(kind));
        plan_bench bench(2);
        bench.may_repeat = false;
        bench.is_held = true;
        bench.other_keys = 2;
        bench.level[0] = 0;
        bench.begin();
        auto said =
            answered_with(kind, kind == outcome_kind::rate_limited ? std::optional<duration>{8s} : std::nullopt);
        said.no_effect = true;
        said.should_retry = false;
        for (const attempt_id id : {1U, 2U}) {
            bench.fail(id, said);
            REQUIRE(bench.launched);
            CHECK(bench.launched->endpoint == 0);
            CHECK(bench.launched->purpose == attempt_purpose::retry);
            CHECK(bench.launched->why == "next_credential");
            CHECK(bench.costs.empty());
        }
        // None is left: from now on it is the endpoint's word, as ever.
        said.should_retry.reset();
        bench.fail(3, said);
        REQUIRE(bench.launched);
        CHECK(bench.launched->endpoint == 1);
        CHECK(bench.launched->why == "failover");
    }
}

TEST_CASE("another credential is one of max_retries, and no help against anything but a refusal of one") {
    plan_bench bench;
    bench.other_keys = 9;
    bench.retry.max_retries = 1;
    bench.begin();
    bench.fail(1, answered_with(outcome_kind::credential));
    REQUIRE(bench.launched);
    bench.fail(2, answered_with(outcome_kind::credential));
    CHECK(bench.finished->denied == retry_denial::limit);
    plan_bench other;
    other.other_keys = 9;
    other.begin();
    other.fail(1, answered_with(outcome_kind::server_error));
    CHECK_FALSE(other.launched); // a pause comes first
    CHECK(other.sleep().launched->why == "retry");
    CHECK(other.other_keys == 9);
}

TEST_CASE("P3.4: an untried endpoint is asked at once, a tried one after its pause") {
    plan_bench bench(2);
    bench.begin();
    bench.fail(1, reset());
    REQUIRE(bench.launched);
    CHECK(bench.launched->id == 2);
    CHECK(bench.launched->endpoint == 1);
    CHECK(bench.launched->why == "failover");
    const steady_time failed = bench.now + 400ms;
    bench.fail(2, reset());
    CHECK_FALSE(bench.launched);
    CHECK(bench.waits->when == failed + 250ms); // backoff, no jitter
    bench.sleep();
    CHECK(bench.launched->endpoint == 0); // the preferred one of two that failed once
    CHECK(bench.launched->why == "retry");
}

TEST_CASE("P3.1: pauses before the same endpoint follow the closed forms, and a draw of 0, 1/2 and almost 1") {
    const double almost = 1 - 1e-12;
    struct row {
        jitter kind;
        double u;
        std::array<double, 4> seconds; // of the first four pauses; initial 1 s, base 2, max 5 s
    };
    const row rows[] = {
        {jitter::none, 0.5, {1, 2, 4, 5}},           {jitter::full, 0, {0, 0, 0, 0}},
        {jitter::full, 0.5, {0.5, 1, 2, 2.5}},       {jitter::full, almost, {1, 2, 4, 5}},
        {jitter::equal, 0, {0.5, 1, 2, 2.5}},        {jitter::equal, 0.5, {0.75, 1.5, 3, 3.75}},
        {jitter::equal, almost, {1, 2, 4, 5}},       {jitter::decorrelated, 0, {1, 1, 1, 1}},
        {jitter::decorrelated, 0.5, {2, 3.5, 5, 5}}, {jitter::decorrelated, almost, {3, 5, 5, 5}},
    };
    for (const row& one : rows) {
        plan_bench bench(1, 600s);
        bench.retry.backoff = {.initial = 1s, .max = 5s, .base = 2, .jitter = one.kind};
        bench.u = one.u;
        bench.begin();
        for (std::size_t i = 0; i < one.seconds.size(); ++i) {
            CAPTURE(i);
            CAPTURE(one.u);
            bench.fail(static_cast<attempt_id>(i + 1), reset());
            const double pause =
                bench.launched ? 0 : std::chrono::duration<double>(bench.waits->when - bench.now).count();
            CHECK(pause == doctest::Approx(one.seconds[i]).epsilon(1e-6));
            if (!bench.launched) bench.sleep();
            REQUIRE(bench.launched);
        }
    }
}

TEST_CASE("a hint is waited for with a little jitter on top, where no other endpoint is there") {
    plan_bench bench;
    bench.u = 0.5;
    bench.begin();
    bench.fail(1, answered_with(outcome_kind::rate_limited, 10s));
    CHECK(bench.waits->when == bench.now + 10s + 500ms); // r + U(0, min(r / 2, 1 s))
    plan_bench brief;
    brief.begin();
    brief.fail(1, answered_with(outcome_kind::rate_limited, 1s));
    CHECK(brief.waits->when == brief.now + 1s + 250ms);
}

TEST_CASE("a hint closes its endpoint, not the others; at its end the first choice is asked again") {
    plan_bench bench(2);
    bench.begin();
    bench.fail(1, answered_with(outcome_kind::rate_limited, 2s));
    CHECK(bench.launched->endpoint == 1);
    bench.fail(2, reset()); // the second one rests 250 ms only
    CHECK(bench.waits->when == bench.now + 250ms);
    bench.sleep();
    CHECK(bench.launched->endpoint == 1);
}

TEST_CASE("a hint longer than max_retry_after or than the deadline ends it with the answer in hand") {
    plan_bench bench;
    bench.begin();
    bench.fail(1, answered_with(outcome_kind::rate_limited, 61s));
    CHECK(bench.committed->id == 1);
    CHECK(bench.finished->how == ending::answered);
    CHECK(bench.finished->denied == retry_denial::retry_after);
    plan_bench late;
    late.begin();
    late.fail(1, answered_with(outcome_kind::rate_limited, 60s));
    CHECK(late.finished->denied == retry_denial::deadline);
}

TEST_CASE("each reason not to try again") {
    const auto denied = [](plan_bench& bench, const attempt_outcome& outcome) {
        bench.begin();
        bench.fail(1, outcome);
        REQUIRE(bench.finished);
        return bench.finished->denied;
    };
    plan_bench off;
    off.retry.max_retries = 0;
    CHECK(denied(off, reset()) == retry_denial::off);

    plan_bench limit;
    limit.retry.max_retries = 1;
    limit.begin();
    limit.fail(1, reset());
    limit.sleep();
    CHECK(limit.fail(2, reset()).finished->denied == retry_denial::limit);

    plan_bench poor(2);
    poor.level = {{0, 0.05}, {1, 0.05}};
    CHECK(denied(poor, reset()) == retry_denial::budget);

    plan_bench late(1, 500ms);
    CHECK(denied(late, reset()) == retry_denial::deadline);

    plan_bench once;
    once.may_repeat = false;
    CHECK(denied(once, reset()) == retry_denial::not_replayable);

    plan_bench caller(2);
    CHECK(denied(caller, answered_with(outcome_kind::caller_error)) == retry_denial::not_retryable);

    plan_bench unlisted(2);
    unlisted.retry.on =
        static_cast<retry_on>(static_cast<unsigned>(retry_on::all) & ~static_cast<unsigned>(retry_on::reset));
    CHECK(denied(unlisted, reset()) == retry_denial::not_retryable);

    plan_bench told(2);
    auto no = answered_with(outcome_kind::server_error);
    no.should_retry = false;
    CHECK(denied(told, no) == retry_denial::upstream_said);

    plan_bench money;
    CHECK(denied(money, answered_with(outcome_kind::quota)) == retry_denial::no_endpoint);
}

TEST_CASE("P3.3: what was never sent is sent again even where replay is not allowed, at the least price") {
    plan_bench bench(2);
    bench.may_repeat = false;
    bench.begin();
    CHECK(bench.fail(1, refused(), 1ms).launched->endpoint == 1);
    CHECK(bench.costs == std::vector<double>{0.1});
}

TEST_CASE(
    "C2: a refusal that had no effect is followed by another attempt, if the request is held, for no more than usual") {
    auto busy = answered_with(outcome_kind::rate_limited);
    busy.no_effect = true;
    {
        plan_bench bench(2);
        bench.may_repeat = false;
        bench.is_held = true;
        bench.begin();
        CHECK(bench.fail(1, busy).launched->endpoint == 1);
        CHECK(bench.fail(2, reset()).finished->denied == retry_denial::not_replayable);
    }
    plan_bench gone(2); // nothing is left to be sent
    gone.may_repeat = false;
    gone.begin();
    CHECK(gone.fail(1, busy).finished->denied == retry_denial::not_replayable);
}

TEST_CASE("C5, C6: an endpoint that would say the same again is not asked again, another one is") {
    auto unknown = refused();
    unknown.lasting = true;
    plan_bench alone;
    alone.begin();
    CHECK(alone.fail(1, unknown, 1ms).finished->denied == retry_denial::no_endpoint);

    plan_bench two(2);
    two.begin();
    CHECK(two.fail(1, unknown, 1ms).launched->endpoint == 1);
    two.fail(2, answered_with(outcome_kind::server_error)).sleep();
    CHECK(two.launched->endpoint == 1);
}

TEST_CASE("money and credentials go to another endpoint only, and never back") {
    for (const outcome_kind kind : {outcome_kind::quota, outcome_kind::credential}) {
        plan_bench bench(2);
        bench.begin();
        CHECK(bench.fail(1, answered_with(kind)).launched->endpoint == 1);
        bench.fail(2, answered_with(outcome_kind::server_error)).sleep();
        CHECK(bench.launched->endpoint == 1);
    }
}

TEST_CASE("x-should-retry: true retries what is not listed") {
    plan_bench bench;
    auto yes = answered_with(outcome_kind::caller_error);
    yes.should_retry = true;
    bench.begin();
    bench.fail(1, yes).sleep();
    CHECK(bench.launched->endpoint == 0);
}

TEST_CASE("a fallback that rejects the request is left alone, and the first choice's error is the answer") {
    plan_bench bench(2);
    bench.retry.max_retries = 2;
    bench.begin();
    bench.fail(1, answered_with(outcome_kind::server_error));
    bench.fail(2, answered_with(outcome_kind::caller_error));
    bench.sleep();
    CHECK(bench.launched->endpoint == 0);
    bench.fail(3, outcome_of(outcome_kind::reset));
    CHECK(bench.committed->id == 1); // not the rejection
    CHECK(bench.finished->denied == retry_denial::limit);
}

TEST_CASE("where the first choice said nothing, the fallback's rejection is better than nothing") {
    plan_bench bench(2);
    bench.retry.max_retries = 1;
    bench.begin();
    bench.fail(1, reset());
    bench.fail(2, answered_with(outcome_kind::caller_error));
    CHECK(bench.committed->id == 2);
}

TEST_CASE("a silent endpoint: another one at once; the same one only for a stream") {
    for (const bool stream : {false, true}) {
        plan_bench two(2);
        two.options.attempt_timeout = 10s;
        two.stream = stream;
        two.begin().sleep();
        CHECK(two.cancelled->id == 1);
        CHECK(two.cancelled->why == cancel_cause::attempt_timeout);
        CHECK(two.launched->endpoint == 1);

        plan_bench one(1);
        one.options.attempt_timeout = 10s;
        one.stream = stream;
        one.begin().sleep();
        if (stream) {
            CHECK(one.waits);
            CHECK(one.sleep().launched->endpoint == 0);
        } else {
            CHECK(one.finished->how == ending::timed_out);
            CHECK(one.finished->why == "timeout");
            CHECK(one.finished->denied == retry_denial::no_endpoint);
        }
    }
}

TEST_CASE("a timeout before a byte was sent is a failure to connect in what it costs, not in where it may go") {
    plan_bench bench(2);
    bench.options.attempt_timeout = 10s;
    bench.may_repeat = false;
    bench.nothing_left = true;
    bench.begin().sleep();
    CHECK(bench.launched->endpoint == 1);
}

TEST_CASE(
    "P9.1: at the deadline the attempt is cancelled, the instant before it is not; an answer in hand is handed on") {
    plan_bench bench;
    bench.begin();
    bench.now = start + 60s - 1ns;
    bench.feed(flight_event::timer{});
    CHECK_FALSE(bench.cancelled);
    CHECK(bench.waits->when == start + 60s);
    bench.now = start + 60s;
    bench.feed(flight_event::timer{});
    CHECK(bench.cancelled->why == cancel_cause::deadline);
    CHECK(bench.finished->how == ending::timed_out);

    plan_bench kept(2);
    kept.begin();
    kept.fail(1, answered_with(outcome_kind::server_error));
    kept.sleep();
    CHECK(kept.cancelled->id == 2);
    CHECK(kept.committed->id == 1);
    CHECK(kept.finished->how == ending::answered);
}

TEST_CASE("P3.2: a deadline that has passed launches nothing") {
    plan_bench bench;
    bench.now = start + 61s;
    bench.begin();
    CHECK_FALSE(bench.launched);
    CHECK(bench.finished->how == ending::timed_out);
}

TEST_CASE("a client that leaves cancels the attempt, or takes back what the next one had reserved") {
    plan_bench bench;
    bench.begin().feed(flight_event::client_gone{});
    CHECK(bench.cancelled->why == cancel_cause::client_gone);
    CHECK(bench.finished->how == ending::client_gone);

    plan_bench pausing;
    pausing.begin();
    pausing.fail(1, reset());
    REQUIRE(pausing.costs.size() == 1);
    pausing.feed(flight_event::client_gone{});
    CHECK_FALSE(pausing.cancelled);
    CHECK(pausing.refunded == pausing.costs[0]);
    CHECK(pausing.finished->how == ending::client_gone);
}

TEST_CASE("an empty budget at one endpoint does not stop another one") {
    plan_bench bench(2);
    bench.level = {{1, 0.0}};
    bench.begin();
    bench.fail(1, reset());
    CHECK_FALSE(bench.launched);
    CHECK(bench.sleep().launched->endpoint == 0);
}

// P1.1, P3.2, P3.4 and the rest of what must hold whatever happens.
TEST_CASE("P1.1, P3.2, P3.4: 10^5 random flights keep every promise") {
    for (std::uint64_t seed = 1; seed <= 100000; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        plan_bench bench(1 + below(4), std::chrono::milliseconds(100 + below(90000)));
        bench.random = &random;
        bench.retry.max_retries = below(6);
        bench.retry.backoff.jitter = static_cast<jitter>(below(4));
        bench.may_repeat = below(4) != 0;
        bench.stream = below(2) != 0;
        if (below(2)) bench.options.attempt_timeout = std::chrono::milliseconds(below(30000));
        if (below(3) == 0) bench.level = {{0, static_cast<double>(below(20)) / 10}, {1, 0.3}};

        std::vector<int> failures(16, 0);
        std::vector<steady_time> not_before(16, steady_time::min());
        std::vector<bool> sent; // by attempt
        int launches = 0, commits = 0, finishes = 0;
        endpoint_index at = 0;
        bool repeat_was_free = true, has_answer = false;
        const auto look = [&] {
            REQUIRE(finishes == 0);
            if (bench.launched) {
                REQUIRE(bench.launched->id == static_cast<attempt_id>(++launches));
                at = bench.launched->endpoint;
                REQUIRE(at < bench.options.endpoints);
                REQUIRE(bench.now >= not_before[at]);
                REQUIRE(launches <= 1 + bench.retry.max_retries);
                if (launches > 1) {
                    REQUIRE(bench.now + flight_plan::min_attempt_time <= bench.options.deadline);
                    REQUIRE((bench.may_repeat || repeat_was_free)); // P3.3: not sent twice
                    // P3.4: no endpoint a second time while there is one that has not been asked, and that can be paid
                    // for.
                    const auto untried = std::count(failures.begin(), failures.begin() + bench.options.endpoints, 0);
                    REQUIRE((failures[at] == 0 || untried == 0 || !bench.level.empty()));
                }
                REQUIRE(bench.waits);
            }
            if (bench.waits) REQUIRE(bench.waits->when <= bench.options.deadline);
            if (bench.committed) {
                ++commits;
                REQUIRE((bench.committed->id == static_cast<attempt_id>(launches) || has_answer));
            }
            finishes += bench.finished.has_value();
            if (!bench.finished) REQUIRE(bench.waits);
        };
        bench.begin();
        look();
        while (finishes == 0) {
            const auto wake = bench.waits->when;
            const bool flying = static_cast<int>(sent.size()) < launches;
            if (below(40) == 0) {
                bench.feed(flight_event::client_gone{});
            } else if (!flying || below(5) == 0) {
                if (flying) { // it will be cancelled if this is its timeout
                    const bool timeout = bench.options.attempt_timeout && wake < bench.options.deadline;
                    if (timeout) {
                        sent.push_back(true);
                        ++failures[at];
                        repeat_was_free = false;
                    }
                }
                bench.now = wake;
                bench.feed(flight_event::timer{});
            } else {
                bench.now += std::chrono::milliseconds(below(3000));
                if (bench.now >= wake) bench.now = wake - 1ns;
                const int what = below(9);
                sent.push_back(true);
                if (what == 0) {
                    bench.feed(flight_event::complete{static_cast<attempt_id>(launches)});
                } else {
                    attempt_outcome outcome = outcome_of(static_cast<outcome_kind>(1 + below(outcome_kind_count - 1)));
                    outcome.never_sent = outcome.what.kind == outcome_kind::connect_failure;
                    outcome.has_answer = !outcome.never_sent && below(2);
                    if (outcome.has_answer && below(3) == 0)
                        outcome.retry_after = std::chrono::milliseconds(below(70000));
                    if (below(10) == 0) outcome.should_retry = below(2) != 0;
                    has_answer = has_answer || outcome.has_answer;
                    repeat_was_free = outcome.never_sent;
                    ++failures[at];
                    if (outcome.retry_after) not_before[at] = bench.now + *outcome.retry_after;
                    bench.feed(flight_event::failed{static_cast<attempt_id>(launches), outcome});
                }
            }
            look();
        }
        REQUIRE(finishes == 1);
        REQUIRE(commits <= 1);
        for (const auto& late :
             {any_flight_event{flight_event::timer{}}, any_flight_event{flight_event::complete{1}}}) {
            bench.feed(late);
            REQUIRE_FALSE((bench.launched || bench.cancelled || bench.committed || bench.finished));
        }
    }
}

} // namespace evenkeel::test::flight_plan_test

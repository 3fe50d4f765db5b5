// When silent attempts are joined: the arithmetic, who pays, and what the plan makes of it.

#include "tests/policies/plan_bench.hpp"

#include "policies/rescue.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::rescue_test {

using namespace evenkeel::testing;

namespace {
struct rescuing : plan_bench {
    explicit rescuing(int endpoints, duration deadline = 600s) : plan_bench(endpoints, deadline) {
        options.rescue.on = true;
        options.learned_timeout = true;
        learned_timeout = 60s;
    }
    // Sleeps until something is launched, at most until `end`.
    bool until_launch(duration end = 600s) {
        while (!finished && waits && waits->when <= start + end) {
            sleep();
            if (launched) return true;
        }
        return false;
    }
};
} // namespace

TEST_CASE("rescue: three times what is usual, at least 1 s, 5 s where answers take seconds; 10 s and 30 s where "
          "nothing is known") {
    const rescue_options automatic;
    CHECK(rescue_delay(automatic, std::nullopt, true) == 10s);
    CHECK(rescue_delay(automatic, std::nullopt, false) == 30s);
    CHECK(rescue_delay(automatic, 20ms, false) == 1s);
    CHECK(rescue_delay(automatic, 500ms, false) == 1500ms);
    CHECK(rescue_delay(automatic, 1s, false) == 5s);
    CHECK(rescue_delay(automatic, 30s, true) == 90s);
    CHECK(rescue_delay({.on = true, .after = 7s}, 30s, true) == 7s);
}

TEST_CASE("rescue: patience moves it forward, but never into what is usual") {
    const auto due = [](duration deadline, std::optional<duration> own, std::optional<duration> other, int joined = 0) {
        return rescue_due({}, {.since = start,
                               .launched = start,
                               .deadline = start + deadline,
                               .own = own,
                               .other = other,
                               .stream = false,
                               .joined = joined}) -
               start;
    };
    CHECK(due(600s, 4s, 4s) == 12s);
    CHECK(due(600s, 4s, 4s, 1) == 24s); // each waits twice as long
    CHECK(due(10s, 1s, 1s) == 5s);
    CHECK(due(3s, 1s, 1s) == 1700ms); // 3 s - 1.3 x 1 s
    CHECK(due(3s, 2s, 2s) == 3s);     // 0.4 s would be one answer in two
    CHECK(due(8s, std::nullopt, std::nullopt) == 4s);
}

TEST_CASE("rescue: what others have shown is waited for no longer than is usual") {
    const auto due = [](std::optional<duration> own, std::optional<duration> other, const rescue_options& how = {}) {
        return rescue_due(how, {.since = start,
                                .launched = start,
                                .deadline = start + 600s,
                                .own = own,
                                .other = other,
                                .stream = false,
                                .joined = 1,
                                .shown = true}) -
               start;
    };
    CHECK(due(4s, 2s) == 6s);
    CHECK(due(std::nullopt, 2s) == 3s);
    CHECK(due(20ms, 20ms) == 1s);
    CHECK(due(std::nullopt, std::nullopt) == 60s); // nothing is known of what is usual
    CHECK(due(4s, 4s, {.on = true, .after = 20s}) == 40s);
}

TEST_CASE("rescue: an endpoint has some, then a tenth of its requests") {
    rescue_allowance paid;
    for (int i = 0; i < rescue_allowance::free_rescues; ++i) REQUIRE(paid.take());
    CHECK_FALSE(paid.take());
    for (int i = 0; i < 9; ++i) paid.asked_first();
    CHECK_FALSE(paid.take());
    paid.asked_first();
    CHECK(paid.take());
    paid.give_back();
    CHECK(paid.take());
}

TEST_CASE("a silent attempt is joined elsewhere; the first good answer wins, and the silent one was overtaken") {
    rescuing bench(2);
    bench.usually = {{0, 4s}, {1, 4s}};
    bench.begin();
    REQUIRE(bench.until_launch());
    CHECK(bench.now == start + 12s);
    CHECK(bench.launched->endpoint == 1);
    CHECK(bench.launched->purpose == attempt_purpose::rescue);
    CHECK(bench.launched->why == "rescue");
    CHECK(bench.rescues_paid == std::vector<endpoint_index>{0}); // the silent one pays
    CHECK(bench.cancels == 0);
    bench.now += 3s;
    bench.feed(flight_event::complete{2});
    CHECK(bench.cancelled->id == 1);
    CHECK(bench.cancelled->why == cancel_cause::overtaken);
}

TEST_CASE("the joined attempt may still win: then the rescue has lost, and is evidence of nothing") {
    rescuing bench(2);
    bench.begin();
    REQUIRE(bench.until_launch());
    bench.now += 1s;
    bench.feed(flight_event::complete{1});
    CHECK(bench.committed->id == 1);
    CHECK(bench.cancelled->why == cancel_cause::lost);
}

TEST_CASE("A5: a lone endpoint that thinks for 100 s is asked twice, whatever its timeout") {
    rescuing bench(1);
    bench.stream = true;
    bench.learned_timeout = 30s;
    bench.begin();
    REQUIRE(bench.until_launch());
    CHECK(bench.now == start + 10s);
    CHECK(bench.launched->endpoint == 0);
    CHECK_FALSE(bench.until_launch(100s));
    CHECK(bench.plan->attempts() == 2);
    CHECK(bench.cancels == 0);
    bench.feed(flight_event::meaningful{1});
    CHECK(bench.committed->id == 1);
}

TEST_CASE("A6: whoever shows signs of life is joined by nobody and ended by nothing") {
    for (const bool fixed : {false, true}) {
        rescuing bench(2);
        bench.stream = true;
        bench.learned_timeout = 1s;
        if (fixed) bench.options.attempt_timeout = 1s;
        bench.begin();
        while (bench.now < start + 100s) {
            bench.moved[1] = bench.now + 250ms > bench.waits->when ? bench.waits->when - 100ms : bench.waits->when;
            bench.sleep();
            REQUIRE_FALSE(bench.launched);
            REQUIRE(bench.cancels == 0);
        }
        CHECK(bench.plan->attempts() == 1);
    }
}

TEST_CASE("signs of life alone are waited for as long as silence, where that is known and another one may be asked") {
    // Seconds until another attempt is launched, while a byte comes every half a second; 100: none is.
    const auto joined = [](rescuing& bench) {
        bench.stream = true;
        bench.learned_timeout = 1s;
        bench.begin();
        bench.launched.reset();
        while (bench.now < start + 100s && !bench.launched) {
            bench.moved[1] = bench.waits->when - 100ms;
            bench.sleep();
        }
        CHECK(bench.cancels == 0);
        return bench.launched ? bench.now - start : duration{100s};
    };
    rescuing known(2);
    known.usually = {{0, 4s}, {1, 4s}};
    CHECK(joined(known) == 12s);
    CHECK(known.launched->endpoint == 1);
    CHECK(known.rescues_paid.size() == 1);

    rescuing uploads(2); // it is asked for as long as it is being sent to
    uploads.usually = {{0, 4s}};
    uploads.asked[1] = start + 8s;
    CHECK(joined(uploads) == 20s);

    rescuing unknown(2);
    CHECK(joined(unknown) == 100s);
    rescuing elsewhere(2);
    elsewhere.usually = {{1, 4s}};
    CHECK(joined(elsewhere) == 100s);
    rescuing lone(1);
    lone.usually = {{0, 4s}};
    CHECK(joined(lone) == 100s);
    rescuing fixed(2); // a person said how long a silence may be
    fixed.usually = {{0, 4s}};
    fixed.options.rescue.after = 5s;
    CHECK(joined(fixed) == 100s);
}

TEST_CASE("a way on which nothing goes out for a second is given up for another at once") {
    rescuing bench(2);
    bench.nothing_left = true;
    bench.begin();
    REQUIRE(bench.until_launch());
    CHECK(bench.now == start + 1s);
    CHECK(bench.launched->endpoint == 1);
}

TEST_CASE("a lone endpoint has no other way: it is not asked again and again whether there is one") {
    rescuing bench(1);
    bench.nothing_left = true;
    bench.begin();
    int woken = 0;
    for (; bench.waits && bench.now < start + 9s && !bench.launched; ++woken) {
        REQUIRE(bench.waits->when > bench.now);
        bench.sleep();
    }
    CHECK(woken <= 12);
}

TEST_CASE("rescue: why not, once a request") {
    const auto refused_by = [](rescuing& bench) {
        bench.begin();
        std::vector<rescue_refusal> why;
        for (int i = 0; i < 200 && bench.waits && !bench.finished; ++i) {
            bench.sleep();
            for (const auto& one : bench.reasons)
                if (const auto* alone = std::get_if<flight_action::no_rescue>(&one)) why.push_back(alone->why);
            if (bench.launched || bench.now > start + 100s) break;
        }
        return why;
    };
    rescuing poor(2);
    poor.rescues_left = 0;
    poor.learned_timeout.reset();
    CHECK(refused_by(poor) == std::vector{rescue_refusal::budget});

    rescuing slow(2);
    slow.overloaded_now = true;
    slow.learned_timeout.reset();
    CHECK(refused_by(slow) == std::vector{rescue_refusal::overload});
    CHECK(slow.rescues_paid.empty());

    rescuing twice(1);
    twice.may_repeat = false; // then nothing could follow, and nothing is wanted
    twice.learned_timeout.reset();
    CHECK(refused_by(twice).empty());

    rescuing off(2);
    off.options.rescue.on = false;
    off.learned_timeout.reset();
    CHECK(refused_by(off).empty());
    CHECK(off.plan->attempts() == 1);
}

TEST_CASE("where the allowance is empty the budget of retries joins an attempt whose time is over; it is not ended") {
    rescuing bench(2);
    bench.rescues_left = 0;
    bench.begin();
    REQUIRE(bench.until_launch());
    CHECK(bench.now == start + 60s);
    CHECK(bench.launched->purpose == attempt_purpose::retry);
    CHECK(bench.launched->why == "failover");
    CHECK(bench.cancels == 0);
    CHECK(bench.costs.size() == 1);
}

TEST_CASE("an attempt whose time is over is ended where another one lives elsewhere, never the only one that lives") {
    rescuing bench(2);
    bench.begin();
    REQUIRE(bench.until_launch()); // at 30 s, elsewhere
    int cancels = 0;
    for (steady_time end = start + 590s; bench.waits->when < end;) {
        bench.sleep();
        cancels += bench.cancels;
    }
    CHECK(cancels == 1); // the first, when its 60 s were over
    CHECK_FALSE(bench.finished);
}

TEST_CASE("what is sick is probed beside the first attempt, and nobody waits for that") {
    rescuing bench(3);
    bench.in_order = {1, 0, 2};
    bench.sick = {0, 2};
    bench.begin();
    REQUIRE(bench.launched);
    CHECK(bench.launched->endpoint == 1);
    std::vector<endpoint_index> probed;
    for (const auto& one : bench.reasons)
        if (const auto* probe = std::get_if<flight_action::probe>(&one)) probed.push_back(probe->endpoint);
    CHECK(probed == std::vector<endpoint_index>{0, 2});
}

TEST_CASE("a silence of twice what is usual is told, once, and the attempt goes on") {
    rescuing bench(2);
    bench.usually = {{0, 4s}, {1, 4s}};
    bench.begin();
    std::vector<steady_time> told;
    do {
        REQUIRE(bench.now <= start + 12s);
        bench.sleep();
        for (const auto& one : bench.reasons)
            if (const auto* mute = std::get_if<flight_action::silent>(&one)) {
                CHECK(mute->id == 1);
                told.push_back(bench.now);
            }
    } while (!bench.launched);
    CHECK(bench.now == start + 12s);
    REQUIRE(told.size() == 1);
    CHECK(told[0] >= start + 8s);
    CHECK(told[0] <= start + 9s);

    rescuing lone(1); // there is no order to change
    lone.usually = {{0, 4s}};
    lone.begin();
    do {
        lone.sleep();
        CHECK(lone.reasons.empty());
    } while (!lone.launched);
}

TEST_CASE("once others have been answered elsewhere nobody who waits there waits longer than is usual, or pays") {
    rescuing bench(2);
    bench.usually = {{0, 4s}, {1, 4s}};
    bench.rescues_left = 0;
    bench.begin();
    while (bench.now < start + 7s) bench.sleep();
    CHECK_FALSE(bench.launched);
    bench.hangs = {0};
    REQUIRE(bench.until_launch());
    CHECK(bench.now <= start + 8100ms); // it is looked at each second
    CHECK(bench.launched->endpoint == 1);
    CHECK(bench.launched->purpose == attempt_purpose::rescue);
    CHECK(bench.rescues_paid.empty());

    rescuing later(2); // who came since waits for what is usual, and a half
    later.usually = {{0, 4s}, {1, 4s}};
    later.hangs = {0};
    later.begin();
    REQUIRE(later.until_launch());
    CHECK(later.now == start + 6s);

    rescuing both(2);
    both.usually = {{0, 4s}, {1, 4s}};
    both.hangs = {0, 1};
    both.begin();
    REQUIRE(both.until_launch());
    CHECK(both.now == start + 12s);
}

TEST_CASE("overload keeps no rescue from an endpoint that takes the place of one that hangs") {
    for (const bool hangs : {false, true}) {
        rescuing bench(2);
        bench.usually = {{0, 4s}, {1, 4s}};
        bench.learned_timeout.reset();
        bench.overloaded_now = true;
        if (hangs) bench.hangs = {0};
        bench.begin();
        CHECK(bench.until_launch(100s) == hangs);
    }
}

} // namespace evenkeel::test::rescue_test

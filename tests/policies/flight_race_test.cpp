// Flights of more than one attempt at a time: hedges, learned timeouts, and requests that wait for an endpoint.

#include "tests/policies/plan_bench.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace evenkeel::test::flight_race_test {

using namespace evenkeel::testing;

namespace {
using ending = flight_action::ending;
attempt_outcome reset() { return outcome_of(outcome_kind::reset); }
endpoint_refusal shut(steady_time again, steady_time since) {
    return {endpoint_refusal::reason::circuit, again, since};
}

struct hedging : plan_bench {
    explicit hedging(int endpoints = 2, duration delay = 3s) : plan_bench(endpoints) {
        options.hedge = &this->plan_bench::hedging;
        this->plan_bench::hedging.on = true;
        learned_delay = delay;
    }
    hedge_options& hedge() { return this->plan_bench::hedging; }
};
} // namespace

TEST_CASE("a silent attempt is joined by a hedge elsewhere after its delay, not an instant before") {
    hedging bench;
    bench.begin();
    CHECK(bench.waits->when == start + 3s);
    bench.now = start + 3s - 1ns;
    bench.feed(flight_event::timer{});
    CHECK_FALSE(bench.launched);
    bench.sleep();
    REQUIRE(bench.launched);
    CHECK(bench.launched->endpoint == 1);
    CHECK(bench.launched->purpose == attempt_purpose::hedge);
    CHECK(bench.launched->hold == holding::answers);
    CHECK(bench.waits->when == start + 60s); // one hedge only
}

TEST_CASE("P7.3: the first good answer wins, whichever it is, and the other is cancelled after the commit") {
    for (const attempt_id winner : {attempt_id{1}, attempt_id{2}}) {
        CAPTURE(winner);
        hedging bench;
        bench.begin().sleep();
        bench.now += 1s;
        bench.feed(flight_event::meaningful{winner});
        CHECK(bench.committed->id == winner);
        CHECK(bench.cancelled->id == 3 - winner);
        CHECK(bench.cancelled->why == (winner == 2 ? cancel_cause::overtaken : cancel_cause::lost));
        CHECK(bench.finished->how == ending::answered);
        // The work reserved for the hedge is settled with what the loser took.
        REQUIRE(bench.hedges_settled.size() == 1);
        CHECK(bench.hedges_settled[0] == (winner == 1 ? 1s : 4s));
    }
}

TEST_CASE("P7.4: a failing attempt never wins: the sibling goes on, and no pause is made") {
    hedging bench;
    bench.begin().sleep();
    bench.fail(1, reset());
    CHECK_FALSE(bench.finished);
    CHECK_FALSE(bench.launched); // both endpoints have been asked
    bench.now += 1s;
    bench.feed(flight_event::complete{2});
    CHECK(bench.committed->id == 2);
    CHECK(bench.cancels == 0);
}

TEST_CASE("a third endpoint that is free takes the place of an attempt that failed beside a living one") {
    hedging bench(3);
    bench.begin().sleep();
    bench.fail(1, reset());
    REQUIRE(bench.launched);
    CHECK(bench.launched->endpoint == 2);
    CHECK(bench.launched->purpose == attempt_purpose::retry);
}

TEST_CASE("what is the request's own fault ends the race, but not by the word of a hedge elsewhere") {
    hedging primary;
    primary.begin().sleep();
    primary.fail(1, answered_with(outcome_kind::caller_error));
    CHECK(primary.cancelled->id == 2);
    CHECK(primary.committed->id == 1);

    hedging second;
    second.begin().sleep();
    second.fail(2, answered_with(outcome_kind::caller_error));
    CHECK_FALSE(second.finished);
    second.now += 1s;
    second.feed(flight_event::complete{1});
    CHECK(second.committed->id == 1);
}

TEST_CASE("hedges go to no endpoint that refuses, none that failed this request, and to the same one only where that "
          "is asked for") {
    SUBCASE("the other one refuses: prefer_other takes the same") {
        hedging bench;
        bench.refusing[1] = shut(start + 30s, start);
        bench.begin().sleep();
        CHECK(bench.launched->endpoint == 0);
    }
    SUBCASE("... other takes none, and asks again later") {
        hedging bench;
        bench.hedge().target = hedge_target::other;
        bench.refusing[1] = shut(start + 30s, start);
        bench.begin().sleep();
        CHECK_FALSE(bench.launched);
        CHECK(bench.hedges_refused == std::vector{hedge_refusal::no_endpoint});
        CHECK(bench.waits->when == start + 6s);
        bench.refusing.clear();
        CHECK(bench.sleep().launched->endpoint == 1);
    }
    SUBCASE("any goes by the order of the balance") {
        hedging bench;
        bench.hedge().target = hedge_target::any;
        bench.begin().sleep();
        CHECK(bench.launched->endpoint == 0);
    }
}

TEST_CASE("why a hedge is refused") {
    struct row {
        hedge_refusal why;
        void (*arrange)(hedging&);
    };
    for (const row& one : {row{hedge_refusal::guard, [](hedging& b) { b.guard = hedge_refusal::guard; }},
                           row{hedge_refusal::slow, [](hedging& b) { b.guard = hedge_refusal::slow; }},
                           row{hedge_refusal::overload, [](hedging& b) { b.overloaded_now = true; }},
                           row{hedge_refusal::budget,
                               [](hedging& b) {
                                   b.level = {{0, 0.5}, {1, 0.5}};
                               }},
                           row{hedge_refusal::deadline, [](hedging& b) { b.options.deadline = start + 3s + 20ms; }}}) {
        hedging bench;
        one.arrange(bench);
        bench.begin().sleep();
        CHECK_FALSE(bench.launched);
        REQUIRE(bench.hedges_refused.size() == 1);
        CHECK(bench.hedges_refused[0] == one.why);
        bench.now += 10ms;
        // The attempt itself is not touched.
        CHECK(bench.feed(flight_event::complete{1}).finished->how == ending::answered);
    }
    hedging once;
    once.may_repeat = false;
    CHECK(once.begin().waits->when == start + 60s); // not even wanted
    hedging last;
    last.retry.max_retries = 0;
    CHECK(last.begin().waits->when == start + 60s);
}

TEST_CASE("two hedges, one after the other") {
    hedging bench(3);
    bench.hedge().max_hedges = 2;
    bench.begin().sleep();
    CHECK(bench.launched->endpoint == 1);
    CHECK(bench.waits->when == start + 6s);
    bench.sleep();
    CHECK(bench.launched->endpoint == 2);
    bench.feed(flight_event::meaningful{2});
    CHECK(bench.cancels == 2);
    CHECK(bench.hedges_settled.size() == 2);
}

TEST_CASE("a learned timeout fires where something else can be tried") {
    SUBCASE("another endpoint") {
        plan_bench bench(2);
        bench.options.learned_timeout = true;
        bench.learned_timeout = 25s;
        bench.begin().sleep();
        CHECK(bench.now == start + 25s);
        CHECK(bench.cancels == 0); // it is joined, not begun again
        CHECK(bench.launched->endpoint == 1);
    }
    SUBCASE("a stream at the same one, with budget") {
        plan_bench bench;
        bench.options.learned_timeout = true;
        bench.learned_timeout = 10s;
        bench.stream = true;
        bench.begin().sleep();
        CHECK(bench.cancels == 0);
        CHECK(bench.launched->id == 2);
    }
    SUBCASE("a living sibling") {
        hedging bench;
        bench.options.learned_timeout = true;
        bench.learned_timeout = 25s;
        bench.begin().sleep();
        bench.sleep();
        CHECK(bench.cancelled->id == 1);
        CHECK_FALSE(bench.finished);
    }
}

TEST_CASE(
    "P6.5: a learned timeout does not fire where nothing else can be tried: the attempt goes on to the deadline") {
    struct row {
        const char* name;
        void (*arrange)(plan_bench&);
    };
    for (const row& one :
         {row{"a lone endpoint's buffered answer", [](plan_bench&) {}},
          row{"no budget",
              [](plan_bench& b) {
                  b.stream = true, b.level = {{0, 0.0}};
              }},
          row{"retry: off", [](plan_bench& b) { b.stream = true, b.retry.max_retries = 0; }},
          row{"not to be sent twice", [](plan_bench& b) { b.stream = true, b.may_repeat = false; }},
          row{"an overloaded upstream", [](plan_bench& b) { b.stream = true, b.overloaded_now = true; }}}) {
        CAPTURE(one.name);
        plan_bench bench;
        bench.options.learned_timeout = true;
        bench.learned_timeout = 10s;
        one.arrange(bench);
        bench.begin();
        while (bench.now < start + 59s) {
            bench.sleep();
            REQUIRE(bench.cancels == 0);
            REQUIRE_FALSE(bench.finished);
        }
        CHECK(bench.feed(flight_event::complete{1}).committed->id == 1);
    }
}

TEST_CASE("an endpoint that refuses is passed over; where all refuse the request waits and asks again") {
    plan_bench over(2);
    over.refusing[0] = shut(start + 2s, start - 1s);
    CHECK(over.begin().launched->endpoint == 1);
    CHECK(over.launched->why == "first");

    plan_bench bench(2);
    bench.refusing = {{0, shut(start + 5s, start - 1s)}, {1, shut(start + 2s, start - 1s)}};
    bench.begin();
    CHECK_FALSE(bench.launched);
    CHECK(bench.waiting == 1);
    CHECK(bench.waits->when == start + 2s);
    bench.now = start + 2s;
    bench.refusing.erase(1);
    bench.feed(flight_event::timer{});
    CHECK(bench.launched->endpoint == 1);
    CHECK(bench.waiting == 0);
    CHECK(bench.costs.empty()); // a first attempt costs nothing extra
}

TEST_CASE("when_open: reject, an old outage and a full line refuse at once and say when to come back") {
    for (const int which : {0, 1, 2}) {
        CAPTURE(which);
        plan_bench bench;
        bench.u = 0.5;
        bench.refusing[0] = shut(start + 4s, start - (which == 1 ? 61s : 1s));
        if (which == 0) bench.options.when_open = when_open::reject;
        if (which == 2) bench.line_full = true;
        bench.begin();
        CHECK(bench.finished->how == ending::refused);
        CHECK(bench.finished->denied == retry_denial::circuit_open);
        CHECK(bench.finished->retry_after == 4s + 400ms); // to the next probe, and a little more
        CHECK(bench.waiting == 0);
    }
}

TEST_CASE("a request that waits is refused when its outage grows too old, or when its time is over") {
    plan_bench old;
    old.options.hold_max = 3s;
    old.refusing[0] = shut(start + 2s, start);
    old.begin();
    old.refusing[0] = shut(start + 6s, start);
    old.sleep(); // 2 s: still young enough
    CHECK_FALSE(old.finished);
    old.sleep(); // 6 s
    CHECK(old.finished->how == ending::refused);

    plan_bench late(1, 10s);
    late.refusing[0] = shut(start + 4s, start);
    late.begin();
    while (!late.finished) {
        late.refusing[0] = shut(late.now + 4s, start);
        late.sleep();
    }
    CHECK(late.now <= start + 10s);
    CHECK(late.finished->how == ending::refused);
}

TEST_CASE("a failed request waits for its endpoint too, pays when it goes on, and else ends with the answer it had") {
    plan_bench bench;
    bench.begin();
    bench.refusing[0] = shut(start + 2s, start);
    bench.fail(1, answered_with(outcome_kind::server_error));
    CHECK(bench.waiting == 1);
    CHECK(bench.costs.empty());
    bench.refusing.clear();
    bench.sleep();
    CHECK(bench.launched->id == 2);
    CHECK(bench.costs.size() == 1);

    plan_bench rejecting;
    rejecting.options.when_open = when_open::reject;
    rejecting.begin();
    rejecting.refusing[0] = shut(start + 2s, start);
    rejecting.fail(1, answered_with(outcome_kind::server_error));
    CHECK(rejecting.finished->denied == retry_denial::circuit_open);
    CHECK(rejecting.committed->id == 1);
}

TEST_CASE("a cooling endpoint is waited for while its rest is short, asked all the same when it is long") {
    plan_bench brief;
    brief.u = 0.5;
    brief.refusing[0] = {endpoint_refusal::reason::cooldown, start + 10s};
    brief.begin();
    CHECK(brief.waits->when == start + 10s + 500ms);
    brief.refusing.clear();
    CHECK(brief.sleep().launched->id == 1);

    plan_bench quota;
    quota.refusing[0] = {endpoint_refusal::reason::cooldown, start + 900s};
    CHECK(quota.begin().launched->endpoint == 0); // the upstream's own words are worth more than a refusal of ours
}

TEST_CASE("A11: nobody waits for a circuit that a person opened, nor presses another endpoint in its place") {
    const endpoint_refusal held{.why = endpoint_refusal::reason::circuit, .again = start + 60s, .by_operator = true};
    for (const when_open how : {when_open::hold, when_open::reject}) {
        plan_bench lone;
        lone.options.when_open = how;
        lone.refusing[0] = held;
        lone.begin();
        REQUIRE(lone.finished);
        CHECK(lone.finished->how == ending::refused);
        CHECK(lone.finished->denied == retry_denial::circuit_open);
        CHECK(lone.finished->retry_after < 2s);
    }
    plan_bench beside_a_rest(2); // of a quarter of an hour, which nobody waits for
    beside_a_rest.refusing[0] = held;
    beside_a_rest.refusing[1] = {endpoint_refusal::reason::cooldown, start + 900s};
    beside_a_rest.begin();
    REQUIRE(beside_a_rest.finished);
    CHECK(beside_a_rest.finished->denied == retry_denial::circuit_open);
    CHECK(beside_a_rest.reasons.size() == 2);

    plan_bench beside_a_short_rest(2);
    beside_a_short_rest.refusing[0] = held;
    beside_a_short_rest.refusing[1] = {endpoint_refusal::reason::cooldown, start + 2s};
    beside_a_short_rest.begin();
    CHECK_FALSE(beside_a_short_rest.finished);
    beside_a_short_rest.refusing.erase(1);
    CHECK(beside_a_short_rest.sleep().launched->endpoint == 1);

    plan_bench beside_an_outage(2); // of its own, and young: it may be over any moment
    beside_an_outage.refusing[0] = held;
    beside_an_outage.refusing[1] = shut(start + 2s, start - 1s);
    beside_an_outage.begin();
    CHECK_FALSE(beside_an_outage.finished);
    CHECK(beside_an_outage.waiting == 1);

    plan_bench held_meanwhile; // who waits already goes as soon as a person says so
    held_meanwhile.refusing[0] = shut(start + 2s, start - 1s);
    held_meanwhile.begin();
    CHECK(held_meanwhile.waiting == 1);
    held_meanwhile.refusing[0] = held;
    held_meanwhile.sleep();
    REQUIRE(held_meanwhile.finished);
    CHECK(held_meanwhile.waiting == 0);
}

TEST_CASE("an overloaded endpoint is waited for at most max_wait; then the request goes through") {
    plan_bench bench;
    bench.refusing[0] = {endpoint_refusal::reason::overload, start + 200ms};
    bench.begin();
    CHECK_FALSE(bench.launched);
    while (!bench.launched) {
        bench.refusing[0] = {endpoint_refusal::reason::overload, bench.now + 300ms};
        bench.sleep();
        REQUIRE(bench.now <= start + 5s);
    }
    CHECK(bench.now == start + 5s);
    CHECK(bench.waiting == 0);
}

TEST_CASE("a timeout of an overloaded upstream is not repeated") {
    plan_bench bench(2);
    bench.options.attempt_timeout = 10s;
    bench.overloaded_now = true;
    bench.begin().sleep();
    CHECK(bench.finished->denied == retry_denial::overload);
}

// P7.1, P7.2, P1.1, P1.2 on the plan alone: whatever the order of heads, answers, failures, timers and departures,
// exactly one answer is committed, every attempt ends exactly once, and what was reserved is accounted for.
TEST_CASE("P7.2, P1.1, P1.2, P7.1: 10^5 random races keep every promise") {
    for (std::uint64_t seed = 1; seed <= 100000; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed), moods(seed + 1);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        plan_bench bench(1 + below(4), std::chrono::milliseconds(500 + below(90000)));
        bench.random = &random;
        bench.flat = true;
        bench.retry.max_retries = below(6);
        bench.may_repeat = below(8) != 0;
        bench.stream = below(2) != 0;
        bench.options.when_open = static_cast<when_open>(below(2));
        bench.options.hold_max = std::chrono::seconds(below(90));
        if (below(2)) bench.moods = &moods;
        if (below(3) == 0) bench.options.attempt_timeout = std::chrono::milliseconds(1 + below(30000));
        bench.options.learned_timeout = below(2) != 0;
        if (below(2)) bench.learned_timeout = std::chrono::milliseconds(1 + below(20000));
        if (below(4) != 0) {
            bench.options.hedge = &bench.hedging;
            bench.hedging.on = true;
            bench.hedging.max_hedges = 1 + below(3);
            bench.hedging.target = static_cast<hedge_target>(below(3));
            bench.learned_delay = std::chrono::milliseconds(1 + below(5000));
        }
        if (below(3) == 0) bench.level = {{0, static_cast<double>(below(50)) / 10}, {1, 1.3}};
        bench.options.rescue.on = below(2) != 0;
        bench.rescues_left = below(4);
        if (below(2)) bench.usually = {{0, std::chrono::milliseconds(1 + below(4000))}, {1, 2s}};

        std::set<attempt_id> late_ones;
        std::size_t joined = 0;
        std::vector<attempt_id> alive;
        std::map<attempt_id, bool> answered;
        int launches = 0, retries = 0, hedges = 0, commits = 0, finishes = 0;
        const auto look = [&](std::optional<attempt_id> over) {
            REQUIRE(finishes == 0);
            if (over) alive.erase(std::find(alive.begin(), alive.end(), *over));
            for (const auto& action : bench.actions) {
                if (const auto* one = std::get_if<flight_action::launch>(&action)) {
                    REQUIRE(one->id == static_cast<attempt_id>(++launches));
                    REQUIRE(one->endpoint < bench.options.endpoints);
                    retries += one->purpose == attempt_purpose::retry;
                    joined += one->purpose == attempt_purpose::rescue;
                    hedges += one->purpose == attempt_purpose::hedge;
                    if (one->purpose == attempt_purpose::hedge) REQUIRE(!alive.empty());
                    if (one->purpose == attempt_purpose::hedge) REQUIRE(one->hold == holding::answers);
                    alive.push_back(one->id);
                } else if (const auto* cut = std::get_if<flight_action::cancel>(&action)) {
                    const auto found = std::find(alive.begin(), alive.end(), cut->id);
                    REQUIRE(found != alive.end());
                    alive.erase(found);
                } else if (const auto* won = std::get_if<flight_action::commit>(&action)) {
                    ++commits;
                    const auto found = std::find(alive.begin(), alive.end(), won->id);
                    REQUIRE((found != alive.end() || answered[won->id]));
                    if (found != alive.end()) alive.erase(found);
                } else if (const auto* late = std::get_if<flight_action::overdue>(&action)) {
                    REQUIRE(std::find(alive.begin(), alive.end(), late->id) != alive.end());
                    joined += late_ones.insert(late->id).second;
                } else if (const auto* wait = std::get_if<flight_action::wait_until>(&action)) {
                    REQUIRE(wait->when <= bench.options.deadline);
                } else {
                    ++finishes;
                }
            }
            REQUIRE(launches <= 1 + bench.retry.max_retries);
            // What has been silent for as long as it may is joined, each once.
            REQUIRE(alive.size() <= static_cast<std::size_t>(1 + bench.hedging.max_hedges + joined));
            if (!bench.finished) REQUIRE(bench.waits);
        };
        bench.begin();
        look(std::nullopt);
        for (int steps = 0; finishes == 0; ++steps) {
            REQUIRE(steps < 20000);
            const auto wake = bench.waits->when;
            if (below(60) == 0) {
                bench.feed(flight_event::client_gone{});
                look(std::nullopt);
            } else if (alive.empty() || below(3) == 0) {
                bench.now = std::max(bench.now, wake);
                bench.feed(flight_event::timer{});
                look(std::nullopt);
            } else {
                bench.now =
                    std::min(bench.now + std::chrono::milliseconds(below(2000)), std::max(bench.now, wake - 1ns));
                const attempt_id id = alive[static_cast<std::size_t>(below(static_cast<int>(alive.size())))];
                if (below(6) == 0) {
                    bench.feed(below(2) ? any_flight_event{flight_event::meaningful{id}}
                                        : any_flight_event{flight_event::complete{id}});
                    look(std::nullopt);
                } else {
                    attempt_outcome outcome = outcome_of(static_cast<outcome_kind>(1 + below(outcome_kind_count - 2)));
                    outcome.never_sent = outcome.what.kind == outcome_kind::connect_failure;
                    outcome.has_answer = !outcome.never_sent && below(2);
                    if (outcome.has_answer && below(3) == 0)
                        outcome.retry_after = std::chrono::milliseconds(below(70000));
                    answered[id] = outcome.has_answer;
                    bench.feed(flight_event::failed{id, outcome});
                    look(id);
                }
            }
        }
        REQUIRE(finishes == 1);
        REQUIRE(commits <= 1);
        REQUIRE(alive.empty());
        REQUIRE(bench.waiting == 0);
        double reserved = 0;
        for (const double work : bench.costs) reserved += work;
        REQUIRE(reserved - bench.refunded == doctest::Approx(retries + hedges));
        bench.feed(flight_event::timer{});
        REQUIRE(bench.actions.empty());
    }
}

TEST_CASE("an answer that is held to its end: the race is decided when it begins to speak, and it may still be "
          "followed by another") {
    plan_bench bench(2);
    bench.learned_delay = 3s;
    bench.hedging = {.max_hedges = 1};
    bench.options.hedge = &bench.hedging;
    bench.options.attempt_timeout = 10s;
    bench.begin();
    bench.now = start + 3s;
    bench.feed(flight_event::timer{});
    REQUIRE(bench.launched);
    CHECK(bench.launched->purpose == attempt_purpose::hedge);
    bench.now = start + 4s;
    bench.feed(flight_event::progress{1});
    REQUIRE(bench.cancelled);
    CHECK(bench.cancelled->id == 2);
    CHECK(bench.cancelled->why == cancel_cause::lost);
    CHECK(!bench.committed);
    CHECK(bench.hedges_settled.size() == 1);
    CHECK(bench.waits->when == start + 60s); // neither the attempt timeout nor another hedge
    bench.now = start + 50s;
    bench.fail(1, outcome_of(outcome_kind::reset));
    REQUIRE(bench.launched);
    CHECK(bench.launched->id == 3);
    CHECK(bench.launched->endpoint == 1);
    bench.now = start + 51s;
    bench.feed(flight_event::progress{3});
    bench.feed(flight_event::progress{2}); // late words of the loser
    CHECK(bench.feed(flight_event::complete{3}).committed->id == 3);
}

TEST_CASE("a flight that goes on for another makes extra attempts only, and no more than are left") {
    plan_bench bench;
    bench.retry.max_retries = 3;
    const earlier_attempts two{.made = 2}, four{.made = 4}, one{.made = 1};
    bench.options.earlier = &two;
    bench.begin();
    REQUIRE(bench.launched);
    CHECK(bench.launched->id == 3);
    CHECK(bench.launched->purpose == attempt_purpose::retry);
    CHECK(bench.costs.size() == 1);
    plan_bench last;
    last.retry.max_retries = 3;
    last.options.earlier = &four;
    last.begin();
    CHECK(!last.launched);
    CHECK(last.finished->denied == retry_denial::limit);
    plan_bench poor;
    poor.options.earlier = &one;
    poor.level[0] = 0;
    poor.begin();
    CHECK(!poor.launched);
    CHECK(poor.finished->denied == retry_denial::budget);
}

} // namespace evenkeel::test::flight_race_test

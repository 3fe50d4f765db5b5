// Which endpoint is asked next, by itself: the order, what is learned of each, what stands in the way, and a second
// implementation over random worlds.

#include "tests/policies/plan_bench.hpp"

#include "policies/endpoint_search.hpp"

#include <algorithm>
#include <tuple>

namespace evenkeel::test::endpoint_search_test {

using namespace evenkeel::testing;

namespace {
using reason = endpoint_refusal::reason;
using obstacles = endpoint_search::obstacles;
endpoint_refusal shut(duration again, reason why = reason::circuit) { return {why, start + again, start - 1s}; }
attempt_outcome reset() { return outcome_of(outcome_kind::reset); }

struct searching : plan_bench {
    explicit searching(int endpoints) : plan_bench(endpoints), search(options) {}
    endpoint_search search;
    endpoint_search::wish wanted{};

    searching& failed(endpoint_index at, const attempt_outcome& outcome = reset()) {
        search.learn(at, outcome, retry, now, *this);
        wanted.what = attempt_purpose::retry;
        return *this;
    }
    searching& flying(endpoint_index at) { return wanted.in_flight.add(at), *this; }
    endpoint_search::result find() { return search.find(wanted, options, now, *this); }
    // Who and why, as one text.
    static std::string words(const obstacles& why) {
        std::string all;
        for (const auto& [at, word] : why.refused)
            all += (all.empty() ? "" : ", ") + std::to_string(at) + " " + std::string(to_string(word));
        return all;
    }
};

// Lets nobody through who has a choice, but would the one who has none; or is taken by somebody between look and admit.
struct moody : searching {
    using searching::searching;
    bool strict = false, too_quick = false;
    std::optional<endpoint_refusal> look(endpoint_index at, attempt_purpose what, urgency how,
                                         steady_time when) override {
        if (strict && at == 0 && how == urgency::normal) return shut(2s);
        return searching::look(at, what, how, when);
    }
    admission admit(endpoint_index at, attempt_purpose what, urgency how, steady_time when) override {
        if (too_quick && at == 0) return {0, shut(2s)};
        return searching::admit(at, what, how, when);
    }
};
} // namespace

TEST_CASE("the endpoint in front takes a first attempt and no other is asked; where it refuses nothing is taken") {
    searching bench(3);
    bench.in_order = {2, 0, 1};
    const auto found = bench.search.in_front(start, bench);
    REQUIRE(found);
    CHECK(found->at == 2);
    CHECK(found->permit == 1);
    bench.refusing[2] = shut(2s);
    CHECK_FALSE(bench.search.in_front(start, bench));
    CHECK(bench.admitted.size() == 1);
}

TEST_CASE("who stands in line at an endpoint waits there; who cannot be in time there is sent elsewhere") {
    searching bench(2);
    endpoint_refusal in_line = shut(2s, reason::pace);
    bench.refusing[0] = in_line;
    const auto waits = bench.find().found;
    REQUIRE(waits);
    CHECK(waits->at == 0);
    CHECK(waits->when == start + 2s);
    CHECK(waits->permit == 0);
    in_line.avoidable = true;
    bench.refusing[0] = in_line;
    const auto elsewhere = bench.find();
    REQUIRE(elsewhere.found);
    CHECK(elsewhere.found->at == 1);
    CHECK(searching::words(elsewhere.why) == "0 paced");
}

TEST_CASE("what can be asked first, then what failed least, then what is in front") {
    searching bench(3);
    bench.wanted.pause = 1s;
    CHECK(bench.find().found->at == 0);
    bench.failed(0);
    CHECK(bench.find().found->at == 1);
    bench.failed(1).failed(2).failed(2);
    const auto later = bench.find().found;
    CHECK(later->at == 0); // as soon as the others, and failed less than 2
    CHECK(later->when == start + 1s);
    CHECK(later->permit == 0); // its time has not come
    bench.in_order = {1, 2, 0};
    CHECK(bench.find().found->at == 1);
    bench.failed(1, answered_with(outcome_kind::rate_limited, 500ms));
    bench.wanted.pause = 0s;
    CHECK(bench.find().found->at == 0); // 1 has named a time
}

TEST_CASE("what an outcome teaches about its endpoint, for this request") {
    struct row {
        outcome_kind kind;
        std::optional<bool> should_retry;
        std::optional<duration> hint;
        bool barred, silent, too_long;
        duration ready;
    };
    for (const row& one : {row{outcome_kind::reset, {}, {}, false, false, false, 0s},
                           row{outcome_kind::timeout, {}, {}, false, true, false, 0s},
                           row{outcome_kind::quota, {}, {}, true, false, false, 0s},
                           row{outcome_kind::credential, {}, {}, true, false, false, 0s},
                           row{outcome_kind::caller_error, {}, {}, true, false, false, 0s},
                           row{outcome_kind::caller_error, true, {}, false, false, false, 0s},
                           row{outcome_kind::rate_limited, {}, 4s, false, false, false, 4s + 500ms},
                           row{outcome_kind::rate_limited, {}, 60s, false, false, false, 60s + 500ms},
                           row{outcome_kind::rate_limited, {}, 60s + 1ns, false, false, true, 0s}}) {
        CAPTURE(to_string(one.kind));
        searching bench(1);
        attempt_outcome outcome = answered_with(one.kind, one.hint);
        outcome.should_retry = one.should_retry;
        bench.failed(0, outcome);
        const auto& known = bench.search.of(0);
        CHECK(known.failures == 1);
        CHECK(known.barred == one.barred);
        CHECK(known.silent == one.silent);
        CHECK(known.too_long == one.too_long);
        CHECK(known.ready == (one.ready == 0s ? steady_time{} : start + one.ready));
    }
}

TEST_CASE("a silent endpoint is asked again for a stream only, and one with an attempt of this request not at all") {
    searching bench(2);
    bench.failed(0, outcome_of(outcome_kind::timeout)).flying(1);
    CHECK_FALSE(bench.find().found);
    bench.stream = true;
    CHECK(bench.find().found->at == 0);
}

TEST_CASE("each endpoint that is passed over is named with its reason") {
    searching bench(6);
    bench.failed(0, answered_with(outcome_kind::rate_limited, 61s));
    bench.refusing = {{1, shut(3s)}, {2, shut(2s, reason::overload)}, {3, shut(900s, reason::cooldown)}};
    bench.refusing[4] = {.why = reason::cooldown, .again = start + 1s, .avoidable = true};
    bench.level = {{5, 0.0}};
    const auto all = bench.find();
    CHECK_FALSE(all.found);
    CHECK(searching::words(all.why) ==
          "0 retry_after, 1 circuit_open, 2 overload, 3 retry_after, 4 retry_after, 5 budget");
    CHECK(all.why.again == start + 2s);
    CHECK(all.why.down_since == start - 1s);
    CHECK(all.why.passable == 2U);
    CHECK(all.why.denial() == retry_denial::budget);
}

TEST_CASE("the weightiest reason is the flight's") {
    CHECK(obstacles{.too_late = true, .circuit = true, .overload = true}.denial() == retry_denial::circuit_open);
    CHECK(obstacles{.too_late = true, .overload = true}.denial() == retry_denial::overload);
    CHECK(obstacles{.too_late = true, .too_long = true}.denial() == retry_denial::deadline);
    CHECK(obstacles{.too_long = true}.denial() == retry_denial::retry_after);
    CHECK(obstacles{}.denial() == retry_denial::no_endpoint);
}

TEST_CASE("too late for an extra attempt is an instant past the deadline; a first attempt is made all the same") {
    searching bench(1);
    bench.options.deadline = start + 50ms;
    CHECK(bench.failed(0).find().found);
    bench.now += 1ns;
    CHECK(searching::words(bench.find().why) == "0 deadline");
    CHECK(searching(1).find().found);
    searching first(1);
    first.options.deadline = start;
    const auto all = first.find();
    CHECK(all.found);
    CHECK(all.why.too_late);
}

TEST_CASE("who has nowhere else to go is asked for a second time, less strictly; not where a budget was the reason") {
    moody bench(2);
    bench.strict = true;
    CHECK(bench.find().found->at == 1);
    bench.refusing[1] = shut(5s);
    CHECK(bench.find().found->at == 0);
    bench.failed(1);
    bench.refusing.clear();
    bench.level = {{1, 0.0}};
    const auto all = bench.find();
    CHECK_FALSE(all.found);
    CHECK(searching::words(all.why) == "0 circuit_open, 1 budget");
}

TEST_CASE("whoever comes too late for a place has paid nothing, and the next one is asked") {
    moody bench(2);
    bench.too_quick = true;
    bench.flat = true;
    bench.wanted.what = attempt_purpose::retry;
    const auto all = bench.find();
    CHECK(all.found->at == 1);
    CHECK(searching::words(all.why) == "0 circuit_open");
    CHECK(bench.refunded == 1);
    CHECK(bench.costs.size() == 2);

    bench.flying(1);
    CHECK_FALSE(bench.search.insist(0, bench.wanted, start, bench).first);
    CHECK(bench.search.insist(0, bench.wanted, start, bench).second == retry_denial::circuit_open);
    CHECK(bench.refunded == 3);
}

TEST_CASE("to insist takes room that is not there, is paid for, and gets nothing past a circuit") {
    searching bench(1);
    bench.refusing[0] = shut(5s, reason::overload);
    bench.wanted.what = attempt_purpose::retry;
    const auto [taken, denied] = bench.search.insist(0, bench.wanted, start, bench);
    REQUIRE(taken);
    CHECK(taken->permit == 1);
    CHECK(bench.costs.size() == 1);
    bench.level = {{0, 0.0}};
    CHECK(bench.search.insist(0, bench.wanted, start, bench).second == retry_denial::budget);
    bench.refusing[0] = shut(5s);
    bench.level.clear();
    CHECK(bench.search.insist(0, bench.wanted, start, bench).second == retry_denial::circuit_open);
}

TEST_CASE("now or never: nothing that has failed beside what is in flight, and nothing later than the pause") {
    searching bench(3);
    bench.failed(0).flying(1);
    bench.wanted.now_or_never = true;
    CHECK(bench.find().found->at == 2);
    bench.failed(2).failed(1);
    CHECK_FALSE(bench.find().found);
    CHECK(bench.find().why.denial() == retry_denial::no_endpoint);
    bench.wanted.in_flight = {};
    bench.wanted.pause = 1s;
    CHECK(bench.find().found->when == start + 1s);
}

TEST_CASE("beside a silent endpoint: a fresh one, then one that failed, then itself, each only if it lets the hedge") {
    const auto beside = [](searching& bench, hedge_target where = hedge_target::prefer_other) {
        const auto found = bench.search.beside(0, bench.wanted.in_flight, where, bench.now, bench);
        return found ? static_cast<int>(found->first) : -1;
    };
    searching bench(3);
    bench.flying(0).failed(1);
    CHECK(beside(bench) == 2);
    bench.refusing[2] = shut(5s);
    CHECK(beside(bench) == 1);
    bench.failed(1, outcome_of(outcome_kind::quota));
    CHECK(beside(bench) == 0);
    CHECK(beside(bench, hedge_target::other) == -1);
    CHECK(beside(bench, hedge_target::any) == 0);
    bench.refusing[0] = shut(5s);
    CHECK(beside(bench) == -1);

    searching tired(2);
    tired.flying(0).failed(1, answered_with(outcome_kind::rate_limited, 1s));
    CHECK(beside(tired) == 0);
    tired.now += 1s + 250ms; // its hint, and the spread
    CHECK(beside(tired) == 1);
}

TEST_CASE("a flight that goes on for another knows what that one has learned") {
    earlier_attempts before{.made = 2};
    before.failures[0] = 2;
    plan_bench world(2);
    world.options.earlier = &before;
    const endpoint_search search(world.options);
    CHECK(search.of(0).failures == 2);
    const auto found = search.find({.what = attempt_purpose::retry, .pause = 1s}, world.options, start, world).found;
    CHECK(found->at == 1);
}

// The second implementation: of all endpoints, by hand, each with what it would take.
TEST_CASE("10^5 random worlds: what is found is the best of what is left, it alone is paid for, and each endpoint that "
          "could be asked is found or named") {
    for (std::uint64_t seed = 1; seed <= 100000; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        searching bench(1 + below(6));
        const endpoint_index all = bench.options.endpoints;
        bench.stream = below(2) != 0;
        bench.flat = true;
        bench.u = 0;
        bench.options.deadline = start + std::chrono::milliseconds(below(4000));
        bench.wanted.pause = std::chrono::milliseconds(below(3) * 400);
        if (below(2)) bench.wanted.what = attempt_purpose::retry;
        for (endpoint_index at = 0; at < all; ++at) {
            bench.in_order.push_back(at);
            if (below(3) == 0)
                bench.failed(at, answered_with(static_cast<outcome_kind>(1 + below(outcome_kind_count - 1)),
                                               below(3) == 0 ? std::optional<duration>{std::chrono::seconds(below(80))}
                                                             : std::nullopt));
            if (below(4) == 0)
                bench.refusing[at] = shut(std::chrono::milliseconds(1 + below(3000)), static_cast<reason>(below(3)));
            if (below(4) == 0) bench.level[at] = below(2);
            if (below(6) == 0) bench.flying(at);
        }
        std::shuffle(bench.in_order.begin(), bench.in_order.end(), random);
        const bool extra = bench.wanted.is_extra();

        std::optional<std::tuple<steady_time, int, std::size_t, endpoint_index>> best;
        std::size_t candidates = 0;
        for (std::size_t place = 0; place < all; ++place) {
            const endpoint_index at = bench.in_order[place];
            const auto& known = bench.search.of(at);
            if (known.barred || (known.silent && !bench.stream) || bench.wanted.in_flight.has(at)) continue;
            ++candidates;
            steady_time when = known.failures == 0 ? start : std::max(start + bench.wanted.pause, known.ready);
            if (bench.refusing.contains(at)) {
                const endpoint_refusal& no = bench.refusing[at];
                if (no.why != reason::cooldown || no.again + 50ms > bench.options.deadline) continue;
                when = std::max(when, no.again);
            }
            const bool paid = !extra || !bench.level.contains(at) || bench.level[at] >= 1;
            const bool in_time = !extra || when + 50ms <= bench.options.deadline;
            // Whose rest lies ahead may refuse again when its time has come.
            if (known.too_long || !paid || !in_time) continue;
            const std::tuple mine{when, known.failures, place, at};
            if (!best || mine < *best) best = mine;
        }

        const auto got = bench.find();
        REQUIRE(got.found.has_value() == best.has_value());
        double paid = -bench.refunded;
        for (const double work : bench.costs) paid += work;
        REQUIRE(paid == (best && extra ? 1 : 0));
        REQUIRE(bench.admitted.size() == (best && std::get<0>(*best) <= start ? 1 : 0));
        if (best) {
            REQUIRE(got.found->at == std::get<3>(*best));
            REQUIRE(got.found->when == std::get<0>(*best));
        } else {
            REQUIRE(got.why.refused.size() == candidates);
            REQUIRE((got.why.denial() == retry_denial::no_endpoint) == (candidates == 0));
        }
    }
}

namespace {
// 0 and 1 are endpoints of one upstream, 2 is another's.
struct two_upstreams : searching {
    two_upstreams() : searching(3) {}
    bool same_upstream(endpoint_index one, endpoint_index other) override { return (one < 2) == (other < 2); }
};
} // namespace

TEST_CASE("what another credential is needed for is not asked of the same upstream's other endpoints") {
    struct row {
        const char* name;
        outcome_kind kind;
        endpoint_index next;
    };
    for (const row& r :
         {row{"a dead connection", outcome_kind::reset, 1}, row{"a refused credential", outcome_kind::credential, 2},
          row{"a spent quota", outcome_kind::quota, 2}, row{"the caller's fault", outcome_kind::caller_error, 2},
          row{"too much at a time", outcome_kind::overloaded, 1}}) {
        CAPTURE(r.name);
        two_upstreams bench;
        bench.failed(0, outcome_of(r.kind));
        const auto found = bench.find().found;
        REQUIRE(found);
        CHECK(found->at == r.next);
    }
}

TEST_CASE("a route may have 64 endpoints, and every one of them is asked before one is asked twice") {
    searching bench(64);
    for (endpoint_index at = 0; at < 64; ++at) {
        CHECK(bench.find().found->at == at);
        bench.flying(at);
        bench.failed(at);
    }
    CHECK_FALSE(bench.find().found); // all of them in flight
    CHECK(bench.wanted.in_flight.has(63));
}

} // namespace evenkeel::test::endpoint_search_test

#include "policies/overload_control.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace evenkeel::test::overload_control_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
using verdict = overload_control::verdict;

using urgency = overload_control::priority;

// Ten attempts a second, each in service for a second, of which every `bad_every`th has a bad verdict (0: none).
struct bench {
    overload_control control{{.on = true}};
    steady_time now = start;
    duration takes = 1s;
    std::vector<std::pair<steady_time, overload_control::place>> in_service;
    int count = 0;

    void run(duration length, int bad_every = 0, verdict bad = verdict::timeout) {
        for (const steady_time end = now + length; now < end; now += 100ms) {
            while (!in_service.empty() && now - in_service.front().first >= takes) {
                auto& place = in_service.front().second;
                place.give_verdict(bad_every > 0 && ++count % bad_every == 0 ? bad : verdict::success, takes, now);
                place.leave(now);
                in_service.erase(in_service.begin());
            }
            in_service.emplace_back(now, control.enter(now));
        }
    }
    int room(urgency who = urgency::can_wait) { return control.room(30s, now, who); }
    bool full(urgency who = urgency::can_wait) { return room(who) == 0; }
    auto summary() { return control.report(now); }
};
} // namespace

TEST_CASE("what is usual is completions a second times the time they take") {
    bench bench;
    bench.run(120s);
    CHECK(bench.summary().usual == doctest::Approx(10).epsilon(0.01));
    bench.takes = 2s;
    bench.run(600s);
    CHECK(bench.summary().usual == doctest::Approx(20).epsilon(0.02));
    CHECK(bench.summary().completions_per_second == doctest::Approx(10).epsilon(0.02));
    CHECK(bench.summary().in_service == 20);
}

TEST_CASE("a first attempt has room whatever happens, short of an outage that is just over") {
    bench bench;
    bench.run(60s);
    bench.run(60s, 1, verdict::overloaded);
    REQUIRE(bench.control.overload_active(bench.now));
    CHECK(bench.room(urgency::now) > 1000);
}

TEST_CASE("extra attempts find half as much room again as has been served well, and none beyond") {
    bench bench;
    bench.run(60s);
    CHECK(bench.room() == 5); // ten are under way
    std::vector<overload_control::place> more;
    for (int i = 0; i < 5; ++i) more.push_back(bench.control.enter(bench.now, urgency::can_wait));
    CHECK(bench.full());
    const double pause = std::chrono::duration<double>(bench.control.ask_again(bench.now) - bench.now).count();
    CHECK(pause == doctest::Approx(0.1).epsilon(0.05)); // ten completions a second
    more.pop_back();
    CHECK(bench.room() == 1);
}

TEST_CASE("where little is known nothing limits") {
    bench bench;
    bench.run(1s);
    std::vector<overload_control::place> many;
    for (int i = 0; i < 100; ++i) many.push_back(bench.control.enter(bench.now));
    CHECK(bench.room() > 1000);
}

TEST_CASE("the limit is never below 4") {
    bench bench;
    for (const steady_time end = bench.now + 300s; bench.now < end; bench.now += 500ms) { // two a second, 100 ms each
        auto place = bench.control.enter(bench.now);
        place.give_verdict(verdict::success, 100ms, bench.now + 100ms);
        place.leave(bench.now + 100ms);
    }
    CHECK(bench.room() == 4);
}

TEST_CASE("overload is a share of timeouts and of overload, not of other failures") {
    bench bench;
    bench.run(60s);
    bench.run(60s, 1, verdict::failure);
    CHECK_FALSE(bench.control.overload_active(bench.now));
    bench.run(60s, 4, verdict::timeout); // a quarter
    CHECK_FALSE(bench.control.overload_active(bench.now));
    bench.run(11s, 3, verdict::timeout);
    CHECK(bench.control.overload_active(bench.now));
}

TEST_CASE("overload ends one window after it became rare, and says when it begins and ends") {
    overload_control control({.on = true});
    steady_time now = start;
    const auto report = [&](verdict what) {
        auto place = control.enter(now);
        return place.give_verdict(what, 100ms, now);
    };
    for (int i = 0; i < 19; ++i) CHECK_FALSE(report(verdict::overloaded)); // fewer than min_verdicts
    CHECK(report(verdict::overloaded));
    CHECK(control.overload_active(now));
    // Of the window's last verdicts more than half the ratio are bad until it has passed, then it waits for another.
    now += 18s;
    CHECK(control.overload_active(now));
    now += 3s;
    CHECK(report(verdict::success)); // noticed by whoever comes first
    CHECK_FALSE(control.overload_active(now));
}

TEST_CASE("while overload lasts the room for extra attempts shrinks by a tenth per window, down to 4") {
    bench bench;
    bench.run(120s);
    bench.run(12s, 2);
    REQUIRE(bench.control.overload_active(bench.now));
    double before = *bench.summary().limit;
    CHECK(before < 10);
    for (int i = 0; i < 5; ++i) {
        bench.run(10s, 2);
        CHECK(*bench.summary().limit < before);
        before = *bench.summary().limit;
    }
    bench.run(200s, 2);
    CHECK(*bench.summary().limit == 4);
}

TEST_CASE("an endpoint that becomes slow is crowded: extra attempts are spaced, and go on when it is usual") {
    bench bench;
    bench.run(120s);
    bench.takes = 4s;
    bench.run(6s);
    REQUIRE(bench.summary().crowded);
    CHECK(bench.full()); // 40 under way
    bench.takes = 1s;
    bench.run(15s);
    CHECK_FALSE(bench.summary().crowded);
    CHECK_FALSE(bench.full());

    struct bench steady;
    steady.run(120s);
    steady.takes = 4s;
    steady.run(600s); // and stays so
    CHECK_FALSE(steady.summary().crowded);
    CHECK_FALSE(steady.full());
}

TEST_CASE("the end of the crowd is no stampede: while somebody waits the limit grows instead of going") {
    bench bench;
    bench.run(120s);
    bench.takes = 3s;
    bench.run(6s);
    REQUIRE(bench.summary().crowded);
    bench.takes = 1s;
    int most = 0;
    std::vector<std::pair<steady_time, overload_control::place>> extra;
    for (int i = 0; i < 400; ++i) { // 40 s; hundreds wait
        bench.run(100ms);
        std::erase_if(extra, [&](const auto& one) { return bench.now - one.first >= 1s; });
        while (!bench.full()) extra.emplace_back(bench.now, bench.control.enter(bench.now, urgency::can_wait));
        most = std::max(most, bench.summary().in_service);
        if (i < 90) CHECK(bench.summary().in_service <= 31); // one window of calm: usual, or one by one above
    }
    CHECK(most > 12);
    CHECK(most < 60);
}

TEST_CASE("what hangs occupies nothing: not longer than an attempt may take, and not longer than twice the usual") {
    bench bench;
    bench.run(120s);
    std::vector<overload_control::place> hanging;
    for (int i = 0; i < 5; ++i) hanging.push_back(bench.control.enter(bench.now));
    CHECK(bench.full());
    bench.run(2s);
    CHECK(bench.full());
    bench.run(200ms);
    CHECK_FALSE(bench.control.report(bench.now).in_service == 10);
    CHECK(bench.control.room(1500ms, bench.now, urgency::can_wait) == bench.room());
}

TEST_CASE("after an outage the limit for all starts at twice what was usual and grows with each success") {
    bench bench;
    bench.run(120s);
    bench.in_service.clear();
    bench.control.circuit_opened(bench.now);
    bench.now += 300s;
    bench.control.circuit_closed(10s, bench.now);
    REQUIRE(bench.summary().recovering);
    CHECK(*bench.summary().limit == doctest::Approx(20.8).epsilon(0.02));
    CHECK(bench.room(urgency::now) == 21);
    CHECK(bench.room(urgency::can_wait) == 19); // the rest is for those who come now

    // A hundred were held; ten a second come besides.
    std::vector<std::pair<steady_time, overload_control::place>> held;
    int left = 100;
    const steady_time closed = bench.now;
    for (; left > 0 && bench.now < closed + 60s; bench.run(100ms)) {
        std::erase_if(held, [&](auto& one) {
            if (bench.now - one.first < 1s) return false;
            one.second.give_verdict(verdict::success, 1s, bench.now);
            one.second.leave(bench.now);
            return true;
        });
        CHECK(static_cast<double>(held.size()) <= 0.9 * *bench.summary().limit + 1);
        for (; left > 0 && bench.room() > 0; --left)
            held.emplace_back(bench.now, bench.control.enter(bench.now, urgency::can_wait));
    }
    CHECK(left == 0); // nobody starves
    CHECK(bench.now - closed > 3s);
    held.clear();
    bench.run(15s);
    CHECK_FALSE(bench.summary().recovering);
}

TEST_CASE("recovery without a ramp limits nothing") {
    bench bench;
    bench.run(60s);
    bench.control.circuit_opened(bench.now);
    bench.control.circuit_closed(0s, bench.now);
    CHECK_FALSE(bench.summary().recovering);
}

TEST_CASE("places end once, however they are moved") {
    overload_control control({.on = true});
    {
        auto a = control.enter(start);
        auto b = std::move(a);
        a = control.enter(start);
        CHECK(control.report(start).in_service == 2);
        b = std::move(a);
        CHECK(control.report(start).in_service == 1);
        b.leave(start);
        b.leave(start);
        CHECK(control.report(start).in_service == 0);
    }
    CHECK(control.report(start).in_service == 0);
}

TEST_CASE("what takes the place of attempts at an endpoint that hangs finds room, but not without end") {
    overload_control control({.on = true});
    overload_control::share helper;
    std::vector<overload_control::place> held;
    while (control.takes_over(helper, steady_time{1000s})) {
        REQUIRE(held.size() < 100);
        held.push_back(control.enter(steady_time{1000s}, overload_control::priority::can_wait, &helper));
    }
    CHECK(held.size() == overload_control::most_moved);
    held.pop_back();
    CHECK(control.takes_over(helper, steady_time{1001s}));
    control.circuit_closed(10s, steady_time{1002s}); // it is just back
    CHECK_FALSE(control.takes_over(helper, steady_time{1002s}));
}

TEST_CASE("years of silence cost a moment and leave nothing usual behind") {
    bench bench;
    bench.run(60s);
    bench.in_service.clear();
    bench.now += std::chrono::hours{24 * 365};
    CHECK(bench.summary().usual < 0.01);
    CHECK(bench.room() > 1000);
}

// P8.5 speaks of a throttle that rejects at random; DESIGN has overload control in its place, which rejects nothing.
// First attempts always have room; extra ones, which wait, have it again a few windows after the upstream has healed:
// one passes until what was bad is out of it, one in which that stays rare, and up to two until it is known what is
// served well.
TEST_CASE("P8.5: overload control recovers: no first attempt is refused at any time, and extra ones no more once the "
          "upstream has healed") {
    for (std::uint32_t seed = 1; seed <= 200; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        bench bench;
        int refused = 0;
        const auto pass = [&](duration length, int bad_every, verdict bad) {
            for (const steady_time end = bench.now + length; bench.now < end;) {
                bench.run(500ms, bad_every, bad);
                refused += bench.full(urgency::now);
            }
        };
        pass(60s, 0, verdict::timeout);
        const verdict bad = random() % 2 ? verdict::timeout : verdict::overloaded;
        pass(std::chrono::seconds{20 + random() % 100}, 1 + static_cast<int>(random() % 2), bad);
        REQUIRE(bench.summary().active);
        pass(20s, 0, verdict::timeout); // healed
        REQUIRE_FALSE(bench.summary().active);
        const steady_time ended = bench.now;
        while (bench.full(urgency::can_wait) && bench.now - ended < 20s) pass(100ms, 0, verdict::timeout);
        CHECK_FALSE(bench.full(urgency::can_wait));

        int late = 0;
        for (int asked = 0; asked < 100; ++asked) { // one extra attempt a second, which takes as long as the others
            const steady_time came = bench.now;
            while (bench.full(urgency::can_wait) && bench.now - came < 1s) pass(100ms, 0, verdict::timeout);
            late += bench.full(urgency::can_wait);
            auto extra = bench.control.enter(bench.now, urgency::can_wait);
            pass(1s, 0, verdict::timeout);
            extra.end(verdict::success, 1s, bench.now);
        }
        CHECK(late < 1); // of a hundred
        CHECK(refused == 0);
    }
}

// Whatever happens in whatever order: who cannot wait is limited by a recovery only, each place is counted once, and
// overload is entered by enough bad verdicts of the window and told once.
TEST_CASE("random histories keep every promise") {
    constexpr int endless = 1000;
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        const overload_options options{.on = below(4) != 0,
                                       .window = std::chrono::seconds(1 + below(12)),
                                       .ratio = 0.1 + 0.1 * below(5),
                                       .min_verdicts = 1 + below(20)};
        overload_control control(options);
        steady_time now = start;
        struct attempt {
            overload_control::place place;
            steady_time began;
        };
        std::vector<attempt> held;
        std::vector<std::pair<steady_time, bool>> verdicts; // when, and whether it was bad
        bool told = false;
        const int badness = below(5);
        for (int step = 0; step < 400; ++step) {
            now += std::chrono::milliseconds(below(50) == 0 ? below(60000) : below(400));
            const bool before = control.overload_active(now);
            switch (below(8)) {
            case 0:
            case 1:
            case 2: held.push_back({control.enter(now, below(3) ? urgency::now : urgency::can_wait), now}); break;
            case 3:
            case 4:
            case 5: {
                if (held.empty()) break;
                const auto which = held.begin() + below(static_cast<int>(held.size()));
                const auto says = below(5) < badness ? (below(2) ? verdict::timeout : verdict::overloaded)
                                  : below(4)         ? verdict::success
                                                     : verdict::failure;
                const bool bad = says == verdict::timeout || says == verdict::overloaded;
                verdicts.emplace_back(now, bad);
                const bool changed = which->place.end(says, now - which->began, now);
                const bool after = control.overload_active(now);
                REQUIRE(changed == (after != std::exchange(told, after)));
                if (after && !before) {
                    REQUIRE(bad);
                    const auto recent = [&](const auto& one) { return now - one.first <= options.window; };
                    const auto all = std::count_if(verdicts.begin(), verdicts.end(), recent);
                    const auto wrong = std::count_if(verdicts.begin(), verdicts.end(),
                                                     [&](const auto& one) { return recent(one) && one.second; });
                    REQUIRE(all >= options.min_verdicts);
                    REQUIRE(static_cast<double>(wrong) >= options.ratio * options.min_verdicts - 1e-9);
                }
                REQUIRE_FALSE(which->place.end(verdict::timeout, 1s, now)); // it has left
                held.erase(which);
                break;
            }
            case 6:
                if (below(20) == 0) control.circuit_opened(now);
                if (below(20) == 0) control.circuit_closed(std::chrono::seconds(below(2) * 10), now);
                break;
            case 7:
                if (!held.empty()) held.pop_back(); // destroyed without a word
                break;
            }
            const auto seen = control.report(now);
            REQUIRE(seen.in_service == static_cast<int>(held.size()));
            REQUIRE(seen.usual >= 0);
            if (seen.active) REQUIRE(seen.crowded);
            for (const urgency who : {urgency::now, urgency::can_wait}) {
                const bool limited = control.limits(who);
                const int room = control.room(30s, now, who);
                REQUIRE(room >= 0);
                REQUIRE((limited || room > endless));
                if (who == urgency::now || !options.on) REQUIRE((seen.recovering || room > endless));
            }
            REQUIRE(control.ask_again(now) >= now + 10ms);
            REQUIRE(control.ask_again(now) <= now + 1s);
        }
    }
}

} // namespace evenkeel::test::overload_control_test

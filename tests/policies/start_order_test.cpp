// The ring that grows against one that remembers every attempt there ever was.

#include "policies/start_order.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

namespace evenkeel::test::start_order_test {

using namespace std::chrono_literals;

namespace {
constexpr duration window = 30s, patience = 20s;
const steady_time start{1h};

struct everything {
    struct attempt {
        steady_time when;
        attempt_mark what;
    };
    std::vector<attempt> all;

    [[nodiscard]] int failures_in_a_row(int enough, steady_time now, bool timeouts = true) const {
        int row = 0;
        for (auto one = all.rbegin(); one != all.rend() && row < enough; ++one) {
            if (one->what == attempt_mark::success) break;
            if (one->what == attempt_mark::pending && row > 0 && now - one->when < patience) break;
            if (one->what == attempt_mark::failure || (timeouts && one->what == attempt_mark::timeout)) ++row;
        }
        return row;
    }
    [[nodiscard]] start_order::tally within(int row, steady_time now) const {
        start_order::tally counted;
        for (auto one = all.rbegin(); one != all.rend(); ++one) {
            const bool of_row = one->what == attempt_mark::failure && row > 0;
            row -= of_row;
            if (one->what < attempt_mark::success || (!of_row && now - one->when >= window)) continue;
            ++counted.calls;
            if (one->what != attempt_mark::success) ++counted.failures;
        }
        return counted;
    }
};

steady_time then(double seconds) {
    return start + std::chrono::duration_cast<duration>(std::chrono::duration<double>(seconds));
}
} // namespace

TEST_CASE(
    "whatever the pace, rows and counts are those of a ring that forgets nothing, and every verdict finds its place") {
    for (unsigned seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 engine(seed);
        const auto draw = [&] { return std::uniform_real_distribution<>{}(engine); };
        start_order order;
        everything model;
        std::multimap<double, std::size_t> pending; // by the time of the verdict; its place is one more
        double seconds = 0, pace = 0, failing = 0;
        for (int step = 0; step < 5000; ++step) {
            // In stretches: from one attempt in five seconds to a hundred a second, healthy or not.
            if (step % 250 == 0) pace = 10 * std::pow(2e-3, draw()), failing = draw() < 0.5 ? 0.1 : 0.97;
            seconds += pace * draw();
            const steady_time now = then(seconds);
            const std::uint64_t place = order.take(patience, window, now);
            REQUIRE(place == model.all.size() + 1);
            pending.emplace(seconds + 20 * draw() * draw(), model.all.size());
            model.all.push_back({now, attempt_mark::pending});
            for (; pending.begin()->first < seconds; pending.erase(pending.begin())) {
                const std::size_t which = pending.begin()->second;
                const attempt_mark what = draw() < failing
                                              ? (draw() < 0.7 ? attempt_mark::failure : attempt_mark::timeout)
                                          : draw() < 0.8 ? attempt_mark::success
                                          : draw() < 0.5 ? attempt_mark::overloaded
                                                         : attempt_mark::neutral;
                const steady_time when = what == attempt_mark::neutral ? steady_time{} : then(pending.begin()->first);
                REQUIRE(order.set(which + 1, what, when));
                model.all[which] = {when, what};
            }
            for (const int enough : {1, 3, 100})
                REQUIRE(order.failures_in_a_row(enough, patience, now) == model.failures_in_a_row(enough, now));
            if (step % 50 != 0) continue;
            const int errors = order.errors_in_a_row(patience, now);
            REQUIRE(errors == model.failures_in_a_row(4096, now, false));
            for (const int row : {0, errors}) {
                const auto is = order.within(window, row, now), should_be = model.within(row, now);
                REQUIRE(is.calls == should_be.calls);
                REQUIRE(is.failures == should_be.failures);
            }
        }
    }
}

TEST_CASE("it remembers 128 attempts of any age, more only where they are of the window or without a verdict") {
    start_order order;
    steady_time now = start;
    std::uint64_t first = 0;
    for (std::size_t i = 0; i < start_order::always_held; ++i) {
        const auto place = order.take(patience, window, now += 1min);
        if (first == 0) first = place;
        CHECK(order.set(place, attempt_mark::failure, now));
    }
    CHECK(order.failures_in_a_row(1000, patience, now) == 128);

    // The oldest verdict is hours old: its place is taken.
    CHECK(order.set(order.take(patience, window, now += 1min), attempt_mark::failure, now));
    CHECK(order.failures_in_a_row(1000, patience, now) == 128);
    CHECK_FALSE(order.set(first, attempt_mark::success, now));

    // 4096 without a verdict all have theirs; one more has none while the oldest is awaited.
    order.clear();
    for (std::size_t i = 0; i < start_order::size; ++i) CHECK(order.take(patience, window, now) != 0);
    CHECK(order.take(patience, window, now + patience - 1ns) == 0);
    CHECK(order.take(patience, window, now + patience) != 0);
}

} // namespace evenkeel::test::start_order_test

#include "proxy/model/work_clock.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace evenkeel::model::work_clock_test {

namespace {

struct noting final : work_clock::job {
    std::vector<double> due;
    std::vector<double> next; // work until the following ones
    bool leaves = true;       // after the last
    void on_due(work_clock& clock) override {
        due.push_back(clock.now());
        if (due.size() <= next.size()) {
            clock.schedule(*this, next[due.size() - 1]);
        } else if (leaves) {
            clock.leave(*this);
        }
    }
};

void begin(work_clock& clock, noting& one, double work) {
    clock.enter(one);
    clock.schedule(one, work);
}

// The same server, told in small steps: each attempt has work left, and every step takes the same bit off all of them.
struct naive_server {
    struct attempt {
        double came, work, gone; // gone: closed by its client then
        double done = INFINITY;
    };
    capacity of;
    std::vector<speed_step> steps;
    std::vector<attempt> attempts;

    void play(double until, double step) {
        std::vector<double> left;
        for (const auto& each : attempts) left.push_back(each.work);
        for (double now = 0; now < until; now += step) {
            const auto in_service = [&](std::size_t i) {
                const auto& one = attempts[i];
                return one.came <= now && one.gone > now && std::isinf(one.done);
            };
            std::size_t n = 0;
            for (std::size_t i = 0; i < attempts.size(); ++i) n += in_service(i) ? 1 : 0;
            double slower = 1;
            for (const auto& each : steps) {
                if (each.at <= now) slower = each.slower;
            }
            const double progress = step / (slower * slowdown(of, n));
            for (std::size_t i = 0; i < attempts.size(); ++i) {
                if (!in_service(i)) continue;
                left[i] -= progress;
                if (left[i] <= 0) attempts[i].done = now + step;
            }
        }
    }
};

} // namespace

TEST_CASE("slowdown is 1 up to the capacity, then grows") {
    CHECK(slowdown({}, 1'000'000) == 1);
    CHECK(slowdown({26, 0.5}, 26) == 1);
    CHECK(slowdown({26, 0.5}, 52) == doctest::Approx(2 * 1.5));
    CHECK(slowdown({18, 0.8}, 27) == doctest::Approx(1.5 * 1.4));
}

TEST_CASE("an undisturbed server takes the time it is asked for") {
    work_clock clock(-10);
    noting one;
    one.next = {0.5, 0};
    clock.advance(-3);
    begin(clock, one, 2);
    CHECK(clock.next() == doctest::Approx(-1));
    CHECK(clock.in_service() == 1);

    clock.advance(100);

    REQUIRE(one.due.size() == 3);
    CHECK(one.due[0] == doctest::Approx(-1));
    CHECK(one.due[1] == doctest::Approx(-0.5));
    CHECK(one.due[2] == doctest::Approx(-0.5));
    CHECK(clock.in_service() == 0);
    CHECK(!clock.next());
}

TEST_CASE("attempts beyond the capacity slow all down, and who leaves speeds the rest up") {
    work_clock clock(0, {.attempts = 1, .alpha = 1});
    noting first, second;
    begin(clock, first, 4);
    clock.advance(1); // 3 left
    begin(clock, second, 4);
    // x = 2: slowed by 2 * (1 + 1) = 4.
    CHECK(clock.next() == doctest::Approx(1 + 3 * 4));
    clock.advance(5); // one second of work for each
    clock.leave(second);
    CHECK(clock.next() == doctest::Approx(5 + 2));

    clock.advance(100);

    CHECK(first.due == std::vector<double>{7});
    CHECK(second.due.empty());
}

TEST_CASE("a server that is slower for a while is so for what it has in service") {
    work_clock clock(0, {}, {{80, 2}, {180, 1}});
    noting across, behind;
    clock.advance(78);
    begin(clock, across, 4);
    CHECK(clock.next() == doctest::Approx(80 + 2 * 2));
    clock.advance(90);
    begin(clock, behind, 50);
    CHECK(clock.next() == doctest::Approx(180 + 5));
    clock.advance(1000);
    CHECK(across.due == std::vector<double>{84});
    CHECK(behind.due == std::vector<double>{185});
}

TEST_CASE("what is due fires at its own time, in order, however late the clock is advanced") {
    work_clock clock(0, {.attempts = 1});
    noting one, other, same;
    begin(clock, one, 1);
    begin(clock, other, 1.5);
    clock.schedule(same, 1.5); // not in service
    clock.advance(1000);
    // Two share one place until the first is done at 2 s; the second is alone for its last half second.
    CHECK(one.due == std::vector<double>{2});
    CHECK(other.due == std::vector<double>{2.5});
    CHECK(same.due == std::vector<double>{2.5});
}

TEST_CASE("a job that is destroyed is gone, and a clock may go first") {
    noting stays;
    {
        work_clock clock(0);
        {
            noting goes;
            begin(clock, goes, 1);
        }
        CHECK(clock.in_service() == 0);
        clock.advance(10);
        clock.schedule(stays, 1);
    }
    CHECK(stays.due.empty());
}

TEST_CASE("the shared clock agrees with a server played in small steps") {
    for (const unsigned seed : {1U, 2U, 3U, 4U, 5U, 6U}) {
        CAPTURE(seed);
        std::mt19937 chance(seed);
        const auto uniform = [&](double low, double high) {
            return std::uniform_real_distribution<double>(low, high)(chance);
        };
        constexpr double step = 0.0005;
        naive_server naive{
            .of = {uniform(2, 8), uniform(0, 1)}, .steps = {{10, uniform(1.5, 3)}, {18, 1}}, .attempts = {}};
        for (int i = 0; i < 40; ++i) {
            const double came = std::floor(uniform(0, 25) / step) * step;
            naive.attempts.push_back(
                {came, uniform(0.1, 4),
                 uniform(0, 1) < 0.3 ? came + std::floor(uniform(0.1, 5) / step) * step : INFINITY});
        }
        naive.play(300, step);

        work_clock clock(0, naive.of, naive.steps);
        std::vector<std::unique_ptr<noting>> jobs;
        struct change {
            double at;
            std::size_t who;
            bool comes;
        };
        std::vector<change> changes;
        for (std::size_t i = 0; i < naive.attempts.size(); ++i) {
            jobs.push_back(std::make_unique<noting>());
            changes.push_back({naive.attempts[i].came, i, true});
            if (std::isfinite(naive.attempts[i].gone)) changes.push_back({naive.attempts[i].gone, i, false});
        }
        std::ranges::stable_sort(changes, {}, &change::at);
        for (const change& each : changes) {
            clock.advance(each.at);
            if (each.comes) {
                begin(clock, *jobs[each.who], naive.attempts[each.who].work);
            } else {
                clock.leave(*jobs[each.who]);
            }
        }
        clock.advance(300);

        CHECK(clock.in_service() == 0);
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            CAPTURE(i);
            const auto& other = naive.attempts[i];
            if (std::isinf(other.done)) {
                CHECK(jobs[i]->due.empty());
            } else if (std::isfinite(other.gone) && std::abs(other.done - other.gone) < 0.05) {
                continue; // too close to tell who was first
            } else {
                REQUIRE(jobs[i]->due.size() == 1);
                CHECK(std::abs(jobs[i]->due[0] - other.done) < 0.05); // errors of the steps add up
            }
        }
    }
}

} // namespace evenkeel::model::work_clock_test

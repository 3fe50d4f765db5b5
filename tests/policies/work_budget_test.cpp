#include "policies/work_budget.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

using namespace evenkeel;
using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};

void learn(work_budget& budget, duration took) {
    for (int i = 0; i < 20; ++i) budget.learn(took, start);
}
} // namespace

TEST_CASE("the bucket begins full and a retry takes what it costs") {
    work_budget budget({.extra_work = 0.2, .burst = 3, .min_per_second = 0});
    CHECK(budget.level(start) == 3);
    CHECK(budget.reserve(1, start));
    CHECK(budget.reserve(1, start));
    CHECK(budget.reserve(1, start));
    CHECK_FALSE(budget.reserve(0.1, start));
}

TEST_CASE("successes fill it, a client's own retries do not, and never above the burst") {
    work_budget budget({.extra_work = 0.2, .burst = 1, .min_per_second = 0});
    REQUIRE(budget.reserve(1, start));
    for (int i = 0; i < 3; ++i) budget.deposit(true, start);
    CHECK(budget.level(start) == 0);
    for (int i = 0; i < 4; ++i) budget.deposit(false, start);
    CHECK(budget.level(start) == doctest::Approx(0.8));
    for (int i = 0; i < 40; ++i) budget.deposit(false, start);
    CHECK(budget.level(start) == 1);
}

TEST_CASE("a refund gives back what was reserved") {
    work_budget budget({.extra_work = 0.2, .burst = 2, .min_per_second = 0});
    REQUIRE(budget.reserve(0.7, start));
    budget.refund(0.7, start);
    CHECK(budget.level(start) == 2);
}

TEST_CASE("a fast failure is cheap to repeat, a timeout dear, nothing learned full price, never sent least") {
    work_budget budget({});
    CHECK(budget.cost(10ms, false, start) == 1);
    CHECK(budget.cost(10ms, true, start) == 0.1);
    learn(budget, 4s);
    CHECK(budget.cost(400ms, false, start) == doctest::Approx(0.1).epsilon(0.06));
    CHECK(budget.cost(2s, false, start) == doctest::Approx(0.5).epsilon(0.06));
    CHECK(budget.cost(1ms, false, start) == 0.1);
    CHECK(budget.cost(90s, false, start) == 1);
}

TEST_CASE("the trickle stops at 1, and while nothing succeeds there is one extra attempt in 5 s") {
    work_budget budget({.extra_work = 0.2, .burst = 2, .min_per_second = 0.2});
    steady_time now = start;
    for (; now < start + 30s; now += 100ms) static_cast<void>(budget.reserve(0.1, now)); // the burst, and the trickle
    int granted = 0;
    for (; now < start + 130s; now += 100ms) granted += budget.reserve(0.1, now);
    CHECK(granted >= 19);
    CHECK(granted <= 21);
    CHECK(budget.level(now + 1h) <= 1);
    budget.deposit(false, now);
    CHECK(budget.reserve(0.1, now));
    CHECK(budget.reserve(0.1, now)); // something succeeds: no spacing
}

TEST_CASE("a reload keeps the balance and cuts it to the new burst") {
    work_budget budget({.extra_work = 0.2, .burst = 10, .min_per_second = 0});
    REQUIRE(budget.reserve(4, start));
    budget.configure({.extra_work = 0.2, .burst = 20, .min_per_second = 0});
    CHECK(budget.level(start) == 6);
    budget.configure({.extra_work = 0.2, .burst = 2, .min_per_second = 0});
    CHECK(budget.level(start) == 2);
}

TEST_CASE("P4.1: extra work never exceeds burst + deposits + trickle, over 10^5 random traces") {
    for (std::uint64_t seed = 1; seed <= 100000; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto uniform = [&](double upto) { return std::uniform_real_distribution<double>(0, upto)(random); };
        const budget_options options{.extra_work = uniform(1), .burst = uniform(20), .min_per_second = uniform(2)};
        work_budget budget(options);
        steady_time now = start;
        double granted = 0, deposited = 0;
        for (int i = 0; i < 40; ++i) {
            now += std::chrono::milliseconds(random() % 2000);
            switch (random() % 4) {
            case 0:
                budget.deposit(false, now);
                deposited += options.extra_work;
                break;
            case 1: budget.learn(std::chrono::milliseconds(random() % 5000), now); break;
            default: {
                const double cost = budget.cost(std::chrono::milliseconds(random() % 9000), random() % 5 == 0, now);
                REQUIRE(cost >= 0.1);
                REQUIRE(cost <= 1);
                if (!budget.reserve(cost, now)) break;
                granted += cost;
                if (random() % 6 == 0) {
                    budget.refund(cost, now);
                    granted -= cost;
                }
            }
            }
            const double seconds = std::chrono::duration<double>(now - start).count();
            REQUIRE(granted <= options.burst + deposited + options.min_per_second * seconds + 1e-6);
        }
    }
}

TEST_CASE("P4.2: a success replaced by a failure never allows more later") {
    for (std::uint64_t seed = 1; seed <= 5000; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        work_budget with({.extra_work = 0.2, .burst = 2, .min_per_second = 0}), without({.extra_work = 0.2, .burst = 2, .min_per_second = 0});
        const int dropped = static_cast<int>(random() % 50);
        int more = 0, fewer = 0;
        steady_time now = start;
        for (int i = 0; i < 50; ++i) {
            now += 100ms;
            if (random() % 2) {
                with.deposit(false, now);
                if (i != dropped) without.deposit(false, now);
            } else {
                more += with.reserve(0.5, now);
                fewer += without.reserve(0.5, now);
            }
            REQUIRE(fewer <= more);
        }
    }
}

TEST_CASE("P4.1 with threads: four at once take no more than there is") {
    work_budget budget({.extra_work = 0.5, .burst = 50, .min_per_second = 0});
    std::atomic<int> granted{0}, deposits{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 5000; ++i) {
                const steady_time now = start + std::chrono::microseconds(i);
                if (budget.reserve(1, now)) ++granted;
                if (t == 0 && i % 50 == 0) {
                    budget.deposit(false, now);
                    ++deposits;
                }
                static_cast<void>(budget.cost(1s, false, now));
                budget.learn(1s, now);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(granted <= 50 + deposits * 0.5);
    CHECK(granted >= 50);
}

TEST_CASE("the median is within 5 % of the truth and forgets after two windows") {
    median_estimate median;
    CHECK_FALSE(median.value(start));
    std::mt19937_64 random(7);
    std::lognormal_distribution<double> seconds(std::log(3.2), 0.4);
    for (int i = 0; i < 20000; ++i) median.add(duration(static_cast<std::int64_t>(seconds(random) * 1e9)), start + std::chrono::milliseconds(i));
    CHECK(std::chrono::duration<double>(*median.value(start + 20s)).count() == doctest::Approx(3.2).epsilon(0.06));
    CHECK_FALSE(median.value(start + 20s + 2 * median_estimate::window));
}

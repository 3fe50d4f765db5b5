#include "policies/work_budget.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace evenkeel::test::work_budget_test {

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

TEST_CASE("a hedge reserves 1 and leaves half of the burst to retries; what its loser did not use comes back") {
    work_budget budget({.extra_work = 0.2, .burst = 4, .min_per_second = 0});
    CHECK(budget.reserve_hedge(start));
    CHECK(budget.reserve_hedge(start));
    CHECK_FALSE(budget.reserve_hedge(start)); // 2 of 4 are left
    CHECK(budget.reserve(1, start));
    budget.settle(1, 0.25, start);
    CHECK(budget.level(start) == 1.75);
    budget.settle(1, 3, start); // never more than was reserved
    CHECK(budget.level(start) == 1.75);
}

TEST_CASE("a route that hedges deposits more") {
    work_budget budget({.extra_work = 0.2, .burst = 4, .min_per_second = 0});
    REQUIRE(budget.reserve(1, start));
    budget.deposit(false, start, 0.3);
    CHECK(budget.level(start) == doctest::Approx(3.5));
    budget.deposit(true, start, 0.3);
    CHECK(budget.level(start) == doctest::Approx(3.5));
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
        std::minstd_rand random(static_cast<std::minstd_rand::result_type>(seed));
        const auto uniform = [&](double upto) { return upto * static_cast<double>(random() % 10007) / 10007; };
        const budget_options options{
            .extra_work = uniform(1), .burst = uniform(20), .min_per_second = uniform(2), .on = true};
        const double hedge_extra = seed % 2 == 0 ? uniform(0.5) : 0;
        work_budget budget(options);
        steady_time now = start;
        double granted = 0, deposited = 0, hedged = 0;
        bool holds = true;
        for (int i = 0; i < 40; ++i) {
            now += std::chrono::milliseconds(random() % 2000);
            switch (random() % 6) {
            case 0:
                budget.deposit(false, now, hedge_extra);
                deposited += options.extra_work + hedge_extra;
                break;
            case 1: budget.learn(std::chrono::milliseconds(random() % 5000), now); break;
            case 2:
                if (budget.reserve_hedge(now)) ++hedged, ++granted;
                break;
            case 3: { // a hedge is settled
                if (hedged == 0) break;
                const double cost = budget.cost(std::chrono::milliseconds(random() % 9000), false, now);
                budget.settle(1, cost, now);
                --hedged;
                granted -= 1 - cost;
                break;
            }
            default: {
                const double cost = budget.cost(std::chrono::milliseconds(random() % 9000), random() % 5 == 0, now);
                holds = holds && cost >= 0.1 && cost <= 1;
                if (!budget.reserve(cost, now)) break;
                granted += cost;
                if (random() % 6 == 0) {
                    budget.refund(cost, now);
                    granted -= cost;
                }
            }
            }
            const double seconds = std::chrono::duration<double>(now - start).count();
            holds = holds && granted <= options.burst + deposited + options.min_per_second * seconds + 1e-6;
        }
        CAPTURE(seed);
        REQUIRE(holds);
    }
}

TEST_CASE("P4.1, second part: with no success for 30 s, extra attempts <= burst / 0.1 + t / 5 s, hedges included") {
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const budget_options options{.extra_work = 0.2,
                                     .burst = static_cast<double>(random() % 20),
                                     .min_per_second = 0.05 * static_cast<double>(random() % 20)};
        work_budget budget(options);
        steady_time now = start;
        for (; now < start + 60s; now += std::chrono::milliseconds(random() % 500)) {
            if (random() % 3 == 0) budget.deposit(false, now);
            static_cast<void>(budget.reserve(0.1, now));
        }
        const steady_time since = now + 30s;
        for (; now < since; now += 100ms)
            static_cast<void>(random() % 4 == 0 ? budget.reserve_hedge(now) : budget.reserve(0.1, now));
        int attempts = 0;
        for (; now < since + 300s; now += std::chrono::milliseconds(random() % 300)) {
            attempts += random() % 4 == 0 ? budget.reserve_hedge(now) : budget.reserve(0.1, now);
        }
        CHECK(attempts <= options.burst / 0.1 + 300.0 / 5 + 1);
    }
}

TEST_CASE("P4.2: a success replaced by a failure never allows more later") {
    for (std::uint64_t seed = 1; seed <= 5000; ++seed) {
        std::mt19937_64 random(seed);
        work_budget with({.extra_work = 0.2, .burst = 2, .min_per_second = 0}),
            without({.extra_work = 0.2, .burst = 2, .min_per_second = 0});
        const int dropped = static_cast<int>(random() % 50);
        int more = 0, fewer = 0;
        bool holds = true;
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
            holds = holds && fewer <= more;
        }
        CAPTURE(seed);
        REQUIRE(holds);
    }
}

TEST_CASE("P4.3: where everything is slow and nothing fails, hedging costs at most the deposits and the burst") {
    for (const double elapsed_share : {0.02, 0.3, 1.0, 5.0}) { // of the usual time, when a hedge's loser is stopped
        CAPTURE(elapsed_share);
        constexpr double extra = 0.1, burst = 10;
        constexpr int requests = 5000;
        work_budget budget({.extra_work = extra, .burst = burst, .min_per_second = 0});
        learn(budget, 10s);
        double work = 0;
        int attempts = 0;
        steady_time now = start;
        for (int i = 0; i < requests; ++i, now += 1s) { // each wants one
            ++attempts;
            if (budget.reserve_hedge(now)) {
                ++attempts;
                const double cost = budget.cost(std::chrono::duration_cast<duration>(10s * elapsed_share), false, now);
                budget.settle(1, cost, now);
                work += cost;
            }
            budget.deposit(false, now);
            budget.learn(10s, now);
        }
        CHECK(work <= extra * requests + burst);
        CHECK(attempts <= 2 * requests);
        if (elapsed_share > 1.1) CHECK(attempts <= requests * (1 + extra) + burst);
    }
}

TEST_CASE("P4.4: hedges stop strictly before retries do") {
    for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
        std::mt19937_64 random(seed);
        work_budget budget({.extra_work = 0.2, .burst = 2 + static_cast<double>(random() % 20), .min_per_second = 0});
        bool no_hedge_after = true;
        steady_time now = start;
        for (int i = 0; i < 200; ++i, now += 10ms) {
            if (random() % 5 == 0) budget.deposit(false, now);
            if (random() % 2 == 0) static_cast<void>(budget.reserve_hedge(now));
            if (random() % 2 == 0 && !budget.reserve(1, now))
                no_hedge_after = no_hedge_after && !budget.reserve_hedge(now);
        }
        CAPTURE(seed);
        REQUIRE(no_hedge_after);
    }
}

TEST_CASE("P4.5: of a thousand simultaneous failures no more are retried than the burst pays for") {
    work_budget budget({.extra_work = 0.2, .burst = 10, .min_per_second = 0.2});
    int retried = 0;
    for (int i = 0; i < 1000; ++i) retried += budget.reserve(budget.cost(20s, false, start), start);
    CHECK(retried == 10);
    learn(budget, 4s); // failures that came at once cost a tenth
    for (int i = 0; i < 100; ++i) budget.deposit(false, start);
    retried = 0;
    for (int i = 0; i < 1000; ++i) retried += budget.reserve(budget.cost(1ms, false, start), start);
    CHECK(retried == 100);
}

TEST_CASE("G8: five proxies in a row, all failing, do not multiply: 1 + 5 x extra_work at most, not 3^5") {
    constexpr double extra = 0.2;
    constexpr int layers = 5;
    struct layer {
        work_budget budget{{.extra_work = extra, .burst = 10, .min_per_second = 0.2}};
    };
    std::array<layer, layers> chain;
    int reached = 0;
    steady_time now = start;
    const auto call = [&](const auto& self, std::size_t at) -> void {
        if (at == layers) return static_cast<void>(++reached);
        for (int attempt = 0; attempt < 3; ++attempt) {
            if (attempt > 0 && !chain[at].budget.reserve(1, now)) return;
            self(self, at + 1);
        }
    };
    for (; now < start + 60s; now += 200ms) call(call, 0); // five a second, until the bursts are spent
    reached = 0;
    for (; now < start + 660s; now += 200ms) call(call, 0);
    CHECK(reached / 3000.0 <= 1 + layers * extra);
}

TEST_CASE("P4.1 with threads: four at once take no more than there is") {
    work_budget budget({.extra_work = 0.5, .burst = 50, .min_per_second = 0});
    std::atomic<int> granted{0}, deposits{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 5000; ++i) {
                const steady_time now = start + std::chrono::microseconds(i);
                if (t == 1 ? budget.reserve_hedge(now) : budget.reserve(1, now)) ++granted;
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
    for (int i = 0; i < 20000; ++i)
        median.add(duration(static_cast<std::int64_t>(seconds(random) * 1e9)), start + std::chrono::milliseconds(i));
    CHECK(std::chrono::duration<double>(*median.value(start + 20s)).count() == doctest::Approx(3.2).epsilon(0.06));
    CHECK_FALSE(median.value(start + 20s + 2 * median_estimate::window));
}

TEST_CASE("a budget that is off refuses nothing and takes nothing") {
    work_budget budget({.extra_work = 0.2, .burst = 1, .min_per_second = 0, .on = false});
    for (int i = 0; i < 1000; ++i) CHECK(budget.reserve(1, start));
    budget.refund(1, start);
    CHECK(budget.level(start) == 1);

    budget.configure({.extra_work = 0.2, .burst = 1, .min_per_second = 0, .on = true});
    CHECK(budget.reserve(1, start));
    CHECK_FALSE(budget.reserve(1, start));
}

} // namespace evenkeel::test::work_budget_test

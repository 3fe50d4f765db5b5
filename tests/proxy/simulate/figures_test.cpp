#include "proxy/simulate/figures.hpp"
#include "proxy/simulate/percentile.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace evenkeel::simulate::figures_test {

using namespace model;
using model::verdict;

namespace {
// An arrival every 0.5 s; those in [from, to) fail.
run_result failing(double from, double to, double until = 100) {
    run_result run;
    for (double due = 0; due < until; due += 0.5) {
        const bool fails = due >= from && due < to;
        run.samples.push_back({.due = due,
                               .seconds = fails ? 60.0 : 4.0,
                               .first_token = fails ? 60.0 : 1.0,
                               .attempts = 1,
                               .how = fails ? verdict::error : verdict::success,
                               .stream = true});
    }
    return run;
}
double recovery(const run_result& run) { return figures_of(run, {.disturbed_until = 20.0}).recovery.value(); }
} // namespace

TEST_CASE("percentiles are nearest ranks") {
    CHECK(percentile({}, 0.5) == 0);
    CHECK(percentile({7}, 0.01) == 7);
    CHECK(percentile({7}, 1) == 7);
    CHECK(percentile({3, 1, 2, 4}, 0.5) == 2);
    CHECK(percentile({3, 1, 2, 4}, 0.51) == 3);
    CHECK(percentile({3, 1, 2, 4}, 0) == 1);
    std::vector<double> hundred;
    for (int i = 100; i > 0; --i) hundred.push_back(i);
    CHECK(percentile(hundred, 0.99) == 99);
    CHECK(percentile(hundred, 0.991) == 100);
}

TEST_CASE("figures of a run") {
    run_result run;
    run.samples = {{.seconds = 4, .first_token = 1, .attempts = 1, .how = verdict::success, .stream = true},
                   {.seconds = 15, .first_token = 2, .attempts = 3, .how = verdict::success},
                   {.seconds = 15.001, .first_token = 3, .attempts = 2, .how = verdict::success, .stream = true},
                   {.seconds = 60, .first_token = 60, .attempts = 1, .how = verdict::degraded},
                   {.seconds = 60, .first_token = 60, .attempts = 0, .how = verdict::late}};
    run.refused = 2;
    run.wasted_events = 10;

    const figures found = figures_of(run, {});

    CHECK(found.success == doctest::Approx(0.6));
    CHECK(found.within_15s == doctest::Approx(0.4));
    CHECK(found.degraded == doctest::Approx(0.2));
    CHECK(found.p50 == 15.001);
    CHECK(found.p99 == 60);
    CHECK(found.first_token_p50 == 1);
    CHECK(found.attempts == doctest::Approx(9.0 / 5));
    CHECK(found.wasted_events == doctest::Approx(2));
    CHECK(!found.recovery);
}

TEST_CASE("recovery is the time until arrivals are answered promptly again, and stay so") {
    CHECK(recovery(failing(10, 20)) == 0);
    CHECK(recovery(failing(10, 30)) == 9.5); // one failure of twenty is 95 %
    CHECK(std::isinf(recovery(failing(10, 100))));
    // A relapse: prompt from 30 s to 60 s, then half of the rest fails.
    run_result relapse = failing(10, 30);
    for (sample& each : relapse.samples) {
        if (each.due >= 60 && each.due < 80) each.how = verdict::error;
    }
    CHECK(recovery(relapse) == doctest::Approx(59).epsilon(0.02));
    CHECK(std::isinf(recovery(failing(10, 20, 25)))); // too short a run to tell
}

TEST_CASE("the median of seeds is taken figure by figure") {
    const auto seed = [](double success, double p99, std::optional<double> recovery) {
        figures one;
        one.success = success;
        one.p99 = p99;
        one.recovery = recovery;
        return one;
    };
    const figures of_three = median_of({seed(0.9, 30, 5), seed(0.7, 10, INFINITY), seed(0.8, 20, 7)});
    CHECK(of_three.success == 0.8);
    CHECK(of_three.p99 == 20);
    CHECK(of_three.recovery == 7);
    CHECK(median_of({seed(0.9, 30, {}), seed(0.7, 10, {})}).success == doctest::Approx(0.8));
    CHECK(!median_of({seed(0.9, 30, {})}).recovery);
    CHECK(median_of({}).success == 0);
}

} // namespace evenkeel::simulate::figures_test

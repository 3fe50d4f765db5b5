#include "policies/median.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace evenkeel::test::median_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
void add(median_estimate& to, duration sample, steady_time now, int times = 1) {
    for (int i = 0; i < times; ++i) to.add(sample, now);
}
bool about(const std::optional<duration>& value, duration expected) {
    return value && std::abs(std::log(in_seconds(*value) / in_seconds(expected))) <= std::log(1.05);
}
} // namespace

TEST_CASE("nothing is said of fewer than ten samples") {
    median_estimate median;
    CHECK_FALSE(median.value(start));
    add(median, 2s, start, 9);
    CHECK_FALSE(median.value(start));
    add(median, 2s, start);
    CHECK(about(median.value(start), 2s));
}

TEST_CASE("what was seen counts for one window and the next, and not an instant longer") {
    const auto full = [] {
        median_estimate median;
        add(median, 2s, start, 100);
        return median;
    };
    auto median = full();
    CHECK(about(median.value(start + 5min), 2s));
    CHECK(about(median.value(start + 10min - 1ns), 2s)); // the window began when it was asked
    CHECK_FALSE(full().value(start + 10min));            // nobody came for two
    auto next = full();
    add(next, 8s, start + 5min, 99);
    CHECK(about(next.value(start + 5min), 2s));
    add(next, 8s, start + 5min, 100);
    CHECK(about(next.value(start + 5min), 8s));
    add(next, 4s, start + 10min, 20);
    CHECK(about(next.value(start + 10min), 8s)); // the 2 s are gone, the 8 s are there still
    add(next, 4s, start + 15min, 20);
    CHECK(about(next.value(start + 15min), 4s));
}

TEST_CASE("a few new samples do not make it count anew, sixteen do") {
    median_estimate median;
    add(median, 1s, start, 10);
    CHECK(about(median.value(start), 1s));
    add(median, 9s, start, 15);
    CHECK(about(median.value(start), 1s));
    add(median, 9s, start);
    CHECK(about(median.value(start), 9s));
}

TEST_CASE("what is shorter than 1 ms or longer than all buckets is counted at their ends") {
    median_estimate median;
    add(median, 0s, start, 10);
    CHECK(about(median.value(start), 1044us)); // 2^(1/16) ms
    median_estimate longest;
    add(longest, 100h, start, 10);
    CHECK(in_seconds(*longest.value(start)) == doctest::Approx(4.6 * 3600).epsilon(0.05));
}

TEST_CASE("of any samples it is within 5 % of the median of the sorted ones") {
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        std::lognormal_distribution<double> draw(static_cast<double>(seed % 7) - 3,
                                                 0.2 * static_cast<double>(seed % 9));
        median_estimate median;
        std::vector<duration> all(10 + random() % 500);
        for (duration& one : all) {
            one = std::max<duration>(duration{static_cast<duration::rep>(1e9 * draw(random))}, 2ms);
            median.add(one, start);
        }
        std::sort(all.begin(), all.end());
        REQUIRE(about(median.value(start), all[(all.size() - 1) / 2]));
    }
}

} // namespace evenkeel::test::median_test

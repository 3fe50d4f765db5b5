#include "policies/latency_buckets.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <random>
#include <utility>

namespace evenkeel::test::latency_buckets_test {

using namespace std::chrono_literals;

TEST_CASE("the middle of its bucket is within 1 % of whatever takes from 1 ms to 21 minutes") {
    std::mt19937_64 random(2);
    std::uniform_real_distribution<double> exponent(0, std::log(1.25e6)); // of milliseconds
    for (int i = 0; i < 100000; ++i) {
        const duration took{static_cast<duration::rep>(1e6 * std::exp(exponent(random)))};
        const std::size_t bucket = latency_buckets::of(took);
        REQUIRE(bucket < latency_buckets::count - 1);
        const double off = in_seconds(latency_buckets::middle(bucket)) / in_seconds(took) - 1;
        REQUIRE(std::abs(off) <= latency_buckets::accuracy + 1e-6);
    }
}

TEST_CASE("buckets ascend, an edge belongs to the bucket it ends, and both ends take what lies beyond them") {
    CHECK(latency_buckets::of(0s) == 0);
    CHECK(latency_buckets::of(1ms) == 0);
    CHECK(latency_buckets::of(1ms + 1ns) == 1);
    CHECK(latency_buckets::middle(0) == 1ms);
    CHECK(latency_buckets::of(100ms) == 231); // the worked example
    CHECK(latency_buckets::of(duration::max()) == latency_buckets::count - 1);
    CHECK(latency_buckets::of(-1s) == 0);
    duration last{};
    for (std::size_t bucket = 0; bucket < latency_buckets::count; ++bucket) {
        REQUIRE(latency_buckets::middle(bucket) > last);
        last = latency_buckets::middle(bucket);
        REQUIRE(latency_buckets::of(last) == bucket);
    }
}

TEST_CASE("a sample in two bytes is what it was, and its counts are found again") {
    CHECK(latency_code(100ms, latency_sample::answered).chunk() == 3);
    CHECK(latency_code(100ms, latency_sample::answered).place() == 39);
    CHECK(latency_code(100ms, latency_sample::abandoned).kind() == 2);

    bucket_counts<std::uint16_t> counts;
    std::map<std::pair<std::size_t, std::size_t>, int> plain; // chunk and place
    std::mt19937_64 random(4);
    for (int i = 0; i < 5000; ++i) {
        const latency_code code(random() % latency_buckets::count, static_cast<latency_sample>(random() % 3));
        ++counts.at(code);
        ++plain[{code.chunk(), code.place()}];
    }
    std::size_t seen = 0;
    counts.each([&](latency_code code, std::uint16_t n) {
        ++seen;
        REQUIRE(plain.at({code.chunk(), code.place()}) == n);
    });
    CHECK(seen == plain.size());
    counts.clear();
    counts.each([&](latency_code, std::uint16_t) { FAIL("nothing is left"); });
    CHECK(counts.at(0) != nullptr); // the memory is kept
    CHECK(bucket_counts<std::uint16_t>().at(0) == nullptr);
}

} // namespace evenkeel::test::latency_buckets_test

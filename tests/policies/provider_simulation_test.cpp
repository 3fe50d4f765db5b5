// What the policies are worth together, on a provider of limited capacity. What is compared with "no policy" meets the
// same luck, seed by seed. Every property here is lost by an obvious variant, and the test shows it.

#include "provider_simulation.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace evenkeel::test::provider_simulation_test {

using namespace evenkeel::testing;

namespace {
const provider_model brown_out{.name = "brown-out",
                               .capacity = 26,
                               .alpha = 0.5,
                               .refuses_from = 110,
                               .errors = 0.1,
                               .speed = 2,
                               .trouble = {80, 180}};
const provider_model collapse{
    .name = "collapse", .capacity = 18, .alpha = 0.8, .refuses_from = 80, .hangs = true, .trouble = {80, 100}};
const provider_model outage{
    .name = "outage", .capacity = 18, .alpha = 0.8, .refuses_from = 80, .resets = true, .trouble = {80, 125}};
const client_rules direct{.retries = false};

struct compared { // with no policy, over seeds 1 to n
    int worse = 0;
    double worst = 0, gain = 0, slowest_recovery = 0; // success; seconds
};
compared compare(const provider_model& provider, const client_rules& rules, std::uint64_t seeds) {
    compared out;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const simulated without = play_out(provider, direct, seed), with = play_out(provider, rules, seed);
        const double lost = without.success - with.success;
        out.worse += lost > 0.005;
        out.worst = std::max(out.worst, lost);
        out.gain -= lost / static_cast<double>(seeds);
        out.slowest_recovery = std::max(out.slowest_recovery, with.recovery);
    }
    return out;
}
} // namespace

TEST_CASE("brown-out and collapse: no run ends below no policy, and each recovers within 25 s") {
    for (const provider_model& provider : {brown_out, collapse}) {
        for (const int endpoints : {1, 2}) {
            CAPTURE(provider.name);
            CAPTURE(endpoints);
            const compared ours = compare(provider, {.endpoints = endpoints, .breaker = true, .room = true}, 20);
            CHECK(ours.worse == 0);
            CHECK(ours.gain > 0.008);
            CHECK(ours.slowest_recovery < 25);
        }
    }
}

TEST_CASE("... which retrying as errors come does not achieve, nor going through after a wait of 5 s") {
    CHECK(compare(brown_out, {.endpoints = 2}, 12).worst > 0.05);
    CHECK(compare(collapse, {.endpoints = 2}, 3).worst > 0.3);
    CHECK(compare(brown_out, {.endpoints = 2, .room = true, .through = 5}, 20).worst > 0.05);
}

TEST_CASE("an outage that requests are held through ends above no policy, without a stampede") {
    for (const int endpoints : {1, 2}) {
        CAPTURE(endpoints);
        const compared ours = compare(outage, {.endpoints = endpoints, .breaker = true, .room = true}, 12);
        CHECK(ours.worse == 0);
        CHECK(ours.gain > 0.015);
        CHECK(ours.slowest_recovery < 25);
    }
    // Released at once, and with recovery times that double.
    CHECK(compare(outage, {.endpoints = 2, .breaker = true, .room = true, .paced = false}, 12).slowest_recovery > 25);
    const client_rules doubling{.endpoints = 2, .breaker = true, .room = true, .circuit = {.failure_ratio = 0.5}};
    CHECK(compare(outage, doubling, 6).worst > 0.03);
}

TEST_CASE(
    "a provider that fails often is worth more than a closed door: the breaker costs nothing at 60 and 80 % errors") {
    for (const double errors : {0.3, 0.6, 0.8}) {
        for (const int endpoints : {1, 2}) {
            CAPTURE(errors);
            CAPTURE(endpoints);
            const provider_model provider{.errors = errors, .trouble = {0, 1e6}};
            double with = 0, without = 0;
            for (std::uint64_t seed = 1; seed <= 6; ++seed) {
                with += play_out(provider, {.endpoints = endpoints, .breaker = true, .room = true}, seed).success / 6;
                without += play_out(provider, {.endpoints = endpoints, .room = true}, seed).success / 6;
            }
            CHECK(with > without - 0.01);
        }
    }
    // Judged as if there were a way out, both doors close.
    const client_rules eager{
        .endpoints = 2, .breaker = true, .room = true, .circuit = {.failure_ratio = 0.5, .min_calls = 3}};
    CHECK(play_out({.errors = 0.6, .trouble = {0, 1e6}}, eager, 1).success < 0.6);
}

TEST_CASE("a healthy provider with a tail of slow answers, or one that becomes slower, is never overloaded") {
    for (const double share : {0.05, 0.2}) {
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            CAPTURE(share);
            CAPTURE(seed);
            // Timeouts that were learned: three times a P95 that lies in the tail.
            const client_rules rules{
                .endpoints = 2, .breaker = true, .room = true, .first_token_timeout = 24, .answer_timeout = 144};
            const simulated got = play_out({.slow = share, .slower = 10}, rules, seed);
            CHECK(got.overloads == 0);
            CHECK(got.trips == 0);
        }
    }
    const compared slow =
        compare({.speed = 3, .trouble = {100, 1e6}}, {.endpoints = 2, .breaker = true, .room = true}, 5);
    CHECK(slow.worst < 0.005);
}

} // namespace evenkeel::test::provider_simulation_test

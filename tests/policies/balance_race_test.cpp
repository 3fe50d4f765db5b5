#include "policies/balance.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <queue>
#include <random>
#include <set>
#include <string_view>

namespace evenkeel::test::balance_race_test {

using namespace std::chrono_literals;

namespace {
constexpr std::uint32_t endpoints = 4;
constexpr int requests = 40'000;
constexpr double rate = 4000; // per second
constexpr duration late = 5ms;

enum class choice { round_robin, two, four, all };

// Which of the endpoints are compared. The balance puts those it is given in order, so that fewer choices are the same
// estimate over fewer of them; four are drawn one by one, each from all.
std::vector<std::uint32_t> drawn(choice how, std::mt19937_64& random) {
    std::set<std::uint32_t> some;
    if (how == choice::two)
        while (some.size() < 2) some.insert(static_cast<std::uint32_t>(random() % endpoints));
    else if (how == choice::four)
        for (int i = 0; i < 4; ++i) some.insert(static_cast<std::uint32_t>(random() % endpoints));
    else
        for (std::uint32_t at = 0; at < endpoints; ++at) some.insert(at);
    return {some.begin(), some.end()};
}

struct ending {
    steady_time when;
    std::uint32_t at;
    duration took;
    bool operator>(const ending& other) const { return when > other.when; }
};

// The 99th percentile of 40,000 requests that come at 4,000 a second, over four endpoints that answer in about 0.3 ms
// and of which the first `slow` take 5 ms longer (brpc, issue 3340). When requests come and what luck each has is the
// same whoever chooses.
double p99(choice how, std::uint32_t slow, std::uint64_t seed) {
    std::mt19937_64 luck(seed), random(seed + 1);
    std::exponential_distribution<double> gap(rate);
    std::lognormal_distribution<double> service(std::log(0.3e-3), 0.3);
    std::uniform_real_distribution<double> u(0, 1);
    const auto kind = how == choice::round_robin ? balance_kind::round_robin : balance_kind::least_latency;
    balancer balance(std::make_shared<balance_memory>(),
                     {.kind = balance_kind::failover, .upstreams = {{"u", 1, kind, {"a", "b", "c", "d"}}}});
    std::priority_queue<ending, std::vector<ending>, std::greater<>> under_way;
    std::vector<double> took;
    steady_time now{1000s};
    for (int i = 0; i < requests; ++i) {
        now += std::chrono::duration_cast<duration>(std::chrono::duration<double>(gap(luck)));
        const auto length = std::chrono::duration_cast<duration>(std::chrono::duration<double>(service(luck)));
        for (; !under_way.empty() && under_way.top().when <= now; under_way.pop()) {
            const ending& one = under_way.top();
            balance.ended(one.at, balancer::ending::answered, one.took, one.when);
        }
        std::vector<std::uint32_t> order = drawn(how, random);
        balance.order(order, u(random), u(random), now);
        const std::uint32_t at = order.front();
        const duration whole = length + (at < slow ? late : duration::zero());
        balance.started(at);
        under_way.push({now + whole, at, whole});
        took.push_back(std::chrono::duration<double, std::milli>(whole).count());
    }
    const auto place = took.begin() + requests * 99 / 100;
    std::nth_element(took.begin(), place, took.end());
    return *place;
}
} // namespace

TEST_CASE("comparing all of four is within 5 % of the best way to choose, be one of them slow or two") {
    for (const std::uint32_t slow : {1U, 2U}) {
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            CAPTURE(slow);
            CAPTURE(seed);
            const double round_robin = p99(choice::round_robin, slow, seed), two = p99(choice::two, slow, seed),
                         four = p99(choice::four, slow, seed), all = p99(choice::all, slow, seed);
            const double best = std::min({round_robin, two, four, all});
            CHECK(all <= 1.05 * best);
            if (seed > 1) continue;
            MESSAGE(slow, " of 4 slow, p99 in ms: round robin ", round_robin, ", two choices ", two, ", four ", four,
                    ", all ", all);
            CHECK(round_robin > 5); // so there is something to choose
            if (slow == 2) CHECK(two > 5);
        }
    }
}

} // namespace evenkeel::test::balance_race_test

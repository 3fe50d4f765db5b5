#include "policies/balance.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>

namespace evenkeel::test::balance_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};

std::vector<std::uint32_t> ask(balancer& balance, std::size_t n, double u1 = 0.5, double u2 = 0.5,
                               steady_time now = start) {
    std::vector<std::uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0U);
    balance.order(order, u1, u2, now);
    auto sorted = order;
    std::sort(sorted.begin(), sorted.end());
    for (std::uint32_t i = 0; i < n; ++i) REQUIRE(sorted[i] == i); // each once
    return order;
}
} // namespace

TEST_CASE("failover keeps the order of preference") {
    balancer balance(balance_kind::failover, {1, 1, 1});
    balance.started(0, start);
    balance.ended(0, balancer::ending::failed, 1s, start);
    CHECK(ask(balance, 3) == std::vector<std::uint32_t>{0, 1, 2});
}

TEST_CASE("weighted 5, 1, 1 is spread as nginx spreads it") {
    balancer balance(balance_kind::weighted, {5, 1, 1});
    std::string said;
    for (int i = 0; i < 7; ++i) said += static_cast<char>('a' + ask(balance, 3)[0]);
    CHECK(said == "aabacaa");
}

TEST_CASE("round robin goes round, and who may not be asked leaves equal shares to the others") {
    balancer balance(balance_kind::round_robin, {5, 1, 1, 1});
    std::mt19937_64 random(3);
    std::uniform_real_distribution<double> u(0, 1);
    std::vector<int> first(4), without_0(4);
    for (int i = 0; i < 4000; ++i) {
        const auto order = ask(balance, 4, u(random), u(random));
        ++first[order[0]];
        ++without_0[order[0] == 0 ? order[1] : order[0]];
    }
    for (const int n : first) CHECK(n == 1000);
    for (std::size_t i = 1; i < 4; ++i) CHECK(without_0[i] == doctest::Approx(4000.0 / 3).epsilon(0.05));
}

TEST_CASE("a request that may ask some of the endpoints only gets those, in the same shares") {
    balancer balance(balance_kind::round_robin, {1, 1, 1});
    std::vector<int> first(3);
    for (int i = 0; i < 100; ++i) {
        std::vector<std::uint32_t> some{0, 2};
        balance.order(some, 0.5, 0.5, start);
        ++first[some[0]];
    }
    CHECK(first == std::vector<int>{50, 0, 50});
}

namespace {
// Least latency over some endpoints, of which each answers in its own time.
struct latency_bench {
    explicit latency_bench(std::vector<double> weights)
        : size(weights.size()), balance(balance_kind::least_latency, std::move(weights)) {}
    std::size_t size;
    balancer balance;
    steady_time now = start;

    void end(std::uint32_t at, balancer::ending how, duration took) {
        balance.started(at, now);
        balance.ended(at, how, took, now);
    }
    void answers(std::uint32_t at, duration took, int times = 1) {
        for (int i = 0; i < times; ++i) end(at, balancer::ending::answered, took);
    }
    // Which one is asked first if these two are drawn: u1 and u2 name a place among all, and among the others.
    std::uint32_t of_two(std::uint32_t a, std::uint32_t b) {
        const auto place = [](std::uint32_t of, std::size_t among) {
            return (static_cast<double>(of) + 0.5) / static_cast<double>(among);
        };
        // After the first draw a and the one in front have changed places.
        const std::uint32_t other = (b == 0 ? a : b) - 1;
        return ask(balance, size, place(a, size), place(other, size - 1), now)[0];
    }
    double share(std::uint32_t of, int requests = 4000) {
        std::mt19937_64 random(7);
        std::uniform_real_distribution<double> u(0, 1);
        int mine = 0;
        for (int i = 0; i < requests; ++i) mine += ask(balance, size, u(random), u(random), now)[0] == of;
        return mine / static_cast<double>(requests);
    }
};
} // namespace

TEST_CASE("of two drawn the quicker is asked first, and of those behind it the quickest") {
    latency_bench bench({1, 1, 1, 1});
    for (std::uint32_t at = 0; at < 4; ++at) bench.answers(at, 100ms * (4 - at), 20);
    for (std::uint32_t a = 0; a < 4; ++a) {
        for (std::uint32_t b = 0; b < 4; ++b) {
            if (a != b) CHECK(bench.of_two(a, b) == std::max(a, b));
        }
    }
    const auto order = ask(bench.balance, 4, 0, 0, bench.now); // 0 and 1 are drawn
    CHECK(order == std::vector<std::uint32_t>{1, 3, 2, 0});
}

TEST_CASE("the quickest of four is not everybody's choice at the same time: half of the draws have it") {
    latency_bench bench({1, 1, 1, 1});
    for (std::uint32_t at = 0; at < 4; ++at) bench.answers(at, at == 2 ? 50ms : 100ms, 20);
    CHECK(bench.share(2) == doctest::Approx(0.5).epsilon(0.05));
}

TEST_CASE(
    "attempts in flight and weights count: twice the work under way is twice the latency, twice the weight half") {
    latency_bench bench({1, 1});
    bench.answers(0, 100ms, 20);
    bench.answers(1, 150ms, 20);
    CHECK(bench.of_two(0, 1) == 0);
    bench.balance.started(0, bench.now);
    CHECK(bench.of_two(0, 1) == 1);
    bench.balance.left(0, bench.now); // without a word
    CHECK(bench.of_two(0, 1) == 0);
    bench.balance.configure(balance_kind::least_latency, {1, 2}); // what is known stays
    CHECK(bench.of_two(0, 1) == 1);
}

TEST_CASE("a slow answer counts at once and has faded within seconds; the usual latency moves slowly") {
    latency_bench bench({1, 1});
    bench.answers(0, 100ms, 20);
    bench.answers(1, 200ms, 20);
    bench.answers(0, 2s);
    CHECK(bench.of_two(0, 1) == 1);
    bench.now += 60s;               // six times the decay
    CHECK(bench.of_two(0, 1) == 1); // a tenth of the 2 s has become usual
    bench.answers(0, 100ms, 40);
    CHECK(bench.of_two(0, 1) == 0);
}

TEST_CASE("an endpoint that fails fast attracts nobody, and the longer the more of them in a row") {
    latency_bench bench({1, 1});
    bench.answers(0, 100ms, 20);
    bench.answers(1, 5s, 20);
    bench.end(0, balancer::ending::failed, 1ms);
    CHECK(bench.of_two(0, 1) == 1);
    // 20 s fade below 5 s in ln 4 times the decay.
    bench.now += 13s;
    CHECK(bench.of_two(0, 1) == 1);
    bench.now += 2s;
    CHECK(bench.of_two(0, 1) == 0);

    for (int i = 0; i < 20; ++i) bench.end(0, balancer::ending::failed, 1ms);
    bench.now += 15s;
    CHECK(bench.of_two(0, 1) == 1);
    bench.now += 45s; // 2^6 charges at most: about a minute
    CHECK(bench.of_two(0, 1) == 0);
    bench.answers(0, 100ms); // an answer ends the row
    bench.end(0, balancer::ending::failed, 1ms);
    bench.now += 20s;
    CHECK(bench.of_two(0, 1) == 0);
}

TEST_CASE("a loser or a timeout is a lower bound: it raises the estimate and never lowers it") {
    latency_bench bench({1, 1});
    bench.answers(0, 1s, 20);
    bench.answers(1, 1100ms, 20);
    bench.end(1, balancer::ending::cut_off, 10ms);
    CHECK(bench.of_two(0, 1) == 0);
    bench.end(0, balancer::ending::cut_off, 3s);
    CHECK(bench.of_two(0, 1) == 1);
}

TEST_CASE("an endpoint that nobody asks is tried again: what is not renewed fades by half in five minutes") {
    latency_bench bench({1, 1});
    bench.answers(0, 1s, 40);
    bench.answers(1, 3s, 40);
    for (int minute = 0; minute < 12; ++minute) {
        bench.now += 1min;
        bench.answers(0, 1s, 5); // all of the traffic
    }
    CHECK(bench.of_two(0, 1) == 1);
}

TEST_CASE("a changed number of endpoints begins anew, and numbers of another configuration are left as they are") {
    latency_bench bench({1, 1});
    bench.answers(0, 1s, 20);
    bench.balance.configure(balance_kind::least_latency, {1, 1, 1});
    bench.size = 3;
    CHECK(bench.of_two(0, 2) == 0); // equals: the first drawn
    std::vector<std::uint32_t> of_another{4, 5, 6};
    bench.balance.order(of_another, 0, 0, bench.now);
    CHECK(of_another == std::vector<std::uint32_t>{4, 5, 6});
    bench.balance.started(9, bench.now);
    bench.balance.ended(9, balancer::ending::failed, 1s, bench.now);
    bench.balance.left(9, bench.now);
}

TEST_CASE("whatever is told in whatever order, each endpoint is in the order once and one that always fails gets less "
          "than its share") {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        std::uniform_real_distribution<double> u(0, 1);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        const auto n = static_cast<std::size_t>(2 + below(5));
        latency_bench bench(std::vector<double>(n, 1));
        std::vector<int> first(n);
        for (int i = 0; i < 1000; ++i) {
            bench.now += std::chrono::milliseconds(below(50));
            const std::uint32_t at = ask(bench.balance, n, u(random), u(random), bench.now)[0];
            ++first[at];
            bench.balance.started(at, bench.now);
            if (below(20) == 0) {
                bench.balance.left(at, bench.now);
            } else if (at == 0) {
                bench.balance.ended(at, balancer::ending::failed, 1ms, bench.now);
            } else {
                bench.balance.ended(at, below(9) == 0 ? balancer::ending::cut_off : balancer::ending::answered,
                                    std::chrono::milliseconds(50 + below(400)), bench.now);
            }
        }
        REQUIRE(first[0] < 1000 / static_cast<int>(n) / 2);
    }
}

} // namespace evenkeel::test::balance_test

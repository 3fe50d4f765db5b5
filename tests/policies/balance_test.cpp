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

} // namespace evenkeel::test::balance_test

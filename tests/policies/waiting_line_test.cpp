#include "policies/waiting_line.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace evenkeel::test::waiting_line_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
}

TEST_CASE("whose time is over first stands in front, of two with the same deadline the one who came first; who comes "
          "now stands behind all") {
    waiting_line line;
    const auto late = *line.join(start + 9s, 10), soon = *line.join(start + 3s, 10), too = *line.join(start + 3s, 10);
    CHECK(line.ahead_of(soon) == 0);
    CHECK(line.ahead_of(too) == 1);
    CHECK(line.ahead_of(late) == 2);
    CHECK(line.ahead_of(std::nullopt) == 3);
    line.leave(soon);
    CHECK(line.ahead_of(too) == 0);
    CHECK(line.ahead_of(late) == 1);
}

TEST_CASE("who leaves because an endpoint let it and comes back is not behind those who came later") {
    waiting_line line;
    const auto first = *line.join(start + 5s, 10);
    const auto second = *line.join(start + 8s, 10);
    line.leave(first);
    const auto back = *line.join(start + 5s, 10);
    CHECK(line.ahead_of(back) == 0);
    CHECK(line.ahead_of(second) == 1);
}

TEST_CASE("a full line takes nobody, until one leaves; a ticket that has left changes nothing when it leaves again") {
    waiting_line line;
    const auto one = *line.join(start + 1s, 2);
    REQUIRE(line.join(start + 2s, 2));
    CHECK_FALSE(line.join(start, 2));
    line.leave(one);
    line.leave(one);
    CHECK(line.size() == 1);
    CHECK(line.join(start + 3s, 2));
    CHECK_FALSE(waiting_line().join(start, 0)); // nobody is to wait
}

TEST_CASE("random comings and goings: everybody stands where a list sorted by deadline and arrival has them") {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        waiting_line line;
        std::vector<waiting_line::ticket> plain; // as they came
        for (int step = 0; step < 200; ++step) {
            if (plain.empty() || below(5) < 3) {
                const auto got = line.join(start + std::chrono::seconds(below(8)), 30);
                REQUIRE(got.has_value() == (plain.size() < 30));
                if (got) plain.push_back(*got);
            } else {
                const auto gone = plain.begin() + below(static_cast<int>(plain.size()));
                line.leave(*gone);
                plain.erase(gone);
            }
            REQUIRE(line.size() == plain.size());
            auto sorted = plain;
            std::stable_sort(sorted.begin(), sorted.end(),
                             [](const auto& a, const auto& b) { return a.deadline < b.deadline; });
            for (std::size_t place = 0; place < sorted.size(); ++place) REQUIRE(line.ahead_of(sorted[place]) == place);
        }
    }
}

} // namespace evenkeel::test::waiting_line_test

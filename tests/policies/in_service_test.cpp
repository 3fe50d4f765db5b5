#include "policies/in_service.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>

namespace evenkeel::test::in_service_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
}

TEST_CASE("an attempt is old once it has been under way for longer than the age, not at it") {
    in_service attempts;
    const auto one = attempts.enter(start);
    CHECK(attempts.older_than(2s, start + 2s) == 0);
    CHECK(attempts.older_than(2s, start + 2s + 1ns) == 1);
    CHECK(attempts.leave(one) == start);
    CHECK(attempts.count() == 0);
    CHECK(attempts.older_than(0s, start + 1h) == 0);
}

TEST_CASE("they leave in any order: the first, the last, one in the middle") {
    in_service attempts;
    const auto a = attempts.enter(start), b = attempts.enter(start + 1s), c = attempts.enter(start + 2s);
    CHECK(attempts.leave(b) == start + 1s);
    CHECK(attempts.older_than(0s, start + 3s) == 2);
    CHECK(attempts.leave(c) == start + 2s);
    const auto d = attempts.enter(start + 4s); // in the place of one that left
    CHECK(d <= c);
    CHECK(attempts.leave(a) == start);
    CHECK(attempts.older_than(1s, start + 5s + 1ns) == 1);
    CHECK(attempts.leave(d) == start + 4s);
}

TEST_CASE("random comings and goings: as many, as old and as long there as a plain list says, in places used again") {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        in_service attempts;
        std::map<std::uint32_t, steady_time> plain;
        std::size_t most = 0;
        steady_time now = start;
        for (int step = 0; step < 500; ++step) {
            now += std::chrono::milliseconds(below(1000));
            if (plain.empty() || below(2)) {
                const auto number = attempts.enter(now);
                REQUIRE(plain.emplace(number, now).second); // nobody has it
                most = std::max(most, plain.size());
                REQUIRE(number < most); // it grows to the largest number there ever was
            } else {
                const auto gone = std::next(plain.begin(), below(static_cast<int>(plain.size())));
                REQUIRE(attempts.leave(gone->first) == gone->second);
                plain.erase(gone);
            }
            REQUIRE(attempts.count() == static_cast<int>(plain.size()));
            const duration age = std::chrono::milliseconds(below(20000));
            REQUIRE(attempts.older_than(age, now) ==
                    std::count_if(plain.begin(), plain.end(), [&](const auto& one) { return now - one.second > age; }));
        }
    }
}

} // namespace evenkeel::test::in_service_test

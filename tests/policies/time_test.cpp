#include "policies/time.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::time_test {

using namespace std::chrono_literals;

TEST_CASE("a scaled length keeps its nanoseconds, and stays within what a duration can be") {
    CHECK(scaled(3s, 0.5) == 1500ms);
    CHECK(scaled(1s, 1.0000000019) == 1s + 1ns);
    CHECK(scaled(-3s, 0.5) == -1500ms);
    CHECK(scaled(1s, 1e300) == duration::max());
    CHECK(scaled(duration::max(), 1) == duration::max());
    CHECK(scaled(duration::max(), 0.25) > duration::max() / 5);
    CHECK(scaled(1s, -1e300) == duration::min());
}

} // namespace evenkeel::test::time_test

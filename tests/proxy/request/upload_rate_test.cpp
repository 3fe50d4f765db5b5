#include "proxy/message/upload_rate.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::upload_rate_test {

using namespace std::chrono_literals;
using request::upload_rate;

TEST_CASE("an upload that keeps the rate is never too slow, one just below it is at the end of a window") {
    upload_rate enough(1000), less(1000);
    for (int second = 1; second <= 100; ++second) {
        CAPTURE(second);
        CHECK(enough.note(1000, 1s));
        if (second <= 20) CHECK(less.note(999, 1s) == (second != 20));
    }
}

TEST_CASE("a small body may take its time at first") {
    upload_rate rate(1024);
    for (int second = 1; second < 20; ++second) CHECK(rate.note(1, 1s));
    CHECK_FALSE(rate.note(1, 1s));
}

TEST_CASE("time that was not spent waiting does not count, and a burst pays for a pause in its own window only") {
    upload_rate rate(1024);
    for (int piece = 0; piece < 1000; ++piece) CHECK(rate.note(1, 0s)); // hours may have passed
    CHECK(rate.note(1'000'000, 19999ms));
    CHECK(rate.note(0, 1ms)); // the first window ends, well paid
    CHECK(rate.note(0, 9999ms));
    CHECK_FALSE(rate.note(1, 1ms));
}

TEST_CASE("a byte every 29 s is too slow with its first one") {
    upload_rate rate(1024);
    CHECK_FALSE(rate.note(1, 29s));
    upload_rate lenient(1);
    CHECK(lenient.note(29, 29s));
    CHECK(lenient.note(20, 20s));
    CHECK_FALSE(lenient.note(9, 10s));
}

TEST_CASE("off bounds nothing") {
    upload_rate rate;
    for (int hour = 0; hour < 100; ++hour) CHECK(rate.note(1, 1h));
}

} // namespace evenkeel::test::upload_rate_test

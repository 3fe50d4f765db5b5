#include "policies/small_mutex.hpp"

#include <doctest/doctest.h>

#include <mutex>
#include <thread>
#include <vector>

namespace evenkeel::test::small_mutex_test {

TEST_CASE("small_mutex: no update is lost among threads, and whoever waits is woken") {
    evenkeel::small_mutex mutex;
    long count = 0; // plain on purpose: the thread sanitizer watches as well
    constexpr int threads = 4, rounds = 100'000;
    std::vector<std::jthread> all;
    for (int i = 0; i < threads; ++i) {
        all.emplace_back([&] {
            for (int n = 0; n < rounds; ++n) {
                const std::scoped_lock lock(mutex);
                ++count;
            }
        });
    }
    all.clear();
    CHECK(count == long{threads} * rounds);
    CHECK(mutex.try_lock());
    CHECK(!mutex.try_lock());
    mutex.unlock();
}

} // namespace evenkeel::test::small_mutex_test

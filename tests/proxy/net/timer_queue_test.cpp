#include "proxy/net/timer_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace evenkeel::test::timer_queue_test {

using namespace evenkeel::net;
using namespace std::chrono_literals;

namespace {
const steady_time start{1000s};

struct probe : timer_entry {
    explicit probe(std::vector<int>& order, int number) : order_(order), number_(number) {}
    void on_timer() override { order_.push_back(number_); }
    std::vector<int>& order_;
    int number_;
};
} // namespace

TEST_CASE("an entry fires at its millisecond and not the instant before") {
    timer_queue queue(start);
    std::vector<int> fired;
    probe entry(fired, 1);

    queue.arm(entry, start + 5ms);
    queue.advance(start + 5ms - 1ns);
    CHECK(fired.empty());
    queue.advance(start + 5ms);
    CHECK(fired == std::vector{1});
    CHECK(queue.armed() == 0);
}

TEST_CASE("a due time between two milliseconds is rounded up: nothing fires early") {
    timer_queue queue(start);
    std::vector<int> fired;
    probe entry(fired, 1);

    queue.arm(entry, start + 5ms + 1ns);
    queue.advance(start + 5ms + 1ns);
    CHECK(fired.empty());
    queue.advance(start + 6ms);
    CHECK(fired.size() == 1);
}

TEST_CASE("entries of one millisecond fire in the order of arming, also after a cascade") {
    timer_queue queue(start);
    std::vector<int> fired;
    probe a(fired, 1), b(fired, 2), c(fired, 3);

    queue.arm(b, start + 5000ms);
    queue.arm(a, start + 5000ms);
    queue.advance(start + 4999ms);
    queue.arm(c, start + 5000ms);
    queue.advance(start + 5000ms);
    CHECK(fired == std::vector{2, 1, 3});
}

TEST_CASE("a deadline moved later is only noted, and kept") {
    timer_queue queue(start);
    std::vector<int> fired;
    probe entry(fired, 1);

    queue.arm(entry, start + 10ms);
    queue.arm(entry, start + 500ms);
    queue.advance(start + 499ms);
    CHECK(fired.empty());
    CHECK(queue.armed() == 1);
    queue.advance(start + 500ms);
    CHECK(fired.size() == 1);
}

TEST_CASE("a deadline moved earlier fires earlier") {
    timer_queue queue(start);
    std::vector<int> fired;
    probe entry(fired, 1);

    queue.arm(entry, start + 500s);
    queue.arm(entry, start + 3ms);
    queue.advance(start + 3ms);
    CHECK(fired.size() == 1);
}

TEST_CASE("a cancelled or destroyed entry never fires") {
    timer_queue queue(start);
    std::vector<int> fired;
    probe cancelled(fired, 1);
    {
        probe destroyed(fired, 2);
        queue.arm(destroyed, start + 1ms);
        queue.arm(cancelled, start + 1ms);
    }
    cancelled.cancel();
    queue.advance(start + 1h);
    CHECK(fired.empty());
    CHECK(queue.armed() == 0);
    CHECK(!queue.next());
}

TEST_CASE("an entry years ahead still fires at its own time") {
    timer_queue queue(start);
    std::vector<int> fired;
    probe entry(fired, 1);
    const auto due = start + std::chrono::hours{24 * 365 * 5};

    queue.arm(entry, due);
    queue.advance(due - 1ms);
    CHECK(fired.empty());
    queue.advance(due);
    CHECK(fired.size() == 1);
}

TEST_CASE("the wake call announces each earlier time once") {
    timer_queue queue(start);
    std::vector<int> fired;
    std::vector<steady_time> told;
    queue.on_earlier([](void* to, steady_time when) { static_cast<std::vector<steady_time>*>(to)->push_back(when); },
                     &told);
    probe a(fired, 1), b(fired, 2), c(fired, 3);

    queue.arm(a, start + 100ms);
    queue.arm(b, start + 200ms);
    queue.arm(c, start + 50ms);
    CHECK(told == std::vector<steady_time>{start + 100ms, start + 50ms});
}

TEST_CASE("property: random arming, moving, cancelling and advancing agrees with a sorted list") {
    for (unsigned seed = 1; seed <= 200; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        timer_queue queue(start);
        std::vector<int> fired, expected;
        std::vector<std::unique_ptr<probe>> entries;
        struct want {
            bool armed = false;
            steady_time due{};
        };
        std::vector<want> model(40);
        for (int i = 0; i < 40; ++i) entries.push_back(std::make_unique<probe>(fired, i));
        steady_time now = start;
        const auto pick = [&](std::uint64_t below) { return random() % below; };
        for (int step = 0; step < 300; ++step) {
            const auto which = pick(40);
            const auto range = std::uint64_t{1} << pick(24);
            switch (pick(4)) {
            case 0:
            case 1:
                model[which] = {true, now + 1ms + std::chrono::milliseconds(pick(range))};
                queue.arm(*entries[which], model[which].due);
                break;
            case 2:
                model[which].armed = false;
                entries[which]->cancel();
                break;
            default:
                now += std::chrono::milliseconds(pick(range));
                queue.advance(now);
                std::vector<std::size_t> due;
                for (std::size_t i = 0; i < model.size(); ++i) {
                    if (model[i].armed && model[i].due <= now) due.push_back(i);
                }
                REQUIRE(fired.size() == due.size());
                steady_time last{};
                for (const int number : fired) {
                    const auto at = static_cast<std::size_t>(number);
                    REQUIRE(model[at].armed);
                    REQUIRE(model[at].due <= now);
                    REQUIRE(model[at].due >= last);
                    last = model[at].due;
                    model[at].armed = false;
                }
                fired.clear();
            }
            REQUIRE(queue.armed() == static_cast<std::size_t>(
                                         std::count_if(model.begin(), model.end(), [](auto& m) { return m.armed; })));
        }
    }
}

} // namespace evenkeel::test::timer_queue_test

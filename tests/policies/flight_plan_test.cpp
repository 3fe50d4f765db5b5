#include "policies/flight_plan.hpp"

#include <doctest/doctest.h>

#include <random>
#include <vector>

using namespace evenkeel;
using namespace std::chrono_literals;

namespace {
const steady_time start{1000s};

flight_plan plan_with(std::optional<duration> attempt_timeout = std::nullopt) {
    return flight_plan({.deadline = start + 60s, .attempt_timeout = attempt_timeout});
}
template <class T>
const T* only(std::span<const any_flight_action> actions) {
    const T* found = nullptr;
    for (const auto& action : actions) {
        if (const T* one = std::get_if<T>(&action)) {
            REQUIRE(found == nullptr);
            found = one;
        }
    }
    return found;
}
} // namespace

TEST_CASE("a flight starts by launching its first attempt and waits until the deadline") {
    auto plan = plan_with();
    const auto actions = plan.step(flight_event::started{}, start);
    REQUIRE(only<flight_action::launch>(actions));
    CHECK(only<flight_action::launch>(actions)->id == 1);
    CHECK(only<flight_action::wait_until>(actions)->when == start + 60s);
}

TEST_CASE("an attempt timeout comes before the deadline, never after it") {
    auto early = plan_with(10s);
    CHECK(only<flight_action::wait_until>(early.step(flight_event::started{}, start))->when == start + 10s);
    auto late = plan_with(90s);
    CHECK(only<flight_action::wait_until>(late.step(flight_event::started{}, start))->when == start + 60s);
}

TEST_CASE("a head commits the attempt and ends the flight") {
    auto plan = plan_with();
    static_cast<void>(plan.step(flight_event::started{}, start));
    const auto actions = plan.step(flight_event::head{1}, start + 1s);
    CHECK(only<flight_action::commit>(actions)->id == 1);
    CHECK(only<flight_action::finish>(actions)->how == flight_action::ending::answered);
    CHECK(plan.finished());
}

TEST_CASE("a failed attempt ends the flight with its reason") {
    auto plan = plan_with();
    static_cast<void>(plan.step(flight_event::started{}, start));
    const auto actions = plan.step(flight_event::failed{1, attempt_failure::reset}, start + 1s);
    CHECK(only<flight_action::finish>(actions)->how == flight_action::ending::failed);
    CHECK(only<flight_action::finish>(actions)->why == "reset");
}

TEST_CASE("at the deadline the attempt is cancelled, the instant before it is not") {
    auto plan = plan_with();
    static_cast<void>(plan.step(flight_event::started{}, start));
    const auto before = plan.step(flight_event::timer{}, start + 60s - 1ns);
    CHECK(only<flight_action::cancel>(before) == nullptr);
    CHECK(only<flight_action::wait_until>(before)->when == start + 60s);
    const auto at = plan.step(flight_event::timer{}, start + 60s);
    CHECK(only<flight_action::cancel>(at)->why == "deadline");
    CHECK(only<flight_action::finish>(at)->how == flight_action::ending::timed_out);
}

TEST_CASE("a deadline that has passed launches nothing") {
    auto plan = plan_with();
    const auto actions = plan.step(flight_event::started{}, start + 61s);
    CHECK(only<flight_action::launch>(actions) == nullptr);
    CHECK(only<flight_action::finish>(actions)->how == flight_action::ending::timed_out);
}

TEST_CASE("a client that leaves cancels the attempt") {
    auto plan = plan_with();
    static_cast<void>(plan.step(flight_event::started{}, start));
    const auto actions = plan.step(flight_event::client_gone{}, start + 1s);
    CHECK(only<flight_action::cancel>(actions)->why == "client_gone");
    CHECK(only<flight_action::finish>(actions)->how == flight_action::ending::client_gone);
}

TEST_CASE("property: whatever comes in whatever order, one launch, one finish, nothing after it, all within the deadline") {
    for (unsigned seed = 1; seed <= 100000; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        auto plan = plan_with(random() % 2 ? std::optional<duration>(duration(std::chrono::milliseconds(random() % 90000))) : std::nullopt);
        int launches = 0, finishes = 0, commits = 0;
        steady_time now = start;
        const auto feed = [&](const any_flight_event& event) {
            for (const auto& action : plan.step(event, now)) {
                REQUIRE(finishes == 0);
                launches += std::holds_alternative<flight_action::launch>(action);
                commits += std::holds_alternative<flight_action::commit>(action);
                finishes += std::holds_alternative<flight_action::finish>(action);
                if (const auto* wait = std::get_if<flight_action::wait_until>(&action)) REQUIRE(wait->when <= start + 60s);
            }
        };
        feed(flight_event::started{});
        for (int step = 0; step < 12; ++step) {
            now += std::chrono::milliseconds(random() % 20000);
            switch (random() % 5) {
            case 0: feed(flight_event::head{1}); break;
            case 1: feed(flight_event::failed{1, attempt_failure::reset}); break;
            case 2: feed(flight_event::complete{1}); break;
            case 3: feed(flight_event::client_gone{}); break;
            default: feed(flight_event::timer{});
            }
        }
        now = start + 61s;
        feed(flight_event::timer{});
        REQUIRE(launches == 1);
        REQUIRE(finishes == 1);
        REQUIRE(commits <= 1);
    }
}

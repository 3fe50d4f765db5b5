// Quiet hours with nothing configured: what callers pay for the trouble of an upstream (quiet_goals.hpp).

#include "proxy/simulate/quiet.hpp"

#include "tests/proxy/simulate/quiet_goals.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <iostream>
#include <limits>
#include <sstream>
#include <string>

namespace evenkeel::simulate::quiet_test {

namespace {

using evenkeel::test::quiet_goal;
using evenkeel::test::quiet_goals;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

struct goal_check {
    char letter;
    double found, wanted; // at most
};
std::vector<goal_check> checks_of(const quiet_case& which, const quiet_goal& goal, const quiet_figures& found) {
    std::vector<goal_check> all{
        {'P', static_cast<double>(found.payers), goal.payers},
        {'M', found.most_paid, goal.most_paid},
        {'S', -100 * found.success(), -goal.success},
        {'A', static_cast<double>(found.most_attempts), goal.attempts},
        {'R', static_cast<double>(found.sent) / static_cast<double>(found.requests), goal.requests},
        {'T', found.paid, goal.paid},
    };
    if (goal.late) all.push_back({'L', static_cast<double>(found.late), 0});
    if (goal.unserved) all.push_back({'U', static_cast<double>(found.unserved), 0});
    const bool troubled = which.trouble != quiet_trouble::none;
    if (troubled) all.push_back({'B', found.back, goal.back});
    // Never: later than any.
    const double back_by = found.back_by == 0 ? std::numeric_limits<double>::max() : static_cast<double>(found.back_by);
    if (troubled && which.gap >= 60) all.push_back({'N', back_by, goal.back_by});
    std::erase_if(all, [](const goal_check& each) { return each.wanted == quiet_goal::any; });
    return all;
}

} // namespace

TEST_CASE("what callers pay in quiet hours") {
    const std::vector<std::uint64_t> seeds =
        sanitized ? std::vector<std::uint64_t>{1} : std::vector<std::uint64_t>{1, 2, 3};
    std::vector<quiet_row> rows;
    std::ostringstream told;
    REQUIRE(quiet_goals().size() == quiet_cases().size());
    for (const quiet_goal& goal : quiet_goals()) {
        const quiet_case* which = find_quiet(goal.name);
        REQUIRE(which != nullptr);
        std::vector<std::uint64_t> tried = seeds;
        while (!sanitized && tried.size() < goal.seeds) tried.push_back(tried.size() + 1);
        const quiet_figures found = figures_of(*which, tried);
        rows.push_back({*which, found});
        for (const goal_check& each : checks_of(*which, goal, found)) {
            const bool met = each.found <= each.wanted + 1e-9;
            const bool due = goal.due.find(each.letter) != std::string_view::npos;
            if (due) {
                CAPTURE(goal.name);
                CAPTURE(each.letter);
                CAPTURE(std::abs(each.found));
                CAPTURE(std::abs(each.wanted));
                CHECK(met);
            } else {
                told << goal.name << ' ' << each.letter << (met ? " is met and not due: " : " is not met: ")
                     << std::abs(each.found) << ", goal " << std::abs(each.wanted) << '\n';
            }
        }
    }
    std::cout << text_of(rows, seeds) << '\n' << told.str();
}

TEST_CASE("a quiet case is the same each time, and another one with another seed") {
    const quiet_case& which = *find_quiet("half");
    const auto waits = [&](std::uint64_t seed) {
        std::vector<double> all;
        for (const quiet_request& each : play_quiet(which, seed).requests) all.push_back(each.waited);
        return all;
    };
    CHECK(waits(1) == waits(1));
    CHECK(waits(1) != waits(2));
}

} // namespace evenkeel::simulate::quiet_test

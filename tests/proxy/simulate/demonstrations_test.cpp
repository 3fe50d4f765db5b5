// The six demonstrations say what they are to show; tests/README.md quotes them.

#include "proxy/simulate/demonstrations.hpp"

#include "proxy/simulate/stage.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <regex>
#include <string>
#include <vector>

namespace evenkeel::simulate::demonstrations_test {

namespace {
std::string played(std::string_view name) {
    for (const auto& each : demonstrations())
        if (each.name == name) return each.play();
    FAIL("there is no such demonstration");
    return {};
}
// The numbers in what `pattern` finds, in order.
std::vector<double> numbers(const std::string& text, const std::string& pattern) {
    std::vector<double> out;
    const std::regex what(pattern);
    for (std::sregex_iterator at(text.begin(), text.end(), what), end; at != end; ++at)
        for (std::size_t i = 1; i < at->size(); ++i) out.push_back(std::stod((*at)[i].str()));
    return out;
}
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }
} // namespace

TEST_CASE("the demonstrations are six, and say the same each time") {
    CHECK(demonstrations().size() == 6);
    for (const auto& each : demonstrations()) {
        CAPTURE(std::string{each.name});
        CHECK(each.play() == each.play());
    }
}

TEST_CASE("normal operation: everything is answered by its first attempt") {
    CHECK(has(played("normal"), "answered 100 of 100;"));
    CHECK(has(played("normal"), "1.00 attempts per request; circuit closed throughout"));
}

TEST_CASE(
    "circuit breaker: three failures open it, refusals are at once and say when to come back, two successes close it") {
    const std::string text = played("breaker");
    for (const char* part : {"closed -> open (consecutive_failures)", "open -> half_open (recovery_time)",
                             "half_open -> open (probe_failed)", "half_open -> closed (probe_succeeded)",
                             "refused at once (at most 0 ms)"}) {
        CAPTURE(part);
        CHECK(has(text, part));
    }
    CHECK(numbers(text, "Retry-After: ([0-9]+)").at(0) >= 30);
    const auto told = numbers(text, "answered ([0-9]+); ([0-9]+) got the provider's 500; ([0-9]+) were refused");
    REQUIRE(told.size() == 3);
    CHECK(told[0] + told[1] + told[2] == 100);
    CHECK(told[1] <= 5); // three to open it, and a probe
}

TEST_CASE("backoff: each pause is between half and the whole of 0.5 s x 2^n, and no two are the same") {
    const auto pauses = numbers(played("backoff"), "pauses ([0-9.]+) s, ([0-9.]+) s, ([0-9.]+) s; answered 200");
    REQUIRE(pauses.size() == 9);
    for (std::size_t i = 0; i < 9; ++i) {
        const double most = i % 3 == 0 ? 0.5 : i % 3 == 1 ? 1 : 2;
        CHECK(pauses[i] >= most / 2 - 0.005);
        CHECK(pauses[i] <= most + 0.005);
    }
    auto sorted = pauses;
    std::sort(sorted.begin(), sorted.end());
    CHECK(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end());
}

TEST_CASE("hedging: one hedge takes the P95 from 30 s to 6, a second one the P99 to 10") {
    const std::string text = played("hedging");
    const auto row = [&](const std::string& name) {
        return numbers(text, name + " *([0-9.]+) s *([0-9.]+) s *([0-9.]+) s *([0-9.]+)");
    };
    CHECK(row("no hedge").at(1) > 29);
    CHECK(row("one, after 3 s \\(the original's\\)").at(1) < 6.5);
    // Both of a pair are slow in one request of 25; a rescue then joins them as a third.
    CHECK(row("one, after 3 s \\(the original's\\)").at(2) > 15);
    CHECK(row("one, after 3 s \\(the original's\\)").at(2) < 20);
    CHECK(row("two, after 3 s").at(2) < 10);
    CHECK(row("two, after 3 s").at(3) < 1.4);
    CHECK(row("three, after a learned time").at(2) < 10);
}

TEST_CASE("adaptive timeout: 30 s before ten samples, then 1.5 times the P95, and a hang costs that much") {
    const std::string text = played("timeout");
    CHECK(numbers(text, "after +0 answers: +([0-9.]+) s").at(0) == 30);
    CHECK(numbers(text, "after +9 answers: +([0-9.]+) s").at(0) == 30);
    const auto learned = numbers(text, "after 100 answers: +([0-9.]+) s +\\(P95 of what was seen ([0-9.]+) s\\)");
    CHECK(learned.at(0) > 1.3 * learned.at(1));
    CHECK(learned.at(0) < 2 * learned.at(1));
    CHECK(numbers(text, "is there after ([0-9.]+) s").at(0) < learned.at(0) + 6);
}

TEST_CASE("degradation: phase 1 shows although phase 2 fails; the last good answer; then the canned one") {
    const std::string text = played("degradation");
    for (const char* part : {"complete, all well:                        200 after  5.0 s: phase 1 yes, phase 2 yes",
                             "200 after  8.0 s: phase 1 yes, phase 2 no",
                             "200 after  8.0 s: last good answer, 16 s old", "200 after  8.0 s: the canned answer"}) {
        CAPTURE(part);
        CHECK(has(text, part));
    }
}

TEST_CASE("a configuration that is none is said to be so") {
    CHECK_THROWS_AS(stage("version: 1\nroutes: []\n", [](std::string_view, unsigned, double) { return reply{}; }),
                    std::logic_error);
}

} // namespace evenkeel::simulate::demonstrations_test

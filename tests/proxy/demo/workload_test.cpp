#include "proxy/demo/workload.hpp"
#include "proxy/provider/answers.hpp"
#include "proxy/provider/script.hpp"
#include "proxy/simulate/scenario.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace evenkeel::test::workload_test {

using namespace evenkeel::demo;
using model::api;
using model::fate;

namespace {
bool same(const fate& a, const fate& b) {
    return a.is == b.is && a.first == b.first && a.whole == b.whole && a.status == b.status;
}
double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}
} // namespace

TEST_CASE("a workload is a function of its seed") {
    int moved = 0;
    const workload seven(7, 1000), eight(8, 1000);
    for (unsigned number = 0; number < 1000; ++number) {
        const auto once = seven.plan(number), again = workload(7, 1000).plan(number);
        CHECK(once.due == again.due);
        CHECK(once.stream == again.stream);
        CHECK(once.speaks == again.speaks);
        CHECK(same(seven.meet(number, 1), workload(7, 1000).meet(number, 1)));
        moved += eight.plan(number).due != once.due && !same(eight.meet(number, 1), seven.meet(number, 1)) ? 1 : 0;
    }
    CHECK(moved > 990);
}

TEST_CASE("requests arrive two a second, in order, half of them streams, half of them of each API") {
    constexpr unsigned requests = 100'000;
    double before = 0;
    unsigned streams = 0, openai = 0;
    CHECK(workload(1, requests).facts().requests == requests + 24);
    CHECK(workload(1, requests).facts().warm_up == 24); // the first so many do not count

    for (unsigned number = 0; number < requests; ++number) {
        const auto request = workload(1, 0).plan(number);
        if (request.due < before || request.due < number / 2.0 || request.due >= (number + 0.5) / 2) FAIL(number);
        before = request.due;
        streams += request.stream ? 1 : 0;
        openai += request.speaks == api::openai_chat ? 1 : 0;
    }

    CHECK(streams / double{requests} == doctest::Approx(0.5).epsilon(0.02));
    CHECK(openai / double{requests} == doctest::Approx(0.5).epsilon(0.02));
}

TEST_CASE("30 % of attempts are errors after 0.4 s, 4 % hang, the others take 3.2 s") {
    constexpr unsigned requests = 100'000;
    std::vector<double> answers, errors;
    std::map<int, unsigned> statuses;
    unsigned hangs = 0;

    for (unsigned number = original::warm_up; number < original::warm_up + requests; ++number) {
        const auto drawn = workload(1, 0).meet(number, 1);
        switch (drawn.is) {
        case fate::kind::answer: answers.push_back(drawn.whole); break;
        case fate::kind::status:
            errors.push_back(drawn.first);
            ++statuses[drawn.status];
            break;
        case fate::kind::hang: ++hangs; break;
        default: FAIL("not of the original");
        }
    }

    // Five standard deviations of a share of 0.3 on 10^5 draws are 0.0073; the seed is fixed, so this never wavers.
    CHECK(static_cast<double>(errors.size()) / requests == doctest::Approx(0.30).epsilon(0.02));
    CHECK(hangs / double{requests} == doctest::Approx(0.04).epsilon(0.06));
    CHECK(median(answers) == doctest::Approx(3.2).epsilon(0.01));
    CHECK(median(errors) == doctest::Approx(0.4).epsilon(0.02));
    REQUIRE(statuses.size() == 4);
    for (const int status : {500, 502, 503, 529}) {
        CAPTURE(status);
        CHECK(statuses[status] / static_cast<double>(errors.size()) == doctest::Approx(0.25).epsilon(0.05));
    }
}

TEST_CASE("each attempt at a request has luck of its own") {
    constexpr unsigned requests = 20'000;
    unsigned failed_first = 0, failed_both = 0;

    for (unsigned number = original::warm_up; number < original::warm_up + requests; ++number) {
        const bool first = workload(3, 0).meet(number, 1).is == fate::kind::status;
        const bool second = workload(3, 0).meet(number, 2).is == fate::kind::status;
        failed_first += first ? 1 : 0;
        failed_both += first && second ? 1 : 0;
    }

    CHECK(failed_both / static_cast<double>(failed_first) == doctest::Approx(0.30).epsilon(0.08));
}

TEST_CASE("the warm-up meets a healthy provider") {
    for (unsigned number = 0; number < original::warm_up; ++number)
        for (unsigned attempt = 1; attempt < 5; ++attempt)
            CHECK(workload(1, 0).meet(number, attempt).is == fate::kind::answer);
}

TEST_CASE("luck becomes a script at the run's speed") {
    using evenkeel::provider::script_choice;

    const auto answer = script_choice{script_of({.first = 0.8, .whole = 3.2}, 20)}.pick(0);
    CHECK(answer.events == 10);
    CHECK(answer.first.value_ns == 40'000'000); // 0.8 s / 20
    CHECK(answer.gap.value_ns == doctest::Approx(2.4e9 / 9 / 20).epsilon(0.001));
    const auto error = script_choice{script_of({.is = fate::kind::status, .first = 0.4, .status = 529}, 20)}.pick(0);
    CHECK(error.status == 529);
    CHECK(error.delay.value_ns == 20'000'000);
    const auto hang = script_choice{script_of({.is = fate::kind::hang}, 20)}.pick(0);
    CHECK(hang.delay.value_ns == 4'500'000'000); // 90 s / 20
}

TEST_CASE("an attempt is told the script of its request and its turn") {
    const workload of(3, 1000);
    for (const unsigned turn : {1U, 2U, 3U}) {
        provider::attempt_record attempt;
        attempt.nonce = "tuned.77";
        attempt.turn = turn;
        CHECK(script_for(attempt, of, 20) == script_of(of.meet(77, turn), 20));
        attempt.nonce = "nobody";
        CHECK(!script_for(attempt, of, 20).empty());
    }
}

TEST_CASE("a request's name is found in its body and understood again") {
    for (const side from : sides) {
        const auto request = workload(1, 0).plan(1234);
        const auto nonce = evenkeel::provider::find_nonce(question_of(from, 1234, request).request);
        const auto name = parse_nonce(nonce);
        REQUIRE(name.has_value());
        CHECK(name->from == from);
        CHECK(name->number == 1234);
    }
    for (const auto* other :
         {"", "direct", "direct.", "direct.x", "direct.1x", "direct.-1", "elsewhere.1", "direct.99999999999"})
        CHECK(!parse_nonce(other).has_value());
}

TEST_CASE("the demonstration is the scenario `original`") {
    const auto* const scenario = evenkeel::simulate::find_scenario("original");
    REQUIRE(scenario != nullptr);
    CHECK(scenario->rate == original::rate);
    CHECK(scenario->stream_share == original::stream_share);
    CHECK(scenario->deadline == original::deadline);
    CHECK(scenario->warm_up == original::warm_up);
    CHECK(scenario->times.whole == original::answer_median);
    CHECK(scenario->times.whole_sigma == original::answer_sigma);
    for (const auto& server : scenario->usual) {
        CHECK(server.errors == original::error_share);
        CHECK(server.hangs == original::hang_share);
    }
}

} // namespace evenkeel::test::workload_test

// The pauses of a retry and the words of `retry.on`, by themselves. (P3.1, on a whole flight: flight_plan_test.cpp)

#include "policies/retry.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

namespace evenkeel::test::retry_test {

using namespace std::chrono_literals;

TEST_CASE("pauses without jitter double up to the longest, and stay there however often it is asked") {
    const backoff_options options{.jitter = jitter::none};
    const duration expected[] = {250ms, 500ms, 1s, 2s, 4s, 8s, 8s};
    for (int n = 0; n < 7; ++n) CHECK(backoff_pause(options, n, {}, 0.5) == expected[n]);
    CHECK(backoff_pause(options, 1'000'000, {}, 0.5) == 8s); // base^n is past any duration
    CHECK(backoff_pause(options, -1, {}, 0.5) == 250ms);
    CHECK(backoff_pause({.initial = 9s, .max = 8s, .jitter = jitter::none}, 0, {}, 0.5) == 8s);
}

TEST_CASE("decorrelated jitter draws between the initial pause and three times the one before") {
    const backoff_options options{.initial = 1s, .max = 60s, .jitter = jitter::decorrelated};
    const double almost = 1 - 1e-12;
    CHECK(backoff_pause(options, 0, 40s, 0) == 1s); // the first has none before it
    CHECK(in_seconds(backoff_pause(options, 0, {}, almost)) == doctest::Approx(3));
    CHECK(in_seconds(backoff_pause(options, 3, 4s, almost)) == doctest::Approx(12));
    CHECK(in_seconds(backoff_pause(options, 3, 4s, 0.5)) == doctest::Approx(1 + 0.5 * 11));
    CHECK(backoff_pause(options, 3, 4s, 0) == 1s);
    CHECK(backoff_pause(options, 3, 50s, almost) == 60s);
    CHECK(backoff_pause(options, 3, {}, 0.5) == 2s); // nothing is known of the one before
}

TEST_CASE("whatever is configured and drawn, a pause is within [0, max], and full jitter is uniform below its bound") {
    std::mt19937_64 random(11);
    std::uniform_real_distribution<double> u(0, 1);
    for (int i = 0; i < 100000; ++i) {
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        const backoff_options options{.initial = std::chrono::milliseconds(1 + below(5000)),
                                      .max = std::chrono::milliseconds(1 + below(60000)),
                                      .base = 1 + u(random) * 3,
                                      .jitter = static_cast<jitter>(below(4))};
        const duration pause = backoff_pause(options, below(80), std::chrono::milliseconds(below(90000)), u(random));
        REQUIRE(pause >= 0s);
        REQUIRE(pause <= options.max);
    }
    double sum = 0;
    for (int i = 0; i < 20000; ++i) sum += in_seconds(backoff_pause({}, 2, {}, u(random)));
    CHECK(sum / 20000 == doctest::Approx(0.5).epsilon(0.02)); // half of 250 ms * 2^2
}

TEST_CASE("which word of retry.on speaks about an outcome; none about what is nobody's trouble") {
    struct row {
        outcome_kind kind;
        retry_on word;
    };
    for (const row& one :
         {row{outcome_kind::connect_failure, retry_on::connect_failure}, row{outcome_kind::reset, retry_on::reset},
          row{outcome_kind::timeout, retry_on::timeout}, row{outcome_kind::overloaded, retry_on::overloaded},
          row{outcome_kind::rate_limited, retry_on::rate_limited},
          row{outcome_kind::server_error, retry_on::server_error},
          row{outcome_kind::protocol_error, retry_on::protocol_error}}) {
        CAPTURE(to_string(one.kind));
        attempt_outcome outcome;
        outcome.what.kind = one.kind;
        CHECK(word_for(outcome) == one.word);
        CHECK(includes(retry_on::all, one.word));
    }
    for (const outcome_kind kind : {outcome_kind::quota, outcome_kind::credential, outcome_kind::caller_error,
                                    outcome_kind::cancelled, outcome_kind::answered}) {
        CAPTURE(to_string(kind));
        attempt_outcome outcome;
        outcome.what.kind = kind;
        CHECK_FALSE(includes(retry_on::all, word_for(outcome)));
        const bool spent = kind == outcome_kind::quota || kind == outcome_kind::credential;
        CHECK(needs_another_credential(kind) == spent);
    }
}

TEST_CASE("a failure inside a stream that had begun well is the stream's, whatever it says") {
    attempt_outcome outcome;
    outcome.embedded = true;
    outcome.what.kind = outcome_kind::server_error;
    CHECK(word_for(outcome) == retry_on::stream_error);
    outcome.what.kind = outcome_kind::quota;
    CHECK_FALSE(includes(retry_on::all, word_for(outcome)));
}

TEST_CASE("each reason not to retry has a word of its own") {
    std::set<std::string> words;
    for (int i = 0; i < retry_denial_count; ++i) words.emplace(to_string(static_cast<retry_denial>(i)));
    CHECK(words.size() == retry_denial_count);
}

} // namespace evenkeel::test::retry_test

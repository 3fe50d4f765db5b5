// The simulations behind "latency is learned from censored data" (reference: resilience semantics 6b and 17),
// re-created on the policy itself: what happens to a hedge rate and to a timeout when losers and timeouts are left out
// of the sample, taken at their word, or counted as cut off.

#include "policies/latency_window.hpp"

#include "tests/policies/latency_draws.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace evenkeel::test::latency_models_test {

using namespace evenkeel::testing;
using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};

enum class treatment { dropped, exact, censored };

void add_unfinished(latency_window& to, double ms, treatment how, steady_time now) {
    if (how == treatment::dropped) return;
    to.add(millis(ms), how == treatment::exact ? latency_sample::answered : latency_sample::cut_off, now);
}

struct estimate {
    double hedged = 0, timeout = 0; // share; ms
};

// Lognormal of mean 5 ms and deviation 2 ms, every 20th ten times slower; hedged at the learned quantile, the copy
// independent. 3,000 requests a round, three rounds remembered; means of the later half of the rounds. True: 1 - q, and
// 23.2 ms.
estimate hedging_at(double quantile, treatment how, std::uint64_t seed) {
    constexpr int rounds = 30, counted_from = 15, requests = 3000;
    const double sigma = std::sqrt(std::log(1 + 4.0 / 25)), median = 5 / std::exp(sigma * sigma / 2);
    draws random(seed);
    const auto draw = [&] { return random.lognormal(median, sigma) * (random.chance(0.05) ? 10 : 1); };
    latency_window window(60s);
    estimate out;
    double delay = 1e9;
    for (int round = 0; round < rounds; ++round) {
        int hedged = 0;
        for (int i = 0; i < requests; ++i) {
            const steady_time now = start + 20s * round + (20s / requests) * i;
            const double primary = draw();
            if (primary <= delay) {
                window.add(millis(primary), latency_sample::answered, now);
                continue;
            }
            ++hedged;
            const double hedge = draw();
            const bool hedge_wins = delay + hedge < primary;
            window.add(millis(hedge_wins ? hedge : primary), latency_sample::answered, now);
            add_unfinished(window, hedge_wins ? delay + hedge : primary - delay, how, now);
        }
        const steady_time now = start + 20s * (round + 1) - 1ms;
        delay = in_millis(window.quantile(quantile, abandoned_as::cut_off, now).value_or(1h));
        const double timeout = 1.5 * in_millis(window.quantile(0.95, abandoned_as::cut_off, now).value_or(1h));
        if (round < counted_from) continue;
        out.hedged += static_cast<double>(hedged) / requests / (rounds - counted_from);
        out.timeout += timeout / (rounds - counted_from);
    }
    return out;
}

// Lognormal of median 800 ms and sigma 1; 500 attempts a round, three rounds remembered; timeout = multiplier * Q,
// between 1 and 120 s, the latter where Q is unknown. Four times slower from round 30 on. The share that was cut off,
// by round.
std::vector<double> cut_off_by_round(double quantile, double multiplier, treatment how, std::uint64_t seed) {
    constexpr int rounds = 40, step = 30, attempts = 500;
    draws random(seed);
    latency_window window(60s);
    std::vector<double> out;
    double timeout = 120000;
    for (int round = 0; round < rounds; ++round) {
        int cut = 0;
        for (int i = 0; i < attempts; ++i) {
            const steady_time now = start + 20s * round + (20s / attempts) * i;
            const double took = random.lognormal(round < step ? 800 : 3200, 1);
            if (took <= timeout) {
                window.add(millis(took), latency_sample::answered, now);
            } else {
                ++cut;
                add_unfinished(window, timeout, how, now);
            }
        }
        out.push_back(static_cast<double>(cut) / attempts);
        const auto known = window.quantile(quantile, abandoned_as::cut_off, start + 20s * (round + 1) - 1ms);
        timeout = known ? std::clamp(multiplier * in_millis(*known), 1000.0, 120000.0) : 120000;
    }
    return out;
}

struct drift {
    double steady = 0;         // share cut off in the last ten rounds before the step
    std::vector<double> after; // in the rounds after it
};

drift drift_of(double quantile, double multiplier, treatment how) {
    constexpr int seeds = 4;
    drift out{0, std::vector<double>(10)};
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const auto rounds = cut_off_by_round(quantile, multiplier, how, seed);
        for (std::size_t i = 20; i < 30; ++i) out.steady += rounds[i] / 10 / seeds;
        for (std::size_t i = 0; i < 10; ++i) out.after[i] += rounds[30 + i] / seeds;
    }
    return out;
}
} // namespace

TEST_CASE(
    "the estimator model: losers cut off give the hedge rate that was asked for and a timeout that is not short") {
    for (const double q : {0.9, 0.95}) {
        CAPTURE(q);
        const estimate dropped = hedging_at(q, treatment::dropped, 1);
        const estimate exact = hedging_at(q, treatment::exact, 1);
        const estimate censored = hedging_at(q, treatment::censored, 1);
        MESSAGE("hedged at p", 100 * q, " (share, P95 x 1.5): dropped ", dropped.hedged, ", ", dropped.timeout,
                " ms; exact ", exact.hedged, ", ", exact.timeout, " ms; cut off ", censored.hedged, ", ",
                censored.timeout, " ms; true ", 1 - q, ", 23.2 ms");
        CHECK(censored.hedged == doctest::Approx(1 - q).epsilon(0.06));
        CHECK(dropped.hedged > 1.35 * (1 - q)); // left out: hedges half as much again, or twice as much
        CHECK(dropped.timeout < 0.65 * 23.2);   // and times out far too early
        CHECK(censored.timeout > 0.95 * 23.2);
    }
    CHECK(hedging_at(0.9, treatment::exact, 1).timeout < 0.8 * 23.2); // taken at their word: too early as well
}

TEST_CASE("the drift model: a timeout learned from survivors drifts down, one from cut-off samples does not") {
    const drift dropped = drift_of(0.95, 1.5, treatment::dropped);
    const drift censored = drift_of(0.95, 1.5, treatment::censored);
    MESSAGE("P95 x 1.5, steady: dropped ", dropped.steady, ", cut off ", censored.steady, "; true 0.0200");
    CHECK(censored.steady == doctest::Approx(0.02).epsilon(0.25));
    CHECK(dropped.steady > 1.5 * 0.02);

    const drift spiral = drift_of(0.9, 1.2, treatment::dropped);
    const drift calm = drift_of(0.9, 1.2, treatment::censored);
    MESSAGE("P90 x 1.2, steady: dropped ", spiral.steady, ", cut off ", calm.steady, "; true 0.071");
    CHECK(calm.steady < 0.09);
    CHECK(spiral.steady > 0.2);
}

TEST_CASE("the drift model: after a 4x step only cut-off samples find the new level at once") {
    const drift dropped = drift_of(0.95, 1.5, treatment::dropped);
    const drift exact = drift_of(0.95, 1.5, treatment::exact);
    const drift censored = drift_of(0.95, 1.5, treatment::censored);
    const auto line = [](const char* name, const drift& of) {
        std::string out = name;
        for (std::size_t i = 0; i < 6; ++i) out += " " + std::to_string(of.after[i]).substr(0, 5);
        return out;
    };
    MESSAGE("cut off in rounds 1 to 6 after the step: ", line("dropped", dropped), line("; exact", exact),
            line("; cut off", censored));
    CHECK(censored.after[1] < 0.05);
    CHECK(exact.after[1] > 0.08);
    CHECK(dropped.after[1] > 0.15);
    CHECK(dropped.after[3] > 0.1);
}

} // namespace evenkeel::test::latency_models_test

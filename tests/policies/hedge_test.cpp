#include "policies/hedge.hpp"

#include "policies/work_budget.hpp"
#include "tests/policies/latency_draws.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace evenkeel::test::hedge_test {

using namespace evenkeel::testing;
using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};

hedge_options with(hedge_options::delay_kind kind, double quantile = 0.95) {
    hedge_options options;
    options.on = true;
    options.delay = kind;
    options.quantile = quantile;
    return options;
}

latency_window learned_from(const std::vector<std::pair<double, int>>& ms_and_count,
                            latency_sample kind = latency_sample::answered) {
    latency_window window(60s);
    for (const auto& [ms, n] : ms_and_count) {
        for (int i = 0; i < n; ++i) window.add(millis(ms), kind, start);
    }
    return window;
}

double delay_ms(const hedge_options& options, latency_window window) {
    const auto delay = hedge_delay(options, window, 10, start);
    return delay ? in_millis(*delay) : -1;
}

// Tells the guard of `requests` requests, `of_ten` of every ten of which want a hedge; how many may be launched.
int play(hedge_guard& guard, const hedge_options& options, steady_time from, duration apart, int requests, int of_ten,
         bool win) {
    int launched = 0;
    for (int i = 0; i < requests; ++i) {
        const steady_time now = from + apart * i;
        guard.request_started(now);
        if (i % 10 >= of_ten || guard.wanted(options, now) != hedge_refusal::none) continue;
        ++launched;
        guard.ended(win, now);
    }
    return launched;
}
} // namespace

TEST_CASE(
    "auto is min(P95, 2.5 x median), or earlier: from where a fresh attempt is as likely as not to be done first") {
    const auto automatic = with(hedge_options::delay_kind::automatic);
    CHECK(delay_ms(automatic, learned_from({{100, 60}, {190, 30}, {280, 10}})) == doctest::Approx(250).epsilon(0.01));
    CHECK(delay_ms(automatic, learned_from({{100, 90}, {150, 10}})) == doctest::Approx(150).epsilon(0.01));
    // The P95 is in the tail; whoever is not done at 100 ms or a little later is in it as well.
    CHECK(delay_ms(automatic, learned_from({{100, 90}, {4000, 10}})) == doctest::Approx(100).epsilon(0.01));
    // No earlier than half as many again as max_extra pays for, however much is slow.
    auto sparing = automatic;
    sparing.max_extra = 0.02;
    CHECK(delay_ms(sparing, learned_from({{100, 90}, {4000, 10}})) == doctest::Approx(250).epsilon(0.01));
}

TEST_CASE("a quantile as asked for, a fixed delay as given, nothing while too little is known") {
    CHECK(delay_ms(with(hedge_options::delay_kind::quantile, 0.9), learned_from({{100, 89}, {700, 11}})) ==
          doctest::Approx(700).epsilon(0.01));
    CHECK(delay_ms(with(hedge_options::delay_kind::quantile, 0.88), learned_from({{100, 89}, {700, 11}})) ==
          doctest::Approx(100).epsilon(0.01));
    CHECK(delay_ms(with(hedge_options::delay_kind::quantile), learned_from({{100, 9}})) == -1);
    CHECK(delay_ms(with(hedge_options::delay_kind::automatic), learned_from({})) == -1);

    auto fixed = with(hedge_options::delay_kind::fixed);
    fixed.fixed = 3s;
    CHECK(delay_ms(fixed, learned_from({})) == 3000);
    fixed.fixed = 10ms; // min_delay is for what is learned
    CHECK(delay_ms(fixed, learned_from({{100, 90}})) == 10);
}

TEST_CASE("learned delays stay between min_delay and max_delay") {
    CHECK(delay_ms(with(hedge_options::delay_kind::automatic), learned_from({{2, 100}})) == 50);
    CHECK(delay_ms(with(hedge_options::delay_kind::automatic), learned_from({{200000, 100}})) == 30000);
}

TEST_CASE("where the tail was cut off a delay is known all the same") {
    latency_window window = learned_from({{100, 60}, {300, 20}});
    for (int i = 0; i < 20; ++i) window.add(400ms, latency_sample::cut_off, start);
    CHECK(delay_ms(with(hedge_options::delay_kind::automatic), std::move(window)) ==
          doctest::Approx(250).epsilon(0.01));
    window = learned_from({{100, 60}, {300, 20}});
    for (int i = 0; i < 20; ++i) window.add(400ms, latency_sample::cut_off, start);
    CHECK(delay_ms(with(hedge_options::delay_kind::quantile), std::move(window)) == doctest::Approx(300).epsilon(0.01));
    CHECK(delay_ms(with(hedge_options::delay_kind::automatic), learned_from({{400, 50}}, latency_sample::cut_off)) ==
          -1);
}

TEST_CASE("P7.5: hedging at a quantile hedges 1 - quantile of the attempts, within 1 pp, on the first event and not "
          "the head") {
    // A server that flushes its head after 1 ms and whose first token takes 300 ms at the median. What is recorded is
    // the first token; losers are cut off. A delay learned from heads would hedge everything.
    for (const double q : {0.9, 0.95, 0.99}) {
        CAPTURE(q);
        draws random(7);
        const auto options = with(hedge_options::delay_kind::quantile, q);
        latency_window window(60s);
        int wanted = 0, counted = 0;
        for (int i = 0; i < 20000; ++i) {
            const steady_time now = start + 10ms * i;
            const double primary = random.lognormal(300, 0.6);
            const auto delay = hedge_delay(options, window, 10, now);
            const double at = delay ? in_millis(*delay) : 1e9;
            const bool hedged = primary > at;
            if (i >= 2000) counted += 1, wanted += hedged;
            if (!hedged) {
                window.add(millis(primary), latency_sample::answered, now);
                continue;
            }
            const double hedge = random.lognormal(300, 0.6);
            const bool won = at + hedge < primary;
            window.add(millis(won ? at + hedge : primary), won ? latency_sample::cut_off : latency_sample::answered,
                       now);
            window.add(millis(won ? hedge : primary - at), won ? latency_sample::answered : latency_sample::cut_off,
                       now);
        }
        CHECK(static_cast<double>(wanted) / counted == doctest::Approx(1 - q).epsilon(0.01 / (1 - q)));
    }
}

TEST_CASE("the guard: clearly fewer than half of the last 20 won, and every 10th wanted hedge is a measurement") {
    const auto options = with(hedge_options::delay_kind::automatic);
    hedge_guard guard;
    CHECK(play(guard, options, start, 100ms, 190, 1, false) == 19); // 19 lost: not judged yet
    CHECK_FALSE(guard.report(options, start + 19s).suspended);
    CHECK(play(guard, options, start + 19s, 100ms, 10, 1, false) == 1);
    CHECK(guard.report(options, start + 20s).suspended);
    CHECK_FALSE(guard.report(options, start + 20s).slow);
    CHECK(guard.report(options, start + 20s).recent == 20);
    CHECK(guard.report(options, start + 20s).recent_won == 0);

    CHECK(guard.wanted(options, start + 20s) == hedge_refusal::guard);
    CHECK(play(guard, options, start + 20s, 100ms, 1000, 1, false) == 10); // every 10th of 100
    // They win again: six more measurements, 60 wanted hedges, until no fewer of the last 20 are theirs than chance
    // would have.
    CHECK(play(guard, options, start + 200s, 100ms, 600, 1, true) <= 7);
    CHECK(play(guard, options, start + 260s, 100ms, 400, 1, true) == 40);
    CHECK_FALSE(guard.report(options, start + 300s).suspended);
    CHECK(play(guard, options, start + 300s, 100ms, 1000, 1, true) == 100);
}

TEST_CASE("six of the last twenty are enough for a guard of half, five are not, and guard 0 never refuses") {
    const auto options = with(hedge_options::delay_kind::automatic);
    for (const int wins : {5, 6}) {
        hedge_guard guard;
        for (int i = 0; i < 20; ++i) guard.ended(i < wins, start);
        CHECK(guard.report(options, start).suspended == (wins < 6));
    }
    auto off = options;
    off.guard = 0;
    hedge_guard guard;
    CHECK(play(guard, off, start, 10ms, 1000, 10, false) == 1000);
}

TEST_CASE("everything is slow: far more reach the delay than it was made for") {
    for (const auto kind : {hedge_options::delay_kind::quantile, hedge_options::delay_kind::automatic,
                            hedge_options::delay_kind::fixed}) {
        CAPTURE(static_cast<int>(kind));
        const auto options = with(kind);
        hedge_guard guard;
        play(guard, options, start, 100ms, 200, 1, true);
        REQUIRE_FALSE(guard.report(options, start + 20s).slow);
        // All at once everything reaches it. Within 4 s it is noticed, although every hedge wins.
        const int launched = play(guard, options, start + 20s, 100ms, 40, 10, true);
        CHECK(launched < 40);
        CHECK(guard.wanted(options, start + 24s) == hedge_refusal::slow);
        CHECK(guard.report(options, start + 24s).slow);
        CHECK(guard.report(options, start + 24s).suspended);
        CHECK(play(guard, options, start + 24s, 100ms, 560, 10, true) <= 57); // every 10th

        // It passes: one slice without the sign, and all is as before.
        play(guard, options, start + 80s, 100ms, 210, 0, true);
        CHECK_FALSE(guard.report(options, start + 101s).slow);
        CHECK(guard.wanted(options, start + 101s) == hedge_refusal::none);
    }
}

TEST_CASE("a slow fifth is what hedging at `auto` is for: it is not mistaken for everything, at any rate of requests") {
    for (const duration apart : {10ms, 100ms, 1000ms}) {
        CAPTURE(apart.count());
        draws random(11);
        const auto automatic = with(hedge_options::delay_kind::automatic);
        const auto p95 = with(hedge_options::delay_kind::quantile);
        hedge_guard fifth, twentieth;
        int refused_fifth = 0, refused_twentieth = 0;
        for (int i = 0; i < 20000; ++i) {
            const steady_time now = start + apart * i;
            fifth.request_started(now), twentieth.request_started(now);
            if (random.chance(0.2)) refused_fifth += fifth.wanted(automatic, now) != hedge_refusal::none;
            if (random.chance(0.05)) refused_twentieth += twentieth.wanted(p95, now) != hedge_refusal::none;
        }
        CHECK(refused_fifth == 0);
        CHECK(refused_twentieth <= 30); // of 1000
    }
}

TEST_CASE("P7.6: while everything is slow the extra load stays within max_extra and the burst") {
    // Guard and budget together, in work: a hedge takes 1 while more than half of the bucket is left; a success
    // deposits max_extra.
    for (const double guarded : {0.5, 0.0}) {
        CAPTURE(guarded);
        auto options = with(hedge_options::delay_kind::quantile);
        options.max_extra = 0.05;
        options.guard = guarded;
        hedge_guard guard;
        const budget_options funds{.extra_work = options.max_extra, .burst = 10, .min_per_second = 0};
        work_budget budget(funds);
        int hedges = 0;
        constexpr int requests = 10000;
        for (int i = 0; i < requests; ++i) {
            const steady_time now = start + 10ms * i;
            guard.request_started(now);
            if (guard.wanted(options, now) == hedge_refusal::none && budget.level(now) - 1 >= funds.burst / 2 &&
                budget.reserve(1, now)) {
                ++hedges;
                guard.ended(true, now);
            }
            budget.deposit(false, now);
        }
        CHECK(hedges <= options.max_extra * requests + funds.burst / 2); // P7.2: and never more than the budget
        CHECK(hedges > 0.9 * options.max_extra * requests);              // as much as there is, for measurement too
    }
}

TEST_CASE("words of refusals are all different") {
    std::vector<std::string_view> seen;
    for (int i = 0; i < hedge_refusal_count; ++i) {
        const auto word = to_string(static_cast<hedge_refusal>(i));
        for (const auto other : seen) CHECK(word != other);
        seen.push_back(word);
    }
}

TEST_CASE("the guard serves several threads") {
    hedge_guard guard;
    const auto options = with(hedge_options::delay_kind::quantile);
    std::atomic<int> launched{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] { launched += play(guard, options, start, 1ms, 2000, 1, true); });
    }
    for (auto& one : threads) one.join();
    CHECK(launched > 0);
    CHECK(guard.report(options, start + 3s).recent_won == 20);
}

} // namespace evenkeel::test::hedge_test

#include "policies/latency_window.hpp"

#include "tests/policies/latency_draws.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <vector>

namespace evenkeel::test::latency_window_test {

using namespace evenkeel::testing;
using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
constexpr double a = latency_buckets::accuracy;

struct sample {
    double ms = 0;
    latency_sample kind = latency_sample::answered;
};

// Kaplan and Meier's estimate as their paper has it: sorted single samples, at equal times the answers first. 0: never.
double exact_quantile(std::vector<sample> of, double q, abandoned_as reading, double censored_times = 1) {
    for (sample& one : of) {
        if (one.kind == latency_sample::abandoned) {
            one.kind = reading == abandoned_as::answered ? latency_sample::answered : latency_sample::cut_off;
        }
        if (one.kind == latency_sample::cut_off) one.ms *= censored_times;
    }
    std::sort(of.begin(), of.end(),
              [](const sample& x, const sample& y) { return x.ms != y.ms ? x.ms < y.ms : x.kind < y.kind; });
    double surviving = 1;
    double at_risk = static_cast<double>(of.size());
    for (const sample& one : of) {
        if (one.kind == latency_sample::answered) {
            surviving *= (at_risk - 1) / at_risk;
            if (surviving <= 1 - q + 1e-9) return one.ms;
        }
        at_risk -= 1;
    }
    return 0;
}

double window_quantile(latency_window& window, double q, abandoned_as reading, steady_time now) {
    const auto value = window.quantile(q, reading, now);
    return value ? in_millis(*value) : 0;
}

void add_many(latency_window& to, double ms, int n, steady_time now, latency_sample kind = latency_sample::answered) {
    for (int i = 0; i < n; ++i) to.add(millis(ms), kind, now);
}
} // namespace

TEST_CASE("a bucket's middle is within 1 % of everything in it, from 1 ms to 20 min") {
    draws random(1);
    for (int i = 0; i < 20000; ++i) {
        const double ms = std::exp(random.uniform(0, std::log(1.2e6)));
        CAPTURE(ms);
        CHECK(in_millis(latency_buckets::middle(latency_buckets::of(millis(ms)))) ==
              doctest::Approx(ms).epsilon(a * 1.0001));
    }
    CHECK(latency_buckets::of(0s) == 0);
    CHECK(latency_buckets::of(-5s) == 0);
    CHECK(latency_buckets::of(1ms) == 0);
    CHECK(latency_buckets::of(duration{1'000'001}) == 1);
    CHECK(latency_buckets::of(100h) == latency_buckets::count - 1);
    CHECK(latency_buckets::middle(latency_buckets::of(100h)) > 20min);
}

TEST_CASE("P6.1: quantiles equal an exact sorted Kaplan-Meier within 1 %, over 10^5 random mixes") {
    int compared = 0, without_shift = 0;
    for (std::uint64_t seed = 1; seed <= 100000; ++seed) {
        CAPTURE(seed);
        draws random(seed);
        latency_window window(60s);
        std::vector<sample> samples(1 + random.below(28));
        const double cut = random.uniform() * 0.6, left = random.uniform() * 0.2, sigma = random.uniform(0.1, 2);
        for (sample& one : samples) {
            one.ms = std::clamp(random.lognormal(3000, sigma), 1.0, 1.2e6);
            const double u = random.uniform();
            one.kind = u < cut          ? latency_sample::cut_off
                       : u < cut + left ? latency_sample::abandoned
                                        : latency_sample::answered;
            window.add(millis(one.ms), one.kind, start + 1ms * random.below(50000));
        }
        const double q = random.uniform(0.01, 0.995);
        const auto reading = random.chance(0.5) ? abandoned_as::answered : abandoned_as::cut_off;
        CAPTURE(q);

        // In which order answers and what was cut off came within one bucket is not known: the truth lies between all
        // that was cut off moved down and moved up by a bucket.
        const double least = exact_quantile(samples, q, reading, 1 / 1.0203);
        const double most = exact_quantile(samples, q, reading, 1.0203);
        const double ours = window_quantile(window, q, reading, start + 50s);
        if (ours == 0) {
            REQUIRE(most == 0);
        } else {
            REQUIRE(least > 0);
            REQUIRE(ours >= least * (1 - a) * 0.99999);
            if (most > 0) REQUIRE(ours <= most * (1 + a) * 1.00001);
            ++compared;
            without_shift += least == most;
        }
    }
    CHECK(compared > 70000);
    CHECK(without_shift > 60000); // most cases have only one right answer
}

TEST_CASE("nothing known, and a tail that was cut off, are empty; the last answer is known all the same") {
    latency_window window(60s);
    CHECK_FALSE(window.quantile(0.5, abandoned_as::cut_off, start));
    CHECK_FALSE(window.last_answer(start));
    CHECK_FALSE(window.quantile_of_answered(0.5, start));

    add_many(window, 100, 8, start);
    add_many(window, 900, 1, start);
    add_many(window, 950, 1, start, latency_sample::cut_off);
    CHECK_FALSE(window.quantile(0.95, abandoned_as::cut_off, start));
    CHECK(in_millis(*window.quantile(0.9, abandoned_as::cut_off, start)) == doctest::Approx(900).epsilon(a));
    CHECK(in_millis(*window.quantile(0.5, abandoned_as::cut_off, start)) == doctest::Approx(100).epsilon(a));
    CHECK(in_millis(*window.last_answer(start)) == doctest::Approx(900).epsilon(a));
    CHECK(in_millis(*window.quantile_of_answered(0.99, start)) == doctest::Approx(900).epsilon(a));
    CHECK(in_millis(*window.quantile_of_answered(0.8, start)) == doctest::Approx(100).epsilon(a));
    CHECK(window.answered(start) == 9);
    CHECK(window.samples(start) == 10);
}

TEST_CASE("19 of 20 are the share 0.95, whatever rounding says") {
    latency_window window(60s);
    add_many(window, 100, 19, start);
    add_many(window, 5000, 1, start);
    CHECK(in_millis(*window.quantile(0.95, abandoned_as::cut_off, start)) == doctest::Approx(100).epsilon(a));
    CHECK(in_millis(*window.quantile(0.951, abandoned_as::cut_off, start)) == doctest::Approx(5000).epsilon(a));
}

TEST_CASE("those who left count as answered or as cut off, as the reader asks") {
    latency_window window(60s);
    add_many(window, 100, 10, start);
    add_many(window, 200, 10, start, latency_sample::abandoned);
    add_many(window, 800, 5, start);
    CHECK(in_millis(*window.quantile(0.7, abandoned_as::answered, start)) == doctest::Approx(200).epsilon(a));
    CHECK(in_millis(*window.quantile(0.7, abandoned_as::cut_off, start)) == doctest::Approx(800).epsilon(a));
    CHECK(window.answered(start) == 15);
}

TEST_CASE("P6.2: hedging and timeouts, on or off, change the learned P95 by less than 3 %, at n = 10^5") {
    // X lognormal, a tenth of them five times slower. A hedge goes out after 1.3 s; the winner is exact, the loser is
    // cut off when the winner answers. A timeout cuts at 6 s.
    const auto learned = [](bool hedging, bool timeouts, std::uint64_t seed) {
        draws primaries(seed), hedges(seed + 1000);
        latency_window window(60s);
        const auto draw = [](draws& of) { return of.lognormal(800, 0.5) * (of.chance(0.1) ? 5 : 1); };
        constexpr double never = 1e9;
        const double timeout = timeouts ? 6000 : never;
        for (int n = 0; n < 100000; ++n) {
            const steady_time now = start + 500us * n;
            const double primary = draw(primaries);
            const double hedge = hedging && primary > 1300 ? draw(hedges) : never;
            const double won = std::min({primary, 1300 + hedge, timeout});
            const auto end = [&](double took, bool answered) {
                window.add(millis(took), answered ? latency_sample::answered : latency_sample::cut_off, now);
            };
            end(won, primary <= won);
            if (hedge < never) end(won - 1300, 1300 + hedge <= won);
        }
        return in_millis(*window.quantile(0.95, abandoned_as::cut_off, start + 50s));
    };
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        CAPTURE(seed);
        const double plain = learned(false, false, seed);
        CHECK(learned(true, false, seed) == doctest::Approx(plain).epsilon(0.03));
        CHECK(learned(false, true, seed) == doctest::Approx(plain).epsilon(0.03));
        CHECK(learned(true, true, seed) == doctest::Approx(plain).epsilon(0.03));
    }
}

TEST_CASE("P6.6: merging is bit-exact, in any order and grouping, thin and busy slices alike") {
    struct timed {
        steady_time when;
        sample what;
    };
    const auto fill = [](latency_window& window, const std::vector<timed>& with) {
        for (const timed& one : with) window.add(millis(one.what.ms), one.what.kind, one.when);
    };
    const auto same = [](latency_window& x, latency_window& y) {
        const steady_time now = start + 45s;
        REQUIRE(x.samples(now) == y.samples(now));
        REQUIRE(x.answered(now) == y.answered(now));
        REQUIRE(x.last_answer(now) == y.last_answer(now));
        for (double q = 0.01; q < 1; q += 0.11) {
            REQUIRE(x.quantile(q, abandoned_as::cut_off, now) == y.quantile(q, abandoned_as::cut_off, now));
            REQUIRE(x.quantile(q, abandoned_as::answered, now) == y.quantile(q, abandoned_as::answered, now));
            REQUIRE(x.quantile_of_answered(q, now) == y.quantile_of_answered(q, now));
        }
    };
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        CAPTURE(seed);
        draws random(seed);
        std::array<latency_window, 3> parts{latency_window(60s), latency_window(60s), latency_window(60s)};
        std::vector<timed> everything;
        for (latency_window& part : parts) {
            std::vector<timed> mine(random.chance(0.2) ? 2000 : random.below(50));
            for (timed& one : mine) {
                one = {start + 1s * random.below(45),
                       {random.lognormal(500, 1), static_cast<latency_sample>(random.below(3))}};
            }
            const auto by_time = [](const timed& x, const timed& y) { return x.when < y.when; };
            std::sort(mine.begin(), mine.end(), by_time);
            fill(part, mine);
            everything.insert(everything.end(), mine.begin(), mine.end());
            std::sort(everything.begin(), everything.end(), by_time);
        }
        latency_window left(60s), right(60s), tail(60s), whole(60s);
        left.merge(parts[0]), left.merge(parts[1]), left.merge(parts[2]);
        tail.merge(parts[2]), tail.merge(parts[1]);
        right.merge(tail), right.merge(parts[0]);
        fill(whole, everything);
        same(left, right);
        same(left, whole);
    }
}

TEST_CASE("a busy window forgets what is older than itself, a thin one reaches back until it holds twice min_samples") {
    latency_window window(60s, 10);
    add_many(window, 100, 100, start);
    CHECK(window.samples(start + 59s) == 100);
    CHECK(window.samples(start + 14min) == 100); // nothing newer: better old than none

    add_many(window, 900, 19, start + 10min);
    CHECK(window.samples(start + 10min) == 119); // 19 are not enough
    add_many(window, 900, 1, start + 10min);
    CHECK(window.samples(start + 10min) == 20);
    CHECK(in_millis(*window.quantile(0.01, abandoned_as::cut_off, start + 10min)) == doctest::Approx(900).epsilon(a));
}

TEST_CASE("one sample a minute: the last 15 minutes, never more") {
    latency_window window(60s, 10);
    for (int minute = 0; minute < 120; ++minute) {
        const steady_time now = start + 1min * minute;
        window.add(1s, latency_sample::answered, now);
        CHECK(window.samples(now) <= 16);
        if (minute > 20) CHECK(window.samples(now) >= 15);
    }
}

TEST_CASE("P6.7: the instant before a slice ends, the instant itself, and long gaps") {
    latency_window window(60s, 10);
    add_many(window, 100, 50, start);
    add_many(window, 200, 50, start + 10s); // enough of its own
    // The first slice covers [1000 s, 1010 s): it is within six slices until 1060 s.
    CHECK(window.samples(start + 60s - 1ns) == 100);
    CHECK(window.samples(start + 60s) == 50);

    for (const duration gap : {duration{10min}, duration{14min}}) CHECK(window.samples(start + gap) == 50);
    CHECK(window.samples(start + 15min + 20s) == 0); // 15 min later nothing is known
    CHECK_FALSE(window.quantile(0.5, abandoned_as::cut_off, start + 16min));
    window.add(3s, latency_sample::answered, start + 1000h);
    CHECK(in_millis(*window.quantile(0.5, abandoned_as::cut_off, start + 1000h)) == doctest::Approx(3000).epsilon(a));
}

TEST_CASE("P6.7: a clock that stands still or goes back counts as the latest time seen") {
    latency_window window(60s, 10);
    add_many(window, 100, 1000, start + 100s);
    add_many(window, 300, 1000, start); // overtaken by another thread's call
    CHECK(window.samples(start) == 2000);
    CHECK(in_millis(*window.quantile(0.9, abandoned_as::cut_off, start)) == doctest::Approx(300).epsilon(a));
    CHECK(window.samples(start + 150s) == 2000);
}

TEST_CASE("a merged window knows the later of both times") {
    latency_window later(60s, 10), window(60s, 10);
    add_many(later, 100, 50, start + 100s);
    window.merge(later);
    add_many(window, 300, 50, start); // counts as of start + 100 s
    CHECK(window.samples(start + 150s) == 100);
}

TEST_CASE("random clocks: the sums are those of the slices, whatever is forgotten when") {
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        draws random(seed);
        latency_window window(60s, 5);
        struct seen {
            std::int64_t slice;
            double ms;
        };
        std::vector<seen> held; // what a plain reading of the rule keeps, oldest slice first
        steady_time now = start;
        for (int i = 0; i < 200; ++i) {
            now += random.chance(0.05) ? duration{1min} * random.below(12) : duration{1ms} * random.below(8000);
            const double ms = random.lognormal(500, 1);
            window.add(millis(ms), latency_sample::answered, now);
            const std::int64_t latest = now.time_since_epoch() / 10s;
            const auto forget = [&] {
                while (!held.empty() && held.front().slice <= latest - 6) {
                    const std::int64_t oldest = held.front().slice;
                    const auto of_oldest =
                        std::count_if(held.begin(), held.end(), [&](const seen& one) { return one.slice == oldest; });
                    if (static_cast<std::ptrdiff_t>(held.size()) - of_oldest < 10 && oldest > latest - 90) break;
                    held.erase(held.begin(), held.begin() + of_oldest);
                }
            };
            forget();
            held.push_back({latest, ms});
            forget();
            REQUIRE(window.samples(now) == held.size());
            std::vector<sample> exact;
            for (const seen& one : held) exact.push_back({one.ms, latency_sample::answered});
            if (i % 10 != 0) continue;
            const double want = exact_quantile(exact, 0.7, abandoned_as::cut_off);
            REQUIRE(window_quantile(window, 0.7, abandoned_as::cut_off, now) ==
                    doctest::Approx(want).epsilon(a * 1.001));
        }
    }
}

TEST_CASE("another window length keeps what was learned") {
    latency_window window(60s, 10);
    for (int i = 0; i < 600; ++i) window.add(100ms, latency_sample::answered, start + 100ms * i); // 60 s
    window.configure(5min, 10);
    CHECK(window.samples(start + 59s) == 600);
    window.configure(12s, 10);
    const auto left = window.samples(start + 59s);
    CHECK(left >= 50); // slices of 50 s hold what they hold
    CHECK(left <= 600);
    CHECK(in_millis(*window.quantile(0.5, abandoned_as::cut_off, start + 59s)) == doctest::Approx(100).epsilon(a));
}

TEST_CASE("memory: a thin window takes a few KB, the busiest 40 KB, and neither grows with time") {
    draws random(3);
    latency_window thin(60s, 10), busy(60s, 10);
    for (int i = 0; i < 2000; ++i)
        thin.add(millis(random.lognormal(800, 0.6)), latency_sample::answered, start + 7s * i);
    CHECK(thin.memory_bytes() < 8 * 1024);
    std::size_t after_a_while = 0;
    for (int i = 0; i < 60000; ++i) {
        busy.add(millis(random.lognormal(800, 2)), static_cast<latency_sample>(random.below(3)), start + 4ms * i);
        if (i == 30000) after_a_while = busy.memory_bytes();
    }
    CHECK(busy.memory_bytes() < 48 * 1024);
    CHECK(busy.memory_bytes() <= after_a_while + 2048);
    MESSAGE("thin: ", thin.memory_bytes(), " bytes, busy and spread: ", busy.memory_bytes(), " bytes");
}

} // namespace evenkeel::test::latency_window_test

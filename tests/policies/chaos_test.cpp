#include "policies/chaos.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::chaos_test {

using namespace std::chrono_literals;

namespace {

const steady_time start{1000s};

chaos_rule rule(double probability, duration lasts = 10min) {
    chaos_rule made;
    made.route = "chat";
    made.fault.is = chaos_fault::abort;
    made.probability = probability;
    made.lasts = lasts;
    return made;
}
chaos_options options(std::vector<chaos_rule> rules, std::uint64_t seed = 7) {
    return {.enabled = true, .seed = seed, .rules = std::move(rules)};
}

bool suffers(chaos& which, std::uint64_t request, std::uint64_t attempt = 1, steady_time now = start,
             std::string_view route = "chat") {
    return which.decide({route, "deepseek", "request-" + std::to_string(request), attempt}, now).has_value();
}

struct told {
    chaos::change how;
    std::string route;
    double probability;
    bool operator==(const told&) const = default;
};

} // namespace

TEST_CASE("a rule is in force until the instant before it expires, and not at that instant") {
    chaos one;
    one.load(options({rule(1, 10min)}), start);

    CHECK(suffers(one, 1, 1, start));
    CHECK(suffers(one, 1, 1, start + 10min - 1ns));
    CHECK_FALSE(suffers(one, 1, 1, start + 10min));
    CHECK_FALSE(suffers(one, 1, 1, start + 1000h));
    CHECK(one.report(start + 9min).rules.at(0).left == 1min);
    CHECK(one.report(start + 10min).rules.empty());
}

TEST_CASE("that a rule has begun, expired and ended is told once each") {
    std::vector<told> heard;
    chaos one([&](chaos::change how, const chaos_rule& which) {
        heard.push_back({how, which.route, which.probability});
    });
    one.load(options({rule(0.5, 1min), rule(1, 2min)}), start);
    CHECK(heard == std::vector<told>{{chaos::change::began, "chat", 0.5}, {chaos::change::began, "chat", 1}});

    heard.clear();
    CHECK(one.expire(start + 59s) == start + 1min);
    CHECK(heard.empty());
    CHECK(one.expire(start + 1min) == start + 2min);
    CHECK(one.expire(start + 1min) == start + 2min);
    CHECK(heard == std::vector<told>{{chaos::change::expired, "chat", 0.5}});

    heard.clear();
    one.off(start + 90s);
    CHECK_FALSE(one.expire(start + 90s));
    CHECK_FALSE(one.expire(start + 3min));
    CHECK(heard == std::vector<told>{{chaos::change::ended, "chat", 1}});
}

TEST_CASE("a reload starts the clock of a new rule, and of no other; an expired one stays expired") {
    chaos one;
    one.load(options({rule(1, 10min)}), start);
    one.load(options({rule(1, 10min), rule(0.25, 10min)}), start + 6min);

    const auto shown = one.report(start + 6min);
    REQUIRE(shown.rules.size() == 2);
    CHECK(shown.rules[0].left == 4min);
    CHECK(shown.rules[1].left == 10min);

    one.load(options({rule(1, 10min)}), start + 11min);
    CHECK(one.report(start + 11min).rules.empty());
    one.load(options({rule(1, 10min)}), start + 12min);
    CHECK(one.report(start + 12min).rules.empty());
    one.load(options({rule(1, 11min)}), start + 13min);
    CHECK(one.report(start + 13min).rules.at(0).left == 11min);
}

TEST_CASE("rules set at run time replace each other, live beside the file's, and end with the kill switch or with "
          "`enabled: false`") {
    chaos one;
    one.set({rule(1)}, {}, start);
    CHECK_FALSE(suffers(one, 1)); // not enabled

    one.load(options({rule(1)}), start);
    one.set({rule(0.5), rule(0.25)}, 99, start);
    CHECK(one.report(start).rules.size() == 3);
    CHECK(one.report(start).seed == 99);
    one.set({rule(0.125)}, {}, start);
    CHECK(one.report(start).seed == 7);
    const auto shown = one.report(start);
    REQUIRE(shown.rules.size() == 2);
    CHECK(shown.rules[0].from_file);
    CHECK_FALSE(shown.rules[1].from_file);
    CHECK(shown.rules[1].rule.probability == 0.125);

    one.load(options({rule(1)}), start); // leaves both alone
    CHECK(one.report(start).rules.size() == 2);
    one.off(start);
    CHECK(one.report(start).rules.empty());
    one.load(options({rule(1)}), start);
    CHECK(one.report(start).rules.empty());
    CHECK_FALSE(suffers(one, 1));

    one.set({rule(1)}, {}, start);
    CHECK(suffers(one, 1));
    one.load({}, start);
    CHECK_FALSE(suffers(one, 1));
    CHECK(one.report(start).rules.empty());
}

TEST_CASE("the share of attempts that suffer lies within 99.9 % binomial bounds, at every probability") {
    constexpr int attempts = 20000;
    for (const double p : {0.001, 0.05, 0.3, 0.5, 0.95}) {
        for (const std::uint64_t seed : {0U, 1U, 2U}) {
            CAPTURE(p);
            CAPTURE(seed);
            chaos one;
            one.load(options({rule(p)}, seed), start);
            int hit = 0;
            for (int i = 0; i < attempts / 2; ++i) {
                hit += suffers(one, static_cast<std::uint64_t>(i), 1);
                hit += suffers(one, static_cast<std::uint64_t>(i), 2);
            }
            // 3.2905 standard deviations: two-sided 99.9 %, and half a count for the normal approximation.
            const double bound = 3.2905 * std::sqrt(attempts * p * (1 - p)) + 0.5;
            CHECK(std::abs(hit - attempts * p) <= bound);
        }
    }
    chaos always, never;
    always.load(options({rule(1)}), start);
    never.load(options({rule(0)}), start);
    for (std::uint64_t i = 0; i < 1000; ++i) {
        CHECK(suffers(always, i));
        CHECK_FALSE(suffers(never, i));
    }
}

TEST_CASE(
    "the same seed and the same request ids give the same decisions, in any order and from any number of threads") {
    constexpr std::size_t requests = 2000;
    chaos_rule profiled = rule(0.3);
    profiled.profile = "failoverbench";
    const auto decisions = [&](std::uint64_t seed, unsigned threads) {
        chaos one;
        one.load(options({rule(0.2), profiled}, seed), start);
        std::vector<int> seen(requests, -1);
        std::vector<std::thread> workers;
        for (unsigned t = 0; t < threads; ++t) {
            workers.emplace_back([&, t] {
                for (std::size_t i = requests - 1 - t; i < requests; i -= threads) { // backwards, and interleaved
                    auto found = one.decide({"chat", "deepseek", "request-" + std::to_string(i), 1}, start);
                    if (found) seen[i] = static_cast<int>(found->fault.is) * 1000 + found->fault.status;
                }
            });
        }
        for (auto& each : workers) each.join();
        return seen;
    };
    const auto alone = decisions(42, 1);
    CHECK(decisions(42, 2) == alone);
    CHECK(decisions(42, 4) == alone);
    CHECK(decisions(43, 1) != alone);
}

TEST_CASE("another rule before or after changes no decision of a rule") {
    chaos alone, among;
    chaos_rule other = rule(0.5);
    other.route = "elsewhere";
    alone.load(options({rule(0.3)}), start);
    among.load(options({other, rule(0.3), other}), start);
    for (std::uint64_t i = 0; i < 500; ++i) CHECK(suffers(alone, i) == suffers(among, i));
}

TEST_CASE("a rule is for its route, its upstream and the first attempts only") {
    chaos one;
    chaos_rule narrow = rule(1);
    narrow.upstream = "deepseek";
    narrow.attempts = 2;
    one.load(options({narrow}), start);
    CHECK(suffers(one, 1, 1));
    CHECK(suffers(one, 1, 2));
    CHECK_FALSE(suffers(one, 1, 3));
    CHECK_FALSE(suffers(one, 1, 1, start, "other"));
    CHECK_FALSE(one.decide({"chat", "backup", "request-1", 1}, start));
}

TEST_CASE(
    "at most max_active attempts suffer at a time; a place comes back when its attempt is over, also after the rule") {
    chaos one;
    chaos_rule bounded = rule(1);
    bounded.max_active = 2;
    one.load(options({bounded}), start);
    {
        auto first = one.decide({"chat", "deepseek", "a", 1}, start);
        auto second = one.decide({"chat", "deepseek", "b", 1}, start);
        CHECK(first);
        CHECK(second);
        CHECK_FALSE(one.decide({"chat", "deepseek", "c", 1}, start));
        CHECK(one.report(start).rules.at(0).active == 2);
        first.reset();
        CHECK(one.decide({"chat", "deepseek", "d", 1}, start)); // and over at once
        CHECK(one.report(start).rules.at(0).active == 1);
        CHECK(one.report(start).rules.at(0).injected == 3);
        one.off(start);
        CHECK_FALSE(one.decide({"chat", "deepseek", "e", 1}, start));
    }
    CHECK(one.report(start).rules.empty());
}

TEST_CASE("jitter adds up to its length, and the same amount each time") {
    chaos_rule slow = rule(1);
    slow.fault.is = chaos_fault::latency;
    slow.fault.delay = 2s;
    slow.fault.jitter = 500ms;
    chaos one;
    one.load(options({slow}), start);
    duration least = 1h, most{};
    for (int i = 0; i < 300; ++i) {
        const std::string id = std::to_string(i);
        const duration delay = one.decide({"chat", "deepseek", id, 1}, start)->fault.delay;
        CHECK(delay == one.decide({"chat", "deepseek", id, 1}, start)->fault.delay);
        CHECK(delay >= 2s);
        CHECK(delay < 2500ms);
        least = std::min(least, delay);
        most = std::max(most, delay);
    }
    CHECK(least < 2050ms);
    CHECK(most > 2450ms);
}

TEST_CASE("failoverbench draws each of its faults about as often, and every profile has a name of its own") {
    chaos_rule bench = rule(1);
    bench.profile = "failoverbench";
    chaos one;
    one.load(options({bench}), start);
    const std::size_t kinds = find_chaos_profile("failoverbench")->faults.size();
    CHECK(kinds == 16);
    std::vector<int> seen(kinds);
    constexpr int draws = 8000;
    for (int i = 0; i < draws; ++i) {
        const auto found = one.decide({"chat", "deepseek", std::to_string(i), 1}, start);
        REQUIRE(found);
        for (std::size_t k = 0; k < kinds; ++k) {
            if (find_chaos_profile("failoverbench")->faults[k].fault == found->fault) {
                ++seen[k];
                break;
            }
        }
    }
    // server_error_once and server_error are the same fault on a first attempt, so the first of them has both shares.
    for (std::size_t k = 0; k < kinds; ++k) {
        CAPTURE(k);
        const double shares = k == 2 ? 2 : k == 14 ? 0 : 1;
        CHECK(std::abs(seen[k] - draws * shares / 16) <=
              3.2905 * std::sqrt(draws * shares / 16 * (1 - shares / 16)) + 0.5);
    }
    for (const auto& each : chaos_profiles()) CHECK(find_chaos_profile(each.name) == &each);
    CHECK(find_chaos_profile("no such thing") == nullptr);
}

TEST_CASE("server_error_once is for the first attempt only") {
    chaos_rule once = rule(1);
    once.profile = "server_error_once";
    chaos one;
    one.load(options({once}), start);
    CHECK(suffers(one, 1, 1));
    CHECK_FALSE(suffers(one, 1, 2));
}

} // namespace evenkeel::test::chaos_test

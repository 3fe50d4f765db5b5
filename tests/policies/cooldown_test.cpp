#include "policies/cooldown.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <tuple>

namespace evenkeel::test::cooldown_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
constexpr auto limited = outcome_kind::rate_limited;
} // namespace

TEST_CASE("a hint is kept to the instant, and nobody else rests") {
    cooldown cooldown({.on = true});
    CHECK(cooldown.throttled({1}, limited, 7s, 0.5, start) == start + 7s);
    CHECK(cooldown.resting({1}, start + 7s - 1ns)->until == start + 7s);
    CHECK(cooldown.resting({1}, start + 7s - 1ns)->why == limited);
    CHECK_FALSE(cooldown.resting({1}, start + 7s));
    CHECK_FALSE(cooldown.resting({2}, start));
}

TEST_CASE("the report names the rest that ends last, and whether its length was named") {
    cooldown cooldown({.on = true});
    cooldown.throttled({1}, limited, 7s, 0.5, start);
    cooldown.throttled({2}, outcome_kind::quota, {}, 0.5, start);
    const auto both = cooldown.report(start + 1s);
    CHECK(both.resting == 2);
    CHECK(both.until == start + 15min);
    CHECK(both.why == outcome_kind::quota);
    CHECK(both.guessed);
    cooldown.succeeded({2}, start + 2s, start + 2s);
    CHECK(cooldown.report(start + 2s).why == limited);
    CHECK_FALSE(cooldown.report(start + 2s).guessed);
}

TEST_CASE("429 after 429 climbs 1, 2, 4 up to a minute, and a success begins anew") {
    cooldown cooldown({.on = true});
    steady_time now = start;
    for (const duration rest : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
        CHECK(cooldown.throttled({1}, limited, {}, 0.5, now) == now + rest);
        now += rest;
    }
    cooldown.succeeded({1}, now, now);
    CHECK(cooldown.throttled({1}, limited, {}, 0.5, now) == now + 1s);
}

TEST_CASE("those that were refused together climb one step together") {
    cooldown cooldown({.on = true});
    for (int i = 0; i < 50; ++i) CHECK(cooldown.throttled({1}, limited, {}, 0.5, start) == start + 1s);
    CHECK(cooldown.throttled({1}, limited, {}, 0.5, start + 1s) == start + 3s);
}

TEST_CASE("an end that lies ahead only moves later") {
    cooldown cooldown({.on = true});
    CHECK(cooldown.throttled({1}, limited, 30s, 0.5, start) == start + 30s);
    CHECK(cooldown.throttled({1}, limited, 5s, 0.5, start + 1s) == start + 30s);
    CHECK(cooldown.throttled({1}, outcome_kind::overloaded, {}, 0.5, start + 25s) == start + 35s);
    CHECK(cooldown.resting({1}, start + 26s)->why == outcome_kind::overloaded);
}

TEST_CASE("529 rests ten seconds, a fifth more or less, and never climbs") {
    cooldown cooldown({.on = true});
    steady_time now = start;
    for (const double u : {0.0, 0.5, 0.9999999}) {
        const auto rest = cooldown.throttled({1}, outcome_kind::overloaded, {}, u, now) - now;
        CHECK(std::chrono::duration<double>(rest).count() == doctest::Approx(8 + 4 * u));
        now += rest;
    }
}

TEST_CASE("no hint is believed for longer than a minute, a spent quota's for a quarter of an hour") {
    cooldown cooldown({.on = true});
    CHECK(cooldown.throttled({1}, limited, 1h, 0.5, start) == start + 60s);
    CHECK(cooldown.throttled({2}, outcome_kind::quota, 1h, 0.5, start) == start + 15min);
    CHECK(cooldown.throttled({3}, outcome_kind::quota, {}, 0.5, start) == start + 15min);
    CHECK(cooldown.throttled({4}, outcome_kind::quota, 20s, 0.5, start) == start + 20s);
    CHECK(cooldown.throttled({5}, outcome_kind::credential, {}, 0.5, start) == start + 15min);
    CHECK(cooldown.report(start).resting == 5);
    CHECK(*cooldown.report(start).until == start + 15min);
}

TEST_CASE("at most so many rests are known, and who rests shortest is forgotten first") {
    cooldown cooldown({.on = true});
    for (std::uint64_t i = 0; i < 5000; ++i)
        cooldown.throttled({i}, limited, 1s + std::chrono::milliseconds(i), 0.5, start);
    CHECK(cooldown.report(start).resting == cooldown::max_rests);
    CHECK(cooldown.resting({4999}, start));
    CHECK_FALSE(cooldown.resting({0}, start));
}

TEST_CASE("a refusal that does not say what it is about is the key's once several callers met it and none was served "
          "in between") {
    cooldown rest({.on = true});
    const steady_time now{1000s};
    for (int i = 0; i < 50; ++i) CHECK_FALSE(rest.refused_to_several(7, now + i * 1s)); // one caller, however often
    CHECK_FALSE(rest.refused_to_several(8, now + 50s));
    CHECK(rest.refused_to_several(9, now + 51s));
    rest.accepted();
    CHECK_FALSE(rest.refused_to_several(9, now + 52s));
    CHECK_FALSE(rest.refused_to_several(8, now + 52s));
    CHECK_FALSE(rest.refused_to_several(7, now + 120s)); // the others are long ago
    CHECK_FALSE(rest.refused_to_several(8, now + 121s));
    CHECK(rest.refused_to_several(9, now + 122s));
    CHECK(rest.idle(now + 122s)); // nobody rests for that alone
}

TEST_CASE("an overload without a hint is to be avoided, not forbidden; a configured rest of another length is heeded "
          "from then on") {
    cooldown rest({.on = true});
    rest.throttled({1}, outcome_kind::overloaded, {}, 0.5, start);
    CHECK(rest.resting({1}, start)->avoidable());
    rest.throttled({2}, outcome_kind::overloaded, 3s, 0.5, start);
    CHECK_FALSE(rest.resting({2}, start)->avoidable());
    rest.throttled({3}, limited, {}, 0.5, start);
    CHECK_FALSE(rest.resting({3}, start)->avoidable());
    CHECK(rest.resting({3}, start)->guessed);
    rest.configure({.on = true, .initial = 4s});
    CHECK(rest.throttled({4}, limited, {}, 0.5, start) == start + 4s);
    CHECK(rest.throttled({5}, limited, 0s, 0.5, start) == start + 1ms); // a hint of nothing ends an instant
}

TEST_CASE("idle until somebody rests, and again once the last rest is over and its ramp is not remembered") {
    cooldown rest({.on = true});
    CHECK(rest.idle(start));
    CHECK(rest.nobody_rests(start));
    rest.throttled({1}, outcome_kind::quota, 2s, 0.5, start);
    CHECK_FALSE(rest.idle(start));
    CHECK_FALSE(rest.nobody_rests(start + 1999ms));
    CHECK(rest.resting({1}, start + 1s));
    CHECK_FALSE(rest.resting({1}, start + 2s));
    CHECK(rest.idle(start + 2s));
    rest.throttled({1}, limited, 2s, 0.5, start);
    CHECK_FALSE(rest.resting({1}, start + 2s));
    CHECK(rest.nobody_rests(start + 2s));
    CHECK_FALSE(rest.idle(start + 2s)); // the ramp is remembered
    rest.succeeded({1}, start, start + 2s);
    CHECK_FALSE(rest.resting({1}, start + 3s));
    CHECK(rest.idle(start + 3s));
    rest.throttled({1}, limited, 2s, 0.5, start);
    rest.throttled({2}, limited, 8s, 0.5, start);
    rest.succeeded({2}, start, start + 9s);
    CHECK_FALSE(rest.idle(start + 9s)); // the other one's is remembered
    CHECK(rest.idle(start + 12s));
}

TEST_CASE("a ramp is forgotten once nobody was refused for as long after a rest as the next one would last, or 10 s") {
    for (const auto& [refusals, length, remembered] :
         {std::tuple{1, 1s, 10s}, std::tuple{2, 2s, 10s}, std::tuple{4, 8s, 16s}}) {
        cooldown rest({.on = true});
        steady_time until = start;
        for (int i = 0; i < refusals; ++i) until = rest.throttled({1}, limited, {}, 0.5, until);
        cooldown soon({.on = true});
        steady_time same = start;
        for (int i = 0; i < refusals; ++i) same = soon.throttled({1}, limited, {}, 0.5, same);
        REQUIRE(until == same);
        CHECK_FALSE(rest.idle(until + remembered - 1ns));
        CHECK(rest.idle(until + remembered));
        CHECK(rest.throttled({1}, limited, {}, 0.5, until + remembered) == until + remembered + 1s);
        CHECK(soon.throttled({1}, limited, {}, 0.5, until + remembered - 1ns) == until + remembered - 1ns + 2 * length);
    }
}

TEST_CASE("A9: a good answer to what was sent after a rest began ends it where nobody had named its length") {
    for (const outcome_kind kind : {limited, outcome_kind::quota, outcome_kind::credential}) { // not an overload
        CAPTURE(to_string(kind));
        cooldown rest({.on = true});
        const steady_time until = rest.throttled({1}, kind, {}, 0.5, start);
        CHECK_FALSE(rest.succeeded({1}, start - 1s, start + 100ms)); // sent before: it says nothing of now
        CHECK_FALSE(rest.succeeded({1}, start, start + 100ms));
        CHECK_FALSE(rest.succeeded({2}, start + 200ms, start + 300ms)); // of another credential
        CHECK(rest.resting({1}, start + 400ms)->until == until);
        CHECK(rest.succeeded({1}, start + 300ms, start + 500ms));
        CHECK_FALSE(rest.resting({1}, start + 500ms));
        CHECK(rest.idle(start + 500ms));
    }
}

TEST_CASE("A9: a length that was named is believed until two good answers to what was sent since") {
    cooldown rest({.on = true});
    rest.throttled({1}, outcome_kind::quota, 10min, 0.5, start);
    CHECK_FALSE(rest.succeeded({1}, start + 1s, start + 2s));
    CHECK(rest.resting({1}, start + 2s));
    rest.throttled({1}, limited, 5s, 0.5, start + 3s); // the evidence is gathered anew
    CHECK_FALSE(rest.succeeded({1}, start + 2s, start + 4s));
    CHECK_FALSE(rest.succeeded({1}, start + 4s, start + 5s));
    CHECK(rest.resting({1}, start + 5s)->until == start + 10min);
    CHECK(rest.succeeded({1}, start + 5s, start + 6s));
    CHECK_FALSE(rest.resting({1}, start + 6s));
}

TEST_CASE("A10: what is refused for one model rests for that one, and money for all") {
    cooldown rest({.on = true});
    const cooldown::subject big{1, 100}, small{1, 200}, unnamed{1, 0}, others{2, 100};
    rest.throttled(big, limited, 8s, 0.5, start);
    CHECK(rest.resting(big, start + 500ms)->until == start + 8s);
    CHECK_FALSE(rest.resting(small, start + 500ms));
    CHECK_FALSE(rest.resting(unnamed, start + 500ms));
    CHECK_FALSE(rest.resting(others, start + 500ms));
    CHECK_FALSE(rest.succeeded(small, start + 1s, start + 2s)); // nor does one speak for another
    CHECK(rest.resting(big, start + 2s));
    rest.throttled(small, outcome_kind::quota, {}, 0.5, start + 2s);
    for (const auto& whom : {big, small, unnamed}) CHECK(rest.resting(whom, start + 3s)->why == outcome_kind::quota);
    CHECK_FALSE(rest.resting(others, start + 3s));
    CHECK(rest.succeeded(small, start + 3s, start + 4s));
    CHECK_FALSE(rest.resting(unnamed, start + 4s));
    CHECK(rest.resting(big, start + 4s)->why == limited);
}

TEST_CASE("A10: a second model that is refused while one rests makes the limit a common one, until one is served") {
    cooldown rest({.on = true});
    rest.throttled({1, 100}, limited, 8s, 0.5, start);
    CHECK_FALSE(rest.resting({1, 300}, start));
    CHECK(rest.throttled({1, 200}, limited, 5s, 0.5, start + 1s) == start + 6s);
    CHECK(rest.resting({1, 300}, start + 2s)->until == start + 6s);
    CHECK(rest.resting({1, 0}, start + 2s)->guessed); // that it is common
    CHECK_FALSE(rest.resting({2, 300}, start + 2s));
    CHECK(rest.succeeded({1, 300}, start + 2s, start + 3s));
    CHECK_FALSE(rest.resting({1, 300}, start + 3s));
    CHECK(rest.resting({1, 100}, start + 3s)->until == start + 8s);
    CHECK(rest.resting({1, 200}, start + 3s)->until == start + 6s);
}

TEST_CASE("A10: each model has a ramp of its own, and a rest that is over makes no limit common") {
    cooldown rest({.on = true});
    CHECK(rest.throttled({1, 100}, limited, {}, 0.5, start) == start + 1s);
    CHECK(rest.throttled({1, 100}, limited, {}, 0.5, start + 1s) == start + 3s);
    CHECK(rest.throttled({1, 200}, limited, {}, 0.5, start + 3s) == start + 4s);
    CHECK_FALSE(rest.resting({1, 300}, start + 3s));
}

TEST_CASE(
    "A10: 64 models have places; a further one takes that of whose rest is over, or ends first, and nobody else's") {
    cooldown rest({.on = true});
    steady_time now = start;
    const auto last = 10 + cooldown::max_models;
    for (std::uint64_t model = 10; model < last; ++model) // of as many credentials: none is common
        rest.throttled({model, model}, limited, std::chrono::seconds{model}, 0.5, now);
    CHECK(rest.report(now).resting == cooldown::max_models);
    rest.throttled({5, 500}, limited, 30s, 0.5, now);
    CHECK(rest.resting({5, 500}, now)->until == now + 30s);
    CHECK_FALSE(rest.resting({5, 501}, now)); // nobody has refused it
    CHECK_FALSE(rest.resting({10, 10}, now)); // it would have been over first
    for (std::uint64_t model = 11; model < last; ++model) CHECK(rest.resting({model, model}, now));
    now += 80s; // what rests no longer makes place first, and all at once
    rest.throttled({5, 502}, limited, 30s, 0.5, now);
    CHECK(rest.report(now).resting == 1);
    CHECK_FALSE(rest.resting({5, 500}, now));
    CHECK_FALSE(rest.resting({5, 501}, now));
}

TEST_CASE("a flood of model names that a client makes up rests none that was never refused") {
    cooldown rest({.on = true});
    steady_time now = start;
    for (std::uint64_t model = 10; model < 2000; ++model) {
        now += 1300ms;
        rest.throttled({1, model}, limited, {}, 0.5, now);
        CHECK_FALSE(rest.resting({1, 5}, now));
    }
}

TEST_CASE("an operator's word ends every rest and forgets the ramps") {
    cooldown rest({.on = true});
    rest.throttled({1}, limited, {}, 0.5, start);
    rest.throttled({2, 7}, outcome_kind::quota, 10min, 0.5, start);
    rest.throttled({3}, limited, 1s, 0.5, start - 5s); // over, its ramp remembered
    CHECK(rest.end_all(start) == 2);
    CHECK(rest.idle(start));
    CHECK_FALSE(rest.resting({2, 7}, start));
    CHECK(rest.end_all(start) == 0);
    CHECK(rest.throttled({1}, limited, {}, 0.5, start) == start + 1s);
}

// The second implementation: DESIGN's rules for each principal in a map, nothing forgotten but what is to be.
TEST_CASE("random refusals, successes and questions are answered as a plain map of the rules answers them") {
    struct plain {
        steady_time until{};
        outcome_kind why = limited;
        int row = 0;
        steady_time forgotten{};
    };
    for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        const cooldown_options options{.on = true,
                                       .initial = std::chrono::milliseconds(100 + below(3000)),
                                       .max = std::chrono::seconds(4 + below(60)),
                                       .overload = std::chrono::seconds(1 + below(20)),
                                       .quota = std::chrono::seconds(30 + below(900))};
        cooldown rest(options);
        std::map<std::uint64_t, plain> all;
        steady_time now = start;
        for (int step = 0; step < 100; ++step) {
            now += std::chrono::milliseconds(below(4) ? below(500) : below(60000));
            const auto who = static_cast<std::uint64_t>(below(4));
            plain& one = all[who];
            if (const int what = below(4); what == 0) {
                rest.succeeded({who}, start, now);
                one.row = 0;
                one.forgotten = one.until;
            } else if (what == 1) {
                const outcome_kind kinds[] = {limited, outcome_kind::overloaded, outcome_kind::quota};
                const outcome_kind kind = kinds[below(3)];
                const auto hint =
                    below(2) ? std::optional<duration>{std::chrono::milliseconds(1 + below(90000))} : std::nullopt;
                if (now >= one.forgotten) one.row = 0;
                if (kind == limited && (one.row == 0 || one.until <= now)) ++one.row;
                duration length = options.initial * (1LL << std::clamp(one.row - 1, 0, 20));
                if (kind == outcome_kind::overloaded) length = options.overload; // a draw of 1/2
                const duration most = kind == outcome_kind::quota ? options.quota : options.max;
                if (kind == outcome_kind::quota) length = most;
                if (kind != outcome_kind::overloaded) length = std::min(length, most);
                if (hint) length = std::min(*hint, most);
                if (now + length > one.until || one.until <= now) one.until = now + length, one.why = kind;
                const duration next =
                    std::min<duration>(options.initial * (1LL << std::clamp(one.row, 0, 20)), options.max);
                one.forgotten = one.row == 0 ? one.until : one.until + std::max<duration>(next, 10s);
                REQUIRE(rest.throttled({who}, kind, hint, 0.5, now) == one.until);
            }
            const auto got = rest.resting({who}, now);
            REQUIRE(got.has_value() == (one.until > now));
            if (got) REQUIRE((got->until == one.until && got->why == one.why));
            const auto resting =
                std::count_if(all.begin(), all.end(), [&](auto& each) { return each.second.until > now; });
            REQUIRE(rest.report(now).resting == static_cast<std::size_t>(resting));
            REQUIRE(rest.nobody_rests(now) == (resting == 0));
            const bool remembers = std::any_of(all.begin(), all.end(), [&](auto& each) {
                return each.second.until > now || each.second.forgotten > now;
            });
            REQUIRE(rest.idle(now) == !remembers);
        }
    }
}

} // namespace evenkeel::test::cooldown_test

#include "policies/model_doubts.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

namespace evenkeel::test::model_doubts_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
constexpr std::uint64_t big = 11, small = 22, third = 33;

struct doubts : model_doubts {
    steady_time now = start;
    change silence(std::uint64_t model, steady_time sent) {
        return silent(
            model, sent, [&] { return std::to_string(model); }, now);
    }
    change answer(std::uint64_t model, steady_time sent, bool good = true) {
        return answered(
            model, sent, good, [&] { return std::to_string(model); }, now);
    }
    [[nodiscard]] bool second(std::uint64_t model) { return doubted(model, now); }
};
} // namespace

TEST_CASE("a model that is silent beside one that answers is asked second, and it alone") {
    doubts at;
    CHECK_FALSE(at.answer(big, start - 10s).whole);
    at.now = start + 3s;
    CHECK_FALSE(at.answer(small, start + 1s).whole);
    at.now = start + 10s;
    const auto changed = at.silence(big, start);
    CHECK_FALSE(changed.whole);
    CHECK(changed.model_alone);
    REQUIRE(changed.begun.size() == 1);
    CHECK(changed.begun[0]->name == "11");
    CHECK(at.second(big));
    CHECK_FALSE(at.second(small));
    CHECK_FALSE(at.second(third));
    CHECK_FALSE(at.second(0));
    CHECK_FALSE(at.whole().doubted());
    const auto told = at.report();
    REQUIRE(told.size() == 1);
    CHECK(told[0].name == "11");
    CHECK_FALSE(told[0].doubt.slow);

    CHECK(at.probe_due(big, 0, 0s, at.now)); // at once, then after 3 s
    CHECK_FALSE(at.probe_due(big, 0, 0s, at.now + 2s));
    CHECK(at.probe_due(big, 0, 0s, at.now + 3s));
    at.now += 4s;
    CHECK(at.answer(small, at.now - 1s).ended.empty());
    CHECK(at.second(big));
    const auto well = at.answer(big, at.now - 1s);
    REQUIRE(well.ended.size() == 1);
    CHECK_FALSE(at.second(big));
    CHECK(at.report().empty());
}

TEST_CASE(
    "one silence of the only model that was asked is the endpoint's; another that answers leaves it to the first") {
    doubts at;
    at.now = start + 10s;
    const auto changed = at.silence(big, start);
    CHECK(changed.whole);
    CHECK(changed.begun.empty()); // the whole says it all
    CHECK(at.second(small));
    CHECK(at.report().empty());
    CHECK(at.is_news(small, at.now));
    CHECK_FALSE(at.is_news(big, at.now));
    CHECK_FALSE(at.is_news(0, at.now));

    const auto well = at.answer(small, start + 11s); // a copy
    CHECK(well.whole);
    REQUIRE(well.begun.size() == 1);
    CHECK(well.begun[0]->name == "11");
    CHECK_FALSE(at.second(small));
    CHECK(at.second(big)); // none of its callers finds out again
    CHECK_FALSE(at.is_news(small, at.now));
    CHECK(at.probe_due(big, 0, 0s, at.now));
}

TEST_CASE("alone in the world a model's doubt begins and ends with that of the whole") {
    doubts at;
    for (int i = 0; i < 3; ++i) { // the later ones are relapses
        at.now += 10s;
        CHECK(at.silence(big, at.now - 5s).whole);
        CHECK(at.second(big));
        while (at.whole().doubted()) {
            at.now += 1s;
            const auto well = at.answer(big, at.now);
            CHECK(well.begun.empty());
            CHECK(well.ended.empty());
        }
        CHECK_FALSE(at.second(big));
        CHECK(at.report().empty());
    }
}

TEST_CASE("at high rates a silence beside later answers of the same model says nothing, whoever else is asked") {
    doubts at;
    for (int i = 0; i < 10; ++i) {
        static_cast<void>(at.answer(big, start + 1s * i));
        static_cast<void>(at.answer(small, start + 1s * i + 500ms));
    }
    at.now = start + 12s;
    const auto changed = at.silence(big, start + 5s);
    CHECK_FALSE(changed.whole);
    CHECK(changed.begun.empty());
    CHECK_FALSE(at.second(big));
    CHECK(at.none_of_models());
}

TEST_CASE("two models that are silent are the endpoint's; and one of them that answers frees the other") {
    doubts at;
    at.now = start + 10s;
    CHECK(at.silence(big, start).whole);
    CHECK_FALSE(at.silence(small, start + 1s).whole); // as before
    CHECK(at.second(third));
    at.now += 5s;
    SUBCASE("one of them") {
        const auto well = at.answer(small, at.now);
        CHECK(well.whole);
        CHECK(well.begun.empty());
        CHECK_FALSE(at.second(big));
    }
    SUBCASE("a third") {
        const auto well = at.answer(third, at.now);
        CHECK(well.whole);
        CHECK(well.begun.size() == 2);
        CHECK(at.second(big));
        CHECK(at.second(small));
        CHECK_FALSE(at.second(third));
    }
}

TEST_CASE("no way there, or no name: the whole") {
    doubts at;
    static_cast<void>(at.answer(small, start + 5s));
    at.now = start + 10s;
    CHECK(at.silence(0, start + 6s).whole);
    CHECK(at.second(small));
    CHECK(at.answer(0, start + 11s).whole);
    CHECK_FALSE(at.second(small));
    CHECK(at.none_of_models());
}

TEST_CASE("slowness of one model, twice in a row, is its own where another is as quick as ever") {
    doubts at;
    CHECK_FALSE(at.answer(big, start, false).whole);
    static_cast<void>(at.answer(small, start + 1s));
    const auto again = at.answer(big, start + 2s, false);
    CHECK_FALSE(again.whole);
    CHECK(again.begun.size() == 1);
    CHECK(at.second(big));
    CHECK_FALSE(at.second(small));
    CHECK(at.report()[0].doubt.slow);
    CHECK(at.answer(big, start + 3s).ended.size() == 1);
}

TEST_CASE("one prober of a model, four of an endpoint; what no copy can look into lapses") {
    doubts at;
    CHECK(at.begin_probing(big));
    CHECK_FALSE(at.begin_probing(big));
    CHECK(at.probed(big));
    CHECK_FALSE(at.may_begin_probing(big));
    CHECK(at.may_begin_probing(small));
    CHECK(at.begin_probing(small));
    CHECK(at.begin_probing(third));
    CHECK(at.begin_probing(0));
    CHECK_FALSE(at.may_begin_probing(44));
    CHECK_FALSE(at.begin_probing(44));
    at.end_probing(big);
    CHECK_FALSE(at.probed(big));
    CHECK(at.begin_probing(44));

    at.now = start + 10s;
    REQUIRE(at.silence(big, start).whole);
    CHECK_FALSE(at.lapse(big, at.now + 59s).whole);
    CHECK(at.lapse(big, at.now + 60s).whole);
    CHECK_FALSE(at.second(big));
    at.now += 2min;
    static_cast<void>(at.answer(small, at.now - 4s));
    REQUIRE(at.silence(big, at.now - 5s).begun.size() == 1);
    CHECK(at.lapse(big, at.now + 10min).ended.size() == 1);
    CHECK_FALSE(at.second(big));
}

TEST_CASE("an operator's word ends all doubts") {
    doubts at;
    static_cast<void>(at.answer(small, start + 1s));
    static_cast<void>(at.silence(big, start));
    REQUIRE(at.second(big));
    at.clear();
    CHECK_FALSE(at.second(big));
    CHECK(at.none_of_models());
    CHECK(at.report().empty());
}

TEST_CASE("64 models; the rest share a place; what answered long ago is forgotten without harm") {
    doubts at;
    const auto silence = [&](std::uint64_t model) {
        at.now += 1s;
        static_cast<void>(at.answer(small, at.now));
        static_cast<void>(at.silence(model, at.now));
        at.now += 6min; // what others did is no longer held against all
    };
    for (std::uint64_t model = 1000; model < 1064; ++model) silence(model);
    for (std::uint64_t model = 1000; model < 1064; ++model) CHECK(at.second(model));
    CHECK_FALSE(at.second(2000));
    silence(2000);
    CHECK(at.second(2000));
    CHECK(at.second(2001));
    CHECK(at.report().size() == 65);
    at.now += 25h;
    CHECK_FALSE(at.second(2000));
    CHECK(at.none_of_models());
}

TEST_CASE("what is known of good answers: the latest of each, and of those that gave way the latest of all") {
    good_answers goods;
    const auto any = [](std::uint64_t) { return true; };
    CHECK(goods.of(big) == steady_time::min());
    CHECK(goods.latest_but(big, any) == steady_time::min());
    goods.note(big, start);
    goods.note(small, start + 1s);
    goods.note(big, start - 1s); // heard later
    CHECK(goods.of(big) == start);
    CHECK(goods.latest_but(big, any) == start + 1s);
    CHECK(goods.latest_but(small, any) == start);
    CHECK(goods.latest_but(third, any) == start + 1s);
    CHECK(goods.latest_but(third, [](std::uint64_t whose) { return whose != small; }) == start);
    CHECK(goods.forgotten() == steady_time::min());
    for (std::uint64_t i = 0; i < 5; ++i) goods.note(64 * (i + 1) + 5, start + 1s * static_cast<int>(i)); // one place
    CHECK(goods.of(64 + 5) == steady_time::min());
    CHECK(goods.forgotten() == start);
    CHECK(goods.of(64 * 5 + 5) == start + 4s);

    doubts at; // and of a model that may be one of those nobody says that it is silent
    for (std::uint64_t i = 0; i < 5; ++i)
        static_cast<void>(at.answer(64 * (i + 1) + 5, start + 1s * static_cast<int>(i)));
    at.now = start + 10s;
    CHECK(at.silence(64 + 5, start - 1s).begun.empty());
    CHECK_FALSE(at.second(64 + 5));
}

// A second implementation: what holds for a model follows from the whole history.
TEST_CASE(
    "property: a model's own doubt needs a silence that none of its answers was sent after; others never suffer") {
    for (unsigned seed = 0; seed < 300; ++seed) {
        std::mt19937 dice(seed);
        const auto roll = [&](int sides) { return static_cast<int>(dice() % static_cast<unsigned>(sides)); };
        doubts at;
        struct word {
            std::uint64_t model;
            steady_time sent;
            bool good;
        };
        std::vector<word> history;
        for (int step = 0; step < 80; ++step) {
            at.now += std::chrono::milliseconds{roll(3000)};
            const auto model = static_cast<std::uint64_t>(1 + roll(3));
            const steady_time sent = at.now - std::chrono::milliseconds{roll(10000)};
            const bool good = roll(3) != 0;
            const bool whole = at.whole().doubted();
            bool was[4] = {};
            for (std::uint64_t each = 1; each <= 3; ++each) was[each] = at.second(each);
            history.push_back({model, sent, good});
            const auto changed = good ? at.answer(model, sent) : at.silence(model, sent);
            CHECK((at.whole().doubted() != whole) == changed.whole);
            for (std::uint64_t each = 1; each <= 3; ++each) {
                // Nobody comes to be asked second by a good answer, nor by another's silence unless for all.
                if (good && !was[each]) CHECK_FALSE(at.second(each));
                if (!good && each != model && !was[each]) CHECK(at.second(each) == at.whole().doubted());
                if (good && each != model && was[each] && !at.second(each)) CHECK(whole);
            }
            if (good || was[model] || !at.second(model)) continue;
            bool answered_since = false;
            for (const word& one : history) answered_since |= one.good && one.model == model && one.sent > sent;
            CHECK_FALSE(answered_since);
            if (at.whole().doubted()) continue;
            bool another_is_well = false; // ... by what was sent since
            for (const word& one : history) another_is_well |= one.good && one.model != model;
            CHECK(another_is_well);
        }
        // All are well: nobody is asked second for long.
        for (int i = 0; i < 40; ++i) {
            at.now += 1s;
            for (std::uint64_t model = 1; model <= 3; ++model) static_cast<void>(at.answer(model, at.now));
        }
        for (std::uint64_t model = 1; model <= 3; ++model) CHECK_FALSE(at.second(model));
        CHECK(at.report().empty());
    }
}

} // namespace evenkeel::test::model_doubts_test

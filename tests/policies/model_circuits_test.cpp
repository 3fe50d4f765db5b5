#include "policies/model_circuits.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace evenkeel::test::model_circuits_test {

using namespace std::chrono_literals;
using verdict = circuit_breaker::verdict;

namespace {
constexpr steady_time start{1000s};
constexpr std::uint64_t big = 11, small = 22, third = 33;
const breaker_options defaults{.on = true, .ramp = 0s};

// The circuit of an endpoint and those of its models, as a permit asks and tells them.
struct endpoint {
    circuit_breaker whole{defaults};
    model_circuits models{defaults};
    steady_time now = start;
    bool alone = false;

    struct attempt {
        std::uint64_t model = 0;
        steady_time sent{};
        circuit_breaker::permit of_whole{};
        std::shared_ptr<model_circuit> own{};
        circuit_breaker::permit of_model{};
    };
    [[nodiscard]] bool lets(std::uint64_t model) {
        const auto own = models.of(model, now);
        return !whole.look(true, true, 0.5, now, models.may_look_early(model, false, now)) &&
               (!own || !own->breaker.look(true, true, 0.5, now));
    }
    attempt begin(std::uint64_t model) {
        REQUIRE(lets(model));
        attempt one{.model = model, .sent = now};
        one.own = models.of(model, now);
        const bool early = models.may_look_early(model, false, now);
        one.of_whole = whole.admit(true, true, 0.5, now, early).given;
        if (early && one.of_whole.is_probe()) static_cast<void>(models.may_look_early(model, true, now));
        one.of_whole.sent(now);
        if (one.own) {
            one.of_model = one.own->breaker.admit(true, true, 0.5, now).given;
            one.of_model.sent(now);
        }
        return one;
    }
    void adopt(attempt& one, std::shared_ptr<model_circuit> own) {
        if (!own || one.own) return;
        auto admitted = own->breaker.admit(false, false, 0, now);
        if (admitted.refused) return;
        one.own = std::move(own);
        one.of_model = std::move(admitted.given);
        one.of_model.sent(one.sent);
    }
    void ends(attempt& one, verdict how) {
        circuit_breaker::facts known{.alone = alone, .usual_p95 = 1s};
        verdict to_whole = how;
        if (how == verdict::failure || how == verdict::overloaded) {
            auto blame = models.failed(
                one.model, one.sent, [&] { return std::to_string(one.model); }, now);
            if (!blame.whole) to_whole = verdict::neutral;
            known.only_counts = !blame.model;
            adopt(one, blame.own);
        } else if (how == verdict::success) {
            adopt(one, models.answered(one.model, one.sent, now));
        }
        static_cast<void>(one.of_model.give_verdict(how, known, 0.5, now));
        known.only_counts = false;
        static_cast<void>(one.of_whole.give_verdict(to_whole, known, 0.5, now));
    }
    // One request after the other, each a second long. Whether it was let through.
    bool ask(std::uint64_t model, verdict how) {
        if (!lets(model)) return false;
        auto one = begin(model);
        now += 1s;
        ends(one, how);
        return true;
    }
    [[nodiscard]] circuit_state of_whole() { return whole.report({}, now).state; }
    [[nodiscard]] circuit_state of_model(std::uint64_t model) {
        const auto own = models.of(model, now);
        return own ? own->breaker.report({}, now).state : circuit_state::closed;
    }
};
} // namespace

TEST_CASE("a model that fails beside one that is well opens its own circuit, and no other") {
    endpoint at;
    CHECK(at.models.none());
    for (int i = 0; i < 4 && at.of_model(big) == circuit_state::closed; ++i) {
        CHECK(at.ask(big, verdict::failure));
        CHECK(at.ask(small, verdict::success));
    }
    CHECK(at.of_model(big) == circuit_state::open);
    CHECK(at.of_whole() == circuit_state::closed);
    CHECK_FALSE(at.lets(big));
    CHECK(at.lets(small));
    CHECK(at.lets(third)); // nothing is known of it
    CHECK(at.lets(0));
    const auto told = at.models.report(at.now);
    REQUIRE(told.size() == 1);
    CHECK(told[0].name == "11");
    CHECK(told[0].circuit.state == circuit_state::open);
    CHECK(told[0].circuit.next_probe > at.now);

    at.now += 3s; // its probes, as of any circuit
    CHECK(at.ask(big, verdict::failure));
    CHECK(at.of_model(big) == circuit_state::open);
    CHECK(at.of_whole() == circuit_state::closed);
    at.now += 10s;
    CHECK(at.ask(big, verdict::success));
    CHECK(at.of_model(big) == circuit_state::half_open);
    CHECK(at.ask(big, verdict::success));
    CHECK(at.of_model(big) == circuit_state::closed);
}

TEST_CASE("where no other model is known to be well it is the endpoint as a whole, as ever") {
    endpoint at;
    SUBCASE("one model asked") {
        for (int i = 0; i < 3; ++i) CHECK(at.ask(big, verdict::failure));
    }
    SUBCASE("the other one was well before, not since") {
        for (int i = 0; i < 3; ++i) CHECK(at.ask(small, verdict::success));
        for (int i = 0; i < 3; ++i) CHECK(at.ask(big, verdict::failure));
    }
    SUBCASE("two models fail") {
        CHECK(at.ask(big, verdict::failure));
        CHECK(at.ask(small, verdict::failure));
        CHECK(at.ask(big, verdict::failure));
    }
    SUBCASE("a model that is not known") {
        CHECK(at.ask(big, verdict::success));
        for (int i = 0; i < 3; ++i) CHECK(at.ask(0, verdict::failure));
    }
    CHECK(at.of_whole() == circuit_state::open);
    CHECK_FALSE(at.lets(big));
    CHECK_FALSE(at.lets(0));
    CHECK(at.of_model(big) == circuit_state::closed);
}

TEST_CASE("while one model fails alone another one probes at once, once in a recovery time; and it decides") {
    endpoint at;
    for (int i = 0; i < 3; ++i) CHECK(at.ask(big, verdict::failure));
    REQUIRE(at.of_whole() == circuit_state::open);
    CHECK_FALSE(at.lets(big));
    CHECK_FALSE(at.lets(0));
    CHECK_FALSE(at.whole.look(false, true, 0.5, at.now, true) == std::nullopt); // nor who may be no probe
    REQUIRE(at.lets(small));
    auto probe = at.begin(small);
    CHECK(probe.of_whole.is_probe());
    CHECK(at.of_whole() == circuit_state::half_open);
    SUBCASE("well") {
        at.ends(probe, verdict::success);
        CHECK(at.ask(small, verdict::success));
        CHECK(at.of_whole() == circuit_state::closed);
        CHECK(at.ask(big, verdict::failure));
        CHECK(at.of_model(big) == circuit_state::open);
    }
    SUBCASE("it fails as well: now they are two, and nobody is early") {
        at.ends(probe, verdict::failure);
        CHECK(at.of_whole() == circuit_state::open);
        CHECK_FALSE(at.lets(small));
        CHECK_FALSE(at.lets(third));
    }
    SUBCASE("it says nothing") {
        at.ends(probe, verdict::neutral);
        static_cast<void>(at.whole.force(circuit_state::open, at.now));
        CHECK_FALSE(at.lets(third)); // a person's word
        static_cast<void>(at.whole.force(std::nullopt, at.now));
        CHECK_FALSE(at.models.may_look_early(third, false, at.now)); // not so soon
        for (const duration pause : {2s, 4s, 8s, 16s, 25s, 25s}) {
            CHECK_FALSE(at.models.may_look_early(third, false, at.now + pause - 1ms));
            at.now += pause;
            CHECK(at.models.may_look_early(third, true, at.now));
        }
    }
}

TEST_CASE("two models that fail beside a third are held against the endpoint, and both leave their own alone") {
    endpoint at;
    for (int i = 0; i < 4; ++i) {
        if (at.lets(big)) CHECK(at.ask(big, verdict::failure));
        if (at.lets(small)) CHECK(at.ask(small, verdict::failure));
        if (at.lets(third)) CHECK(at.ask(third, verdict::success));
    }
    CHECK(at.of_model(big) == circuit_state::open);
    CHECK(at.of_model(small) == circuit_state::open);
    CHECK(at.lets(third)); // whose answers come between
}

TEST_CASE("a whole that opened for one model and is closed by another is not opened again by the first") {
    endpoint at;
    for (int i = 0; i < 3; ++i) CHECK(at.ask(big, verdict::failure));
    REQUIRE(at.of_whole() == circuit_state::open);
    at.now += 3s;
    CHECK(at.ask(small, verdict::success)); // a probe
    CHECK(at.of_whole() == circuit_state::half_open);
    CHECK(at.ask(big, verdict::failure)); // another: nothing to the whole, and enough for its own
    CHECK(at.of_whole() == circuit_state::half_open);
    CHECK(at.of_model(big) == circuit_state::open);
    CHECK_FALSE(at.lets(big));
    CHECK(at.ask(small, verdict::success));
    CHECK(at.of_whole() == circuit_state::closed);
    int failed = 0;
    for (int i = 0; i < 600; ++i) { // ten minutes
        if (at.lets(big))
            failed += at.ask(big, verdict::failure);
        else
            at.now += 1s;
        REQUIRE(at.of_whole() == circuit_state::closed);
        CHECK(at.ask(small, verdict::success));
    }
    CHECK(failed < 60); // its own probes
}

TEST_CASE("after an outage of everything nothing keeps a model from being asked") {
    endpoint at;
    CHECK(at.ask(big, verdict::failure));
    CHECK(at.ask(small, verdict::failure));
    CHECK(at.ask(big, verdict::failure));
    REQUIRE(at.of_whole() == circuit_state::open);
    at.now += 3s;
    CHECK(at.ask(big, verdict::success));
    CHECK(at.ask(small, verdict::success));
    CHECK(at.of_whole() == circuit_state::closed);
    CHECK(at.lets(big));
    CHECK(at.lets(small));
}

TEST_CASE("the whole still opens where everything fails after one model did") {
    endpoint at;
    for (int i = 0; i < 4; ++i) {
        if (at.lets(big)) CHECK(at.ask(big, verdict::failure));
        CHECK(at.ask(small, verdict::success));
    }
    REQUIRE(at.of_model(big) == circuit_state::open);
    for (int i = 0; i < 3; ++i) CHECK(at.ask(small, verdict::failure));
    CHECK(at.of_whole() == circuit_state::open);
}

TEST_CASE("who has failed alone for long makes nobody's trouble common") {
    endpoint at;
    for (int i = 0; i < 400; ++i) {
        if (at.lets(big))
            CHECK(at.ask(big, verdict::failure));
        else
            at.now += 1s;
        CHECK(at.ask(small, verdict::success));
    }
    REQUIRE(at.of_model(big) == circuit_state::open);
    for (int i = 0; i < 2; ++i) {
        CHECK(at.ask(third, verdict::failure));
        CHECK(at.ask(small, verdict::success));
    }
    CHECK(at.ask(third, verdict::failure)); // of which none was held against the whole but the first
    CHECK(at.whole.report({}, at.now).failures <= 1);
    CHECK(at.of_model(third) == circuit_state::open);
}

TEST_CASE("every way in which an attempt ends gives both places back") {
    endpoint at;
    for (int i = 0; i < 3; ++i) CHECK(at.ask(big, verdict::failure));
    at.now += 3s;
    CHECK(at.ask(small, verdict::success));
    CHECK(at.ask(big, verdict::failure));
    REQUIRE(at.of_model(big) == circuit_state::open);
    at.now += 10s;
    REQUIRE(at.of_whole() == circuit_state::half_open);
    const auto probes = [&] { return at.whole.report({}, at.now).probes + at.models.report(at.now)[0].circuit.probes; };
    {
        auto one = at.begin(big);
        CHECK(one.of_model.is_probe());
        CHECK(one.of_whole.is_probe());
        CHECK(probes() == 2);
    } // left
    CHECK(probes() == 0);
    auto cancelled = at.begin(big);
    at.ends(cancelled, verdict::neutral);
    CHECK(probes() == 0);
    auto moved = at.begin(big);
    auto to = std::move(moved);
    at.ends(to, verdict::failure);
    CHECK(at.whole.report({}, at.now).probes == 0);
    CHECK(at.of_whole() == circuit_state::half_open); // it was big's own
    CHECK(at.of_model(big) == circuit_state::open);
}

TEST_CASE("an operator's word stands above models, and leaves nothing of them") {
    endpoint at;
    for (int i = 0; i < 4; ++i) {
        if (at.lets(big)) CHECK(at.ask(big, verdict::failure));
        CHECK(at.ask(small, verdict::success));
    }
    REQUIRE_FALSE(at.lets(big));
    auto late = at.begin(small); // across it
    at.models.hold(true);
    static_cast<void>(at.whole.force(circuit_state::closed, at.now));
    CHECK(at.models.none());
    CHECK(at.lets(big));
    for (int i = 0; i < 10; ++i) {
        CHECK(at.ask(big, verdict::failure));
        CHECK(at.ask(small, verdict::success));
    }
    CHECK(at.models.none());
    CHECK(at.lets(big));
    at.ends(late, verdict::failure);
    static_cast<void>(at.whole.force(std::nullopt, at.now));
    at.models.hold(false);
    CHECK(at.lets(big));
    for (int i = 0; i < 4; ++i) {
        if (at.lets(big)) CHECK(at.ask(big, verdict::failure));
        CHECK(at.ask(small, verdict::success));
    }
    CHECK_FALSE(at.lets(big)); // as at first
}

TEST_CASE("new options are those of the models too, and their state stays") {
    endpoint at;
    for (int i = 0; i < 4; ++i) {
        if (at.lets(big)) CHECK(at.ask(big, verdict::failure));
        CHECK(at.ask(small, verdict::success));
    }
    at.now += 3s;
    auto probe = at.begin(big);
    REQUIRE(at.of_model(big) == circuit_state::half_open);
    auto changed = defaults;
    changed.success_threshold = 1;
    at.models.configure(changed);
    CHECK(at.of_model(big) == circuit_state::half_open);
    at.ends(probe, verdict::success);
    CHECK(at.of_model(big) == circuit_state::closed);
}

TEST_CASE("64 models; the rest share a place; who is well makes place, and is forgotten") {
    endpoint at;
    // At once, beside one that is well.
    const auto fail = [&](std::vector<std::uint64_t> all, std::uint64_t well) {
        at.now += 6min; // what others did is no longer held against all
        std::vector<endpoint::attempt> under_way;
        for (const std::uint64_t model : all) under_way.push_back(at.begin(model));
        auto other = at.begin(well);
        auto first = at.begin(all.front()); // so that good answers are noted
        at.ends(first, verdict::failure);
        at.ends(other, verdict::success);
        for (auto& one : under_way) at.ends(one, verdict::failure);
    };
    for (std::uint64_t model = 1000; model < 1064; ++model) fail({model, model, model}, small);
    CHECK(at.of_whole() == circuit_state::closed);
    CHECK(at.models.report(at.now).size() == 64);
    CHECK(at.lets(2000));
    fail({2000, 2001, 2002}, 1000);
    CHECK_FALSE(at.lets(2000));
    CHECK_FALSE(at.lets(2003)); // shares its place
    CHECK_FALSE(at.lets(small));
    const auto told = at.models.report(at.now);
    CHECK(told.size() == 65);
    CHECK(std::count_if(told.begin(), told.end(), [](const auto& one) { return one.name.empty(); }) == 1);
    at.now += 30s;
    for (int i = 0; i < 2; ++i) CHECK(at.ask(1000, verdict::success));
    CHECK(at.of_model(1000) == circuit_state::closed);
    CHECK(at.ask(3000, verdict::failure)); // as a probe of the rest
    const auto now_known = at.models.of(3000, at.now);
    REQUIRE(now_known != nullptr);
    CHECK(now_known->model == 3000); // in the place of 1000
    CHECK(at.models.of(1000, at.now)->model != 1000);
    at.now += 25h;
    CHECK(at.lets(3000)); // nobody has asked
    CHECK(at.models.none());
}

TEST_CASE("a model that has been well for ten minutes is forgotten") {
    endpoint at;
    CHECK(at.ask(big, verdict::failure));
    CHECK(at.ask(big, verdict::success));
    CHECK_FALSE(at.models.none());
    for (int i = 0; i < 11 * 60 && !at.models.none(); ++i) CHECK(at.ask(big, verdict::success));
    CHECK(at.models.none());
    CHECK(at.now - start >= 10min);
    CHECK(at.now - start <= 12min);
}

TEST_CASE("attempts begun before their model had a circuit, and times that stand still") {
    endpoint at;
    std::vector<endpoint::attempt> of_big, of_small;
    for (int i = 0; i < 4; ++i) of_big.push_back(at.begin(big));
    for (int i = 0; i < 4; ++i) of_small.push_back(at.begin(small));
    // Nothing moves the clock: all were sent at this moment.
    for (std::size_t i = 0; i < 4; ++i) {
        at.ends(of_big[i], verdict::failure);
        at.ends(of_small[i], verdict::success);
    }
    CHECK(at.of_whole() == circuit_state::closed);
    CHECK(at.of_model(big) == circuit_state::open);
    CHECK(at.lets(small));
}

// A second implementation of whose fault it is: the whole history, read anew each time.
TEST_CASE("property: blame is as the history tells, and every circuit closes again once all are well") {
    struct word {
        std::uint64_t model;
        steady_time sent, at;
        bool good;
    };
    for (unsigned seed = 0; seed < 300; ++seed) {
        std::mt19937 dice(seed);
        const auto roll = [&](int sides) { return static_cast<int>(dice() % static_cast<unsigned>(sides)); };
        endpoint at;
        std::vector<word> history;
        std::set<std::uint64_t> noted; // models that had a place when they were answered
        std::vector<endpoint::attempt> flying;
        const auto since = [&](std::uint64_t model) -> std::optional<steady_time> {
            std::optional<steady_time> began;
            steady_time good = steady_time::min();
            for (const word& one : history) {
                if (one.model != model) continue;
                if (one.good) {
                    good = std::max(good, one.sent);
                    if (began && one.sent >= *began) began.reset();
                } else if (good <= one.sent) {
                    began = std::min(began.value_or(one.sent), one.sent);
                }
            }
            return began;
        };
        for (int step = 0; step < 120; ++step) {
            at.now += std::chrono::milliseconds{roll(900)}; // in all below five minutes
            const auto model = static_cast<std::uint64_t>(1 + roll(3));
            if (roll(2) == 0 && flying.size() < 6) {
                if (at.lets(model)) flying.push_back(at.begin(model));
                continue;
            }
            if (flying.empty()) continue;
            const auto which = static_cast<std::size_t>(roll(static_cast<int>(flying.size())));
            auto& one = flying[which];
            const bool good = roll(3) == 0;
            const bool any = !at.models.none();
            if (!good) {
                history.push_back({one.model, one.sent, at.now, false});
                const auto mine = since(one.model);
                steady_time well = steady_time::min();
                bool another_fails = false;
                for (std::uint64_t other = 1; other <= 3; ++other) {
                    if (other == one.model) continue;
                    if (since(other)) {
                        another_fails = true;
                        continue;
                    }
                    for (const word& each : history)
                        if (each.model == other && each.good) well = std::max(well, each.sent);
                }
                const bool is_well = mine && well >= *mine;
                const auto blame = at.models.failed(
                    one.model, one.sent, [] { return std::string{"m"}; }, at.now);
                CHECK(blame.model == is_well);
                CHECK(blame.whole == (!is_well || another_fails));
                REQUIRE(blame.own != nullptr);
            } else if (any) { // else it is not noted
                history.push_back({one.model, one.sent, at.now, true});
            }
            at.ends(one, good ? verdict::success : verdict::failure);
            flying.erase(flying.begin() + static_cast<std::ptrdiff_t>(which));
        }
        flying.clear();
        for (int i = 0; i < 200; ++i) {
            at.now += 1s;
            for (std::uint64_t model = 1; model <= 3; ++model)
                if (at.lets(model)) CHECK(at.ask(model, verdict::success));
        }
        CHECK(at.of_whole() == circuit_state::closed);
        CHECK(at.models.report(at.now).empty());
    }
}

} // namespace evenkeel::test::model_circuits_test

#include "policies/credential_lanes.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace evenkeel::test::credential_lanes_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
constexpr auto limited = outcome_kind::rate_limited;
constexpr auto money = outcome_kind::quota;
constexpr auto key = outcome_kind::credential;

struct bench {
    std::vector<std::shared_ptr<credential_lane>> all;
    std::shared_ptr<cooldown> common;
    std::optional<credential_lanes> lanes;
    explicit bench(std::size_t count, credential_order order = credential_order::fill_first,
                   quota_scope scope = quota_scope::credential) {
        const cooldown_options options{.on = true};
        for (std::size_t i = 0; i < count; ++i) all.push_back(std::make_shared<credential_lane>(options));
        if (scope == quota_scope::upstream) common = std::make_shared<cooldown>(options);
        lanes.emplace(all, order, common);
    }
    // Which one it is now; no_lane: none.
    lane_index asked(const credential_lanes::wish& wanted, steady_time now, double u = 0) {
        credential_lanes::place taken;
        return lanes->take(wanted, u, now, taken) ? no_lane : taken.at();
    }
    void refused(lane_index at, outcome_kind why, std::optional<duration> hint, steady_time now,
                 std::uint64_t model = 7) {
        static_cast<void>(lanes->refused(at, model, why, hint, 0.5, now));
    }
    [[nodiscard]] bool answered(lane_index at, steady_time sent, steady_time now, std::uint64_t model = 7) {
        return lanes->answered(at, model, sent, now);
    }
};
constexpr credential_lanes::wish plain{.model = 7};
constexpr credential_lanes::wish follows{.model = 7, .can_follow = true};

lane_set only(std::initializer_list<lane_index> some) {
    lane_set out;
    for (const lane_index at : some) out.add(at);
    return out;
}
} // namespace

TEST_CASE("fill_first takes the first of the list that may be asked") {
    bench b(3);
    CHECK(b.asked(plain, start) == 0);
    b.refused(0, limited, 5s, start);
    CHECK(b.asked(plain, start) == 1);
    CHECK(b.asked({.model = 8}, start) == 0); // another model's limit is another
    b.refused(1, limited, 2s, start);
    CHECK(b.asked(plain, start + 2s - 1ns) == 2);
    CHECK(b.asked(plain, start + 2s) == 1);
    CHECK(b.asked(plain, start + 5s) == 0);
}

TEST_CASE("spread takes the one with the fewest attempts in flight, and draws among equals") {
    bench b(3, credential_order::spread);
    std::array<int, 3> times{};
    for (int i = 0; i < 300; ++i) ++times[b.asked(plain, start, i / 300.0)];
    CHECK(times == std::array<int, 3>{100, 100, 100});
    credential_lanes::place one, two;
    CHECK_FALSE(b.lanes->take(plain, 0, start, one));
    CHECK_FALSE(b.lanes->take(plain, 0, start, two));
    CHECK(one.at() == 0);
    CHECK(two.at() == 1);
    CHECK(b.asked(plain, start, 0) == 2);
    CHECK(b.all[0]->in_flight() == 1);
    one = {};
    CHECK(b.all[0]->in_flight() == 0);
    CHECK(b.asked(plain, start, 0.99) == 2);
    CHECK(b.asked(plain, start, 0) == 0);
}

TEST_CASE("where all rest, who asks is told when the first of them may be asked") {
    bench b(2);
    b.refused(0, limited, 5s, start);
    b.refused(1, limited, 3s, start);
    const auto none = b.lanes->look(plain, 0, start + 1s);
    REQUIRE(none);
    CHECK(none->again == start + 3s);
    CHECK_FALSE(none->by_operator);
    CHECK_FALSE(none->avoidable);
    // Whoever has waited for long enough goes through, with the one that is to be had first.
    CHECK(b.asked({.model = 7, .waited = true}, start + 1s) == 1);
    CHECK_FALSE(b.lanes->any_free(7, {}, start + 1s));
    CHECK(b.lanes->any_free(8, {}, start + 1s));
    CHECK_FALSE(b.lanes->any_free(8, only({0, 1}), start + 1s));
}

TEST_CASE("what was refused to this request for good is not asked again, what was limited comes last") {
    bench b(3);
    CHECK(b.asked({.model = 7, .never = only({0})}, start) == 1);
    CHECK(b.asked({.model = 7, .never = only({0}), .rather_not = only({1})}, start) == 2);
    CHECK(b.asked({.model = 7, .never = only({0, 2}), .rather_not = only({1})}, start) == 1);
    CHECK(b.asked({.model = 7, .never = only({0, 1, 2})}, start) == no_lane);
}

TEST_CASE("a dead key is asked again by one request, which can go elsewhere afterwards, after a quarter of an hour") {
    bench b(2);
    b.refused(0, key, {}, start);
    CHECK(b.all[0]->report(start).state == credential_state::dead);
    CHECK(b.all[0]->report(start).until == start + 15min);
    CHECK(b.asked(follows, start + 15min - 1ns) == 1);
    CHECK(b.asked(plain, start + 15min) == 1); // it would be its only attempt, and another works
    CHECK_FALSE(b.lanes->look(follows, 0, start + 15min));
    CHECK(b.asked(follows, start + 15min) == 0);
    CHECK(b.asked(follows, start + 15min) == 1); // somebody else asks

    SUBCASE("refused again it is asked half an hour later, then an hour, and no more seldom") {
        steady_time now = start + 15min;
        for (const duration next : {duration{30min}, duration{60min}, duration{60min}, duration{60min}}) {
            b.refused(0, key, {}, now);
            CHECK(b.asked(follows, now + next - 1ns) == 1);
            now += next;
            CHECK(b.asked(follows, now) == 0);
        }
    }
    SUBCASE("an answer to what was sent since brings it back") {
        CHECK_FALSE(b.answered(0, start, start + 15min)); // sent before it died
        CHECK(b.asked(follows, start + 16min) == 1);
        CHECK(b.answered(0, start + 15min, start + 16min));
        CHECK(b.asked(plain, start + 16min) == 0);
        b.refused(0, key, {}, start + 17min);
        CHECK(b.asked(follows, start + 32min) == 0); // anew
    }
    SUBCASE("who asked is never heard of again") {
        CHECK(b.asked(follows, start + 30min - 1ns) == 1);
        CHECK(b.asked(follows, start + 30min) == 0);
    }
}

TEST_CASE("those that were refused with it do not make a dead key more dead") {
    bench b(2);
    for (int i = 0; i < 10; ++i) b.refused(0, money, {}, start + i * 1s);
    CHECK(b.all[0]->report(start + 10s).until == start + 15min);
}

TEST_CASE("a dead key with nothing beside it: who has nowhere else to go asks it when its time has come") {
    bench b(1);
    b.refused(0, money, {}, start);
    const auto before = b.lanes->look(plain, 0, start + 1min);
    REQUIRE(before);
    CHECK(before->again == start + 15min);
    const auto then = b.lanes->look(plain, 0, start + 15min);
    REQUIRE(then);
    CHECK(then->avoidable);
    CHECK_FALSE(b.lanes->look({.model = 7, .pressed = true}, 0, start + 15min));
    CHECK(b.asked({.model = 7, .waited = true}, start + 1min) == 0);
}

TEST_CASE("another secret under the same name begins with nothing against it; the others keep what they know") {
    bench b(2);
    CHECK_FALSE(b.all[0]->shows(1));
    CHECK_FALSE(b.all[1]->shows(2));
    b.refused(0, key, {}, start);
    b.refused(1, limited, 5s, start);
    CHECK_FALSE(b.all[0]->shows(1));
    CHECK(b.asked(plain, start) == no_lane);
    CHECK(b.all[0]->shows(3));
    CHECK_FALSE(b.all[1]->shows(2));
    CHECK(b.asked(plain, start) == 0);
    CHECK(b.all[1]->report(start).state == credential_state::resting);
}

TEST_CASE("an operator's word is obeyed: nothing asks a drained key, not even who has waited") {
    bench b(2);
    credential_lanes::place under_way;
    CHECK_FALSE(b.lanes->take(plain, 0, start, under_way));
    b.all[0]->drain();
    CHECK(b.all[0]->report(start).state == credential_state::drained);
    CHECK(b.all[0]->report(start).in_flight == 1); // it finishes
    CHECK(b.asked(plain, start) == 1);
    b.all[1]->rest_until(start + 10s);
    const auto rests = b.lanes->look(plain, 0, start);
    REQUIRE(rests);
    CHECK(rests->again == start + 10s);
    CHECK_FALSE(rests->by_operator);
    CHECK(b.asked({.model = 7, .pressed = true, .waited = true}, start) == no_lane);
    CHECK(b.lanes->look({.model = 7, .waited = true}, 0, start)->by_operator);
    CHECK(b.asked(plain, start + 10s) == 1);
    b.all[1]->drain();
    CHECK(b.lanes->look(plain, 0, start)->by_operator);
    CHECK(b.all[0]->end_rests(start) == 0); // that is no rest of the provider's
    CHECK(b.asked(plain, start) == no_lane);
    b.all[0]->revive(start);
    CHECK(b.asked(plain, start) == 0);
}

TEST_CASE("one quota for all: a limit and spent money hold for all keys, a refused key is its own") {
    bench b(2, credential_order::fill_first, quota_scope::upstream);
    b.refused(0, key, {}, start);
    CHECK(b.asked(plain, start) == 1);
    b.refused(1, limited, 5s, start);
    CHECK(b.asked(plain, start) == no_lane);
    CHECK(b.lanes->look(plain, 0, start)->again == start + 5s);
    CHECK(b.lanes->report(1, start).state == credential_state::resting);
    CHECK(b.lanes->report(0, start).state == credential_state::dead);
    CHECK(b.asked(plain, start + 5s) == 1);
    b.refused(1, money, {}, start + 5s);
    CHECK(b.asked({.model = 8}, start + 6s) == no_lane);
    CHECK(b.answered(1, start + 7s, start + 8s));
    CHECK(b.asked({.model = 8}, start + 8s) == 1);
}

namespace {
// The same rules, written down without any economy.
struct naive {
    struct one {
        std::map<std::uint64_t, steady_time> rests;
        std::optional<steady_time> dead_until;
        bool drained = false;
        int flying = 0;
    };
    std::array<one, 4> all;
    credential_order order;

    [[nodiscard]] bool free(lane_index at, std::uint64_t model, steady_time now) const {
        const one& it = all[at];
        const auto rest = it.rests.find(model);
        return !it.drained && !it.dead_until && (rest == it.rests.end() || rest->second <= now);
    }
    // All that may be taken.
    [[nodiscard]] std::vector<lane_index> allowed(const credential_lanes::wish& wanted, steady_time now) const {
        std::vector<lane_index> best, second, due;
        for (lane_index at = 0; at < all.size(); ++at) {
            if (wanted.never.has(at)) continue;
            const auto rest = all[at].rests.find(wanted.model);
            const bool rests = rest != all[at].rests.end() && rest->second > now;
            if (free(at, wanted.model, now))
                (wanted.rather_not.has(at) ? second : best).push_back(at);
            else if (!all[at].drained && !rests && all[at].dead_until && *all[at].dead_until <= now)
                due.push_back(at);
        }
        if (order == credential_order::fill_first && !best.empty() && wanted.can_follow &&
            (due.empty() || best.front() < due.front()))
            return {best.front()};
        if (!best.empty() && wanted.can_follow && !due.empty()) return {due.front()};
        auto& some = best.empty() ? second : best;
        if (some.empty())
            return wanted.can_follow ? std::vector<lane_index>(due.begin(), due.begin() + !due.empty())
                                     : std::vector<lane_index>{};
        if (order == credential_order::fill_first) return {some.front()};
        int fewest = all[some.front()].flying;
        for (const lane_index at : some) fewest = std::min(fewest, all[at].flying);
        std::erase_if(some, [&](lane_index at) { return all[at].flying > fewest; });
        return some;
    }
};
} // namespace

TEST_CASE("against a naive model: whoever is taken may be, and somebody is wherever anybody may be") {
    for (const auto order : {credential_order::fill_first, credential_order::spread}) {
        for (unsigned seed = 1; seed <= 40; ++seed) {
            CAPTURE(seed);
            std::mt19937 random(seed);
            const auto draw = [&](int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); };
            bench b(4, order);
            naive model{.all = {}, .order = order};
            std::vector<credential_lanes::place> flying;
            steady_time now = start;
            for (int step = 0; step < 400; ++step) {
                now += std::chrono::milliseconds{draw(2000)};
                credential_lanes::wish wanted{.model = static_cast<std::uint64_t>(1 + draw(2)),
                                              .can_follow = draw(2) == 0};
                if (draw(3) == 0) wanted.never.add(static_cast<lane_index>(draw(4)));
                if (draw(3) == 0) wanted.rather_not.add(static_cast<lane_index>(draw(4)));
                const auto allowed = model.allowed(wanted, now);
                credential_lanes::place taken;
                const bool looks = !b.lanes->look(wanted, 0.5, now);
                const bool gets = !b.lanes->take(wanted, draw(1000) / 1000.0, now, taken);
                REQUIRE(looks == gets);
                REQUIRE(gets == !allowed.empty());
                if (!gets) continue;
                const lane_index at = taken.at();
                REQUIRE(std::find(allowed.begin(), allowed.end(), at) != allowed.end());
                auto& its = model.all[at];
                const bool was_dead = its.dead_until.has_value();
                switch (draw(was_dead ? 3 : 8)) {
                case 0: // it is well
                    static_cast<void>(b.answered(at, now, now, wanted.model));
                    if (!was_dead) break;
                    b.all[at]->revive(now);
                    its = {.rests = {}, .dead_until = {}, .flying = its.flying};
                    break;
                case 1:
                    b.refused(at, key, {}, now);
                    its.dead_until = b.all[at]->report(now).until;
                    break;
                case 2:
                    if (was_dead) {
                        its.dead_until = b.all[at]->report(now).until;
                        break;
                    }
                    // Two models limited are taken for a limit of all: one at a time here.
                    if (std::any_of(its.rests.begin(), its.rests.end(), [&](auto& one) { return one.second > now; }))
                        break;
                    b.refused(at, limited, 1s + std::chrono::milliseconds{draw(9000)}, now, wanted.model);
                    its.rests[wanted.model] = *b.all[at]->report(now).until;
                    break;
                case 3:
                    b.all[at]->drain();
                    its.drained = true;
                    break;
                default: ++its.flying; flying.push_back(std::move(taken));
                }
                if (draw(4) == 0 && !flying.empty()) {
                    --model.all[flying.back().at()].flying;
                    flying.pop_back();
                }
                const auto any = static_cast<lane_index>(draw(4));
                if (draw(6) == 0) {
                    b.all[any]->revive(now);
                    model.all[any] = {.rests = {}, .dead_until = {}, .flying = model.all[any].flying};
                }
                for (lane_index each = 0; each < 4; ++each) REQUIRE(b.all[each]->in_flight() >= model.all[each].flying);
            }
        }
    }
}

} // namespace evenkeel::test::credential_lanes_test

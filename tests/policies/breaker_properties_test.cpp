// What must hold for a breaker whatever happens: P2.2, P2.3 and P5.2 to P5.7 of the reference (P5.1:
// breaker_model_test.cpp).

#include "policies/circuit_breaker.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace evenkeel::test::breaker_properties_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
using verdict = circuit_breaker::verdict;
constexpr duration usual = 2s;
constexpr circuit_breaker::facts beside_others{false, usual};

struct dice {
    std::mt19937_64 random;
    explicit dice(std::uint64_t seed) : random(seed) {}
    int below(int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); }
    double draw() { return std::uniform_real_distribution<double>(0, 1)(random); }
};

breaker_options any_options(dice& dice) {
    breaker_options options{.on = true};
    options.failure_threshold = 1 + dice.below(4);
    if (dice.below(2)) options.failure_ratio = dice.below(3) * 0.4;
    if (dice.below(2)) options.min_calls = 1 + dice.below(5);
    options.recovery_timeout = std::chrono::milliseconds{100 + dice.below(5000)};
    options.max_recovery_timeout = options.recovery_timeout * (1 + dice.below(20));
    options.half_open_max_calls = 1 + dice.below(3);
    options.success_threshold = 1 + dice.below(3);
    options.ramp = std::chrono::seconds{dice.below(2) * 10};
    return options;
}

// As new: a circuit that an operator held closed and let go has an empty window (to make a breaker takes longer than a
// history).
void renew(circuit_breaker& breaker, const breaker_options& options) {
    breaker.configure(options);
    static_cast<void>(breaker.force(circuit_state::closed, start));
    static_cast<void>(breaker.force(std::nullopt, start));
}

bool never_closes(const std::optional<circuit_transition>& change) {
    return !change || change->to != circuit_state::closed;
}

// A history of a breaker in which anything may happen, in any order: attempts that overlap, end in every way, hang, or
// end in another generation than they began in.
struct history {
    circuit_breaker& breaker;
    dice& chance;
    const breaker_options options;
    const circuit_breaker::facts known;
    steady_time now = start;
    int generation = 0; // as told by the transitions
    struct attempt {
        circuit_breaker::permit given;
        int generation;
        bool reported = false;
    };
    std::vector<attempt> under_way{};
    int closings = 0;

    history(circuit_breaker& of, dice& by)
        : breaker(of), chance(by), options(any_options(by)), known{by.below(2) != 0, usual} {
        renew(of, options);
    }

    void begin() {
        auto got = breaker.admit(chance.below(4) != 0, true, chance.draw(), now);
        if (got.transition) {
            REQUIRE(never_closes(got.transition));
            ++generation;
        }
        if (got.refused) return;
        if (chance.below(8)) got.given.sent(now);
        under_way.push_back({std::move(got.given), generation});
    }
    void end_one() {
        if (under_way.empty()) return;
        const auto at = static_cast<std::size_t>(chance.below(static_cast<int>(under_way.size())));
        attempt& one = under_way[at];
        const auto before = breaker.report(known, now);
        if (const int what = chance.below(7); what == 6) { // left without a word
            under_way.erase(under_way.begin() + static_cast<std::ptrdiff_t>(at));
            const auto after = breaker.report(known, now);
            REQUIRE((after.state != circuit_state::closed || before.state == circuit_state::closed)); // P5.4
            if (after.state != before.state) ++generation; // the last probe of a round that failed
            return;
        } else {
            const verdict says = what < 2    ? verdict::failure
                                 : what < 4  ? verdict::success
                                 : what == 4 ? verdict::overloaded
                                             : verdict::neutral;
            const auto change = one.given.give_verdict(says, known, chance.draw(), now);
            if (change) {
                REQUIRE(one.generation == generation); // nothing from another generation moves anything
                if (change->to == circuit_state::closed) {
                    REQUIRE(says == verdict::success); // P5.4
                    REQUIRE(one.given.is_probe());
                    ++closings;
                }
                ++generation;
            } else {
                REQUIRE(breaker.report(known, now).state == before.state);
            }
            one.reported = true;
            if (chance.below(4) || says == verdict::failure)
                under_way.erase(under_way.begin() + static_cast<std::ptrdiff_t>(at));
        }
    }
    void step() {
        if (chance.below(3) == 0)
            now += std::chrono::milliseconds{chance.below(3) == 0 ? chance.below(20000) : chance.below(300)};
        if (chance.below(2))
            begin();
        else
            end_one();
    }
};
} // namespace

TEST_CASE("P2.2: any number of neutral outcomes between the others changes no state, over 10^5 random histories") {
    circuit_breaker plain{{}}, mixed{{}};
    for (std::uint64_t seed = 1; seed <= 100'000; ++seed) {
        CAPTURE(seed);
        dice dice(seed);
        const breaker_options options = any_options(dice);
        const circuit_breaker::facts known{dice.below(2) != 0, usual};
        renew(plain, options);
        renew(mixed, options);
        steady_time now = start;
        for (int i = 0; i < 12; ++i) {
            now += std::chrono::milliseconds{dice.below(4) == 0 ? dice.below(12000) : dice.below(200)};
            for (int n = dice.below(3); n > 0; --n) {
                auto got = mixed.admit(true, false, 0, now);
                if (got.refused) break;
                if (dice.below(3)) got.given.sent(now);
                if (dice.below(2)) REQUIRE(never_closes(got.given.give_verdict(verdict::neutral, known, 0, now)));
            }
            static constexpr verdict says[] = {verdict::failure, verdict::failure, verdict::failure, verdict::success,
                                               verdict::overloaded};
            const verdict what = says[dice.below(5)];
            const double u = dice.draw();
            auto one = plain.admit(true, false, 0, now), other = mixed.admit(true, false, 0, now);
            REQUIRE(one.refused.has_value() == other.refused.has_value());
            if (one.refused) continue;
            one.given.sent(now);
            other.given.sent(now);
            now += std::chrono::milliseconds{dice.below(50)};
            const auto change = one.given.give_verdict(what, known, u, now),
                       with_neutral = other.given.give_verdict(what, known, u, now);
            REQUIRE(change.has_value() == with_neutral.has_value());
            const auto a = plain.report(known, now), b = mixed.report(known, now);
            REQUIRE(a.state == b.state);
            REQUIRE(a.next_probe == b.next_probe);
            REQUIRE(a.failures == b.failures);
            REQUIRE(a.consecutive_failures == b.consecutive_failures);
        }
    }
}

TEST_CASE("P2.3: an attempt that is cancelled never counts as more failures than had it been let finish, over 10^5 "
          "random histories") {
    // Compared at its end: later, an opened circuit lets nothing through that could fail.
    circuit_breaker finished{{}}, cancelled{{}};
    int counted = 0;
    for (std::uint64_t seed = 1; seed <= 100'000; ++seed) {
        CAPTURE(seed);
        dice dice(seed);
        const breaker_options options = any_options(dice);
        renew(finished, options);
        renew(cancelled, options);
        steady_time now = start;
        std::optional<circuit_breaker::permit> here, there;
        const int when = dice.below(8);
        for (int i = 0; i < 8 || !here; ++i) {
            auto one = finished.admit(true, false, 0, now), other = cancelled.admit(true, false, 0, now);
            if (one.refused || other.refused) {
                now += 200s;
                continue;
            }
            one.given.sent(now);
            other.given.sent(now);
            if (!here && i >= when) {
                here.emplace(std::move(one.given));
                there.emplace(std::move(other.given));
                continue;
            }
            const verdict what = dice.below(3) ? verdict::failure : verdict::success;
            const double u = dice.draw();
            static_cast<void>(one.given.give_verdict(what, beside_others, u, now));
            static_cast<void>(other.given.give_verdict(what, beside_others, u, now));
            now += std::chrono::milliseconds{dice.below(2000)};
        }
        static constexpr verdict says[] = {verdict::failure, verdict::failure, verdict::success, verdict::overloaded};
        const auto change = here->give_verdict(says[dice.below(4)], beside_others, 0, now);
        if (!never_closes(change)) continue; // the success that closes a circuit empties its window
        if (dice.below(2)) static_cast<void>(there->give_verdict(verdict::neutral, beside_others, 0, now));
        there.reset();
        const auto let = finished.report(beside_others, now), cut = cancelled.report(beside_others, now);
        REQUIRE(cut.failures <= let.failures);
        REQUIRE((cut.state != circuit_state::open || let.state == circuit_state::open));
        counted += let.failures - cut.failures;
    }
    CHECK(counted > 10'000);
}

TEST_CASE("P5.2: with 64 threads never more probes than half_open_max_calls are in flight") {
    // Probes of which nothing is heard keep the circuit half-open, so all that are in flight are of one round.
    circuit_breaker breaker{{.on = true, .half_open_max_calls = 3}};
    static_cast<void>(breaker.force(circuit_state::open, start));
    static_cast<void>(breaker.force(std::nullopt, start)); // the next request probes
    std::atomic<int> in_flight{0}, most{0}, probes{0}, too_many{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 64; ++i) {
        threads.emplace_back([&, i] {
            for (int n = 0; n < 500; ++n) {
                auto got = breaker.admit(true, true, 0, start);
                if (got.refused) {
                    std::this_thread::yield();
                    continue;
                }
                const int now = ++in_flight;
                if (now > 3) ++too_many;
                for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {}
                ++probes;
                if ((i + n) % 2) std::this_thread::yield();
                --in_flight; // before the place is given back
                if ((i + n) % 3)
                    static_cast<void>(got.given.give_verdict((i + n) % 3 == 1 ? verdict::neutral : verdict::overloaded,
                                                             beside_others, 0, start));
            }
        });
    }
    for (auto& one : threads) one.join();
    CHECK(too_many == 0);
    CHECK(most <= 3);
    CHECK(probes > 100);
    CHECK(breaker.report(beside_others, start).probes == 0);
    CHECK(breaker.report(beside_others, start).state == circuit_state::half_open);
}

TEST_CASE("P5.2, P5.4: over 10^5 random histories a round never has more probes, and only a probe's own success closes "
          "a circuit") {
    circuit_breaker breaker{{}};
    int closings = 0;
    for (std::uint64_t seed = 1; seed <= 100'000; ++seed) {
        CAPTURE(seed);
        dice dice(seed);
        history told(breaker, dice);
        for (int i = 0; i < 30; ++i) {
            told.step();
            REQUIRE(breaker.report(told.known, told.now).probes <= told.options.half_open_max_calls);
        }
        closings += told.closings;
    }
    CHECK(closings > 1000);
}

TEST_CASE("P5.4: neither what is neutral, nor overload, nor a verdict from another generation closes a circuit") {
    circuit_breaker breaker{{}};
    for (std::uint64_t seed = 1; seed <= 100'000; ++seed) {
        CAPTURE(seed);
        dice dice(seed);
        const breaker_options options = any_options(dice);
        renew(breaker, options);
        // Attempts of the closed circuit, whose successes come when it has opened.
        std::vector<circuit_breaker::permit> old;
        for (int i = 0; i < 4; ++i) {
            old.push_back(breaker.admit(true, false, 0, start).given);
            old.back().sent(start);
        }
        steady_time now = start + usual; // from here on they hide no failures
        for (int i = 0; i < 100 && breaker.report(beside_others, now).state == circuit_state::closed; ++i) {
            auto got = breaker.admit(true, false, 0, now);
            got.given.sent(now);
            static_cast<void>(got.given.give_verdict(verdict::failure, beside_others, 0, now));
        }
        REQUIRE(breaker.report(beside_others, now).state == circuit_state::open);
        for (int i = 0; i < 12; ++i) {
            now += std::chrono::milliseconds{dice.below(30000)};
            if (dice.below(3) == 0) {
                REQUIRE_FALSE(
                    old[static_cast<std::size_t>(dice.below(4))].give_verdict(verdict::success, beside_others, 0, now));
                continue;
            }
            auto got = breaker.admit(true, true, 0, now);
            if (got.refused) continue;
            REQUIRE(got.given.is_probe());
            if (dice.below(3))
                REQUIRE_FALSE(got.given.give_verdict(dice.below(2) ? verdict::neutral : verdict::overloaded,
                                                     beside_others, 0, now));
        }
        REQUIRE(breaker.report(beside_others, now).state != circuit_state::closed);
    }
}

TEST_CASE("P5.3: whatever has happened, an upstream that answers again closes the circuit in time, over 10^5 random "
          "histories") {
    circuit_breaker breaker{{}};
    int recovered = 0;
    for (std::uint64_t seed = 1; seed <= 100'000; ++seed) {
        CAPTURE(seed);
        dice dice(seed);
        history told(breaker, dice);
        for (int i = 0; i < 30; ++i) told.step();
        // Half of the histories end with every attempt cancelled; in the others what hangs keeps its place for as long
        // as a silent probe may.
        const bool hanging = dice.below(2) != 0;
        if (!hanging) told.under_way.clear();
        steady_time now = told.now;
        const steady_time healed = now;
        const duration answer = 1s;
        // A refusal's `again`.
        const duration within =
            told.options.max_recovery_timeout * 6 / 5 + told.options.success_threshold * answer + 1s +
            (hanging ? std::max(circuit_breaker::least_silence, circuit_breaker::silence_per_p95 * usual) : 0s);
        if (breaker.report(told.known, now).state != circuit_state::closed) ++recovered;
        while (breaker.report(told.known, now).state != circuit_state::closed) {
            REQUIRE(now - healed <= within);
            auto got = breaker.admit(true, true, dice.draw(), now);
            if (got.refused) {
                REQUIRE(got.refused->again > now);
                now = got.refused->again;
                continue;
            }
            now += answer;
            static_cast<void>(got.given.give_verdict(verdict::success, told.known, 0, now));
        }
        REQUIRE(now - healed <= within);
    }
    CHECK(recovered > 20'000);
}

TEST_CASE("P5.5: a healthy upstream trips nothing in 10^6 requests, whatever is hedged and whoever leaves") {
    const breaker_options classic{.on = true, .failure_threshold = 3, .failure_ratio = 0, .min_calls = 0};
    for (const breaker_options& options : {breaker_options{.on = true}, classic}) {
        for (const bool alone : {false, true}) {
            for (const int hedged : {0, 1, 10, 50, 100}) {
                for (const int leaving : {0, 1, 20, 60, 99}) {
                    CAPTURE(alone);
                    CAPTURE(hedged);
                    CAPTURE(leaving);
                    circuit_breaker breaker{options};
                    dice dice(static_cast<std::uint64_t>(hedged * 1000 + leaving));
                    const circuit_breaker::facts known{alone, usual};
                    std::array<circuit_breaker::permit, 8> under_way; // the oldest makes room for the next
                    std::array<int, 8> what{};                        // 0: answers
                    steady_time now = start;
                    bool moved = false;
                    for (std::size_t i = 0; i < 10'000; ++i) {
                        now += 10ms;
                        const int left = dice.below(100) < leaving, raced = dice.below(100) < hedged;
                        for (int attempts = 1 + raced; attempts > 0; --attempts) {
                            const std::size_t at = static_cast<std::size_t>(dice.below(8));
                            if (under_way[at] && what[at] == 0)
                                moved |= under_way[at].give_verdict(verdict::success, known, 0, now).has_value();
                            if (under_way[at] && what[at] == 1)
                                moved |= under_way[at].give_verdict(verdict::neutral, known, 0, now).has_value();
                            auto got = breaker.admit(true, true, 0, now);
                            REQUIRE_FALSE(got.refused);
                            got.given.sent(now);
                            under_way[at] = std::move(got.given);
                            // A loser, or nobody is there any more.
                            what[at] = left || attempts == 2 ? 1 + dice.below(2) : 0;
                        }
                    }
                    CHECK_FALSE(moved);
                    CHECK(breaker.report(known, now).failures == 0);
                }
            }
        }
    }
}

TEST_CASE("P5.6: a hundred proxies that tripped together do not come back together") {
    std::vector<std::unique_ptr<circuit_breaker>> proxies;
    const breaker_options options{.on = true};
    for (int i = 0; i < 100; ++i) proxies.push_back(std::make_unique<circuit_breaker>(options));
    double sum_of_variation = 0;
    constexpr int groups = 200;
    for (int seed = 1; seed <= groups; ++seed) {
        CAPTURE(seed);
        dice dice(static_cast<std::uint64_t>(seed));
        double sum = 0, squares = 0;
        for (auto& one : proxies) {
            renew(*one, options);
            for (int i = 0; i < 3; ++i) {
                auto got = one->admit(true, true, 0, start);
                got.given.sent(start);
                static_cast<void>(got.given.give_verdict(verdict::failure, beside_others, dice.draw(), start));
            }
            const auto refused = one->look(true, true, 0, start);
            REQUIRE(refused);
            const double wait = std::chrono::duration<double>(refused->again - start).count();
            REQUIRE(wait >= 2);
            REQUIRE(wait < 2.4);
            sum += wait, squares += wait * wait;
        }
        const double mean = sum / 100, variation = std::sqrt(squares / 100 - mean * mean) / mean;
        CHECK(variation > 0.04); // of one group of a hundred
        sum_of_variation += variation;
    }
    CHECK(sum_of_variation / groups > 0.05);
}

TEST_CASE("P5.7: the ramp lets through a share within 2 points of linear, from a tenth to all") {
    circuit_breaker breaker{{.on = true, .success_threshold = 1, .ramp = 10s}};
    static_cast<void>(breaker.force(circuit_state::open, start));
    static_cast<void>(breaker.force(std::nullopt, start));
    auto probe = breaker.admit(true, true, 0, start);
    REQUIRE(probe.given.give_verdict(verdict::success, beside_others, 0, start)->to == circuit_state::closed);
    dice dice(1);
    for (int tenth = 0; tenth <= 10; ++tenth) {
        CAPTURE(tenth);
        const steady_time now = start + tenth * 1s;
        int passed = 0;
        constexpr int draws = 50'000;
        for (int i = 0; i < draws; ++i) passed += !breaker.look(true, true, dice.draw(), now);
        const double share = static_cast<double>(passed) / draws;
        CHECK(std::abs(share - (0.1 + 0.9 * tenth / 10)) < 0.02);
    }
}

} // namespace evenkeel::test::breaker_properties_test

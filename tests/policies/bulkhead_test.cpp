#include "policies/bulkhead.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace evenkeel::test::bulkhead_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};

struct in_line final : bulkhead::waiter {
    int woken = 0;
    void wake() noexcept override { ++woken; }
};

int identified = 0;
bulkhead::requester of(const std::uint64_t& tenant) {
    return {.context = &tenant, .identify = [](const void* who) noexcept {
                ++identified;
                return *static_cast<const std::uint64_t*>(who);
            }};
}
const std::uint64_t anna = 1, ben = 2, carl = 3;

bulkhead_options options(int concurrent, int queue, double share = 0.5) {
    return {.on = true, .max_concurrent = concurrent, .max_queue = queue, .queue_timeout = 2s, .tenant_share = share};
}

struct bench {
    explicit bench(const bulkhead_options& with) : gate(with) {}
    bulkhead gate;
    steady_time now = start;

    bulkhead::slot let_in(const std::uint64_t& who) {
        const auto given = gate.enter(of(who), now);
        REQUIRE(given);
        return *given;
    }
    std::shared_ptr<in_line> queue(const std::uint64_t& who, duration patience = 1h) {
        REQUIRE_FALSE(gate.enter(of(who), now));
        auto one = std::make_shared<in_line>();
        const auto entry = gate.wait(one, of(who), now + patience, now);
        REQUIRE_FALSE(entry.given);
        REQUIRE(entry.refused == bulkhead_refusal::none);
        return one;
    }
    bulkhead::entry try_queue(const std::uint64_t& who) {
        return gate.wait(std::make_shared<in_line>(), of(who), now + 1h, now);
    }
    // Whether its turn has come; it is out of the queue then.
    std::optional<bulkhead::slot> turn(in_line& one) {
        if (one.woken == 0) return std::nullopt;
        CHECK(one.woken == 1);
        return gate.stop_waiting(one).given;
    }
};
} // namespace

TEST_CASE("as many are served as there are permits, and those that wait follow in order") {
    bench at(options(2, 3));
    const auto first = at.let_in(anna), second = at.let_in(anna);

    const auto third = at.queue(anna), fourth = at.queue(anna);
    CHECK(at.gate.report().in_use == 2);
    CHECK(at.gate.report().queued == 2);
    at.gate.leave(second, at.now);
    CHECK(at.turn(*third));
    CHECK_FALSE(at.turn(*fourth));
    at.gate.leave(first, at.now);
    CHECK(at.turn(*fourth));

    CHECK(at.gate.report().in_use == 2);
    CHECK(at.gate.report().queued == 0);
}

TEST_CASE("a full queue refuses at once; without a queue nobody waits") {
    bench at(options(1, 1, 1));
    static_cast<void>(at.let_in(anna));
    const auto waiting = at.queue(anna);
    CHECK(at.try_queue(anna).refused == bulkhead_refusal::queue_full);
    CHECK(at.gate.stop_waiting(*waiting).refused == bulkhead_refusal::queue_timeout);
    CHECK_FALSE(at.try_queue(anna).given);

    bench none(options(1, 0));
    static_cast<void>(none.let_in(anna));
    CHECK(none.try_queue(ben).refused == bulkhead_refusal::queue_full);
}

TEST_CASE("P8.3: nobody is given a permit after its own time, nor waits for longer than queue_timeout") {
    bench at(options(1, 8));
    const auto held = at.let_in(anna);
    const auto brief = at.queue(anna, 100ms), patient = at.queue(anna);

    at.now += 100ms; // the instant itself is too late
    at.gate.leave(held, at.now);
    CHECK(brief->woken == 0);
    CHECK(at.gate.stop_waiting(*brief).refused == bulkhead_refusal::queue_timeout);
    CHECK(at.turn(*patient));

    const auto late = at.queue(anna);
    at.now += 2s;
    const auto next = at.queue(ben);
    at.gate.configure(options(3, 8));
    CHECK(late->woken == 0);
    CHECK(at.turn(*next));
    CHECK(at.gate.stop_waiting(*late).refused == bulkhead_refusal::queue_timeout);

    CHECK(at.gate.wait(std::make_shared<in_line>(), of(anna), at.now, at.now).given); // room: no wait
    CHECK(at.gate.wait(std::make_shared<in_line>(), of(anna), at.now, at.now).refused ==
          bulkhead_refusal::queue_timeout);
}

TEST_CASE("a permit comes back unnoticed only where nobody waits and others are free") {
    bench at(options(2, 8));
    const auto first = at.let_in(anna);
    CHECK(at.gate.leave_unnoticed(first));
    const auto second = at.let_in(anna), third = at.let_in(anna);
    CHECK_FALSE(at.gate.leave_unnoticed(third)); // what is full now says how fast permits come back
    CHECK(at.gate.report().in_use == 2);
    const auto waiting = at.queue(ben);
    CHECK_FALSE(at.gate.leave_unnoticed(second));
    at.gate.leave(second, at.now);
    CHECK(at.turn(*waiting));
}

TEST_CASE("who leaves the queue frees its place at once") {
    bench at(options(1, 1, 1));
    const auto held = at.let_in(anna);
    const auto gone = at.queue(anna);
    static_cast<void>(at.gate.stop_waiting(*gone));
    const auto next = at.queue(anna);

    at.gate.leave(held, at.now);
    CHECK(gone->woken == 0);
    CHECK(at.turn(*next));
}

TEST_CASE("alone a tenant has everything; once others wait it is passed over until it is below its share") {
    bench at(options(4, 8));
    std::vector<bulkhead::slot> annas;
    for (int i = 0; i < 4; ++i) annas.push_back(at.let_in(anna));
    const auto more = at.queue(anna);
    const auto bens = at.queue(ben), bens_second = at.queue(ben), bens_third = at.queue(ben);

    at.gate.leave(annas[0], at.now); // anna has 3 of 4 still
    CHECK(at.turn(*bens));
    at.gate.leave(annas[1], at.now); // 2: her share
    CHECK(at.turn(*bens_second));
    CHECK(more->woken == 0);
    at.gate.leave(annas[2], at.now); // 1: below it, and she came first
    const auto hers = at.gate.stop_waiting(*more);
    CHECK(hers.given);
    CHECK(hers.limited);
    CHECK(bens_third->woken == 0); // he has his share
    at.gate.leave(annas[3], at.now);
    CHECK(at.turn(*bens_third)); // nobody below the share waits: nothing is kept free
}

TEST_CASE("of those above their share the one that holds least is next") {
    bench at(options(5, 8, 0.2)); // a share of one
    std::vector<bulkhead::slot> annas;
    for (int i = 0; i < 3; ++i) annas.push_back(at.let_in(anna));
    const auto bens_first = at.let_in(ben);
    const auto carls = at.let_in(carl);
    const auto anna_waits = at.queue(anna), ben_waits = at.queue(ben);

    at.gate.leave(carls, at.now);
    CHECK(anna_waits->woken == 0);
    CHECK(at.turn(*ben_waits));
    at.gate.leave(bens_first, at.now);
    CHECK(at.turn(*anna_waits));
}

TEST_CASE("one tenant's requests do not keep another's out of the queue") {
    bench at(options(1, 4)); // a share of two places
    static_cast<void>(at.let_in(anna));
    std::vector<std::shared_ptr<in_line>> annas;
    for (int i = 0; i < 4; ++i) annas.push_back(at.queue(anna)); // alone: all of them
    CHECK(at.try_queue(anna).refused == bulkhead_refusal::queue_full);

    const auto bens = at.queue(ben); // the youngest of anna's makes room
    CHECK(annas[3]->woken == 1);
    const auto displaced = at.gate.stop_waiting(*annas[3]);
    CHECK(displaced.refused == bulkhead_refusal::tenant_share);
    CHECK(displaced.limited);
    CHECK(at.gate.report().queued == 4);
    CHECK(at.try_queue(anna).refused == bulkhead_refusal::tenant_share); // others wait now
    const auto bens_second = at.queue(ben);
    CHECK(annas[2]->woken == 1);
    CHECK(at.try_queue(ben).refused == bulkhead_refusal::tenant_share);
    CHECK(at.try_queue(carl).refused == bulkhead_refusal::queue_full); // both have their share, and no more
}

TEST_CASE("nobody is asked who it is before it matters") {
    identified = 0;
    bench at(options(200, 10));
    for (unsigned i = 0; i < 50; ++i) static_cast<void>(at.let_in(i % 2 == 0 ? anna : ben)); // a quarter
    CHECK(identified == 0);
    for (unsigned i = 50; i < 200; ++i) static_cast<void>(at.let_in(anna));
    CHECK(identified == 150);
    const auto waiting = at.queue(anna); // asks twice: enter() and wait()
    CHECK(identified == 152 + 50);
    const auto another = at.queue(ben);
    CHECK(identified == 154 + 50); // what is known stays known

    identified = 0;
    bench unlimited(options(4, 10, 1));
    for (int i = 0; i < 4; ++i) static_cast<void>(unlimited.let_in(anna));
    CHECK(identified == 0);
}

TEST_CASE("new limits keep those that are in and those that wait") {
    bench at(options(2, 8, 1));
    const auto first = at.let_in(anna), second = at.let_in(anna);
    const auto third = at.queue(anna), fourth = at.queue(anna);

    at.gate.configure(options(1, 8, 1));
    CHECK(at.gate.report().in_use == 2);
    at.gate.leave(first, at.now);
    CHECK(third->woken == 0); // one too many before
    at.gate.leave(second, at.now);
    CHECK(at.turn(*third));
    at.gate.configure(options(2, 8, 1));
    CHECK(at.turn(*fourth));
}

TEST_CASE("the advice to come again follows how fast permits come back") {
    bench at(options(1, 8, 1));
    auto held = at.let_in(anna);
    std::vector<std::shared_ptr<in_line>> line;
    for (int i = 0; i < 4; ++i) line.push_back(at.queue(anna, 1h));
    at.now += 500ms; // nothing has come back so far: not sooner than this, for each
    CHECK(at.gate.retry_after(0.999999, at.now) >= 2490ms);

    for (int i = 0; i < 3; ++i) {
        at.gate.leave(held, at.now);
        const auto next = at.turn(*line[static_cast<std::size_t>(i)]);
        REQUIRE(next);
        held = *next;
        at.now += 500ms;
    }
    for (const double u : {0.0, 0.5, 0.999999}) {
        const auto told = at.gate.retry_after(u, at.now); // 0.5 s each, for the one that waits and one more
        CHECK(told >= 790ms);
        CHECK(told <= 1010ms);
    }
    at.now += 1h;
    CHECK(at.gate.retry_after(0.999999, at.now) <= 10s);
    CHECK(at.gate.retry_after(0, at.now) == 8s);

    bench quick(options(1, 8, 1));
    const auto one = quick.let_in(anna);
    CHECK(quick.gate.retry_after(0, quick.now) == 100ms);
    quick.gate.leave(one, quick.now);
}

// The whole of it under random load, against a book kept by hand.
namespace {
struct story {
    explicit story(std::uint64_t seed, bulkhead_options with, std::vector<double> rates)
        : random(seed), how(with), gate(with), load(std::move(rates)), tenants(load.size()) {
        for (std::size_t i = 0; i < tenants.size(); ++i) tenants[i].name = i + 1;
    }
    struct someone {
        std::size_t tenant = 0;
        std::shared_ptr<in_line> line;
        steady_time until{};
        std::uint64_t number = 0;
        bulkhead::slot slot = 0;
    };
    struct tenant {
        std::uint64_t name = 0;
        int held = 0, served = 0, refused = 0, asked = 0;
        std::uint64_t last_served = 0; // of those that waited
    };
    std::mt19937_64 random;
    bulkhead_options how;
    bulkhead gate;
    std::vector<double> load;
    std::vector<tenant> tenants;
    std::vector<someone> inside;
    std::vector<someone> waiting; // in order
    steady_time now = start;
    std::uint64_t numbers = 0;

    double u() { return std::uniform_real_distribution<double>(0, 1)(random); }
    [[nodiscard]] int share() const { return std::max(1, static_cast<int>(how.tenant_share * how.max_concurrent)); }

    void admit(someone one) {
        ++tenants[one.tenant].held;
        ++tenants[one.tenant].served;
        inside.push_back(std::move(one));
    }
    // Everybody who was woken is let in or sent away; `freed` was just given back.
    void settle() {
        std::vector<someone> still;
        std::vector<someone> given;
        for (auto& one : waiting) {
            REQUIRE(one.line->woken <= 1);
            if (one.line->woken == 0) {
                still.push_back(std::move(one));
                continue;
            }
            const auto entry = gate.stop_waiting(*one.line);
            if (entry.given) {
                one.slot = *entry.given;
                given.push_back(std::move(one));
            } else {
                REQUIRE(entry.refused == bulkhead_refusal::tenant_share);
                ++tenants[one.tenant].refused;
            }
        }
        waiting = std::move(still);
        for (auto& one : given) {
            REQUIRE(one.until > now); // never after its time
            tenant& mine = tenants[one.tenant];
            REQUIRE(one.number > mine.last_served); // first come first served within a tenant
            mine.last_served = one.number;
            for (const auto& passed : waiting) {
                if (passed.until <= now) continue;
                // Above its share nobody is given a permit while somebody below its own waits; below it, the first of
                // them.
                if (mine.held >= share()) REQUIRE(tenants[passed.tenant].held >= share());
                if (tenants[passed.tenant].held < share()) REQUIRE(passed.number > one.number);
            }
            admit(std::move(one));
        }
    }
    void arrive(std::size_t who) {
        tenant& mine = tenants[who];
        ++mine.asked;
        if (const auto given = gate.enter(of(mine.name), now)) {
            for (const auto& one : waiting) REQUIRE(one.until <= now); // nobody is overtaken
            admit({.tenant = who, .line = {}, .slot = *given});
            return;
        }
        someone one{.tenant = who,
                    .line = std::make_shared<in_line>(),
                    .until = now + std::chrono::milliseconds(1 + random() % 3000),
                    .number = ++numbers};
        const auto entry = gate.wait(one.line, of(mine.name), one.until, now);
        one.until = std::min(one.until, now + how.queue_timeout.value());
        if (entry.given) {
            one.slot = *entry.given;
            admit(std::move(one));
        } else if (entry.refused != bulkhead_refusal::none) {
            ++mine.refused;
        } else {
            waiting.push_back(std::move(one));
        }
        settle();
    }
    void give_back(std::size_t at) {
        const someone one = inside[at];
        inside.erase(inside.begin() + static_cast<std::ptrdiff_t>(at));
        --tenants[one.tenant].held;
        if (u() < 0.5 || !gate.leave_unnoticed(one.slot)) gate.leave(one.slot, now);
        settle();
    }
    void stop(std::size_t at) {
        const someone one = waiting[at];
        waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(at));
        const auto entry = gate.stop_waiting(*one.line);
        REQUIRE_FALSE(entry.given); // it had not been woken
        ++tenants[one.tenant].refused;
    }
    void step() {
        now += std::chrono::microseconds(random() % 20000);
        for (std::size_t i = waiting.size(); i-- > 0;) {
            if (waiting[i].until <= now) stop(i); // its own timer
        }
        const double dice = u();
        if (dice < 0.62) {
            double all = 0, sum = 0;
            for (const double each : load) all += each;
            const double drawn = u() * all;
            for (std::size_t i = 0; i < load.size(); ++i) {
                sum += load[i];
                if (drawn < sum) return arrive(i);
            }
        } else if (dice < 0.97) {
            if (!inside.empty()) give_back(random() % inside.size());
        } else if (dice < 0.995) {
            if (!waiting.empty()) stop(random() % waiting.size()); // its client leaves
        } else {
            how.max_concurrent = 2 + static_cast<int>(random() % 12);
            gate.configure(how);
            settle();
        }
    }
    void check() {
        const auto seen = gate.report();
        REQUIRE(seen.in_use == static_cast<int>(inside.size()));
        REQUIRE(seen.queued <= static_cast<int>(waiting.size()));
        // No lost wake-up: nobody with time left waits while a permit is free.
        const bool somebody =
            std::any_of(waiting.begin(), waiting.end(), [&](const auto& one) { return one.until > now; });
        if (somebody) REQUIRE(seen.in_use >= seen.limit);
    }
};
} // namespace

TEST_CASE("P8.1: 10^5 random steps: never too many, in order, within shares, nobody forgotten, nothing left") {
    for (const std::uint64_t seed : {1U, 2U, 3U, 4U}) {
        CAPTURE(seed);
        story told(seed, options(8, 20, seed % 2 == 0 ? 0.5 : 0.25), {100, 1, 1, 3});
        for (int i = 0; i < 30000; ++i) {
            const auto before = told.inside.size();
            told.step();
            told.check();
            if (told.inside.size() > before) REQUIRE(static_cast<int>(told.inside.size()) <= told.gate.report().limit);
        }
        while (!told.inside.empty()) told.give_back(0);
        while (!told.waiting.empty()) told.stop(0);
        CHECK(told.gate.report().in_use == 0);
        CHECK(told.gate.report().queued == 0);
        CHECK(told.tenants[0].served > 1000);
    }
}

TEST_CASE(
    "P8.2: a tenant at a hundred times the load does not take more than its share, and costs the others nothing") {
    // Ten permits, 100 ms each: 100 requests a second. The one asks for 1000 a second, each of the others for 10.
    constexpr int others = 4;
    bench at(options(10, 40));
    struct request {
        std::uint64_t who;
        steady_time came, ends;
        std::shared_ptr<in_line> line;
        bulkhead::slot slot;
    };
    const std::vector<std::uint64_t> names{1, 2, 3, 4, 5};
    std::vector<request> inside, waiting;
    std::map<std::uint64_t, int> asked, served, refused;
    std::map<std::uint64_t, duration> longest;
    int most_while_others_wait = 0;
    const auto held = [&](std::uint64_t who) {
        return std::count_if(inside.begin(), inside.end(), [&](const auto& r) { return r.who == who; });
    };
    for (int ms = 0; ms < 60'000; ++ms) {
        at.now = start + std::chrono::milliseconds{ms};
        for (std::size_t i = inside.size(); i-- > 0;) {
            if (inside[i].ends > at.now) continue;
            const auto slot = inside[i].slot;
            inside.erase(inside.begin() + static_cast<std::ptrdiff_t>(i));
            at.gate.leave(slot, at.now);
        }
        for (std::size_t i = 0; i < waiting.size();) {
            request& one = waiting[i];
            const bool late = at.now >= one.came + 2s;
            if (one.line->woken == 0 && !late) {
                ++i;
                continue;
            }
            const auto entry = at.gate.stop_waiting(*one.line);
            if (entry.given) {
                const bool others_wait = std::any_of(waiting.begin(), waiting.end(),
                                                     [&](const auto& r) { return r.who != 1 && r.line->woken == 0; });
                if (one.who == 1 && others_wait)
                    most_while_others_wait = std::max(most_while_others_wait, static_cast<int>(held(1)) + 1);
                longest[one.who] = std::max(longest[one.who], at.now - one.came);
                one.slot = *entry.given;
                one.ends = at.now + 100ms;
                ++served[one.who];
                inside.push_back(one);
            } else {
                ++refused[one.who];
            }
            waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(i));
        }
        const auto arrive = [&](const std::uint64_t& who) {
            ++asked[who];
            request one{who, at.now, at.now + 100ms, std::make_shared<in_line>(), 0};
            if (const auto given = at.gate.enter(of(who), at.now)) {
                one.slot = *given;
                ++served[who];
                inside.push_back(one);
                return;
            }
            const auto entry = at.gate.wait(one.line, of(who), at.now + 1h, at.now);
            REQUIRE_FALSE(entry.given);
            if (entry.refused == bulkhead_refusal::none)
                waiting.push_back(one);
            else
                ++refused[who];
        };
        arrive(names[0]);
        for (std::size_t other = 1; other <= others; ++other) {
            if (ms % 100 == static_cast<int>(other) * 7) arrive(names[other]);
        }
    }
    CHECK(most_while_others_wait <= 5);
    for (std::size_t other = 1; other <= others; ++other) {
        const std::uint64_t who = names[other];
        CAPTURE(who);
        CHECK(asked[who] == 600);
        CHECK(refused[who] == 0);
        CHECK(served[who] >= 598); // the last may still be waiting
        CHECK(longest[who] <= 100ms);
    }
    CHECK(served[1] > 3000); // what the others leave
}

} // namespace evenkeel::test::bulkhead_test

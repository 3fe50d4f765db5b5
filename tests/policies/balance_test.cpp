#include "policies/balance.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test::balance_test {

using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};

// Upstreams of one endpoint each, by place.
balancer flat(balance_kind kind, const std::vector<double>& weights,
              std::shared_ptr<balance_memory> memory = std::make_shared<balance_memory>()) {
    balance_options options{.kind = kind, .upstreams = {}};
    for (const double weight : weights)
        options.upstreams.push_back({std::to_string(options.upstreams.size()), weight, {}, {"only"}});
    return {std::move(memory), options};
}

std::vector<std::uint32_t> ask(balancer& balance, std::size_t n, double u1 = 0.5, double u2 = 0.5,
                               steady_time now = start) {
    std::vector<std::uint32_t> order(n);
    std::iota(order.begin(), order.end(), 0U);
    balance.order(order, u1, u2, now);
    auto sorted = order;
    std::sort(sorted.begin(), sorted.end());
    for (std::uint32_t i = 0; i < n; ++i) REQUIRE(sorted[i] == i); // each once
    return order;
}
} // namespace

TEST_CASE("failover keeps the order of preference") {
    balancer balance = flat(balance_kind::failover, {1, 1, 1});
    balance.started(0);
    balance.ended(0, balancer::ending::failed, 1s, start);
    CHECK(ask(balance, 3) == std::vector<std::uint32_t>{0, 1, 2});
}

TEST_CASE("weighted 5, 1, 1 is spread as nginx spreads it") {
    balancer balance = flat(balance_kind::weighted, {5, 1, 1});
    std::string said;
    for (int i = 0; i < 7; ++i) said += static_cast<char>('a' + ask(balance, 3)[0]);
    CHECK(said == "aabacaa");
}

TEST_CASE("round robin goes round, and who may not be asked leaves equal shares to the others") {
    balancer balance = flat(balance_kind::round_robin, {5, 1, 1, 1});
    std::mt19937_64 random(3);
    std::uniform_real_distribution<double> u(0, 1);
    std::vector<int> first(4), without_0(4);
    for (int i = 0; i < 4000; ++i) {
        const auto order = ask(balance, 4, u(random), u(random));
        ++first[order[0]];
        ++without_0[order[0] == 0 ? order[1] : order[0]];
    }
    for (const int n : first) CHECK(n == 1000);
    for (std::size_t i = 1; i < 4; ++i) CHECK(without_0[i] == doctest::Approx(4000.0 / 3).epsilon(0.05));
}

TEST_CASE("a request that may ask some of the endpoints only gets those, in the same shares") {
    balancer balance = flat(balance_kind::round_robin, {1, 1, 1});
    std::vector<int> first(3);
    for (int i = 0; i < 100; ++i) {
        std::vector<std::uint32_t> some{0, 2};
        balance.order(some, 0.5, 0.5, start);
        ++first[some[0]];
    }
    CHECK(first == std::vector<int>{50, 0, 50});
}

namespace {
// Least latency over some endpoints, of which each answers in its own time.
struct latency_bench {
    explicit latency_bench(const std::vector<double>& weights)
        : size(weights.size()), balance(flat(balance_kind::least_latency, weights, memory)) {}
    std::size_t size;
    std::shared_ptr<balance_memory> memory = std::make_shared<balance_memory>();
    balancer balance;
    steady_time now = start;

    void end(std::uint32_t at, balancer::ending how, duration took) {
        balance.started(at);
        balance.ended(at, how, took, now);
    }
    void answers(std::uint32_t at, duration took, int times = 1) {
        for (int i = 0; i < times; ++i) end(at, balancer::ending::answered, took);
    }
    // Which one is asked first of two.
    std::uint32_t of_two(std::uint32_t a, std::uint32_t b) {
        std::vector<std::uint32_t> two{std::min(a, b), std::max(a, b)};
        balance.order(two, 0.5, 0.5, now);
        return two[0];
    }
    double share(std::uint32_t of, int requests = 4000) {
        std::mt19937_64 random(7);
        std::uniform_real_distribution<double> u(0, 1);
        int mine = 0;
        for (int i = 0; i < requests; ++i) mine += ask(balance, size, u(random), u(random), now)[0] == of;
        return mine / static_cast<double>(requests);
    }
};
} // namespace

TEST_CASE("the quickest is asked first, and of those behind it the quickest") {
    latency_bench bench({1, 1, 1, 1});
    for (std::uint32_t at = 0; at < 4; ++at) bench.answers(at, 100ms * (4 - at), 20);
    for (std::uint32_t a = 0; a < 4; ++a) {
        for (std::uint32_t b = 0; b < 4; ++b) {
            if (a != b) CHECK(bench.of_two(a, b) == std::max(a, b));
        }
    }
    CHECK(ask(bench.balance, 4, 0, 0, bench.now) == std::vector<std::uint32_t>{3, 2, 1, 0});
}

TEST_CASE("equals share alike, also those of which nothing is known") {
    for (const int answers : {0, 20}) {
        latency_bench bench({1, 1, 1, 1});
        for (std::uint32_t at = 0; at < 4; ++at) bench.answers(at, 100ms, answers);
        for (std::uint32_t at = 0; at < 4; ++at) CHECK(bench.share(at) == doctest::Approx(0.25).epsilon(0.1));
    }
}

TEST_CASE("the quickest is not everybody's choice at the same time: what it has in flight counts at once") {
    latency_bench bench({1, 1, 1, 1});
    for (std::uint32_t at = 0; at < 4; ++at) bench.answers(at, at == 2 ? 50ms : 100ms, 20);
    std::vector<int> given(4);
    for (int i = 0; i < 500; ++i) {
        const std::uint32_t at = ask(bench.balance, 4, i / 500.0, 0.5, bench.now)[0];
        ++given[at];
        bench.balance.started(at);
    }
    CHECK(given[2] == doctest::Approx(200).epsilon(0.02)); // twice as quick, twice as many
    for (const std::uint32_t at : {0U, 1U, 3U}) CHECK(given[at] == doctest::Approx(100).epsilon(0.03));
}

TEST_CASE("above eight it compares eight that are drawn: the quickest of twelve is first where it is among them") {
    latency_bench bench(std::vector<double>(12, 1));
    for (std::uint32_t at = 0; at < 12; ++at) bench.answers(at, at == 5 ? 50ms : 100ms, 20);
    CHECK(bench.share(5) == doctest::Approx(8.0 / 12).epsilon(0.05));
    latency_bench eight(std::vector<double>(8, 1));
    for (std::uint32_t at = 0; at < 8; ++at) eight.answers(at, at == 5 ? 50ms : 100ms, 20);
    CHECK(eight.share(5) == 1);
}

TEST_CASE(
    "attempts in flight and weights count: twice the work under way is twice the latency, twice the weight half") {
    latency_bench bench({1, 1});
    bench.answers(0, 100ms, 20);
    bench.answers(1, 150ms, 20);
    CHECK(bench.of_two(0, 1) == 0);
    bench.balance.started(0);
    CHECK(bench.of_two(0, 1) == 1);
    bench.balance.left(0); // without a word
    CHECK(bench.of_two(0, 1) == 0);
    bench.balance = flat(balance_kind::least_latency, {1, 2}, bench.memory); // what is known stays
    CHECK(bench.of_two(0, 1) == 1);
}

TEST_CASE("a slow answer counts at once and has faded within seconds; the usual latency moves slowly") {
    latency_bench bench({1, 1});
    bench.answers(0, 100ms, 20);
    bench.answers(1, 200ms, 20);
    bench.answers(0, 2s);
    CHECK(bench.of_two(0, 1) == 1);
    bench.now += 60s;               // six times the decay
    CHECK(bench.of_two(0, 1) == 1); // a tenth of the 2 s has become usual
    bench.answers(0, 100ms, 40);
    CHECK(bench.of_two(0, 1) == 0);
}

TEST_CASE("an endpoint that fails fast attracts nobody, and the longer the more of them in a row") {
    latency_bench bench({1, 1});
    bench.answers(0, 100ms, 20);
    bench.answers(1, 5s, 20);
    bench.end(0, balancer::ending::failed, 1ms);
    CHECK(bench.of_two(0, 1) == 1);
    // But for a look now and then: 20 s fade below 5 s in ln 4 times the decay.
    bench.now += 13s;
    CHECK(bench.of_two(0, 1) == 0);
    CHECK(bench.of_two(0, 1) == 1);
    bench.now += 2s;
    CHECK(bench.of_two(0, 1) == 0);
    CHECK(bench.of_two(0, 1) == 0);

    for (int i = 0; i < 20; ++i) bench.end(0, balancer::ending::failed, 1ms);
    bench.now += 15s;
    CHECK(bench.of_two(0, 1) == 0);
    CHECK(bench.of_two(0, 1) == 1);
    bench.now += 45s; // 2^6 charges at most: about a minute
    CHECK(bench.of_two(0, 1) == 0);
    CHECK(bench.of_two(0, 1) == 0);
    bench.answers(0, 100ms); // an answer ends the row
    bench.end(0, balancer::ending::failed, 1ms);
    bench.now += 20s;
    CHECK(bench.of_two(0, 1) == 0);
}

namespace {
// So many requests a second to two endpoints, in virtual time; `answer` says how an attempt ends, and after how long.
struct two_endpoints {
    struct fate {
        balancer::ending how;
        duration took;
    };
    std::function<fate(std::uint32_t at, duration since)> answer;
    latency_bench bench{{1, 1}};
    std::mt19937_64 random{11};
    struct under_way {
        steady_time ends;
        std::uint32_t at;
        fate is;
    };
    std::vector<under_way> all{};
    std::vector<std::pair<duration, std::uint32_t>> asked{};

    void run(duration gap, duration length) {
        std::uniform_real_distribution<double> u(0, 1);
        for (const steady_time end = bench.now + length; bench.now < end; bench.now += gap) {
            std::erase_if(all, [&](const under_way& one) {
                if (one.ends > bench.now) return false;
                bench.balance.ended(one.at, one.is.how, one.is.took, one.ends);
                return true;
            });
            const std::uint32_t at = ask(bench.balance, 2, u(random), u(random), bench.now)[0];
            bench.balance.started(at);
            asked.emplace_back(bench.now - start, at);
            const fate is = answer(at, bench.now - start);
            all.push_back({bench.now + is.took, at, is});
        }
    }
    [[nodiscard]] int asked_of(std::uint32_t at, duration from, duration to) const {
        return static_cast<int>(std::count_if(asked.begin(), asked.end(), [&](const auto& one) {
            return one.second == at && one.first >= from && one.first < to;
        }));
    }
};
} // namespace

TEST_CASE("an endpoint that was in trouble is looked at again within seconds, by few requests (A14)") {
    for (const int trouble : {0, 1, 2}) {
        CAPTURE(trouble);
        two_endpoints two{.answer = [&, n = 0](std::uint32_t at, duration since) mutable -> two_endpoints::fate {
            const duration usual = 45ms + 1ms * (++n * 7 % 11);
            if (at != 0 || since < 10s || since >= 15s) return {balancer::ending::answered, usual};
            if (trouble == 0) return {balancer::ending::failed, 5ms};
            if (trouble == 1) return {balancer::ending::answered, usual + 1s};
            return {balancer::ending::failed, usual + 1s};
        }};
        two.run(50ms, 120s);
        CHECK(two.asked_of(0, 11s, 15s) <= 5);
        CHECK(two.asked_of(0, 15s, 20s) >= 1);
        CHECK(two.asked_of(0, 20s, 35s) >= 5);
        CHECK(two.asked_of(0, 60s, 120s) >= 0.25 * 1200);
    }
}

TEST_CASE("one that stays in trouble, or is always slower, is looked at seldom (A14)") {
    for (const bool fails : {true, false}) {
        CAPTURE(fails);
        two_endpoints two{.answer = [&](std::uint32_t at, duration) -> two_endpoints::fate {
            if (at == 1) return {balancer::ending::answered, 45ms};
            return {fails ? balancer::ending::failed : balancer::ending::answered, fails ? 5ms : 1s};
        }};
        two.run(50ms, 600s);
        CHECK(two.asked_of(0, 0s, 60s) <= 10);
        CHECK(two.asked_of(0, 60s, 600s) <= 20);
        CHECK(two.asked_of(0, 60s, 600s) >= 10);
    }
}

TEST_CASE("a fast refusal is no speed, and where everybody refuses nobody is preferred (A15)") {
    two_endpoints one_refuses{.answer = [](std::uint32_t at, duration) -> two_endpoints::fate {
        if (at == 0) return {balancer::ending::refused, 20ms};
        return {balancer::ending::answered, 120ms};
    }};
    one_refuses.run(50ms, 60s);
    CHECK(one_refuses.asked_of(0, 0s, 60s) <= 60);

    two_endpoints both_do{.answer = [](std::uint32_t, duration) -> two_endpoints::fate {
        return {balancer::ending::refused, 20ms};
    }};
    both_do.run(50ms, 60s);
    CHECK(both_do.asked_of(0, 0s, 60s) == doctest::Approx(600).epsilon(0.1));

    two_endpoints now_and_then{.answer = [n = 0](std::uint32_t, duration) mutable -> two_endpoints::fate {
        if (++n % 10 == 0) return {balancer::ending::refused, 20ms};
        return {balancer::ending::answered, 100ms + 1ms * (n * 7 % 11)};
    }};
    now_and_then.run(50ms, 60s);
    CHECK(now_and_then.asked_of(0, 0s, 60s) == doctest::Approx(600).epsilon(0.2));
}

TEST_CASE("a loser or a timeout is a lower bound: it raises the estimate and never lowers it") {
    latency_bench bench({1, 1});
    bench.answers(0, 1s, 20);
    bench.answers(1, 1100ms, 20);
    bench.end(1, balancer::ending::cut_off, 10ms);
    CHECK(bench.of_two(0, 1) == 0);
    bench.end(0, balancer::ending::cut_off, 3s);
    CHECK(bench.of_two(0, 1) == 1);
}

TEST_CASE("an endpoint that nobody asks is tried again: what is not renewed fades by half in five minutes") {
    latency_bench bench({1, 1});
    bench.answers(0, 1s, 40);
    bench.answers(1, 3s, 40);
    for (int minute = 0; minute < 12; ++minute) {
        bench.now += 1min;
        bench.answers(0, 1s, 5); // all of the traffic
    }
    CHECK(bench.of_two(0, 1) == 1);
}

TEST_CASE("a configuration that adds and removes endpoints keeps what is known of the others, and forgets the rest") {
    const auto memory = std::make_shared<balance_memory>();
    const auto made_of = [&](std::vector<std::string> names) {
        return balancer(memory, {.kind = balance_kind::failover,
                                 .upstreams = {{"u", 1, balance_kind::least_latency, std::move(names)}}});
    };
    std::optional<balancer> before{made_of({"a", "b"})};
    for (const std::uint32_t at : {0U, 1U}) {
        before->started(at);
        before->ended(at, balancer::ending::answered, at == 0 ? 100ms : 500ms, start);
    }
    before->started(1); // in flight across the change, and counted to its end
    std::optional<balancer> after{made_of({"c", "b", "a"})};
    for (int i = 0; i < 20; ++i) {
        after->started(0);
        after->ended(0, balancer::ending::answered, 150ms, start);
    }
    CHECK(ask(*after, 3) == std::vector<std::uint32_t>{2, 0, 1});
    before->left(1);
    before.reset();
    after.emplace(made_of({"a"}));
    after.emplace(made_of({"a", "b"})); // b has been away, and begins anew
    after->started(0);
    CHECK(ask(*after, 2) == std::vector<std::uint32_t>{1, 0});
}

TEST_CASE("numbers of another configuration are left as they are") {
    latency_bench bench({1, 1});
    std::vector<std::uint32_t> of_another{4, 5, 6};
    bench.balance.order(of_another, 0, 0, bench.now);
    CHECK(of_another == std::vector<std::uint32_t>{4, 5, 6});
    bench.balance.started(9);
    bench.balance.ended(9, balancer::ending::failed, 1s, bench.now);
    bench.balance.left(9);
}

namespace {
// Two upstreams with three endpoints and two.
balancer nested(balance_kind route, balance_kind first, balance_kind second, double weight = 1) {
    return {std::make_shared<balance_memory>(),
            {.kind = route, .upstreams = {{"a", weight, first, {"1", "2", "3"}}, {"b", 1, second, {"1", "2"}}}}};
}
void answers(balancer& balance, std::uint32_t at, duration took) {
    for (int i = 0; i < 20; ++i) {
        balance.started(at);
        balance.ended(at, balancer::ending::answered, took, start);
    }
}
} // namespace

TEST_CASE("the route chooses among upstreams, each upstream among its endpoints, and none comes between") {
    SUBCASE("failover of upstreams, the quickest of each") {
        balancer balance = nested(balance_kind::failover, balance_kind::least_latency, balance_kind::least_latency);
        for (std::uint32_t at = 0; at < 5; ++at) answers(balance, at, 100ms * (5 - at));
        CHECK(ask(balance, 5) == std::vector<std::uint32_t>{2, 1, 0, 4, 3});
    }
    SUBCASE("an upstream costs what its best endpoint does") {
        balancer balance = nested(balance_kind::least_latency, balance_kind::failover, balance_kind::least_latency);
        const duration took[] = {400ms, 90ms, 500ms, 200ms, 100ms};
        for (std::uint32_t at = 0; at < 5; ++at) answers(balance, at, took[at]);
        CHECK(ask(balance, 5) == std::vector<std::uint32_t>{0, 1, 2, 4, 3});
    }
    SUBCASE("turns of upstreams by weight, and in each of its endpoints") {
        balancer balance = nested(balance_kind::weighted, balance_kind::round_robin, balance_kind::round_robin, 3);
        std::vector<int> first(5);
        for (int i = 0; i < 2400; ++i) {
            const auto order = ask(balance, 5, i / 2400.0, 0.3);
            ++first[order[0]];
            CHECK((order[0] < 3) == (order[1] < 3)); // the rest of its upstream behind it
        }
        CHECK(first == std::vector<int>{600, 600, 600, 300, 300});
    }
}

TEST_CASE("an endpoint of which nothing is known gets its share, not everything until its first answer") {
    latency_bench bench({1, 1, 1, 1});
    for (std::uint32_t at = 0; at < 3; ++at) bench.answers(at, 10s, 20);
    std::vector<int> given(4);
    for (int i = 0; i < 400; ++i) {
        const std::uint32_t at = ask(bench.balance, 4, i / 400.0, 0.5, bench.now)[0];
        ++given[at];
        bench.balance.started(at);
    }
    for (const int n : given) CHECK(n == doctest::Approx(100).epsilon(0.02));
}

TEST_CASE("there is something to choose where a route or an upstream has several and does not keep their order") {
    const auto chooses = [](balance_kind route, balance_kind upstream, std::vector<std::size_t> sizes) {
        balance_options options{.kind = route, .upstreams = {}};
        for (const std::size_t size : sizes)
            options.upstreams.push_back({"u", 1, upstream, std::vector<std::string>(size, "e")});
        return options.chooses();
    };
    using enum balance_kind;
    CHECK_FALSE(chooses(least_latency, least_latency, {1}));
    CHECK_FALSE(chooses(failover, least_latency, {1, 1}));
    CHECK_FALSE(chooses(failover, failover, {2, 2}));
    CHECK(chooses(least_latency, failover, {1, 1}));
    CHECK(chooses(failover, round_robin, {1, 2}));
}

TEST_CASE("whatever is told in whatever order, each endpoint is in the order once and one that always fails gets less "
          "than its share") {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        std::uniform_real_distribution<double> u(0, 1);
        const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
        const auto n = static_cast<std::size_t>(2 + below(5));
        latency_bench bench(std::vector<double>(n, 1));
        std::vector<int> first(n);
        for (int i = 0; i < 1000; ++i) {
            bench.now += std::chrono::milliseconds(below(50));
            const std::uint32_t at = ask(bench.balance, n, u(random), u(random), bench.now)[0];
            ++first[at];
            bench.balance.started(at);
            if (below(20) == 0) {
                bench.balance.left(at);
            } else if (at == 0) {
                bench.balance.ended(at, balancer::ending::failed, 1ms, bench.now);
            } else {
                bench.balance.ended(at, below(9) == 0 ? balancer::ending::cut_off : balancer::ending::answered,
                                    std::chrono::milliseconds(50 + below(400)), bench.now);
            }
        }
        REQUIRE(first[0] < 1000 / static_cast<int>(n) / 2);
    }
}

} // namespace evenkeel::test::balance_test

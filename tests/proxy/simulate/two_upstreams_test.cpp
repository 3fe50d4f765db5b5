// Two upstreams of which the first is in trouble, on the real request path: what the balance, the breaker and the
// overload control make of it (rows A13 to A16 of the troubles).

#include "proxy/simulate/stage.hpp"

#include "proxy/model/luck.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace evenkeel::simulate::two_upstreams_test {

namespace {

std::string two(std::string_view of_route) {
    return "version: 1\nupstreams:\n  first: {url: \"http://first.invalid\"}\n"
           "  second: {url: \"http://second.invalid\", caller_credentials: drop}\n"
           "routes:\n  - name: llm\n    match: {path_prefix: /v1}\n    upstreams: [first, second]\n" +
           std::string{of_route};
}
reply answer(double after) {
    return {.after = after, .body = R"({"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]})"};
}
reply error(double after, int status, std::string_view type = "server_error") {
    return {.after = after,
            .status = status,
            .body = R"({"error":{"message":"no","type":")" + std::string{type} + R"("}})"};
}
void ask_steadily(stage& on, double from, double to, double a_second) {
    for (double at = from; at < to; at += 1 / a_second) on.request_at(at, "/v1/chat/completions");
    on.run_until(to + 60);
}
std::size_t served(const stage& on) {
    return static_cast<std::size_t>(std::count_if(on.requests().begin(), on.requests().end(), [](const auto& each) {
        return each.status == 200 && each.whole && !each.degraded.is;
    }));
}
int asked(const stage& on, std::string_view upstream, double from, double to) {
    return static_cast<int>(std::count_if(on.attempts().begin(), on.attempts().end(), [&](const auto& each) {
        return each.upstream == upstream && each.began >= from && each.began < to;
    }));
}

} // namespace

TEST_CASE("A14: least_latency looks again at an upstream that is well again, within seconds and by few requests") {
    for (const bool fails : {true, false}) {
        CAPTURE(fails);
        stage on(two("    balance: least_latency\n"), [&](std::string_view upstream, unsigned attempt, double now) {
            const double usual = 0.045 + 0.01 * model::draw(1, attempt, 0, 0);
            if (upstream != "first" || now < 10 || now >= 15) return answer(usual);
            return fails ? error(0.005, 503) : answer(1 + usual);
        });
        ask_steadily(on, 0, 90, 20);
        CHECK(served(on) == on.requests().size());
        CHECK(asked(on, "first", 0, 10) >= 50);
        CHECK(asked(on, "first", 11, 15) <= 8);
        CHECK(asked(on, "first", 15, 20) >= 1);
        CHECK(asked(on, "first", 40, 90) >= 200);
    }
}

TEST_CASE("A15: a 400 in 20 ms draws no requests") {
    stage on(two("    balance: least_latency\n"), [](std::string_view upstream, unsigned, double) {
        return upstream == "first" ? error(0.02, 400, "invalid_request_error") : answer(0.12);
    });
    ask_steadily(on, 0, 60, 20);
    CHECK(served(on) >= 0.95 * static_cast<double>(on.requests().size()));
    CHECK(asked(on, "first", 0, 60) <= 60);
}

TEST_CASE("A16: after seconds of health an upstream that fails every request is left alone after a few") {
    stage on(two(""), [](std::string_view upstream, unsigned, double now) {
        return upstream == "first" && now >= 8 ? error(0.02, 500) : answer(0.05);
    });
    ask_steadily(on, 0, 20, 40);
    CHECK(served(on) == on.requests().size());
    REQUIRE_FALSE(on.circuits().empty());
    CHECK(on.circuits().front().at < 8.25);
    CHECK(asked(on, "first", 8, on.circuits().front().at) <= 10);
}

TEST_CASE("A13: another endpoint's room is not this one's: no failover into idle health is refused") {
    struct situation {
        std::string_view is;
        double healthy_for, slower;
    };
    for (const situation& each : {situation{"from the beginning", 0, 1}, situation{"after a minute of health", 60, 1},
                                  situation{"while the first is crowded", 60, 3}}) {
        CAPTURE(std::string{each.is});
        unsigned of_first = 0;
        stage on(two(""), [&](std::string_view upstream, unsigned, double now) {
            if (upstream != "first" || now < each.healthy_for) return answer(0.5);
            return ++of_first % 2 == 0 ? error(0.5 * each.slower, 500) : answer(0.5 * each.slower);
        });
        ask_steadily(on, 0, each.healthy_for + 20, 60);
        CHECK(served(on) == on.requests().size());
        double longest = 0;
        for (const auto& one : on.requests()) longest = std::max(longest, one.took);
        CHECK(longest < 0.5 * (each.slower + 1) + 1);
    }
}

TEST_CASE("a connection that is never made is a silence, also where its timeout comes before the answer elsewhere") {
    for (const double answers_in : {1.0, 4.0, 4.999, 5.0, 6.0, 20.0}) {
        CAPTURE(answers_in);
        double begins = 1e9;
        stage on(
            settings_of_text(two("")), [&](std::string_view, unsigned, double) { return answer(answers_in); }, 1,
            [&](std::string_view upstream, double now) { return upstream != "first" || now < begins; });
        for (int i = 0; i < 20; ++i) {
            static_cast<void>(on.ask("/v1/chat/completions"));
            on.run_until(on.now() + 10);
        }
        begins = on.now();
        CHECK(on.ask("/v1/chat/completions").took < answers_in + 1.1);
        for (int i = 0; i < 20; ++i) {
            on.run_until(on.now() + 10);
            const auto& one = on.ask("/v1/chat/completions");
            CHECK(one.took < answers_in + 0.1);
            CHECK(one.attempts == 1);
        }
    }
}

} // namespace evenkeel::simulate::two_upstreams_test

// Hedges, learned timeouts, circuits, cooldown and waiting on the whole path of a request, in virtual time.

#include "tests/proxy/request/flow_fixture.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test::hedge_flow_test {

namespace {

// Two upstreams, or one; hedged after a second.
struct hedging : retrying {
    explicit hedging(bool two = true) : retrying(two) {
        route->hedge.on = true;
        route->hedge.delay = hedge_options::delay_kind::fixed;
        route->hedge.fixed = 1s;
        route->timeout.rescue.on = false; // rescue_flow_test.cpp
    }
    [[nodiscard]] std::size_t sent() const { return upstream.exchanges().size(); }
    [[nodiscard]] const exchange_log& exchange(std::size_t n) const { return *upstream.exchanges().at(n); }
};

// A circuit that opens at three failures in a row, whoever else is there.
struct guarded : hedging {
    explicit guarded(bool two = false) : hedging(two) {
        route->hedge.on = false;
        route->retry.max_retries = 0;
        route->circuit_breaker.on = true;
        route->circuit_breaker.failure_ratio = 0;
        route->circuit_breaker.min_calls = 3;
        route->circuit_breaker.success_threshold = 1;
        route->circuit_breaker.ramp = 0s;
    }
    void open_circuit() {
        for (int i = 0; i < 3; ++i) {
            upstream.next(answering(status_answer(500)));
            send(post);
        }
        client.forget_received();
    }
};

// Another client of the same proxy.
struct visitor {
    explicit visitor(fixture& of) : client(of.loop) {
        of.loop.nursery().spawn(request::client_connection::run(
            std::make_unique<request::client_connection>(of.context, client.connect())));
    }
    scripted_client client;
};

std::string header(const std::string& received, const std::string& name) {
    const auto at = received.find("\r\n" + name + ": ");
    if (at == std::string::npos) return {};
    const auto from = at + name.size() + 4;
    return received.substr(from, received.find("\r\n", from) - from);
}
std::string post_as(const std::string& credential) {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + credential +
           "\r\nContent-Length: 2\r\n\r\n{}";
}
std::string last_chunk_whole(const std::string& data) { return chunk(data) + "0\r\n\r\n"; }

// An answer that is complete `after` the request, with `mark` in it.
exchange_script marked(bool stream, duration after, const std::string& mark) {
    const std::string content = "data: {\"choices\":[{\"delta\":{\"content\":\"" + mark + "\"}}]}\n\n";
    if (stream)
        return streaming(
            {play::send{stream_head}, play::pause{after}, play::send{chunk(content) + last_chunk_whole(stop + done)}});
    return {.steps = {play::request{2}, play::pause{after},
                      play::send{status_answer(200, "", "{\"text\":\"" + mark + "\"}")}}};
}
} // namespace

TEST_CASE("a silent first attempt is hedged at its delay, not before; the first meaningful event wins and the loser is "
          "closed") {
    for (const bool stream : {false, true}) {
        for (const bool two : {false, true}) {
            CAPTURE(stream);
            CAPTURE(two);
            hedging f(two);
            f.upstream.next(marked(stream, 60s, "slow"));
            f.upstream.next(marked(stream, 500ms, "quick"));
            f.connect();
            f.send(stream ? post_stream() : post);
            f.pass(1s - 1ms);
            CHECK(f.sent() == 1);
            f.pass(1ms);
            REQUIRE(f.sent() == 2);
            CHECK(f.exchange(1).upstream == (two ? "backup" : "provider"));
            f.pass(499ms);
            CHECK(f.client.received().empty());
            f.pass(2ms);
            CHECK(has(f.client.received(), "quick"));
            CHECK(!has(f.client.received(), "slow"));
            CHECK(header(f.client.received(), "x-evenkeel-outcome") == "hedged");
            CHECK(header(f.client.received(), "x-evenkeel-attempts") == "2");
            CHECK(header(f.client.received(), "x-evenkeel-upstream") == (two ? "backup" : "provider"));
            CHECK(f.exchange(0).closed);
            CHECK(!f.exchange(0).recycled);
            CHECK(f.exchange(0).closed_at <= f.loop.now());
            CHECK(f.exchange(1).recycled);
            CHECK(f.seen.attempts == std::vector{attempt_result::cancelled, attempt_result::success});
            CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
            f.expect_nothing_left();
        }
    }
}

TEST_CASE("a first attempt that answers after all wins over its hedge") {
    for (const bool stream : {false, true}) {
        CAPTURE(stream);
        hedging f;
        f.upstream.next(marked(stream, 1500ms, "first"));
        f.upstream.next(marked(stream, 1s, "hedge"));
        f.connect();
        f.send(stream ? post_stream() : post);
        f.pass(1500ms);
        CHECK(has(body_of(f.client.received()), "first"));
        CHECK(header(f.client.received(), "x-evenkeel-outcome") == "ok");
        CHECK(header(f.client.received(), "x-evenkeel-attempts") == "2");
        CHECK(header(f.client.received(), "x-evenkeel-upstream") == "provider");
        CHECK(f.exchange(1).closed);
        CHECK(!f.exchange(1).recycled);
        f.pass(10s);
        CHECK(!has(body_of(f.client.received()), "hedge"));
        f.expect_nothing_left();
    }
}

TEST_CASE("a head and pings are no answer: they win no race") {
    hedging f;
    f.upstream.next(streaming({play::send{stream_head + chunk(": keep-alive\n\n") + chunk(hello)}, play::silence{}}));
    f.upstream.next(marked(true, 2s, "hedge"));
    f.connect();
    f.send(post_stream());
    f.pass(3s);
    CHECK(has(body_of(f.client.received()), "hedge"));
    CHECK(!has(f.client.received(), "keep-alive"));
    CHECK(f.exchange(0).closed);
    f.expect_nothing_left();
}

TEST_CASE("P7.4: a failing attempt never wins: whichever fails, the other's answer is the request's") {
    const std::vector<std::pair<const char*, std::vector<play_step>>> failures{
        {"reset", {play::pause{1500ms}, play::reset{}}},
        {"500", {play::pause{1500ms}, play::send{status_answer(500)}}},
        {"429", {play::pause{1500ms}, play::send{status_answer(429)}}},
        {"error event",
         {play::pause{1500ms}, play::send{stream_head + chunk(hello) + chunk(error_event) + "0\r\n\r\n"}}},
        {"empty stream", {play::pause{1500ms}, play::send{stream_head + "0\r\n\r\n"}}},
    };
    for (const auto& [name, steps] : failures) {
        CAPTURE(name);
        hedging f;
        f.upstream.next(streaming(steps)); // fails beside its hedge
        f.upstream.next(marked(true, 2s, "hedge"));
        f.connect();
        f.send(post_stream());
        f.pass(2900ms);
        CHECK(f.client.received().empty());
        CHECK(f.sent() == 2);
        f.pass(200ms);
        CHECK(has(body_of(f.client.received()), "hedge"));
        CHECK(header(f.client.received(), "x-evenkeel-outcome") == "hedged");
        f.expect_nothing_left();

        hedging g; // the hedge fails first
        g.route->hedge.max_hedges = 1;
        g.route->retry.max_retries = 1;
        g.upstream.next(marked(true, 4s, "first"));
        g.upstream.next(streaming(steps));
        g.connect();
        g.send(post_stream());
        g.pass(3900ms);
        CHECK(g.client.received().empty());
        g.pass(200ms);
        CHECK(has(body_of(g.client.received()), "first"));
        CHECK(header(g.client.received(), "x-evenkeel-outcome") == "ok");
        CHECK(header(g.client.received(), "x-evenkeel-attempts") == "2");
        g.expect_nothing_left();
    }
}

TEST_CASE(
    "a hedge elsewhere that rejects the request speaks for itself; on the same upstream it speaks for the request") {
    for (const bool two : {true, false}) {
        CAPTURE(two);
        hedging f(two);
        f.upstream.next(marked(false, 3s, "first"));
        f.upstream.next({.steps = {play::request{2}, play::pause{500ms},
                                   play::send{status_answer(400, "", R"({"error":{"message":"no such tool"}})")}}});
        f.connect();
        f.send(post);
        f.pass(1600ms);
        CHECK(f.client.received().empty() == two);
        f.pass(2s);
        CHECK(has(body_of(f.client.received()), two ? "first" : "no such tool"));
        CHECK(header(f.client.received(), "x-evenkeel-outcome") == (two ? "ok" : "upstream_error"));
        CHECK(f.exchange(0).closed);
        CHECK(f.exchange(0).recycled == two);
        f.expect_nothing_left();
    }
}

TEST_CASE("what the first upstream rejects is rejected, whatever its hedge is doing") {
    hedging f;
    f.upstream.next({.steps = {play::request{2}, play::pause{1500ms},
                               play::send{status_answer(400, "", R"({"error":{"message":"no such tool"}})")}}});
    f.upstream.next(marked(false, 5s, "hedge"));
    f.connect();
    f.send(post);
    f.pass(1500ms);
    CHECK(has(f.client.received(), "no such tool"));
    CHECK(f.exchange(1).closed);
    f.expect_nothing_left();
}

TEST_CASE("both fail: the request is tried again, and in the end gets the last answer") {
    hedging f;
    f.route->retry.max_retries = 2;
    for (const char* mark : {"one", "two", "three"}) {
        f.upstream.next(
            {.steps = {play::request{2}, play::pause{1500ms},
                       play::send{status_answer(500, "", std::string{R"({"error":{"message":")"} + mark + "\"}}")}}});
    }
    f.connect();
    f.send(post);
    f.pass(20s);
    CHECK(f.sent() == 3);
    CHECK(has(f.client.received(), "HTTP/1.1 500"));
    CHECK(has(f.client.received(), "three"));
    CHECK(header(f.client.received(), "x-evenkeel-attempts") == "3");
    f.expect_nothing_left();
}

TEST_CASE("a hedge goes out with the other upstream's own host, credential and model name") {
    hedging f;
    f.backup->own_credential = true;
    f.backup->headers.set = {{"authorization", "Bearer backup"}};
    f.backup->models = {{"m", "other"}};
    const std::string body = R"({"model":"m"})";
    f.upstream.next({.steps = {play::silence{}}});
    f.upstream.next(answering(ok_json, 0));
    f.connect();
    f.send(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer client\r\nContent-Length: 13\r\n\r\n" +
        body);
    f.pass(1s);
    REQUIRE(f.sent() == 2);
    CHECK(has(f.exchange(0).written, "host: api.example\r\n"));
    CHECK(has(f.exchange(0).written, "Bearer client"));
    CHECK(has(f.exchange(1).written, "host: backup.example\r\n"));
    CHECK(has(f.exchange(1).written, "Bearer backup"));
    CHECK(!has(f.exchange(1).written, "Bearer client"));
    CHECK(f.exchange(1).written.ends_with(R"({"model":"other"})"));
    CHECK(has(f.client.received(), "200 OK"));
    f.expect_nothing_left();
}

TEST_CASE("a client that leaves during a race ends both attempts at once") {
    for (const duration when : {500ms, 1000ms, 1700ms, 4900ms}) {
        hedging f;
        f.upstream.always(marked(true, 5s, "late"));
        f.connect();
        f.send(post_stream());
        f.pass(when);
        f.client.leave();
        f.pass(1ms);
        for (const auto& one : f.upstream.exchanges()) CHECK(one->closed);
        CHECK(f.sent() == (when < 1s ? 1 : 2));
        CHECK(f.seen.requests.at(0).outcome == request_outcome::client_cancelled);
        f.expect_nothing_left();
        CHECK(f.sent() == (when < 1s ? 1 : 2));
    }
}

TEST_CASE("what may have an effect is not hedged; nor is a request that waits for its own upload") {
    hedging f;
    f.upstream.next({.steps = {play::request{2}, play::pause{3s}, play::send{ok_json}}});
    f.connect();
    f.send("POST /v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
    f.pass(10s);
    CHECK(f.sent() == 1);
    CHECK(has(f.client.received(), "200 OK"));
    f.expect_nothing_left();
}

TEST_CASE("two hedges at most are in flight beside the first where two are allowed") {
    hedging f;
    f.route->hedge.max_hedges = 2;
    f.route->hedge.target = hedge_target::any;
    f.upstream.always(marked(true, 30s, "late"));
    f.connect();
    f.send(post_stream());
    f.pass(20s);
    CHECK(f.sent() == 3);
    f.pass(11s);
    CHECK(std::count_if(f.upstream.exchanges().begin(), f.upstream.exchanges().end(),
                        [](const auto& one) { return one->recycled; }) == 1);
    f.expect_nothing_left();
}

TEST_CASE("hedges stop where half of the budget is spent; what fails is still retried") {
    hedging f;
    f.route->retry.budget = {.extra_work = 0, .burst = 4, .min_per_second = 0};
    f.route->hedge.max_extra = 0;
    f.route->hedge.guard = 0;
    f.connect();
    for (int i = 0; i < 6; ++i) {
        f.upstream.always(marked(false, 3s, "late"));
        f.send(post);
        f.pass(4s);
    }
    // A hedge that lost cost the share of a usual answer it ran for, so more than two fit into two.
    const auto hedged = f.sent() - 6;
    CHECK(hedged >= 2);
    CHECK(hedged <= 4);
    f.expect_nothing_left();
}

TEST_CASE("a learned timeout turns to the other upstream, and never ends a lone buffered attempt") {
    for (const bool two : {true, false}) {
        CAPTURE(two);
        hedging f(two);
        f.route->hedge.on = false;
        f.route->timeout.learn_attempt = true;
        f.route->timeout.adaptive.initial = {30s, 60s};
        f.route->timeout.adaptive.min = {1s, 2s};
        f.connect();
        for (int i = 0; i < 40; ++i) {
            f.upstream.next(marked(false, 1s, "usual"));
            f.send(post);
            f.pass(1100ms);
        }
        f.client.forget_received();
        const auto before = f.sent();
        f.upstream.next(marked(false, 20s, "silent"));
        f.upstream.next(marked(false, 1s, "other"));
        f.send(post);
        f.pass(2900ms);
        CHECK(f.sent() == before + 1);
        f.pass(2s); // three times the usual second
        CHECK(f.sent() == before + (two ? 2 : 1));
        if (two) CHECK(f.exchange(before).closed);
        f.pass(16s);
        CHECK(has(f.client.received(), two ? "other" : "silent"));
        f.expect_nothing_left();
    }
}

TEST_CASE("when_open: reject refuses with circuit_open and a Retry-After that is true") {
    guarded f;
    f.route->circuit_breaker.when_open = when_open::reject;
    f.connect();
    f.open_circuit();
    const auto before = f.sent();
    f.send(post);
    CHECK(f.sent() == before);
    CHECK(has(f.client.received(), "HTTP/1.1 503"));
    CHECK(has(f.client.received(), R"("code":"circuit_open")"));
    const int wait_ms = std::atoi(header(f.client.received(), "retry-after-ms").c_str());
    const int wait_s = std::atoi(header(f.client.received(), "retry-after").c_str());
    CHECK(wait_ms >= 2000);
    CHECK(wait_ms <= 2000 * 1.2 * 1.2 + 1);
    CHECK(wait_s * 1000 >= wait_ms);
    CHECK(f.seen.requests.back().outcome == request_outcome::rejected);
    CHECK(f.seen.requests.back().attempts == 0);
    f.client.forget_received();
    f.pass(std::chrono::milliseconds{wait_ms});
    f.upstream.next(answering(ok_json));
    f.send(post);
    CHECK(f.sent() == before + 1);
    CHECK(has(f.client.received(), "200 OK"));
    f.expect_nothing_left();
}

TEST_CASE("when_open: hold keeps requests through an outage and lets them go when a probe comes back") {
    guarded f;
    f.connect();
    f.open_circuit();
    f.send(post);
    std::vector<std::unique_ptr<visitor>> others;
    for (int i = 0; i < 5; ++i) {
        others.push_back(std::make_unique<visitor>(f));
        others.back()->client.send(post);
    }
    f.pass(1900ms);
    CHECK(f.sent() == 3);
    CHECK(f.registry.report(*f.settings, f.loop.now()).routes.at(0).holding == 6);
    f.upstream.always(answering(ok_json));
    f.pass(30s);
    CHECK(has(f.client.received(), "200 OK"));
    for (const auto& one : others) CHECK(has(one->client.received(), "200 OK"));
    CHECK(f.sent() == 3 + 6);
    for (const auto& one : others) one->client.leave();
    f.expect_nothing_left();
}

TEST_CASE("a held client that leaves is out of the line at once") {
    guarded f;
    f.connect();
    f.open_circuit();
    f.send(post);
    f.pass(500ms);
    CHECK(f.registry.report(*f.settings, f.loop.now()).routes.at(0).holding == 1);
    f.client.leave();
    f.pass(1ms);
    CHECK(f.registry.report(*f.settings, f.loop.now()).routes.at(0).holding == 0);
    CHECK(f.seen.requests.back().outcome == request_outcome::client_cancelled);
    f.expect_nothing_left();
    CHECK(f.sent() == 3);
}

TEST_CASE("a full hold_queue refuses at once; an outage older than hold_max as well") {
    guarded f;
    f.route->circuit_breaker.hold_queue = 1;
    f.route->circuit_breaker.hold_max = 20s;
    f.connect();
    f.open_circuit();
    f.upstream.always(answering(status_answer(500)));
    f.send(post);
    visitor second(f);
    second.client.send(post);
    f.pass(0ms);
    CHECK(has(second.client.received(), "HTTP/1.1 503"));
    CHECK(has(second.client.received(), "circuit_open"));
    CHECK(!header(second.client.received(), "retry-after").empty());
    for (int i = 0; i < 12; ++i) { // probes fail
        f.pass(2s);
        if (!f.client.received().empty()) f.send(post);
        f.client.forget_received();
    }
    const auto before = f.sent();
    visitor third(f);
    third.client.send(post);
    f.pass(0ms);
    CHECK(has(third.client.received(), "HTTP/1.1 50"));
    if (f.sent() == before) CHECK(has(third.client.received(), "circuit_open")); // not itself the probe
    second.client.leave();
    third.client.leave();
    f.expect_nothing_left();
}

TEST_CASE("a held request whose deadline is near is refused, not held beyond it") {
    guarded f;
    f.route->timeout.total = 10s;
    f.connect();
    f.open_circuit();
    f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nx-evenkeel-timeout: 1\r\nContent-Length: 2\r\n\r\n{}");
    f.pass(1s);
    CHECK(has(f.client.received(), "HTTP/1.1 503"));
    CHECK(has(f.client.received(), "circuit_open"));
    CHECK(f.sent() == 3);
    // Held while a probe is silent, until the deadline.
    f.client.forget_received();
    f.upstream.always({.steps = {play::silence{}}});
    f.pass(3s);
    f.route->circuit_breaker.half_open_max_calls = 1;
    f.send(post); // the probe
    visitor other(f);
    other.client.send(post);
    f.pass(9s);
    CHECK(other.client.received().empty());
    f.pass(2s);
    CHECK(has(other.client.received(), "HTTP/1.1 50"));
    other.client.leave();
    f.expect_nothing_left();
}

TEST_CASE("with a second upstream an open circuit is walked around") {
    guarded f(true);
    f.connect();
    f.upstream.choose([](const config::upstream& to, std::size_t) {
        return answering(to.name == "provider" ? status_answer(500) : ok_json);
    });
    for (int i = 0; i < 5; ++i) f.send(post);
    CHECK(f.upstream.opened_to("provider") == 3);
    CHECK(f.upstream.opened_to("backup") == 2);
    CHECK(f.seen.requests.back().outcome == request_outcome::ok);
    f.expect_nothing_left();
}

TEST_CASE("a 429 rests its credential: with one upstream requests wait, with two they go to the other") {
    for (const bool two : {false, true}) {
        CAPTURE(two);
        hedging f(two);
        f.route->hedge.on = false;
        f.route->cooldown.on = true;
        f.connect();
        f.upstream.next(answering(status_answer(429, "retry-after: 5\r\n")));
        f.upstream.always(answering(ok_json));
        f.send(post_as("a"));
        visitor second(f);
        second.client.send(post_as("a"));
        f.pass(0ms);
        CHECK(f.sent() == (two ? 3 : 1));
        CHECK(has(f.client.received(), "200 OK") == two);
        CHECK(has(second.client.received(), "200 OK") == two);
        if (two) CHECK(f.upstream.opened_to("backup") == 2);
        f.pass(5s - 1ms);
        CHECK(f.sent() == (two ? 3 : 1));
        f.pass(2s); // and as much as a second of jitter
        CHECK(has(f.client.received(), "200 OK"));
        CHECK(has(second.client.received(), "200 OK"));
        CHECK(f.sent() == 3);
        second.client.leave();
        f.expect_nothing_left();
    }
}

TEST_CASE(
    "one client's 429 does not rest another's credential; where the upstream brings its own it rests everybody's") {
    for (const bool own : {false, true}) {
        CAPTURE(own);
        hedging f(false);
        f.route->hedge.on = false;
        f.route->cooldown.on = true;
        f.route->retry.max_retries = 0;
        f.provider->own_credential = own;
        if (own) f.provider->headers.set = {{"authorization", "Bearer ours"}};
        f.connect();
        f.upstream.next(answering(status_answer(429, "retry-after: 5\r\n")));
        f.upstream.always(answering(ok_json));
        f.send(post_as("a"));
        CHECK(has(f.client.received(), "HTTP/1.1 429"));
        visitor second(f);
        second.client.send(post_as("b"));
        f.pass(0ms);
        CHECK(has(second.client.received(), "200 OK") == !own);
        f.pass(7s);
        CHECK(has(second.client.received(), "200 OK"));
        second.client.leave();
        f.expect_nothing_left();
    }
}

TEST_CASE("a rest that outlasts the deadline is not waited for: the answer is the upstream's to give") {
    hedging f(false);
    f.route->hedge.on = false;
    f.route->cooldown.on = true;
    f.route->timeout.total = 3s;
    f.connect();
    f.upstream.always(answering(status_answer(429, "retry-after: 5\r\n")));
    f.send(post_as("a"));
    CHECK(has(f.client.received(), "HTTP/1.1 429"));
    f.client.forget_received();
    f.send(post_as("a"));
    CHECK(has(f.client.received(), "HTTP/1.1 429"));
    CHECK(f.sent() == 2);
    f.expect_nothing_left();
}

} // namespace evenkeel::test::hedge_flow_test

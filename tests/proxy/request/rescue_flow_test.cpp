// What callers pay for a provider that hangs: rescue, doubt, probes beside, and signs of life, with whole flows.

#include "tests/proxy/request/flow_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace evenkeel::test::rescue_flow_test {

namespace {
// Two upstreams; the first of them may fall silent.
struct quiet : retrying {
    bool silent = false;
    duration takes = 20ms;
    std::vector<std::string> asked;
    explicit quiet(bool two = true) : retrying(two) {
        route->timeout.learn_attempt = true;
        upstream.choose([this](const config::upstream& to, std::size_t) {
            asked.push_back(to.name);
            if (silent && to.name == "provider") return exchange_script{.steps = {play::request{2}, play::silence{}}};
            return exchange_script{.steps = {play::request{2}, play::pause{takes}, play::send{ok_json}}};
        });
    }
    // Asks and says how long it took; more than `within`: it was not answered.
    duration ask(const std::string& bytes = post, duration within = 60s) {
        client.forget_received();
        const steady_time began = loop.now();
        const auto before = seen.requests.size();
        send(bytes);
        while (seen.requests.size() == before && loop.now() < began + within) pass(10ms);
        return loop.now() - began;
    }
    void warm(int requests) {
        connect();
        for (int i = 0; i < requests; ++i) static_cast<void>(ask());
        asked.clear();
    }
    int calls_of(const std::string& name) const {
        return static_cast<int>(std::count(asked.begin(), asked.end(), name));
    }
};
std::string with_patience(const std::string& seconds) {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nx-evenkeel-timeout: " + seconds +
           "\r\nContent-Length: 2\r\n\r\n{}";
}
} // namespace

TEST_CASE("A1: one caller pays for an upstream that falls silent, and no more than a second where answers take 20 ms") {
    quiet f;
    f.warm(15);
    f.silent = true;
    CHECK(f.ask() <= 1s + 40ms);
    CHECK(has(f.client.received(), "200 OK"));
    CHECK(f.asked == std::vector<std::string>{"provider", "backup"});
    for (int i = 0; i < 20; ++i) {
        f.pass(10s);
        f.asked.clear();
        CHECK(f.ask() <= 30ms);
        CHECK(f.asked.front() == "backup");
    }
    f.expect_nothing_left();
}

TEST_CASE(
    "A1: a stream likewise; one that falls silent after its head is joined, and no evidence against its endpoint") {
    quiet f;
    f.warm(3);
    f.upstream.next({.steps = {play::request{2}, play::send{stream_head}, play::silence{}}});
    const duration took = f.ask();
    CHECK(took >= 1s);
    CHECK(took <= 1s + 40ms);
    f.asked.clear();
    CHECK(f.ask() <= 30ms);
    CHECK(f.asked.front() == "provider");
    f.expect_nothing_left();
}

TEST_CASE("A2: patience that is told, of the route, or only shown by leaving") {
    SUBCASE("told") {
        quiet f;
        f.warm(15);
        f.silent = true;
        CHECK(f.ask(with_patience("3")) <= 1s + 40ms);
        CHECK(has(f.client.received(), "200 OK"));
        f.asked.clear();
        CHECK(f.ask(with_patience("3")) <= 30ms);
        CHECK(f.asked.front() == "backup");
        f.expect_nothing_left();
    }
    SUBCASE("told, less than a rescue waits, and nothing known") {
        quiet f;
        f.silent = true;
        f.connect();
        CHECK(f.ask(with_patience("3")) <= 1600ms);
        CHECK(has(f.client.received(), "200 OK"));
        f.expect_nothing_left();
    }
    SUBCASE("of the route") {
        quiet f;
        f.route->timeout.total = 8s;
        f.warm(15);
        f.silent = true;
        CHECK(f.ask() <= 1s + 40ms);
        CHECK(has(f.client.received(), "200 OK"));
        f.expect_nothing_left();
    }
    SUBCASE("A12: a client that leaves while its attempt is silent is seen, and the next one is served elsewhere") {
        quiet f;
        f.takes = 2s;
        f.warm(3); // then a rescue would wait for 6 s
        f.silent = true;
        f.send(post);
        f.pass(4500ms);
        f.client.leave();
        f.pass(1s);
        REQUIRE(f.seen.requests.size() == 4);
        CHECK(f.seen.requests.back().attempts == 1);
        f.client = scripted_client{f.loop};
        f.connect();
        f.asked.clear();
        CHECK(f.ask() <= 2100ms);
        CHECK(f.asked.front() == "backup");
        f.expect_nothing_left();
    }
}

TEST_CASE("A4: what is sick is probed by copies beside the requests, and asked first again once it is well") {
    quiet f;
    f.warm(5);
    f.silent = true;
    static_cast<void>(f.ask());
    for (int i = 0; i < 12; ++i) { // the circuit opens as well
        f.pass(5s);
        f.asked.clear();
        CHECK(f.ask() <= 30ms);
        REQUIRE(f.asked.front() == "backup");
    }
    f.asked.clear();
    f.pass(60s); // the prober goes on by itself
    CHECK(f.calls_of("provider") >= 1);
    CHECK(f.calls_of("provider") <= 6);
    f.silent = false;
    f.pass(45s);
    static_cast<void>(f.ask());
    f.pass(20s);
    f.asked.clear();
    static_cast<void>(f.ask());
    CHECK(f.asked.front() == "provider");
    f.expect_nothing_left();
}

TEST_CASE("a copy has its caller's credential and bytes, and none is made of what may not be sent twice") {
    quiet f;
    f.route->retry.replay = replay_mode::automatic;
    f.warm(3);
    f.silent = true;
    static_cast<void>(f.ask());
    f.asked.clear();
    const std::string once = "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    static_cast<void>(f.ask(once));
    f.pass(60s);
    CHECK(f.calls_of("provider") == 0);
    const std::size_t before = f.upstream.exchanges().size();
    const std::string keyed = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
                              "k\r\nContent-Length: 2\r\n\r\n{}";
    static_cast<void>(f.ask(keyed));
    f.pass(40s);
    REQUIRE(f.upstream.exchanges().size() >= before + 2);
    const std::string& copy = f.upstream.exchanges().at(before + 1)->written;
    CHECK(has(copy, "Bearer k"));
    CHECK(copy.ends_with("{}"));
    f.expect_nothing_left();
}

TEST_CASE("A5: a lone endpoint that thinks for 100 s is asked twice, and answers") {
    quiet f(false);
    f.takes = 100s;
    f.connect();
    const duration took = f.ask(post_stream(), 120s);
    CHECK(took <= 101s);
    CHECK(f.asked.size() == 2);
    f.expect_nothing_left();
}

TEST_CASE("A6: pings and comments are signs of life, whatever the timeout") {
    for (const bool fixed : {false, true}) {
        quiet f;
        if (fixed)
            f.route->timeout.attempt = 1s;
        else
            f.route->timeout.adaptive.initial = f.route->timeout.adaptive.min = {1s, 1s};
        exchange_script alive{.steps = {play::request{2}, play::send{stream_head}}};
        for (int i = 0; i < 120; ++i) {
            alive.steps.emplace_back(play::pause{250ms});
            alive.steps.emplace_back(play::send{chunk(": PROCESSING\n\n")});
        }
        alive.steps.emplace_back(play::send{chunk(word) + chunk(stop) + chunk(done) + "0\r\n\r\n"});
        f.upstream.next(std::move(alive));
        f.connect();
        CHECK(f.ask(post_stream()) <= 31s);
        CHECK(f.upstream.exchanges().size() == 1);
        f.expect_nothing_left();
    }
}

TEST_CASE("A7: an upload that takes longer than an attempt may be silent is sent once") {
    quiet f;
    f.route->timeout.attempt = 1s;
    f.connect();
    f.upstream.next(answering(ok_json, 6));
    f.client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n");
    for (const char* piece : {"{", " ", " ", " ", " ", "}"}) {
        f.pass(500ms);
        f.client.send(piece);
    }
    f.pass(1s);
    CHECK(has(f.client.received(), "200 OK"));
    CHECK(f.upstream.exchanges().size() == 1);
    f.expect_nothing_left();
}

TEST_CASE("a prober ends with its worker") {
    quiet f;
    f.warm(3);
    f.silent = true;
    static_cast<void>(f.ask());
    static_cast<void>(f.ask());
    CHECK(f.services.flight_nursery.size() == 1);
    f.services.probers_go.request();
    f.pass(1ms);
    CHECK(f.services.flight_nursery.size() == 0);
    f.expect_nothing_left();
}

} // namespace evenkeel::test::rescue_flow_test

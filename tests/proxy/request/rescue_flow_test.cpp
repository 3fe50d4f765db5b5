// What callers pay for a provider that hangs: rescue, doubt, probes beside, and signs of life, with whole flows.

#include "proxy/coalesce/shared_flights.hpp"
#include "tests/proxy/request/flow_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
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
    // Requests that were written to it from the `from`-th exchange on: a connection alone is none.
    int written_to(const std::string& name, std::size_t from) const {
        const auto& all = upstream.exchanges();
        return static_cast<int>(
            std::count_if(all.begin() + static_cast<std::ptrdiff_t>(from), all.end(),
                          [&](const auto& one) { return one->upstream == name && !one->written.empty(); }));
    }
    [[nodiscard]] circuit_state circuit_of_first() {
        return registry.report(*settings, loop.now()).routes.front().endpoints.front().circuit->state;
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
    const std::size_t first = f.upstream.exchanges().size();
    static_cast<void>(f.ask(once));
    f.pass(60s);
    CHECK(f.written_to("provider", first) == 0);
    CHECK(f.calls_of("provider") >= 3); // connections
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

TEST_CASE(
    "comments and nothing else: two callers pay, each no more than for silence, and copies find out when it is over") {
    quiet f;
    bool drips = false;
    f.upstream.choose([&](const config::upstream& to, std::size_t) {
        f.asked.push_back(to.name);
        if (!drips || to.name != "provider") return streaming({play::pause{20ms}, play::send{good_stream}});
        exchange_script alive = streaming({play::send{stream_head}});
        for (int i = 0; i < 400; ++i) {
            alive.steps.emplace_back(play::pause{250ms});
            alive.steps.emplace_back(play::send{chunk(": PROCESSING\n\n")});
        }
        return alive;
    });
    f.connect();
    for (int i = 0; i < 3; ++i) CHECK(f.ask(post_stream()) <= 30ms);
    drips = true;
    for (int i = 0; i < 2; ++i) {
        f.asked.clear();
        CHECK(f.ask(post_stream()) <= 1100ms);
        CHECK(f.asked == std::vector<std::string>{"provider", "backup"});
    }
    for (int i = 0; i < 5; ++i) {
        f.pass(10s);
        f.asked.clear();
        CHECK(f.ask(post_stream()) <= 30ms);
        CHECK(f.asked.front() == "backup");
    }
    CHECK(f.circuit_of_first() == circuit_state::closed); // it answers, and nobody says that it fails
    drips = false;
    f.pass(30s);
    f.asked.clear();
    CHECK(f.ask(post_stream()) <= 30ms);
    CHECK(f.asked.front() == "provider");
    f.expect_nothing_left();
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
    CHECK(f.services.flight_nursery.size() == 2); // the prober, and the copy under way
    f.services.probers_go.request();
    f.pass(1ms);
    CHECK(f.services.flight_nursery.size() == 0);
    f.expect_nothing_left();
}

namespace {
// Two upstreams that answer each request after as long as the test says.
struct steady : quiet {
    std::function<duration(const std::string& upstream)> after = [](const std::string&) { return 1s; };
    steady() {
        upstream.choose([this](const config::upstream& to, std::size_t) {
            asked.push_back(to.name);
            if (silent && to.name == "provider") return exchange_script{.steps = {play::whole{}, play::silence{}}};
            return exchange_script{.steps = {play::whole{}, play::pause{after(to.name)}, play::send{ok_json}}};
        });
    }
    void leave_after(duration patience, const std::string& bytes = post) {
        send(bytes);
        pass(patience);
        client.leave();
        pass(100ms);
        client = scripted_client{loop};
        connect();
    }
    [[nodiscard]] bool asks_first(const std::string& name, const std::string& bytes = post) {
        asked.clear();
        static_cast<void>(ask(bytes));
        return !asked.empty() && asked.front() == name;
    }
};
std::string asking(const std::string& method, const std::string& path, const std::string& body = "{}",
                   const std::string& fields = "") {
    return method + " " + path + " HTTP/1.1\r\nHost: localhost\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
} // namespace

TEST_CASE("clients that leave before an answer can be expected say nothing of its endpoint") {
    steady f;
    f.route->circuit_breaker.on = true;
    f.warm(3);
    for (int i = 0; i < 5; ++i) f.leave_after(100ms);
    CHECK(f.circuit_of_first() == circuit_state::closed);
    CHECK(f.asks_first("provider"));
    f.silent = true; // ... and after it they do
    for (int i = 0; i < 3; ++i) f.leave_after(2500ms);
    CHECK(f.asks_first("backup"));
    f.expect_nothing_left();
}

TEST_CASE("what changes something is never copied, whatever may be sent twice") {
    for (const auto& request :
         {asking("PUT", "/v1/files/f1"), asking("DELETE", "/v1/files/f1"),
          asking("POST", "/v1/batches", "{}", "Idempotency-Key: k\r\n"),
          asking("POST", "/v1/responses", R"({"input":"x","store":true})", "Idempotency-Key: k\r\n"),
          asking("POST", "/v1/images/generations"), asking("POST", "/v1/threads/t/messages")}) {
        for (const replay_mode mode : {replay_mode::automatic, replay_mode::always}) {
            CAPTURE(request);
            steady f;
            f.route->retry.replay = mode;
            f.warm(3);
            f.silent = true;
            f.leave_after(2500ms);
            const std::size_t before = f.upstream.exchanges().size();
            CHECK(f.asks_first("backup", request));
            f.pass(50s);
            CHECK(f.written_to("provider", before) == 0);
            f.expect_nothing_left();
        }
    }
}

TEST_CASE("a doubt that no copy can look into ends by itself: one request a minute, and then more rarely") {
    const auto unrepeatable = asking("POST", "/v1/threads/t/runs");
    const auto large = asking("POST", "/v1/chat/completions", std::string(300 * 1024, ' ') + "{}");
    for (const bool is_large : {false, true}) {
        CAPTURE(is_large);
        const std::string& request = is_large ? large : unrepeatable;
        steady f;
        f.route->retry.replay = replay_mode::automatic;
        f.warm(3);
        f.silent = true;
        f.leave_after(2500ms, request);
        CHECK(f.asks_first("backup", request));
        f.pass(30s);
        CHECK(f.asks_first("backup", request));
        f.pass(30s);
        f.silent = false;
        CHECK(f.asks_first("provider", request));
        CHECK(f.asks_first("provider", request));
        f.expect_nothing_left();
    }
}

TEST_CASE("... also where bodies are chunked and nobody knows beforehand how large they become") {
    steady f;
    f.warm(3);
    f.silent = true;
    for (int i = 0; i < 3; ++i) f.leave_after(2500ms);
    std::string body = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    body += chunk(std::string(300 * 1024, ' ') + "{}") + "0\r\n\r\n";
    f.silent = false;
    int second = 0;
    while (second < 600 && f.asks_first("backup", body)) {
        f.pass(10s);
        ++second;
    }
    CHECK(second < 40);
    f.expect_nothing_left();
}

TEST_CASE("an endpoint that has always been slower than the other is well again when it is as it was") {
    steady f;
    f.after = [](const std::string& upstream) { return upstream == "provider" ? 1s : duration{200ms}; };
    f.warm(5);
    f.silent = true;
    for (int i = 0; i < 5; ++i) f.leave_after(2500ms); // the other one becomes known
    for (int i = 0; i < 3; ++i) CHECK(f.asks_first("backup"));
    f.silent = false;
    f.pass(40s);
    CHECK(f.asks_first("provider"));
    f.expect_nothing_left();
}

TEST_CASE("an answer to far more tokens takes longer, which is no trouble of its endpoint") {
    const std::string brief = asking("POST", "/v1/chat/completions", R"({"model":"m","max_tokens":20})");
    const std::string long_one = asking("POST", "/v1/chat/completions", R"({"model":"m","max_tokens":8000})");
    steady f;
    f.connect();
    f.after = [](const std::string&) { return 150ms; };
    for (int i = 0; i < 10; ++i) static_cast<void>(f.ask(brief));
    f.asked.clear();
    f.after = [](const std::string&) { return 2s; };
    for (int i = 0; i < 4; ++i) CHECK(f.ask(long_one) <= 2100ms);
    CHECK(f.calls_of("backup") == 0);
    CHECK(f.asks_first("provider", brief));
    f.expect_nothing_left();
}

TEST_CASE("an endpoint is not to blame for a slow upload") {
    const std::string head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n";
    SUBCASE("one that takes longer than what is usual") {
        steady f;
        f.after = [](const std::string&) { return 150ms; };
        f.warm(10);
        for (int n = 0; n < 3; ++n) {
            f.client.send(head);
            for (int i = 0; i < 10; ++i) {
                f.client.send(std::string(20000, ' '));
                f.pass(250ms);
            }
            f.pass(200ms);
        }
        CHECK(f.calls_of("backup") == 0);
        CHECK(f.asks_first("provider"));
        f.expect_nothing_left();
    }
    SUBCASE("one that its client leaves in the middle") {
        steady f;
        f.after = [](const std::string&) { return 150ms; };
        f.warm(10);
        f.leave_after(3s, head + std::string(100000, ' '));
        CHECK(f.asks_first("provider"));
        f.expect_nothing_left();
    }
}

TEST_CASE("a reload ends a prober: the endpoint may be gone, or not be shown these credentials any more") {
    quiet f;
    f.warm(3);
    f.silent = true;
    f.services.settings = f.settings.get();
    static_cast<void>(f.ask());
    static_cast<void>(f.ask());
    CHECK(f.services.flight_nursery.size() == 2); // the prober, and the copy under way
    const config::settings other;
    f.services.settings = &other;
    f.pass(31s); // the copy under way
    CHECK(f.services.flight_nursery.size() == 0);
    f.asked.clear();
    static_cast<void>(f.ask()); // of before the reload: begins none
    f.pass(10s);
    CHECK(f.calls_of("provider") == 0);
    f.services.settings = f.settings.get();
    f.expect_nothing_left();
}

TEST_CASE("a request of several clients is looked for the endpoint's health like any other") {
    quiet f;
    request::shared_flights flights;
    f.services.flights = &flights;
    f.route->coalesce = coalesce_mode::always;
    f.warm(3);
    f.silent = true;
    static_cast<void>(f.ask());
    f.asked.clear();
    static_cast<void>(f.ask());
    f.silent = false;
    f.pass(40s);
    f.asked.clear();
    static_cast<void>(f.ask());
    CHECK(f.asked.front() == "provider");
    f.expect_nothing_left();
}

namespace {
// Two upstreams; the first of them may be out of reach: connections to it are neither made nor refused, or refused.
struct unreachable : steady {
    bool away = false, refuses = false;
    int connects = 0; // to the first upstream, while it was away
    unreachable() {
        route->retry.replay = replay_mode::automatic;
        route->circuit_breaker.on = true;
        upstream.choose([this](const config::upstream& to, std::size_t) {
            asked.push_back(to.name);
            exchange_script plays{.steps = {play::whole{}, play::pause{after(to.name)}, play::send{ok_json}}};
            if (silent && to.name == "provider") plays.steps = {play::whole{}, play::silence{}};
            if (!away || to.name != "provider") return plays;
            ++connects;
            plays.connect_after = refuses ? 1ms : 1h;
            plays.connect_failure.emplace().is = net::transport_error::kind::refused;
            return plays;
        });
    }
    [[nodiscard]] bool doubted() {
        return registry.report(*settings, loop.now()).routes.front().endpoints.front().doubt.has_value();
    }
};
const std::string once = asking("POST", "/v1/threads/t/runs"); // may be neither copied nor sent twice
} // namespace

TEST_CASE("where no request may be copied a connection finds out, and no caller does") {
    unreachable f;
    f.warm(3);
    f.away = true;
    CHECK(f.ask(once) <= 6100ms); // nothing was sent, so the other one is asked once no connection came in time
    CHECK(f.doubted());
    // Ten minutes, in which a doubt that nobody looks into would have lapsed again and again.
    for (int i = 0; i < 20; ++i) {
        f.pass(29s);
        CHECK(f.ask(once) <= 1100ms);
    }
    CHECK(f.doubted());
    CHECK(f.connects >= 25);
    f.away = false;
    f.pass(40s);
    CHECK_FALSE(f.doubted());
    CHECK(f.asks_first("provider", once));
    f.pass(5s);
    CHECK(f.asks_first("provider", once));
    CHECK(f.services.flight_nursery.size() == 0);
    f.expect_nothing_left();
}

TEST_CASE("a connection that is made proves nothing of an endpoint that was silent behind it; one that is not, does") {
    unreachable f;
    f.warm(3);
    f.silent = true;
    f.leave_after(2500ms, once);
    REQUIRE(f.doubted());
    CHECK(f.asks_first("backup", once));
    f.pass(50s);
    CHECK(f.doubted());
    f.pass(15s);
    f.silent = false;
    CHECK(f.asks_first("provider", once)); // it lapsed: a minute after its latest word
    f.silent = true;
    f.leave_after(2500ms, once);
    REQUIRE(f.doubted());
    f.away = true; // now it cannot even be reached
    CHECK(f.asks_first("backup", once));
    f.pass(5min);
    CHECK(f.doubted());
    f.client = scripted_client{f.loop}; // the other one was idle for too long
    f.connect();
    CHECK(f.ask(once) <= 1100ms); // elsewhere
    f.expect_nothing_left();
}

TEST_CASE("a circuit that opened because connections are refused closes soon after one is made, and not before") {
    unreachable f;
    f.warm(3);
    f.away = f.refuses = true;
    for (int i = 0; i < 4; ++i) {
        CHECK(f.ask(once) <= 1100ms);
        f.pass(1s);
    }
    REQUIRE(f.circuit_of_first() == circuit_state::open);
    CHECK_FALSE(f.doubted());
    for (int i = 0; i < 10; ++i) { // its own recovery time is seconds
        f.pass(28s);
        CHECK(f.asks_first("backup", once));
    }
    CHECK(f.connects >= 10);
    f.away = false;
    f.pass(28s);
    CHECK(f.asks_first("provider", once));
    f.expect_nothing_left();
}

TEST_CASE("a connection prober ends with its worker, and with what is to be found out") {
    unreachable f;
    f.warm(3);
    f.away = true;
    static_cast<void>(f.ask(once));
    CHECK(f.services.flight_nursery.size() == 1);
    f.services.probers_go.request();
    f.pass(1ms);
    CHECK(f.services.flight_nursery.size() == 0);
    f.expect_nothing_left();
}

TEST_CASE("a copy that hangs holds up no other one, and two of them are under way at most") {
    steady f;
    f.warm(3);
    f.silent = true;
    static_cast<void>(f.ask());
    const std::size_t before = f.upstream.exchanges().size();
    static_cast<void>(f.ask());
    std::size_t most = 0;
    for (int i = 0; i < 120; ++i) {
        f.pass(1s);
        most = std::max(most, f.services.flight_nursery.size());
    }
    CHECK(most <= 3); // and the prober
    CHECK(f.written_to("provider", before) >= 5);
    f.pass(60s);
    CHECK(f.services.flight_nursery.size() == 0);
    f.expect_nothing_left();
}

} // namespace evenkeel::test::rescue_flow_test

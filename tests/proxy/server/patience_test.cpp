// How long clients are borne with, over real sockets: while they send what is refused, while they read slowly, while
// they send slowly.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/support/deaf_server.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>

namespace evenkeel::test::patience_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
constexpr std::size_t mebibyte = 1024 * 1024;
using steady = std::chrono::steady_clock;
} // namespace

TEST_CASE("a client that looks at the answer only when it has sent everything finds the refusal") {
    simulated_provider upstream;
    running_proxy proxy("limits: {max_body: 16MiB}\n" + through(upstream.url()));
    const std::string piece(mebibyte, 'x');
    int arrived = 0;
    for (int round = 0; round < 20; ++round) {
        auto client = proxy.connect();
        const std::size_t pieces = round % 2 == 0 ? 20 : 64;
        client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: " +
                    std::to_string(pieces * mebibyte) + "\r\n\r\n");
        bool sent = true;
        for (std::size_t n = 0; n < pieces && sent; ++n) sent = client.send(piece);
        CHECK(sent);
        if (client.read_response("POST").status == 413) ++arrived;
    }
    CHECK(arrived == 20);
    CHECK(proxy.finish());
}

TEST_CASE("write_timeout is silence: who reads slowly gets everything, who stops is left") {
    simulated_provider upstream;
    running_proxy proxy("limits: {write_timeout: 400ms}\n" + through(upstream.url()));
    {
        blocking_client client({.port = proxy.port(), .timeout = 20s, .receive_buffer = 32 * 1024});
        client.send_request("GET", "/bytes/16000000");
        REQUIRE(client.read_head().status == 200);
        std::size_t total = 0;
        const auto began = steady::now();
        for (std::string some = client.read_body_some(); !some.empty(); some = client.read_body_some()) {
            total += some.size();
            // About 4 MB/s at first: a third of the largest send buffer, after which a socket turns writable, lasts
            // longer than the timeout.
            if (steady::now() - began < 3s) std::this_thread::sleep_for(some.size() * 250ns);
        }
        CHECK(client.ended() == message_end::complete);
        CHECK(total == 16'000'000);
    }
    {
        blocking_client client({.port = proxy.port(), .timeout = 20s, .receive_buffer = 32 * 1024});
        client.send_request("GET", "/bytes/64000000");
        REQUIRE(client.read_head().status == 200);
        std::this_thread::sleep_for(1500ms);
        while (!client.read_body_some().empty()) {}
        CHECK(client.ended() != message_end::complete);
    }
    CHECK(proxy.finish());
}

TEST_CASE("an upload that is still coming at timeout.total ends there") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url(), "", "    timeout: {total: 1s, attempt: 1s}\n"));
    for (const int length : {50'000, 5'000'000}) { // read whole first; passed on as it comes
        CAPTURE(length);
        auto client = proxy.connect();
        client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(length) +
                    "\r\n\r\n");
        const auto began = steady::now();
        // The wait for the answer is the pause between two pieces.
        client.set_timeout(100ms);
        client_response answer;
        for (int n = 0; n < 30 && answer.status == 0; ++n) {
            if (!client.send(std::string(1000, 'x'))) break;
            answer = client.read_head("POST");
        }
        client.set_timeout(20s);
        if (answer.status == 0) answer = client.read_head("POST");
        const auto took = steady::now() - began;
        CHECK((answer.status == 408 || answer.status == 504));
        CHECK(took >= 900ms);
        CHECK(took < 2s);
    }
    CHECK(proxy.finish());
}

TEST_CASE("a second order to end ends at once") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    auto client = proxy.connect();
    client.send_request("POST", "/v1/chat/completions",
                        {{"content-type", "application/json"}, {"x-sim", "events=1000; gap=50ms"}},
                        R"({"model":"m","stream":true,"messages":[{"role":"user","content":"nonce:a"}]})");
    REQUIRE(client.read_head("POST").status == 200);
    proxy->drain(); // within 30 s
    std::this_thread::sleep_for(100ms);
    const auto began = steady::now();
    proxy->stop_now();
    CHECK(proxy->wait());
    CHECK(steady::now() - began < 1s);
}

TEST_CASE("A8: a pooled connection whose packets are dropped is noticed, and the request asked again for nothing") {
    const std::string whole = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
    const std::string events = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: "
                               "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    const std::string stream =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: " + std::to_string(events.size()) +
        "\r\n\r\n" + events;
    for (const bool streams : {false, true}) {
        CAPTURE(streams);
        deaf_server upstream(streams ? stream : whole);
        server::server_options options;
        options.look_for_dead_ways_every = 100ms;
        running_proxy proxy(through("http://127.0.0.1:" + std::to_string(upstream.port())), "127.0.0.1:0", "",
                            "admin: off\n", std::move(options));
        auto client = proxy.connect();
        const std::string asked =
            streams ? R"({"model":"m","stream":true,"messages":[]})" : R"({"model":"m","messages":[]})";
        const auto ask = [&] {
            return client.request("POST", "/v1/chat/completions", {{"content-type", "application/json"}}, asked);
        };
        REQUIRE(ask().status == 200);
        upstream.turn_deaf();
        const auto began = steady::now();
        const auto answer = ask();
        CHECK(answer.status == 200);
        CHECK(answer.complete());
        CHECK(answer.body == (streams ? events : "{\"a\":1}"));
        CHECK(steady::now() - began < 5s); // 0.6 s, and a little
        CHECK(upstream.heard() == 2);
        CHECK(upstream.connections() == 2);
        CHECK(proxy.finish());
    }
}

// Requests that may neither be copied nor sent twice: only a connection can find out.
TEST_CASE("one caller pays for an upstream that cannot be reached; connections find out when it can be") {
    deaf_server first("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst");
    deaf_server second("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond");
    const auto url = [](const deaf_server& of) { return "http://127.0.0.1:" + std::to_string(of.port()); };
    running_proxy proxy(
        "upstreams: {first: {url: \"" + url(first) + "\"}, second: {url: \"" + url(second) +
        "\", caller_credentials: drop}}\nroutes:\n  - {name: all, match: {path_prefix: /}, upstreams: [first, second], "
        "timeout: {connect: 1200ms}}\n");
    auto client = proxy.connect();
    duration took{};
    const auto ask = [&] {
        const auto began = steady::now();
        const auto answer =
            client.request("POST", "/v1/threads/t/runs", {{"content-type", "application/json"}}, R"({"a":1})");
        took = steady::now() - began;
        CHECK(answer.status == 200);
        return answer.body;
    };
    first.be_unreachable();
    CHECK(ask() == "second");
    CHECK(took >= 1s);
    for (int i = 0; i < 16; ++i) {
        std::this_thread::sleep_for(250ms);
        CHECK(ask() == "second");
        CHECK(took < 800ms);
    }
    CHECK(first.connections() == 0);
    first.be_reachable();
    const auto began = steady::now();
    while (ask() != "first" && steady::now() - began < 30s) {
        CHECK(took < 800ms);
        std::this_thread::sleep_for(50ms);
    }
    CHECK(steady::now() - began < 15s);
    CHECK(first.connections() <= 2); // that which was opened to find out, and one for the request
    CHECK(proxy.finish());
    CHECK(proxy.log_text().find("connections to it are made again") != std::string::npos);
}

} // namespace evenkeel::test::patience_test

// The bulkhead over real sockets: refusals against the clock, permits to the last byte, clients that leave the queue, a
// reload, and one bulkhead for two workers.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/support/storm_scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::bulkhead_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const std::string body = R"({"model":"m","messages":[]})";
header_list with(const std::string& script, const std::string& credential = "") {
    header_list fields{{"content-type", "application/json"}, {"x-sim", script}};
    if (!credential.empty()) fields.emplace_back("authorization", "Bearer " + credential);
    return fields;
}
bool send(blocking_client& client, const std::string& script) {
    return client.send_request("POST", "/v1/chat/completions", with(script), body);
}
bool sees(const simulated_provider& upstream, std::uint64_t requests) {
    return upstream.wait_for([&](const provider_counters& now) { return now.requests >= requests; }, 10s);
}
std::string limits(const std::string& block) { return "    bulkhead: " + block + "\n"; }
} // namespace

TEST_CASE("two are served, the third waits, the fourth is refused in under 5 ms with a Retry-After") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url(), "", limits("{max_concurrent: 2, max_queue: 1, queue_timeout: 20s}")));
    std::vector<blocking_client> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(proxy.connect());
    REQUIRE(send(clients[0], "delay=1500ms"));
    REQUIRE(send(clients[1], "delay=1500ms"));
    REQUIRE(sees(upstream, 2));
    REQUIRE(send(clients[2], ""));
    std::this_thread::sleep_for(100ms); // it is queued by now

    std::vector<double> took;
    auto refused = proxy.connect();
    for (int i = 0; i < 30; ++i) {
        const auto before = std::chrono::steady_clock::now();
        const auto answer = refused.request("POST", "/v1/chat/completions", with(""), body);
        took.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - before).count());
        REQUIRE(answer.status == 503);
        CHECK(answer.complete());
        CHECK(answer.body.find("\"code\":\"bulkhead_full\"") != std::string::npos);
        const int wait_ms = std::stoi(answer.header("retry-after-ms"));
        CHECK(wait_ms >= 100);
        CHECK(wait_ms <= 10'000);
        CHECK(std::stoi(answer.header("retry-after")) == (wait_ms + 999) / 1000);
    }
    std::sort(took.begin(), took.end());
    MESSAGE("refusals: median ", took[15], " ms, longest ", took.back(), " ms");
    CHECK(took[15] < (sanitized ? 50 : 5));
    CHECK(upstream.counters().requests == 2); // the third has not been sent

    for (auto& one : clients) CHECK(one.read_response("POST").status == 200);
    CHECK(upstream.counters().peak_in_flight == 2);
    CHECK(proxy.finish());
}

TEST_CASE("a permit is held until the last byte of a slow stream") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url(), "", limits("{max_concurrent: 1, max_queue: 1, queue_timeout: 20s}")));
    auto first = proxy.connect(), second = proxy.connect();
    const std::string streamed = R"({"model":"m","stream":true,"messages":[]})";
    REQUIRE(first.send_request("POST", "/v1/chat/completions", with("events=10; gap=80ms"), streamed));
    REQUIRE(first.read_head("POST").status == 200);
    REQUIRE(first.next_event()); // it is well on its way
    REQUIRE(send(second, ""));
    while (first.next_event()) {}
    CHECK(first.ended() == message_end::complete);
    CHECK(second.read_response("POST").status == 200);
    const auto records = upstream.records();
    REQUIRE(records.size() == 2);
    CHECK(records[0].finished_ns - records[0].first_byte_ns > 500'000'000);
    CHECK(records[1].head_ns >= records[0].finished_ns);
    CHECK(proxy.finish());
}

TEST_CASE("a client that leaves the queue frees its place") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url(), "", limits("{max_concurrent: 1, max_queue: 1, queue_timeout: 20s}")));
    auto served = proxy.connect(), leaving = proxy.connect(), asking = proxy.connect();
    REQUIRE(send(served, "delay=1500ms"));
    REQUIRE(sees(upstream, 1));
    REQUIRE(send(leaving, ""));
    const auto by = std::chrono::steady_clock::now() + 1s;
    client_response answer;
    do
        answer = asking.request("POST", "/v1/chat/completions",
                                {{"content-type", "application/json"}, {"x-evenkeel-timeout", "0.001"}}, body);
    while (answer.body.find("bulkhead_full") == std::string::npos && std::chrono::steady_clock::now() < by);
    CHECK(answer.body.find("bulkhead_full") != std::string::npos); // the place is taken

    leaving.close();
    std::this_thread::sleep_for(100ms);
    REQUIRE(send(asking, ""));
    CHECK(asking.read_response("POST").status == 200);
    CHECK(served.read_response("POST").status == 200);
    CHECK(upstream.counters().requests == 2);
    CHECK(proxy.finish());
}

TEST_CASE("a reload changes the limits at once and keeps those that are in") {
    simulated_provider upstream;
    const auto file = [&](int concurrent) {
        return through(
            upstream.url(), "",
            limits("{max_concurrent: " + std::to_string(concurrent) + ", max_queue: 8, queue_timeout: 20s}"));
    };
    running_proxy proxy(file(1));
    std::vector<blocking_client> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(proxy.connect());
    REQUIRE(send(clients[0], "delay=2s"));
    REQUIRE(sees(upstream, 1));
    REQUIRE(send(clients[1], "delay=1s"));
    std::this_thread::sleep_for(100ms);
    CHECK(upstream.counters().requests == 1);

    proxy.write(file(2));
    CHECK(proxy->reload());
    REQUIRE(sees(upstream, 2)); // the one that waited
    REQUIRE(send(clients[2], ""));
    std::this_thread::sleep_for(100ms);
    CHECK(upstream.counters().requests == 2); // the one of before the reload counts
    for (auto& one : clients) CHECK(one.read_response("POST").status == 200);
    CHECK(upstream.counters().peak_in_flight == 2);
    CHECK(proxy.finish());
}

TEST_CASE("P8.1: two workers share one bulkhead: never more than its permits upstream, everybody gets an answer, "
          "shares hold") {
    simulated_provider upstream({.script = "0.2: reset_after=request | delay=uniform:1ms:12ms", .record = false});
    running_proxy proxy(through(upstream.url(), "    connections: {retry_stale: false}\n",
                                limits("{max_concurrent: 4, max_queue: 12, queue_timeout: 150ms}")),
                        "127.0.0.1:0", "workers: 2\n");
    std::atomic<int> good{0}, refused{0}, others{0}, aborted{0}, light_good{0}, light_refused{0};
    std::vector<std::thread> threads;
    const int each = scaled(3000) / 24;
    for (int number = 0; number < 24; ++number) {
        threads.emplace_back([&, number] {
            const bool light = number >= 22; // two callers of another credential, among 22 of one that floods
            auto client = proxy.connect(15s);
            for (int i = 0; i < each; ++i) {
                if (!client.send_request("POST", "/v1/chat/completions",
                                         {{"content-type", "application/json"},
                                          {"authorization", light ? "Bearer light" : "Bearer flood"}},
                                         body)) {
                    client = proxy.connect(15s);
                    continue;
                }
                if (!light && (i + number) % 9 == 0) { // leaves at once: while it waits, is served, or is being refused
                    client.reset();
                    ++aborted;
                    client = proxy.connect(15s);
                    continue;
                }
                const auto answer = client.read_response("POST");
                const bool is_refusal = answer.status == 503 && answer.body.find("bulkhead_") != std::string::npos;
                if (is_refusal) CHECK(!answer.header("retry-after").empty());
                ++(answer.status == 200 ? good : is_refusal ? refused : others);
                if (light) ++(is_refusal ? light_refused : light_good);
                if (!answer.complete() || answer.header("connection") == "close") client = proxy.connect(15s);
            }
        });
    }
    for (auto& one : threads) one.join();
    MESSAGE("good ", good.load(), ", refused ", refused.load(), ", failed upstream ", others.load(), ", left ",
            aborted.load(), "; the light one: served ", light_good.load(), ", refused ", light_refused.load(),
            "; at a time upstream at most ", upstream.counters().peak_in_flight);
    // A proxy that cancels an attempt has its permit back before the provider has noticed: at most as many more at a
    // time.
    CHECK(upstream.counters().peak_in_flight <= 4 + 4);
    CHECK(good > 0);
    // It never has its share, so it never waits for long, and always finds a place.
    if (!sanitized) CHECK(light_refused == 0);
    CHECK(proxy.finish());
    CHECK(upstream.wait_for([](const provider_counters& now) { return now.open_connections == 0; }, 10s));
}

} // namespace evenkeel::test::bulkhead_test

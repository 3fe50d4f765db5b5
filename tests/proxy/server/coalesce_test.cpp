// Shared flights over real sockets, with one worker and with two: followers of the other worker are woken across
// threads.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::coalesce_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
std::string question(const std::string& nonce, bool stream = false) {
    return std::string{R"({"model":"m","temperature":0,"stream":)"} + (stream ? "true" : "false") +
           R"(,"messages":[{"role":"user","content":"nonce:)" + nonce + R"("}]})";
}
header_list with(const std::string& script, const std::string& credential = "one") {
    return {{"content-type", "application/json"}, {"x-sim", script}, {"authorization", "Bearer " + credential}};
}
std::string workers(int count) { return "workers: " + std::to_string(count) + "\n"; }
std::string coalescing(const std::string& url, const std::string& more = "") {
    return through(url, "", "    coalesce: deterministic\n" + more);
}
std::string access_lines(const running_proxy& proxy) {
    std::ifstream in(proxy.access_log());
    return {std::istreambuf_iterator<char>(in), {}};
}
std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
}
} // namespace

TEST_CASE("100 identical concurrent requests make 1 upstream call; with 100 credentials, 100") {
    for (const int count : {1, 2}) {
        CAPTURE(count);
        simulated_provider upstream;
        running_proxy proxy(coalescing(upstream.url()), "127.0.0.1:0", workers(count));
        const auto ask = [&](bool alike) {
            std::vector<blocking_client> clients;
            for (int i = 0; i < 100; ++i) clients.push_back(proxy.connect());
            for (std::size_t i = 0; i < clients.size(); ++i)
                REQUIRE(clients[i].send_request("POST", "/v1/chat/completions",
                                                with("delay=1500ms", alike ? "one" : "key-" + std::to_string(i)),
                                                question("q")));
            int collapsed = 0;
            std::string first;
            for (auto& one : clients) {
                const auto answer = one.read_response("POST");
                CHECK(answer.status == 200);
                CHECK(answer.complete());
                CHECK(answer.body.find("[q:0]") != std::string::npos);
                collapsed += answer.header("cache-status") == "evenkeel; fwd=miss; collapsed";
                if (first.empty()) first = answer.body;
                if (alike) CHECK(answer.body == first);
            }
            return collapsed;
        };

        CHECK(ask(true) == 99);
        CHECK(upstream.counters().requests == 1);
        CHECK(ask(false) == 0);
        CHECK(upstream.counters().requests == 101);
        CHECK(proxy.finish());
    }
}

TEST_CASE("a stream read by many on two workers: the leader is cut off, the others get every byte") {
    simulated_provider upstream;
    running_proxy proxy(coalescing(upstream.url()), "127.0.0.1:0", workers(2));
    std::vector<blocking_client> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(proxy.connect());
    REQUIRE(clients[0].send_request("POST", "/v1/chat/completions", with("events=20; gap=50ms"), question("s", true)));
    REQUIRE(clients[0].read_head("POST").status == 200);
    REQUIRE(clients[0].next_event());
    for (std::size_t i = 1; i < clients.size(); ++i)
        REQUIRE(
            clients[i].send_request("POST", "/v1/chat/completions", with("events=20; gap=50ms"), question("s", true)));
    CHECK(clients[1].read_head("POST").status == 200);
    clients[0].reset();
    std::string whole;
    for (std::size_t i = 1; i < clients.size(); ++i) {
        client_response got;
        if (i > 1) {
            got = clients[i].read_response("POST");
        } else {
            for (std::string piece = clients[i].read_body_some(); !piece.empty(); piece = clients[i].read_body_some())
                got.body += piece;
            got.end = clients[i].ended();
        }
        CHECK(got.complete());
        CHECK(got.body.find("[s:0]") != std::string::npos);
        CHECK(got.body.find("[s:19]") != std::string::npos);
        CHECK(got.body.ends_with("data: [DONE]\n\n"));
        if (whole.empty()) whole = got.body;
        CHECK(got.body == whole);
    }
    CHECK(upstream.counters().requests == 1);
    CHECK(proxy.finish());
}

TEST_CASE("the last reader's leaving reaches the upstream within 100 ms, whichever workers read and run") {
    simulated_provider upstream;
    running_proxy proxy(coalescing(upstream.url()), "127.0.0.1:0", workers(2));
    for (int round = 0; round < 5; ++round) {
        std::vector<blocking_client> clients;
        for (int i = 0; i < 4; ++i) clients.push_back(proxy.connect());
        for (auto& one : clients)
            REQUIRE(one.send_request("POST", "/v1/chat/completions", with("events=200; gap=50ms"),
                                     question("c" + std::to_string(round), true)));
        for (auto& one : clients) REQUIRE(one.read_head("POST").status == 200);
        for (auto& one : clients) one.close();
        const std::int64_t left = monotonic_ns();
        const auto record = upstream.wait_for_record([&](const attempt_record& one) {
            return one.nonce == "c" + std::to_string(round) && one.peer_closed_ns != 0;
        });
        REQUIRE(record);
        CHECK(record->cancelled);
        CHECK(record->peer_closed_ns - left < (sanitized ? 1'000'000'000 : 100'000'000));
    }
    CHECK(upstream.counters().requests == 5);
    CHECK(proxy.finish());
}

TEST_CASE("a drain waits for followers on the other worker") {
    simulated_provider upstream;
    running_proxy proxy(coalescing(upstream.url()), "127.0.0.1:0", workers(2));
    std::vector<blocking_client> clients;
    for (int i = 0; i < 16; ++i) clients.push_back(proxy.connect()); // both workers have some
    for (auto& one : clients)
        REQUIRE(one.send_request("POST", "/v1/chat/completions", with("events=30; gap=100ms"), question("d", true)));
    for (auto& one : clients) REQUIRE(one.read_head("POST").status == 200);
    proxy->drain();
    for (auto& one : clients) {
        std::string body;
        for (std::string piece = one.read_body_some(); !piece.empty(); piece = one.read_body_some()) body += piece;
        CHECK(one.ended() == message_end::complete);
        CHECK(body.ends_with("data: [DONE]\n\n"));
    }
    CHECK(upstream.counters().requests == 1);
    CHECK(proxy.finish());
}

TEST_CASE("clients come and go at random on two workers: who stays gets all of it, and nothing is left") {
    simulated_provider upstream;
    running_proxy proxy(coalescing(upstream.url(), "    stream: {hold_buffer: 2KiB}\n"), "127.0.0.1:0", workers(2));
    std::atomic<int> whole{0}, left{0}, wrong{0};
    std::mutex mutex;
    std::string seen; // of the last wrong one
    std::vector<std::thread> threads;
    for (unsigned number = 0; number < 12; ++number) {
        threads.emplace_back([&, number] {
            std::mt19937 random(number + 1);
            for (int round = 0; round < 25; ++round) {
                const std::string nonce = "r" + std::to_string(random() % 3); // few: they meet
                const bool stream = random() % 3 != 0;
                auto client = proxy.connect();
                if (!client.send_request("POST", "/v1/chat/completions",
                                         with(stream ? "events=40; gap=1ms" : "delay=20ms"), question(nonce, stream))) {
                    ++wrong;
                    continue;
                }
                if (random() % 3 == 0) {
                    std::this_thread::sleep_for(std::chrono::milliseconds{random() % 40});
                    random() % 2 == 0 ? client.close() : client.reset();
                    ++left;
                    continue;
                }
                const auto answer = client.read_response("POST");
                const bool all = answer.status == 200 && answer.complete() &&
                                 answer.body.find("[" + nonce + ":0]") != std::string::npos &&
                                 (!stream || (answer.body.find("[" + nonce + ":39]") != std::string::npos &&
                                              answer.body.ends_with("data: [DONE]\n\n")));
                // A busy machine may leave a reader so far behind that it is detached, which it is told.
                const bool told =
                    stream && !answer.complete() && answer.body.find("stream_reader_detached") != std::string::npos;
                ++(all ? whole : told ? left : wrong);
                if (!all && !told) {
                    const std::lock_guard lock(mutex);
                    seen = std::to_string(answer.status) + ' ' + answer.detail + ": " + answer.body;
                }
            }
        });
    }
    for (auto& one : threads) one.join();
    MESSAGE(whole.load(), " whole, ", left.load(), " left or detached, ", upstream.counters().requests, " upstream");
    CAPTURE(seen);
    CHECK(wrong == 0);
    CHECK(whole > 100);
    CHECK(upstream.counters().requests < 300);
    CHECK(proxy.finish());
}

TEST_CASE("the access log says who led and who followed, and no credential") {
    simulated_provider upstream;
    std::string lines;
    {
        running_proxy proxy(coalescing(upstream.url()));
        std::vector<blocking_client> clients;
        for (int i = 0; i < 3; ++i) clients.push_back(proxy.connect());
        for (auto& one : clients)
            REQUIRE(one.send_request("POST", "/v1/chat/completions?key=canary-query",
                                     with("delay=300ms", "canary-token"), question("l")));
        for (auto& one : clients) CHECK(one.read_response("POST").status == 200);
        auto other = proxy.connect();
        CHECK(other.request("POST", "/v1/chat/completions", with(""), R"({"model":"m","messages":[]})").status == 200);
        CHECK(proxy.finish());
        lines = access_lines(proxy) + proxy.log_text();
    }
    CHECK(count_of(lines, R"("coalesced":"leader")") == 1);
    CHECK(count_of(lines, R"("coalesced":"follower")") == 2);
    CHECK(count_of(lines, R"("attempts":1)") == 4);
    CHECK(lines.find("canary") == std::string::npos);
}

} // namespace evenkeel::test::coalesce_test

// Hedges and circuits over real sockets: storms of hedged streams on two workers, and refusals against the clock.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/support/storm_scale.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::hedging_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const header_list json{{"content-type", "application/json"}};

std::string chat(const std::string& nonce, bool stream = true) {
    return std::string{R"({"model":"m","stream":)"} + (stream ? "true" : "false") +
           R"(,"messages":[{"role":"user","content":"nonce:)" + nonce + R"("}]})";
}

// Each event names the request and its place in `[nonce:i]` and the attempt it belongs to in "attempt":N. False: a
// piece of another request or of another attempt, a lost one or one too many.
bool is_of_one_attempt(const std::string& body, const std::string& nonce, const std::string& attempt, int& pieces) {
    pieces = 0;
    for (const sse_event& event : split_events(body)) {
        if (event.comment || event.data == "[DONE]" || event.event == "error") continue;
        if (const auto at = event.data.find("\"attempt\":"); at != std::string::npos) {
            const auto from = event.data.find_first_of("0123456789", at);
            const auto to = event.data.find_first_not_of("0123456789", from);
            if (event.data.substr(from, to - from) != attempt) return false;
        }
        const auto at = event.data.find('[' + nonce + ':');
        if (at == std::string::npos) {
            if (event.data.find("\"content\":\"[") != std::string::npos) return false;
            continue;
        }
        if (std::stoi(event.data.substr(at + nonce.size() + 2)) != pieces) return false;
        ++pieces;
    }
    return true;
}

struct tally {
    std::atomic<int> whole{0}, errors{0}, broken{0}, aborted{0}, hedged{0};
    std::atomic<int> crossed{0}, false_whole{0}, hung{0}, malformed{0};
};

std::string two_upstreams(const simulated_provider& upstream) {
    return "defaults: {retry: {backoff: {initial: 2ms, max: 10ms}, budget: off}}\n"
           "upstreams:\n  first: {url: " +
           upstream.url() +
           "/first, connections: {max: 1500}}\n"
           "  second: {url: " +
           upstream.url() +
           "/second, connections: {max: 1500}}\n"
           "routes:\n  - name: all\n    match: {path_prefix: /}\n    upstreams: [first, second]\n";
}
} // namespace

TEST_CASE("P7.7: 5,000 hedged streams on two workers with stalls, slow first tokens, errors and aborts: 0 crossed, 0 "
          "false wholes, 0 hung, 0 left over") {
    simulated_provider upstream(
        {.seed = 11,
         .script = "0.25: stamp; first=uniform:30ms:200ms; events=8 | 0.06: stamp; stall_after=request; stall=400ms | "
                   "0.04: stamp; stall_after=2; stall=400ms | 0.04: reset_after=request | 0.04: stamp; reset_after=3 | "
                   "0.03: stamp; close_after=4 | "
                   "0.06: delay=uniform:1ms:60ms; status=500 | 0.03: error=rate; retry_after_ms=5 | 0.03: stamp; "
                   "error_after=0; delay=uniform:1ms:60ms | "
                   "0.03: stamp; end_after=0; delay=30ms | stamp; first=uniform:0ms:20ms; events=8",
         .record = false});
    running_proxy proxy(two_upstreams(upstream) + "    hedge: {delay: 20ms, max_hedges: 2, guard: 0}\n"
                                                  "    cooldown: off\n    circuit_breaker: off\n    overload: off\n    "
                                                  "timeout: {total: 10s, attempt: 2s, stream_idle: 250ms}\n",
                        "127.0.0.1:0", "workers: 2\n");
    const int total = scaled(5000), threads = 32;
    tally seen;
    std::vector<std::thread> all;
    for (int thread = 0; thread < threads; ++thread) {
        all.emplace_back([&, thread] {
            std::mt19937 random(static_cast<unsigned>(thread) + 77);
            auto client = proxy.connect(15s);
            for (int n = 0; n < total / threads; ++n) {
                const std::string nonce = "t" + std::to_string(thread) + "n" + std::to_string(n);
                if (!client.send_request("POST", "/v1/chat/completions", json, chat(nonce))) {
                    ++seen.broken;
                    client = proxy.connect(15s);
                    continue;
                }
                if (random() % 12 == 0) {
                    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 60));
                    random() % 2 == 0 ? client.reset() : client.close();
                    ++seen.aborted;
                    client = proxy.connect(15s);
                    continue;
                }
                const auto answer = client.read_response("POST");
                if (answer.header("x-evenkeel-outcome") == "hedged") ++seen.hedged;
                int pieces = 0;
                const bool streamed =
                    answer.status == 200 && answer.header("content-type").starts_with("text/event-stream");
                if (streamed && !is_of_one_attempt(answer.body, nonce, answer.header("x-sim-attempt"), pieces))
                    ++seen.crossed;
                if (answer.end == message_end::timeout) ++seen.hung;
                if (answer.end == message_end::malformed) ++seen.malformed;
                if (answer.complete() && streamed) {
                    ++(answer.body.ends_with("data: [DONE]\n\n") && pieces >= 8 ? seen.whole : seen.false_whole);
                } else {
                    ++(answer.complete() ? seen.errors : seen.broken);
                }
                if (!answer.complete() || answer.header("connection") == "close") client = proxy.connect(15s);
            }
        });
    }
    for (auto& one : all) one.join();
    MESSAGE("whole ", seen.whole.load(), ", of them from hedges ", seen.hedged.load(), ", errors ", seen.errors.load(),
            ", broken and shown so ", seen.broken.load(), ", aborted ", seen.aborted.load(), ", requests upstream ",
            upstream.counters().requests);
    CHECK(seen.crossed == 0);
    CHECK(seen.false_whole == 0);
    CHECK(seen.hung == 0);
    CHECK(seen.malformed == 0);
    CHECK(seen.whole > total / 2);
    CHECK(seen.hedged > total / 20);
    CHECK(proxy.finish());
    CHECK(upstream.wait_for([](const provider_counters& now) { return now.open_connections == 0; }));
}

namespace {
struct timed {
    client_response answer;
    double ms;
};
timed ask(blocking_client& client) {
    const auto before = monotonic_ns();
    timed one{client.request("POST", "/v1/chat/completions", json, chat("r", false)), 0};
    one.ms = static_cast<double>(monotonic_ns() - before) / 1e6;
    return one;
}
void let_it_fail(blocking_client& client, int times) {
    for (int i = 0; i < times; ++i) static_cast<void>(ask(client));
}
// Median and largest time of refusals, all of which must be 503 circuit_open with a Retry-After.
std::pair<double, double> refusals(blocking_client& client, int count) {
    std::vector<double> took;
    for (int i = 0; i < count; ++i) {
        const timed one = ask(client);
        if (one.answer.status != 503) break; // its time has come
        CHECK(one.answer.body.find("circuit_open") != std::string::npos);
        CHECK(!one.answer.header("retry-after").empty());
        CHECK(!one.answer.header("retry-after-ms").empty());
        took.push_back(one.ms);
    }
    REQUIRE(took.size() >= 20);
    std::sort(took.begin(), took.end());
    return {took[took.size() / 2], took.back()};
}
} // namespace

TEST_CASE("when_open: reject refuses in under 5 ms, with a Retry-After after which a request goes through") {
    simulated_provider upstream({.record = false});
    running_proxy proxy(
        through(upstream.url(), "", "    circuit_breaker: {when_open: reject, recovery_timeout: 1s}\n"));
    auto client = proxy.connect();
    upstream.script({.script = "status=500"});
    let_it_fail(client, 20);
    const auto [median, longest] = refusals(client, 50);
    MESSAGE("refusals: median ", median, " ms, longest ", longest, " ms");
    CHECK(median < (sanitized ? 50 : 5));
    const auto last = ask(client).answer;
    REQUIRE(last.status == 503);
    const int wait_ms = std::stoi(last.header("retry-after-ms"));
    CHECK(wait_ms <= 1000 * 1.2 * 1.2 + 1);
    CHECK(std::stoi(last.header("retry-after")) * 1000 >= wait_ms);
    upstream.clear_scripts();
    std::this_thread::sleep_for(std::chrono::milliseconds{wait_ms});
    const auto probe = ask(client).answer;
    CHECK(probe.status == 200);
    CHECK(proxy.finish());
}

TEST_CASE("an outage older than hold_max refuses in under 5 ms; a young one is waited out") {
    simulated_provider upstream({.record = false});
    running_proxy proxy(
        through(upstream.url(), "", "    circuit_breaker: {when_open: hold, hold_max: 2s, recovery_timeout: 1s}\n"));
    auto client = proxy.connect();
    upstream.script({.script = "status=500"});
    let_it_fail(client, 15);
    const timed held = ask(client); // until the probe, which is this very request
    CHECK(held.ms > 500);
    CHECK(held.answer.status == 500);
    const auto until = std::chrono::steady_clock::now() + 10s;
    timed refused = ask(client);
    while (refused.answer.status != 503 && std::chrono::steady_clock::now() < until) refused = ask(client);
    const auto [median, longest] = refusals(client, 50);
    MESSAGE("refusals of an old outage: median ", median, " ms, longest ", longest, " ms");
    CHECK(median < (sanitized ? 50 : 5));
    upstream.clear_scripts();
    const auto last = ask(client).answer;
    if (last.status == 503) {
        std::this_thread::sleep_for(std::chrono::milliseconds{std::stoi(last.header("retry-after-ms"))});
        CHECK(ask(client).answer.status == 200);
    }
    CHECK(proxy.finish());
}

} // namespace evenkeel::test::hedging_test

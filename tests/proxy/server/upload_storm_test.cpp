// Uploads that are still coming, over real sockets: storms of them, and the inputs that once sent an upstream other
// bytes and left requests behind. EVENKEEL_STORM scales the storms; EVENKEEL_ROUNDS=200 plays the inputs that often.

#include "tests/proxy/server/upload_bench.hpp"
#include "tests/support/stale_memory.hpp"
#include "tests/support/storm_scale.hpp"

#include <random>

namespace evenkeel::test::upload_storm_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {

template <class Body>
void in_parallel(int threads, const Body& body) {
    std::vector<std::thread> all;
    for (int i = 0; i < threads; ++i) all.emplace_back([&body, i] { body(i); });
    for (auto& one : all) one.join();
}

// The upstream has told how much it got.
bool is_whole(const client_response& answer, std::size_t size) {
    return answer.complete() && answer.status == 200 &&
           answer.body.find("\"bytes\":" + std::to_string(size) + ",") != std::string::npos;
}

struct tally {
    std::atomic<int> whole{0}, errors{0}, interrupted{0}, left{0}; // every request ends in one of these
    std::atomic<int> hung{0}, malformed{0}, false_whole{0}, unanswered{0};
};

void storm(upload_wire wire, int workers, std::uint32_t seed) {
    const stale_memory_shows memory;
    upload_bench bench(wire);
    const std::string script = "0.12: early=drain; early_after=60KiB; status=503 | 0.06: early; status=503 | 0.04: "
                               "early=reset; early_after=20KiB; status=429 | "
                               "0.05: reset_after=request | 0.05: status=500 | 0.12: reads=4KiB@1ms | 0.12: "
                               "reads=32KiB@3ms | 0.04: reads=20KiB@uniform:0ms:40ms | "
                               "0.02: early=drain; early_after=90KiB | 0.05: delay=40ms | delay=uniform:0ms:10ms";
    static_cast<void>(bench.add_upstream("first", script, seed, 16 * 1024));
    static_cast<void>(bench.add_upstream("second", script, seed + 1, 16 * 1024));
    bench.start(
        "    retry: {max_retries: 4, replay_buffer: 256KiB}\n    hedge: {delay: 10ms, max_hedges: 2, guard: 0}\n"
        "    bulkhead: {max_concurrent: 64}\n    timeout: {total: 10s, attempt: 3s}\n",
        "workers: " + std::to_string(workers) + "\nlimits: {memory: 2MiB, body_timeout: 3s}\n");
    const int total = scaled(1200, sanitized ? 0.1 : 0.5), threads = 16;
    tally seen;
    in_parallel(threads, [&](int thread) {
        std::mt19937 random(seed * 100 + static_cast<unsigned>(thread));
        const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
        std::optional<blocking_client> client;
        for (int n = 0; n < total / threads; ++n) {
            if (!client) client.emplace(bench.connect(15s));
            const auto whose = static_cast<std::uint32_t>(thread * 100'000 + n);
            const upload_pattern pattern(whose);
            const std::size_t size = below(3) == 0 ? below(64 * 1024) : 64 * 1024 + below(300 * 1024);
            const bool chunked = below(3) == 0;
            const bool leaves = below(12) == 0;
            const std::size_t leaves_at = leaves ? below(size + 1) : size + 1;
            const std::size_t usual = std::array<std::size_t, 4>{2000, 16 * 1024, 64 * 1024, 1024 * 1024}[below(4)];
            bool sent = client->send(upload_head(whose, size, chunked));
            for (std::size_t at = 0; sent && at < size && at < leaves_at;) {
                const std::size_t piece = std::min(size - at, 1 + below(usual));
                const std::string data = pattern.text(at, piece);
                sent = client->send(chunked ? upload_chunk(data) : data);
                at += piece;
                if (below(4) == 0)
                    std::this_thread::sleep_for(std::chrono::milliseconds{below(below(8) == 0 ? 80 : 6)});
            }
            if (leaves) {
                below(2) == 0 ? client->reset() : client->close();
                client.reset();
                ++seen.left;
                continue;
            }
            if (sent && chunked) sent = client->send("0\r\n\r\n");
            const auto answer = client->read_response("POST");
            if (answer.end == message_end::timeout) ++seen.hung;
            if (answer.end == message_end::malformed) ++seen.malformed;
            if (answer.complete() && answer.status == 200) {
                const bool early = answer.body.find("\"sha256\":\"\"") != std::string::npos;
                ++(is_whole(answer, size) || early ? seen.whole : seen.false_whole);
            } else if (answer.complete()) {
                ++seen.errors;
            } else {
                ++seen.interrupted; // an early last answer, and the reset behind it overtook it
                if (sent && size <= 100 * 1024 && answer.end != message_end::reset) ++seen.unanswered;
            }
            if (!answer.complete() || answer.header("connection") == "close") client.reset();
        }
    });
    MESSAGE("whole ", seen.whole.load(), ", errors ", seen.errors.load(), ", interrupted ", seen.interrupted.load(),
            ", left ", seen.left.load(), ", MiB upstream ", bench.witness.bytes.load() >> 20U);
    CAPTURE(bench.witness.first_wrong());
    CHECK(bench.witness.wrong_pieces.load() == 0);
    CHECK(seen.hung.load() == 0);
    CHECK(seen.malformed.load() == 0);
    CHECK(seen.false_whole.load() == 0);
    CHECK(seen.unanswered.load() == 0);
    CHECK(seen.whole.load() > total / 2);
    bench.expect_nothing_left();
}
} // namespace

TEST_CASE("a storm of uploads over plain connections, one worker: every upstream gets its client's bytes, nothing is "
          "left over") {
    storm({}, 1, 21);
}
TEST_CASE("a storm of uploads over TLS on both sides, two workers: every upstream gets its client's bytes, nothing is "
          "left over") {
    storm({.tls_client = true, .tls_upstream = true}, 2, 22);
}
TEST_CASE(
    "a storm of uploads to TLS upstreams, one worker: every upstream gets its client's bytes, nothing is left over") {
    storm({.tls_upstream = true}, 1, 23);
}

namespace {
constexpr std::size_t large = 24 * 1024 * 1024;

// Sends a large body that takes a while to come.
client_response send_slowly(blocking_client& client, std::uint32_t whose, std::size_t size) {
    const upload_pattern pattern(whose);
    constexpr std::size_t piece = 256 * 1024;
    bool sent = client.send(upload_head(whose, size, false));
    for (std::size_t at = 0; sent && at < size; at += piece) {
        sent = client.send(pattern.text(at, std::min(piece, size - at)));
        std::this_thread::sleep_for(2ms);
    }
    return client.read_response("POST");
}

void slow_and_fast(upload_wire wire, bool after_a_refusal) {
    const stale_memory_shows memory;
    upload_bench bench(wire);
    simulated_provider* refusing =
        after_a_refusal ? &bench.add_upstream("refusing", "early=drain; early_after=64KiB; status=503") : nullptr;
    simulated_provider& slow = bench.add_upstream("slow", "reads=64KiB@20ms", 1, 64 * 1024);
    simulated_provider& fast = bench.add_upstream("fast", "delay=20ms");
    bench.start("    hedge: {delay: 50ms, guard: 0}\n    timeout: {total: 60s, attempt: 50s}\n", "");
    auto client = bench.connect(60s);
    const int times = rounds(sanitized ? 2 : 3);
    int whole = 0;
    for (int n = 0; n < times; ++n)
        whole += is_whole(send_slowly(client, static_cast<std::uint32_t>(n + 1), large), large);
    MESSAGE(whole, " of ", times, " whole; MiB upstream ", bench.witness.bytes.load() >> 20U);
    CHECK(whole == times);
    CAPTURE(bench.witness.first_wrong());
    CHECK(bench.witness.wrong_pieces.load() == 0);
    CHECK(slow.counters().requests >= static_cast<std::uint64_t>(times));
    CHECK(fast.counters().requests >= static_cast<std::uint64_t>(times));
    if (refusing != nullptr) CHECK(refusing->counters().requests >= static_cast<std::uint64_t>(times));
    bench.expect_nothing_left();
}
} // namespace

TEST_CASE("24 MiB still coming to a slow and a hedged fast reader: the bytes are the client's") {
    slow_and_fast({}, false);
}
TEST_CASE("24 MiB still coming to a slow and a hedged fast reader over TLS: the bytes are the client's") {
    slow_and_fast({.tls_client = true, .tls_upstream = true}, false);
}
TEST_CASE("24 MiB still coming through a retry after an early 503 and a hedge: the bytes are the client's") {
    slow_and_fast({}, true);
}
TEST_CASE("24 MiB still coming through a retry after an early 503 and a hedge over TLS: the bytes are the client's") {
    slow_and_fast({.tls_client = true, .tls_upstream = true}, true);
}

namespace {
void paused_clients(upload_wire wire) {
    const stale_memory_shows memory;
    upload_bench bench(wire);
    static_cast<void>(bench.add_upstream("one", ""));
    bench.start("    retry: {max_retries: 3}\n    timeout: {total: 20s}\n", "");
    constexpr int clients = 40;
    constexpr std::size_t size = 200 * 1024, before_the_pause = 100 * 1024;
    const int times = rounds(1);
    std::atomic<int> answered{0}, next_answered{0};
    for (int round = 0; round < times; ++round) {
        in_parallel(clients, [&](int i) {
            auto client = bench.connect(8s);
            const auto whose = static_cast<std::uint32_t>(round * clients + i + 1);
            const upload_pattern pattern(whose);
            const std::string twice = "x-sim: fail_times=2; key=c" + std::to_string(whose) +
                                      "; early=drain; early_after=100KiB; delay=20ms; status=503\r\n";
            bool sent = client.send(upload_head(whose, size, false, twice) + pattern.text(0, before_the_pause));
            // The pause: until the third attempt has all there is as well, and waits for more.
            const auto until = std::chrono::steady_clock::now() + 5s;
            while (bench.witness.reached(whose, before_the_pause) < 3 && std::chrono::steady_clock::now() < until)
                std::this_thread::sleep_for(10ms);
            std::this_thread::sleep_for(50ms);
            sent = sent && client.send(pattern.text(before_the_pause, size - before_the_pause));
            answered += sent && is_whole(client.read_response("POST"), size);
            sent = client.send(upload_head(whose, 1000, false) + pattern.text(0, 1000));
            next_answered += sent && is_whole(client.read_response("POST"), 1000);
        });
    }
    MESSAGE(answered.load(), " and then ", next_answered.load(), " of ", times * clients, " answered");
    CHECK(answered.load() == times * clients);
    CHECK(next_answered.load() == times * clients);
    CAPTURE(bench.witness.first_wrong());
    CHECK(bench.witness.wrong_pieces.load() == 0);
    bench.expect_nothing_left();
}
} // namespace

TEST_CASE("40 clients pause in their uploads and the upstream answers 503 twice meanwhile: all are answered, and so is "
          "what follows") {
    paused_clients({});
}
TEST_CASE("40 clients pause in their uploads over TLS and the upstream answers 503 twice meanwhile: all are answered, "
          "and so is what follows") {
    paused_clients({.tls_client = true, .tls_upstream = true});
}

} // namespace evenkeel::test::upload_storm_test

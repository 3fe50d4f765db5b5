// The whole proxy over real sockets against the simulated provider.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace evenkeel::test::server_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const header_list json{{"content-type", "application/json"}};

std::string chat(const std::string& nonce, bool stream = false) {
    return std::string{R"({"model":"m","stream":)"} + (stream ? "true" : "false") +
           R"(,"messages":[{"role":"user","content":"nonce:)" + nonce + R"("}]})";
}
header_list scripted(const std::string& script) {
    header_list headers = json;
    headers.emplace_back("x-sim", script);
    return headers;
}
// Accepts and never reads.
class deaf_upstream {
public:
    deaf_upstream() : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in here{};
        here.sin_family = AF_INET;
        here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof here;
        REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&here), size) == 0);
        REQUIRE(::listen(listener_, 8) == 0);
        REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&here), &size) == 0);
        port_ = ntohs(here.sin_port);
    }
    ~deaf_upstream() {
        for (const int one : accepted_) ::close(one);
        ::close(listener_);
    }
    [[nodiscard]] int port() const { return port_; }
    [[nodiscard]] int accept() {
        accepted_.push_back(::accept(listener_, nullptr, nullptr));
        return accepted_.back();
    }
    [[nodiscard]] static bool wait_gone(int connection, std::chrono::milliseconds within) {
        pollfd one{connection, POLLRDHUP, 0};
        return ::poll(&one, 1, static_cast<int>(within.count())) == 1;
    }

private:
    int listener_;
    int port_ = 0;
    std::vector<int> accepted_;
};

std::uint64_t resident_bytes() {
    std::ifstream in("/proc/self/statm");
    std::uint64_t pages = 0, resident = 0;
    in >> pages >> resident;
    return resident * 4096;
}
} // namespace

TEST_CASE("what the upstream receives is what the client sent") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    auto client = proxy.connect();
    const auto answer = client.request("POST", "/echo?a=%20b&c",
                                       {{"X-Custom", "one"},
                                        {"x-custom", "two"},
                                        {"Connection", "x-hop"},
                                        {"X-Hop", "1"},
                                        {"Keep-Alive", "timeout=3"}},
                                       "some body");
    REQUIRE(answer.complete());
    CHECK(answer.status == 200);
    CHECK(answer.body.find(R"("/echo?a=%20b&c")") != std::string::npos);
    CHECK(answer.body.find("X-Custom") != std::string::npos);
    CHECK(answer.body.find("two") != std::string::npos);
    CHECK(answer.body.find("X-Hop") == std::string::npos);
    CHECK(answer.body.find("Keep-Alive") == std::string::npos);
    CHECK(proxy.finish());
}

TEST_CASE("errors of the provider arrive verbatim, with their headers") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    auto direct = blocking_client({.port = upstream.port()});
    auto client = proxy.connect();
    for (const char* script :
         {"status=400", "error=auth", "error=rate; retry_after=7", "error=quota", "status=500", "status=502; body=html",
          "status=503; retry_after_ms=1500", "error=overload", "status=529", "body=empty"}) {
        CAPTURE(script);
        const auto wanted = direct.request("POST", "/v1/chat/completions", scripted(script), chat("n"));
        const auto got = client.request("POST", "/v1/chat/completions", scripted(script), chat("n"));
        REQUIRE(got.complete());
        CHECK(got.status == wanted.status);
        CHECK(got.body == wanted.body);
        for (const char* name : {"content-type", "retry-after", "retry-after-ms", "x-request-id", "x-should-retry"}) {
            CHECK(got.header(name) == wanted.header(name));
        }
    }
    CHECK(proxy.finish());
}

TEST_CASE("streams are passed on byte for byte and event by event") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    auto direct = blocking_client({.port = upstream.port()});
    auto client = proxy.connect();
    for (const char* path : {"/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions"}) {
        for (const char* script : {"events=8", "events=8; unicode; split=1ms", "events=4; keepalive=3@2ms",
                                   "events=3; drip=200us/3", "events=20; merge"}) {
            CAPTURE(path);
            CAPTURE(script);
            const auto wanted = direct.request("POST", path, scripted(script), chat("n", true));
            const auto got = client.request("POST", path, scripted(script), chat("n", true));
            REQUIRE(wanted.complete());
            REQUIRE(got.complete());
            CHECK(got.body == wanted.body);
        }
    }
    // Arrival: no event waits for the next one.
    client.send_request("POST", "/v1/chat/completions", scripted("events=20; gap=150ms; stamp"), chat("late", true));
    REQUIRE(client.read_head().status == 200);
    int stamped = 0;
    while (const auto event = client.next_event()) {
        const auto at = event->data.find("\"sent_ns\":");
        if (at == std::string::npos) continue;
        const auto first_digit = event->data.find_first_of("0123456789", at);
        const std::int64_t sent = std::stoll(event->data.substr(first_digit));
        CHECK(event->arrived_ns - sent < 150'000'000); // before the next one is sent
        ++stamped;
    }
    CHECK(client.ended() == message_end::complete);
    CHECK(stamped >= 20);
    CHECK(proxy.finish());
}

TEST_CASE("a broken answer is never passed off as a whole one") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    const struct {
        const char* script;
        bool stream;
    } rows[] = {
        {"reset_after=3", true},     {"close_after=3", true},
        {"bad_chunk_after=2", true}, {"reset_after=100b", false},
        {"close_after=100b", false}, {"content_length=+20", false},
        {"reset_after=head", true},  {"close_after=head", true},
        {"close_after=head", false}, {"framing=close; reset_after=100b", false},
    };
    for (const auto& row : rows) {
        CAPTURE(row.script);
        auto client = proxy.connect();
        const auto got = client.request("POST", "/v1/chat/completions", scripted(row.script), chat("n", row.stream));
        CHECK(got.status == 200);
        CHECK(!got.complete());
        CHECK(got.end != message_end::timeout);
        CHECK(got.end != message_end::malformed);
    }
    // Before the head there is still an error to tell.
    for (const char* script :
         {"reset_after=request", "close_after=request", "close_after=status_line", "conflict", "switch"}) {
        CAPTURE(script);
        auto client = proxy.connect();
        const auto got = client.request("POST", "/v1/chat/completions", scripted(script), chat("n"));
        CHECK(got.status == 502);
        CHECK(got.complete());
        CHECK(got.header("proxy-status").find("next-hop=\"sim\"") != std::string::npos);
        CHECK(got.body.find("evenkeel_error") != std::string::npos);
    }
    CHECK(proxy.finish());
}

TEST_CASE("extra bytes behind an answer never reach the next request") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    auto client = proxy.connect();
    for (int round = 0; round < 50; ++round) {
        const std::string nonce = "r" + std::to_string(round);
        const auto poisoned = client.request("POST", "/v1/chat/completions",
                                             scripted(round % 2 == 0 ? "extra=response" : "extra=10"), chat(nonce));
        REQUIRE(poisoned.complete());
        CHECK(poisoned.body.find("[" + nonce + ":") != std::string::npos);
        // The stray bytes are a write of their own. Once they are there the connection is dead; bytes that arrive after
        // the next request has been sent nobody can tell from its answer.
        std::this_thread::sleep_for(20ms);
        const auto clean = client.request("POST", "/v1/chat/completions", json, chat(nonce + "b"));
        REQUIRE(clean.complete());
        CHECK(clean.body.find("[" + nonce + "b:") != std::string::npos);
    }
    CHECK(proxy.finish());
}

TEST_CASE("a client that leaves cancels its upstream work within 100 ms, in every phase") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    enum class leaving { close, reset, half_closed_before, behind_bytes };
    const struct {
        const char* what;
        const char* script;
        bool stream;
        leaving how;
    } rows[] = {
        {"waiting for the head", "stall_after=request", false, leaving::close},
        {"waiting for the head, reset", "stall_after=request", false, leaving::reset},
        {"waiting for the head, half closed at first and then reset", "stall_after=request", false,
         leaving::half_closed_before},
        {"waiting for the head, with a next request sent", "stall_after=request", false, leaving::behind_bytes},
        {"in a silent stream", "stall_after=3", true, leaving::close},
        {"in a silent stream, reset", "stall_after=3", true, leaving::reset},
        {"in a silent stream, with a next request sent", "stall_after=3", true, leaving::behind_bytes},
        {"in a busy stream", "events=2000; gap=5ms", true, leaving::close},
        {"inside a buffered body", "stall_after=100b", false, leaving::close},
    };
    int serial = 0;
    for (const auto& row : rows) {
        CAPTURE(row.what);
        const std::string nonce = "gone" + std::to_string(++serial);
        auto client = proxy.connect();
        client.send_request("POST", "/v1/chat/completions", scripted(row.script), chat(nonce, row.stream));
        if (std::string_view{row.script}.find("request") == std::string_view::npos) {
            REQUIRE(client.read_head().status == 200);
        } else {
            REQUIRE(upstream.wait_for([](const provider_counters& now) { return now.in_flight > 0; }));
        }
        std::this_thread::sleep_for(20ms);
        if (row.how == leaving::half_closed_before) {
            client.half_close();
            std::this_thread::sleep_for(50ms);
            CHECK(upstream.counters().in_flight == 1); // it may well read on
        }
        if (row.how == leaving::behind_bytes) client.send("GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n");
        const std::int64_t left = monotonic_ns();
        switch (row.how) {
        case leaving::reset: client.reset(); break;
        case leaving::half_closed_before: client.reset(); break;
        default: client.close();
        }
        const auto record = upstream.wait_for_record(
            [&](const attempt_record& one) { return one.nonce == nonce && one.peer_closed_ns != 0; }, 3s);
        REQUIRE(record);
        CHECK(record->cancelled);
        CHECK(record->peer_closed_ns - left < 100'000'000);
    }
    CHECK(proxy.finish());
}

TEST_CASE("a client that ends its side with its request reads the answer, be it made here or by the provider") {
    simulated_provider upstream;
    running_proxy proxy("upstreams:\n  sim:\n    url: " + upstream.url() +
                        "\nroutes:\n  - name: api\n    match: {path_prefix: /v1/}\n    upstreams: [sim]\n");
    {
        auto client = proxy.connect();
        client.send("GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n");
        client.half_close();
        CHECK(client.read_response().status == 404);
    }
    {
        auto client = proxy.connect();
        client.send_request("POST", "/v1/chat/completions", scripted("delay=100ms"), chat("n"));
        client.half_close();
        CHECK(client.read_response().status == 200);
    }
    CHECK(upstream.wait_for([](const provider_counters& now) { return now.in_flight == 0; }));
    CHECK(proxy.finish());
}

TEST_CASE("a client that leaves while an answer is held, behind heartbeats or during a pause ends all work") {
    simulated_provider upstream;
    running_proxy proxy(retrying(upstream.url(), "", "    stream: {head_hold: 30ms, heartbeat: 20ms}\n"));
    const struct {
        const char* what;
        const char* script;
        bool stream;
        bool in_flight;
    } rows[] = {
        {"a stream that has said nothing yet", "stall_after=head", true, true},
        {"a buffered answer that is held", "stall_after=100b", false, true},
        {"heartbeats before any answer", "stall_after=request", true, true},
        {"a pause before the next attempt", "error=rate; retry_after_ms=400", false, false},
    };
    int serial = 0;
    for (const auto& row : rows) {
        CAPTURE(row.what);
        const std::string nonce = "held" + std::to_string(++serial);
        const auto before = upstream.counters().requests;
        auto client = proxy.connect();
        client.send_request("POST", "/v1/chat/completions", scripted(row.script), chat(nonce, row.stream));
        REQUIRE(upstream.wait_for([&](const provider_counters& now) { return now.requests > before; }));
        std::this_thread::sleep_for(100ms);
        const std::int64_t left = monotonic_ns();
        client.close();
        if (row.in_flight) {
            const auto record = upstream.wait_for_record(
                [&](const attempt_record& one) { return one.nonce == nonce && one.peer_closed_ns != 0; }, 3s);
            REQUIRE(record);
            CHECK(record->peer_closed_ns - left < 100'000'000);
        }
        std::this_thread::sleep_for(row.in_flight ? 50ms : 600ms);
        CHECK(upstream.counters().requests == before + 1);
    }
    CHECK(proxy.finish());
}

TEST_CASE("a client that leaves in the middle of an upload the upstream does not read: the upstream learns of it "
          "within 100 ms") {
    deaf_upstream upstream;
    running_proxy proxy(through("http://127.0.0.1:" + std::to_string(upstream.port())));
    auto client = proxy.connect(300ms);
    static_cast<void>(client.send("POST /v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 67108864\r\n\r\n"));
    static_cast<void>(client.send(std::string(32 * 1024 * 1024, 'x'))); // stops when every buffer on the way is full
    const int connection = upstream.accept();
    const std::int64_t left = monotonic_ns();
    client.reset(); // a FIN would wait in the client's own kernel, behind what it could not send
    CHECK(upstream.wait_gone(connection, 3s));
    CHECK(monotonic_ns() - left < 100'000'000);
    CHECK(proxy.finish());
}

TEST_CASE("large bodies pass in both directions at bounded memory") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    constexpr std::size_t mebibyte = 1024 * 1024;
    {
        auto warm = proxy.connect();
        REQUIRE(warm.request("POST", "/upload", {}, std::string(mebibyte, 'w')).complete());
    }
    const std::uint64_t before = resident_bytes();
    std::uint64_t highest = 0;
    for (const bool chunked : {false, true}) {
        CAPTURE(chunked);
        auto client = proxy.connect(60s);
        const std::string piece(mebibyte, 'b');
        client.send(std::string{"POST /upload HTTP/1.1\r\nHost: h\r\n"} +
                    (chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: 104857600\r\n\r\n"));
        for (int i = 0; i < 100; ++i) {
            if (chunked) REQUIRE(client.send("100000\r\n"));
            REQUIRE(client.send(piece));
            if (chunked) REQUIRE(client.send("\r\n"));
            highest = std::max(highest, resident_bytes());
        }
        if (chunked) client.send("0\r\n\r\n");
        const auto answer = client.read_response("POST");
        REQUIRE(answer.complete());
        CHECK(answer.body.find("104857600") != std::string::npos);
    }
    // A held copy of at most limits.replay_buffer (32 MiB, doubling while it grows), and buffers.
    // A sanitizer keeps freed memory, so its resident size says nothing about ours.
    if (!sanitized) CHECK(highest - before < 140 * mebibyte);

    auto client = proxy.connect(60s);
    client.send_request("GET", "/bytes/104857600");
    REQUIRE(client.read_head().status == 200);
    const std::uint64_t at_head = resident_bytes();
    std::this_thread::sleep_for(500ms); // a reader that rests: the provider must be held back, not buffered for
    if (!sanitized) CHECK(resident_bytes() - at_head < 32 * mebibyte);
    std::size_t total = 0;
    bool exact = true;
    for (std::string some = client.read_body_some(); !some.empty(); some = client.read_body_some()) {
        for (std::size_t i = 0; i < some.size(); i += 997)
            exact = exact && some[i] == static_cast<char>('a' + (total + i) % 26);
        total += some.size();
    }
    CHECK(client.ended() == message_end::complete);
    CHECK(total == 104857600);
    CHECK(exact);
    CHECK(proxy.finish());
}

TEST_CASE("an upstream that is not there: 502 at once, in the dialect of the path") {
    simulated_provider upstream;
    const std::string url = upstream.url();
    upstream.refuse();
    running_proxy proxy(through(url));
    auto client = proxy.connect();
    const auto openai = client.request("POST", "/v1/chat/completions", json, chat("n"));
    CHECK(openai.status == 502);
    CHECK(openai.body.starts_with(R"({"error":{"message":)"));
    CHECK(openai.header("proxy-status").find("error=connection_refused") != std::string::npos);
    const auto anthropic = client.request("POST", "/v1/messages", json, chat("n"));
    CHECK(anthropic.body.starts_with(R"({"type":"error","error":)"));
    upstream.accept_again();
    CHECK(client.request("POST", "/v1/chat/completions", json, chat("n")).status == 200);
    CHECK(proxy.finish());
}

TEST_CASE("timeouts: connect to head, silence in a stream") {
    simulated_provider upstream;
    running_proxy proxy(
        through(upstream.url(), "", "    timeout: {total: 1s, attempt: 600ms, stream_idle: 800ms, connect: 500ms}\n"));
    auto client = proxy.connect();
    const auto silent = client.request("POST", "/v1/chat/completions", scripted("stall_after=request"), chat("n"));
    CHECK(silent.status == 504);
    CHECK(silent.body.find("attempt_timeout") != std::string::npos);
    const auto slow =
        client.request("POST", "/v1/chat/completions", scripted("first=100ms; gap=100ms; events=15"), chat("n", true));
    CHECK(slow.complete()); // longer than the total, but never silent
    const auto stalled = client.request("POST", "/v1/chat/completions", scripted("stall_after=2"), chat("n", true));
    CHECK(!stalled.complete());
    CHECK(stalled.end != message_end::timeout);
    CHECK(proxy.finish());
}

TEST_CASE("reload: new requests see the new file, a bad file changes nothing, requests under way keep the old one") {
    simulated_provider first, second;
    running_proxy proxy(through(first.url()));
    auto streaming = proxy.connect();
    streaming.send_request("POST", "/v1/chat/completions", scripted("events=20; gap=30ms"), chat("old", true));
    REQUIRE(streaming.read_head().status == 200);

    proxy.write("upstreams: {sim: {url: nonsense}}\n");
    CHECK(!proxy->reload());
    auto client = proxy.connect();
    CHECK(client.request("POST", "/v1/chat/completions", json, chat("a")).status == 200);
    CHECK(second.counters().requests == 0);

    proxy.write(through(second.url()));
    CHECK(proxy->reload());
    CHECK(client.request("POST", "/v1/chat/completions", json, chat("b")).status == 200);
    CHECK(second.counters().requests == 1);

    while (streaming.next_event()) {}
    CHECK(streaming.ended() == message_end::complete);
    CHECK(proxy.finish());
}

TEST_CASE("reloading all the time loses no request") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    std::atomic<bool> stop{false};
    std::atomic<int> done{0}, failed{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i) {
        clients.emplace_back([&, i] {
            auto client = proxy.connect();
            for (int n = 0; !stop; ++n) {
                const std::string nonce = "c" + std::to_string(i) + "n" + std::to_string(n);
                const auto answer = client.request("POST", "/v1/chat/completions", json, chat(nonce));
                if (!answer.complete() || answer.status != 200 ||
                    answer.body.find("[" + nonce + ":") == std::string::npos)
                    ++failed;
                ++done;
            }
        });
    }
    for (int n = 0; n < 200; ++n) {
        proxy.write(n % 3 == 2 ? "routes: [\n"
                               : through(upstream.url(), "", n % 2 == 0 ? "    timeout: {total: 50s}\n" : ""));
        CHECK(proxy->reload() == (n % 3 != 2));
    }
    stop = true;
    for (auto& one : clients) one.join();
    CHECK(failed == 0);
    CHECK(done > 100);
    CHECK(proxy.finish());
}

TEST_CASE("drain: streams end in peace, idle connections are closed, new ones are refused") {
    simulated_provider upstream;
    running_proxy proxy(through(upstream.url()));
    std::vector<blocking_client> streams;
    for (int i = 0; i < 50; ++i) {
        streams.push_back(proxy.connect());
        streams.back().send_request("POST", "/v1/chat/completions", scripted("events=10; gap=50ms"),
                                    chat("d" + std::to_string(i), true));
        REQUIRE(streams.back().read_head().status == 200);
    }
    auto idle = proxy.connect();
    REQUIRE(idle.request("GET", "/v1/models").status == 200);
    proxy->drain();
    CHECK(idle.wait_closed(2s) == message_end::complete);
    for (auto& one : streams) {
        std::string last;
        while (const auto event = one.next_event()) last = event->data;
        CHECK(one.ended() == message_end::complete);
        CHECK(last == "[DONE]");
    }
    CHECK_THROWS_AS(static_cast<void>(proxy.connect(1s)), client_error);
    CHECK(proxy.finish());
}

TEST_CASE("several workers share one port, and a unix socket serves as well") {
    simulated_provider upstream;
    {
        running_proxy proxy(through(upstream.url()), "127.0.0.1:0", "workers: 3\n");
        std::vector<std::thread> clients;
        std::atomic<int> failed{0};
        for (int i = 0; i < 24; ++i) {
            clients.emplace_back([&, i] {
                auto client = proxy.connect();
                for (int n = 0; n < 20; ++n) {
                    const std::string nonce = "w" + std::to_string(i) + "n" + std::to_string(n);
                    const auto answer = client.request("POST", "/v1/chat/completions", json, chat(nonce, n % 2 == 0));
                    if (!answer.complete() || answer.body.find("[" + nonce + ":") == std::string::npos) ++failed;
                }
            });
        }
        for (auto& one : clients) one.join();
        CHECK(failed == 0);
        CHECK(proxy.finish());
    }
}

TEST_CASE("no credential in any output") {
    simulated_provider upstream;
    const std::string canary = "sk-CANARY-3141592653589793";
    running_proxy proxy(through(upstream.url(), "    headers: {set: {x-api-key: " + canary + "-conf}}\n"));
    auto client = proxy.connect();
    for (const char* script : {"", "status=500", "reset_after=request", "stall_after=request"}) {
        auto one = proxy.connect(500ms);
        header_list headers = scripted(script);
        headers.emplace_back("authorization", "Bearer " + canary);
        headers.emplace_back("x-goog-api-key", canary);
        headers.emplace_back("cookie", "session=" + canary);
        const auto answer = one.request("POST", "/v1/chat/completions?key=" + canary, headers, chat(canary));
        if (answer.status >= 500 && answer.header("proxy-status") != "")
            CHECK(answer.body.find(canary) == std::string::npos);
    }
    static_cast<void>(client.send("GET /" + canary + " HTTP/1.1\r\nHost: h\r\nAuthorization : " + canary + "\r\n\r\n"));
    CHECK(client.read_response().body.find(canary) == std::string::npos);
    const auto directory = proxy.directory();
    std::string everything;
    (*proxy).drain();
    static_cast<void>((*proxy).wait());
    for (const auto& name : {"log", "access.ndjson"}) {
        std::ifstream in(directory / name);
        everything.append(std::istreambuf_iterator<char>(in), {});
    }
    CHECK(everything.find("/v1/chat/completions") != std::string::npos);
    CHECK(everything.find("CANARY") == std::string::npos);
}

} // namespace evenkeel::test::server_test

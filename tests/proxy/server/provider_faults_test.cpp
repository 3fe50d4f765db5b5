// Sixteen faults of providers, as published for gateways (429 with and without a hint, silence, cuts, a fallback that
// rejects, an outage, ...) and four more, with a primary and one fallback and an attempt limit of 30 s: what a
// streaming client gets, by `stream.resume`. Every policy is on, as it is by default; each fault meets a proxy that has
// seen none before; both providers are deterministic. Everything runs 20 times faster. Printed as a table, over real
// sockets.

#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/proxy/server/what_came.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <string>
#include <thread>

namespace evenkeel::test::provider_faults_test {

using namespace std::chrono_literals;

namespace {

std::string config_of(const simulated_provider& primary, const simulated_provider& fallback,
                      const std::string& resume) {
    return "upstreams:\n  primary: {url: \"" + primary.url() +
           "\", connections: {retry_stale: false}}\n  fallback: {url: \"" + fallback.url() +
           "\", caller_credentials: drop, models: {m: fallback-model}}\n"
           "defaults:\n"
           "  timeout: {total: 10s, attempt: 1500ms, stream_idle: 1250ms}\n" // 30 s, 25 s
           "  retry: {max_retries: 3, backoff: {initial: 12ms, max: 400ms}, budget: {min_per_second: 4}}\n"
           "  circuit_breaker: {window: 1500ms, recovery_timeout: 100ms, max_recovery_timeout: 3s, ramp: 500ms}\n"
           "  cooldown: {initial: 50ms, max: 3s, overload: 500ms, quota: 45s}\n"
           // Of the original's time: one a second.
           "  stream: {resume: " +
           resume + (resume == "off" ? "" : ", min_rate: 20") +
           "}\n"
           "routes:\n  - {name: all, match: {path_prefix: /}, upstreams: [primary, fallback]}\n";
}

std::string deterministic_chat(const std::string& nonce) {
    return R"({"model":"m","stream":true,"temperature":0,"messages":[{"role":"user","content":"nonce:)" + nonce +
           R"("}]})";
}

struct bench {
    explicit bench(const std::string& resume) : proxy(config_of(primary, fallback, resume)) {}
    simulated_provider primary, fallback;
    running_proxy proxy;
    int number = 0;

    struct result {
        std::string text; // as got(), with the attempts at each
        client_response answer;
        double seconds = 0; // of the original time
    };
    result ask() {
        const std::string nonce = "f" + std::to_string(++number);
        auto client = proxy.connect();
        const auto began = std::chrono::steady_clock::now();
        result out;
        out.answer = client.request("POST", "/v1/chat/completions", {{"content-type", "application/json"}},
                                    deterministic_chat(nonce));
        out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() * 20;
        out.text = fmt::format("{} {}+{}", got(out.answer, nonce, true), primary.counters().requests,
                               fallback.counters().requests);
        return out;
    }
    result ask(const std::string& script, const std::string& fallback_script = "") {
        primary.play(script);
        fallback.play(fallback_script);
        return ask();
    }
};
} // namespace

namespace {
struct row {
    const char *name, *primary, *fallback, *expected;
    const char *buffer = expected, *replay = expected; // with resume: buffer, verified_replay
};
const row rows[] = {
    {"1 429 with Retry-After", "error=rate; retry_after=5", "", "ok 1+1"},
    {"2 429 without", "error=rate", "", "ok 1+1"},
    {"3 500 once", "status=500; fail_times=1", "", "ok 1+1"},
    {"4 503", "status=503", "", "ok 1+1"},
    {"5 reset before the head", "reset_after=request", "", "ok 1+1"},
    {"6 silent upstream", "stall_after=request", "", "ok 1+1"},
    {"7 first token after 20 s", "first=1s; preamble=late", "", "ok 1+0"},
    {"8 cut in mid-stream", "reset_after=7", "", "cut+frame 1+0", "ok 1+1", "ok 2+1"},
    {"8 cut in mid-stream, once", "reset_after=7; fail_times=1", "", "cut+frame 1+0", "ok 1+1", "ok 2+0"},
    {"9 stall in mid-stream", "stall_after=7", "", "cut+frame 1+0", "ok 1+1", "ok 1+1"},
    {"10 malformed event in mid-stream", "malformed_after=5", "", "ok 1+0"},
    {"11 no [DONE], but a finish reason", "terminal=finish", "", "ok 1+0"},
    {"11 neither [DONE] nor a finish reason", "terminal=none", "", "cut+frame 1+0", "ok 1+1", "ok 2+1"},
    {"12 context length", "error=context_length", "", "400 1+0"},
    {"13 content filter", "error=content_filter", "", "400 1+0"},
    {"14 fallback rejects, primary down", "status=500", "error=invalid", "500 3+1"},
    {"14 fallback rejects, primary fails once", "status=500; fail_times=1", "error=invalid", "ok 2+1"},
    {"14 fallback rejects, primary cut once", "reset_after=7; fail_times=1", "error=invalid", "cut+frame 1+0", "ok 2+1",
     "ok 2+0"},
    {"a drip: 12 s between events", "gap=600ms", "", "ok 1+0", "ok 1+1", "ok 1+1"},
    {"an error event behind content", "error_after=7", "", "told 1+0", "ok 1+1", "ok 2+1"},
    {"a code point split between two reads", "unicode; split=5ms", "", "ok 1+0"},
    {"a compressed stream", "encoding=gzip", "", "opaque 1+0"},
};
} // namespace

TEST_CASE("sixteen faults of a provider and four more, with one fallback") {
    std::string table = fmt::format("\n{:42}{:>15}{:>9}{:>15}{:>9}{:>17}{:>9}\n", "fault; client and attempts",
                                    "resume: off", "after", "buffer", "after", "verified_replay", "after");
    for (const row& one : rows) {
        table += fmt::format("{:42}", one.name);
        for (const auto& [resume, expected] : {std::pair{"off", one.expected}, std::pair{"buffer", one.buffer},
                                               std::pair{"verified_replay", one.replay}}) {
            bench b(resume);
            auto got = b.ask(one.primary, one.fallback);
            if (got.answer.header("content-encoding") == "gzip" && got.answer.complete())
                got.text = "opaque" + got.text.substr(got.text.find(' '));
            CAPTURE(std::string{one.name});
            CAPTURE(std::string{resume});
            CHECK(got.text == expected);
            CHECK(b.proxy.finish());
            table += fmt::format("{:>15}{:7.1f} s", got.text, got.seconds);
        }
        table += '\n';
    }
    const auto show = [&](std::string_view name, const std::string& text, double seconds) {
        table += fmt::format("{:42}{:>15}{:7.1f} s\n", name, text, seconds);
    };
    {
        // 15: 60 s without a primary and a request every 4 s; then it is back.
        bench b("off");
        b.primary.play("");
        b.fallback.play("");
        b.primary.refuse();
        b.primary.drop_idle();
        int served = 0;
        double slowest = 0;
        for (int i = 0; i < 15; ++i) {
            const auto got = b.ask();
            served += got.text.starts_with("ok");
            slowest = std::max(slowest, got.seconds);
            std::this_thread::sleep_for(200ms);
        }
        CHECK(served == 15);
        show("15 outage of 60 s, a request every 4 s", fmt::format("{} of 15 ok", served), slowest);
        b.primary.accept_again();
        // The circuit of the primary is open: it is asked again once a probe finds it well, at most 60 s x 1.2 later,
        // and until then the fallback serves.
        std::string after;
        const auto back = std::chrono::steady_clock::now();
        double seconds = 0;
        while (!after.starts_with("ok 1+0") && seconds < 100) {
            b.primary.play("");
            b.fallback.play("");
            after = b.ask().text;
            CHECK(after.starts_with("ok"));
            seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - back).count() * 20;
            std::this_thread::sleep_for(10ms);
        }
        CHECK(after == "ok 1+0");
        show("15 the primary serves again", after, seconds);
        CHECK(b.proxy.finish());
    }
    {
        bench b("off");
        const auto honest = b.ask("status=500");
        CHECK(honest.text == "ok 1+1");
        CHECK(honest.answer.body.find("\"model\":\"fallback-model\"") != std::string::npos);
        CHECK(honest.answer.header("x-evenkeel-upstream") == "fallback");
        show("16 the model named after failover", "fallback-model", honest.seconds);
        CHECK(b.proxy.finish());
    }
    MESSAGE(table);
    CHECK(table.find("FALSE") == std::string::npos);
}

} // namespace evenkeel::test::provider_faults_test

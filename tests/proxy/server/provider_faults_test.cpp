// Sixteen faults of providers, as published for gateways (429 with and without a hint, silence, cuts, a fallback that
// rejects, an outage, ...), with a primary and one fallback and an attempt limit of 30 s: what a streaming client gets.
// Every policy is on, as it is by default; each fault meets a proxy that has seen none before. Everything runs 20 times
// faster. Printed as a table, over real sockets.

#include "tests/proxy/server/running_proxy.hpp"
#include "tests/proxy/server/scripted_provider.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <string>
#include <thread>

using namespace evenkeel;
using namespace evenkeel::test;
using namespace std::chrono_literals;

namespace {

std::string config_of(const scripted_provider& primary, const scripted_provider& fallback) {
    return "upstreams:\n  primary: {url: \"" + primary.url() + "\", connections: {retry_stale: false}}\n  fallback: {url: \"" + fallback.url() +
           "\", models: {m: fallback-model}}\n"
           "defaults:\n"
           "  timeout: {total: 10s, attempt: 1500ms, stream_idle: 1250ms}\n" // 30 s, 25 s
           "  retry: {max_retries: 3, backoff: {initial: 12ms, max: 400ms}, budget: {min_per_second: 4}}\n"
           "  circuit_breaker: {window: 1500ms, recovery_timeout: 100ms, max_recovery_timeout: 3s, ramp: 500ms}\n"
           "  cooldown: {initial: 50ms, max: 3s, overload: 500ms, quota: 45s}\n"
           "routes:\n  - {name: all, match: {path_prefix: /}, upstreams: [primary, fallback]}\n";
}

struct bench {
    scripted_provider primary, fallback;
    running_proxy proxy{config_of(primary, fallback)};
    int number = 0;

    struct result {
        std::string text; // as got(), with the attempts at each
        test_response answer;
        double seconds = 0; // of the original time
    };
    result ask() {
        const std::string nonce = "f" + std::to_string(++number);
        auto client = proxy.connect();
        const auto began = std::chrono::steady_clock::now();
        result out;
        out.answer = client.request("POST", "/v1/chat/completions", {{"content-type", "application/json"}}, chat(nonce, true));
        out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() * 20;
        out.text = fmt::format("{} {}+{}", got(out.answer, nonce, true), primary.attempts(), fallback.attempts());
        return out;
    }
    result ask(const std::string& script, const std::string& fallback_script = "") {
        primary.play(script);
        fallback.play(fallback_script);
        return ask();
    }
};
} // namespace

TEST_CASE("sixteen faults of a provider, with one fallback") {
    struct row {
        const char *name, *primary, *fallback, *expected;
    };
    std::string table = fmt::format("\n{:44}{:18}{:>10}\n", "fault", "client; attempts", "after");
    const auto show = [&](std::string_view name, const std::string& text, double seconds) {
        table += fmt::format("{:44}{:18}{:8.1f} s\n", name, text, seconds);
    };
    for (const row& one : {
             row{"1 429 with Retry-After", "error=rate; retry_after=5", "", "ok 1+1"},
             row{"2 429 without", "error=rate", "", "ok 1+1"},
             row{"3 500 once", "status=500; fail_times=1", "", "ok 1+1"},
             row{"4 503", "status=503", "", "ok 1+1"},
             row{"5 reset before the head", "reset_after=request", "", "ok 1+1"},
             row{"6 silent upstream", "stall_after=request", "", "ok 1+1"},
             row{"7 first token after 20 s", "first=1s; preamble=late", "", "ok 1+0"},
             row{"8 cut in mid-stream", "reset_after=7", "", "cut+frame 1+0"},
             row{"9 stall in mid-stream", "stall_after=7", "", "cut+frame 1+0"},
             row{"10 malformed event in mid-stream", "malformed_after=5", "", "ok 1+0"},
             row{"11 no [DONE], but a finish reason", "terminal=finish", "", "ok 1+0"},
             row{"11 neither [DONE] nor a finish reason", "terminal=none", "", "cut+frame 1+0"},
             row{"12 context length", "error=context_length", "", "400 1+0"},
             row{"13 content filter", "error=content_filter", "", "400 1+0"},
             row{"14 fallback rejects, primary down", "status=500", "error=invalid", "500 3+1"},
             row{"14 fallback rejects, primary fails once", "status=500; fail_times=1", "error=invalid", "ok 2+1"},
         }) {
        bench b;
        const auto got = b.ask(one.primary, one.fallback);
        CAPTURE(one.name);
        CHECK(got.text == one.expected);
        CHECK(b.proxy.finish());
        show(one.name, got.text, got.seconds);
    }
    {
        // 15: 60 s without a primary and a request every 4 s; then it is back.
        bench b;
        b.primary.play("");
        b.fallback.play("");
        (*b.primary).refuse();
        (*b.primary).drop_idle();
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
        (*b.primary).accept_again();
        // The circuit of the primary is open: it is asked again once a probe finds it well, at most 60 s x 1.2 later, and
        // until then the fallback serves.
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
        bench b;
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

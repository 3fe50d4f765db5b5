// Every misbehaviour of the simulated provider, as JSON and as a stream, once and for good, with one upstream and with
// a second, healthy one: what the client got and how often whom was asked. Printed as a table, over real sockets.

#include "policies/endpoint_doubt.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/proxy/server/what_came.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

namespace evenkeel::test::misbehaviour_test {

using namespace provider;
using namespace std::chrono_literals;

namespace {

// What retries alone make of it: the policies that remember (a circuit, a rest after a 429, a budget) are off or ample,
// for here every row is to meet the same proxy whatever came before it. And without the pool's free retry, which
// depends on whether a connection happens to be reused.
std::string two_proxies_config(const simulated_provider& first, const simulated_provider& second) {
    const std::string pool = "\", connections: {retry_stale: false}}\n";
    return "upstreams:\n  first: {url: \"" + first.url() + pool + "  second: {url: \"" + second.url() +
           "\", caller_credentials: drop, connections: {retry_stale: false}}\n" +
           "defaults:\n"
           "  timeout: {total: 6s, attempt: 700ms, stream_idle: 500ms}\n"
           "  retry: {max_retries: 3, backoff: {initial: 5ms, max: 20ms}, budget: {burst: 1000}}\n"
           "  circuit_breaker: off\n"
           "  cooldown: off\n"
           "  overload: off\n"
           "routes:\n"
           "  - {name: alone, match: {path_prefix: /alone}, rewrite: {path_prefix: /}, upstreams: [first]}\n"
           "  - {name: both, match: {path_prefix: /both}, rewrite: {path_prefix: /}, upstreams: [first, second]}\n";
}

struct row {
    const char* fault;
    // Alternatives with `|`: whether an answer of ours or a cut tells depends on how the bytes happened to come. once
    // at one upstream: JSON, stream; for good at one upstream: JSON, stream; for good, with a second one: JSON, stream
    std::array<const char*, 6> expected;
};

// Whoever was silent a row ago would be asked second; as many good answers as are ever wanted end that.
void trust_again(running_proxy& proxy, simulated_provider& first) {
    first.play("");
    auto client = proxy.connect();
    for (int n = 0; n < endpoint_doubt::most_goods; ++n)
        static_cast<void>(client.request("POST", "/alone/v1/chat/completions", {{"content-type", "application/json"}},
                                         chat("t" + std::to_string(n), false)));
}

} // namespace

TEST_CASE("P2.1, through sockets: what each misbehaviour of a provider comes to") {
    simulated_provider first, second;
    running_proxy proxy(two_proxies_config(first, second));
    second.play("");
    const std::vector<row> rows{
#include "tests/proxy/server/misbehaviour_rows.inc"
    };
    std::string table = fmt::format("\n{:42}{:16}{:16}{:16}{:16}{:16}{:16}\n", "misbehaviour", "once JSON",
                                    "once stream", "always JSON", "always stream", "second JSON", "second stream");
    int number = 0;
    for (const row& one : rows) {
        table += fmt::format("{:42}", one.fault);
        for (std::size_t column = 0; column < one.expected.size(); ++column) {
            const bool stream = column % 2 == 1, once = column < 2, both = column >= 4;
            const std::string nonce = "m" + std::to_string(++number);
            if (both) trust_again(proxy, first);
            first.play(std::string{one.fault} + (once ? "; fail_times=1" : ""));
            second.play("");
            auto client = proxy.connect();
            const auto answer =
                client.request("POST", both ? "/both/v1/chat/completions" : "/alone/v1/chat/completions",
                               {{"content-type", "application/json"}}, chat(nonce, stream));
            const std::string cell = fmt::format("{} {}{}", got(answer, nonce, stream), first.counters().requests,
                                                 both ? fmt::format("+{}", second.counters().requests) : "");
            table += fmt::format("{:16}", cell);
            const std::string fault = one.fault, expected = one.expected[column];
            CAPTURE(fault);
            CAPTURE(column);
            CAPTURE(cell);
            CHECK(("|" + expected + "|").find("|" + cell + "|") != std::string::npos);
            CHECK(cell.find("FALSE") == std::string::npos);
            CHECK(answer.end != message_end::timeout);
        }
        table += '\n';
    }
    MESSAGE(table);
    CHECK(proxy.finish());
}

// The same table once more: what comes compressed although nobody asked for it is judged by what it says. Nothing of
// ours can be put behind it; where that would have told, the cut does.
TEST_CASE("B1 to B4: what each misbehaviour comes to, plain and compressed, is the same") {
    simulated_provider first, second;
    running_proxy proxy(two_proxies_config(first, second));
    second.play("");
    const std::vector<row> rows{
#include "tests/proxy/server/misbehaviour_rows.inc"
    };
    const auto without_frame = [](std::string expected) {
        for (const std::string_view frame : {"cut+frame", "frame"}) {
            if (const auto at = expected.find(frame); at != std::string::npos)
                expected.replace(at, frame.size(), "cut");
        }
        return expected;
    };
    int number = 0;
    for (const row& one : rows) {
        const std::string fault = one.fault;
        // What is announced is the length of the plain text there.
        if (fault.find("content_length") != std::string::npos || fault.find("encoding") != std::string::npos) continue;
        for (std::size_t column = 0; column < one.expected.size(); ++column) {
            const bool stream = column % 2 == 1, once = column < 2, both = column >= 4;
            const std::string nonce = "z" + std::to_string(++number);
            if (both) trust_again(proxy, first);
            first.play(fault + "; encoding=gzip" + (once ? "; fail_times=1" : ""));
            second.play("encoding=gzip");
            auto client = proxy.connect();
            const auto answer = client.request(
                "POST", both ? "/both/v1/chat/completions" : "/alone/v1/chat/completions",
                {{"content-type", "application/json"}, {"accept-encoding", "gzip, br"}}, chat(nonce, stream));
            const std::string cell = fmt::format("{} {}{}", got(answer, nonce, stream), first.counters().requests,
                                                 both ? fmt::format("+{}", second.counters().requests) : "");
            const std::string expected = without_frame(one.expected[column]);
            CAPTURE(fault);
            CAPTURE(column);
            CAPTURE(cell);
            CHECK(("|" + expected + "|").find("|" + cell + "|") != std::string::npos);
            CHECK(answer.end != message_end::timeout);
            for (const auto& attempt : first.records()) CHECK(attempt.header("accept-encoding") == "identity");
        }
    }
    CHECK(proxy.finish());
}

} // namespace evenkeel::test::misbehaviour_test

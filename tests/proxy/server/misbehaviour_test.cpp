// Every misbehaviour of the simulated provider, as JSON and as a stream, once and for good, with one upstream and with a
// second, healthy one: what the client got and how often whom was asked. Printed as a table, over real sockets.

#include "tests/proxy/server/running_proxy.hpp"
#include "tests/support/provider.hpp"
#include "tests/support/test_client.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

using namespace evenkeel;
using namespace evenkeel::support;
using namespace evenkeel::test;
using namespace std::chrono_literals;

namespace {

// A provider whose behaviour the test changes between requests.
class scripted_provider {
public:
    scripted_provider() : provider_({.script_for = [this](const attempt_record&) -> std::optional<std::string> {
                              const std::scoped_lock lock(mutex_);
                              return script_;
                          }}) {}
    void play(const std::string& script) {
        provider_.reset();
        const std::scoped_lock lock(mutex_);
        script_ = script;
    }
    [[nodiscard]] std::size_t attempts() const { return provider_.counters().requests; }
    [[nodiscard]] std::string url() const { return provider_.url(); }
    [[nodiscard]] provider& operator*() { return provider_; }

private:
    std::mutex mutex_;
    std::string script_;
    provider provider_;
};

std::string two_proxies_config(const scripted_provider& first, const scripted_provider& second) {
    return "upstreams:\n  first: {url: \"" + first.url() + "\"}\n  second: {url: \"" + second.url() +
           "\"}\n"
           "defaults:\n"
           "  timeout: {total: 4s, attempt: 250ms, stream_idle: 200ms}\n"
           "  retry: {max_retries: 3, backoff: {initial: 5ms, max: 20ms}, budget: {burst: 1000}}\n"
           "routes:\n"
           "  - {name: alone, match: {path_prefix: /alone}, rewrite: {path_prefix: /}, upstreams: [first]}\n"
           "  - {name: both, match: {path_prefix: /both}, rewrite: {path_prefix: /}, upstreams: [first, second]}\n";
}

std::string chat(const std::string& nonce, bool stream) {
    return std::string{R"({"model":"m","stream":)"} + (stream ? "true" : "false") + R"(,"messages":[{"role":"user","content":"nonce:)" + nonce + R"("}]})";
}

// What the client got, in a few words, and the attempts at each upstream:
//   ok           200, whole, with the right text       STATUS       the upstream's own error, whole
//   STATUS!      an error of ours                      cut+frame    content, then our error frame, then the cut
//   cut          content, then the cut                 told         the upstream's error frame, then the cut
//   FALSE        200, formally whole, and it is not: never
std::string got(const test_response& answer, const std::string& nonce, bool stream) {
    const bool text = answer.body.find("[" + nonce + ":0]") != std::string::npos;
    const bool all = text && answer.body.find("[" + nonce + ":11]") != std::string::npos;
    if (answer.status != 200) {
        if (!answer.complete()) return std::to_string(answer.status) + " cut";
        return std::to_string(answer.status) + (answer.header("proxy-status").empty() ? "" : "!");
    }
    if (answer.complete()) {
        const bool ended = !stream || answer.body.find("[DONE]") != std::string::npos || answer.body.find("\"finish_reason\":\"") != std::string::npos;
        if (stream && answer.body.find("event: error") != std::string::npos) return "told";
        return all && ended && answer.body.find("evenkeel_error") == std::string::npos ? "ok" : "FALSE";
    }
    if (answer.body.find("evenkeel_error") != std::string::npos) return text ? "cut+frame" : "frame";
    if (answer.body.find("\"error\"") != std::string::npos) return "told";
    return "cut";
}

struct row {
    const char* fault;
    // once at one upstream: JSON, stream; for good at one upstream: JSON, stream; for good, with a second one: JSON, stream
    std::array<const char*, 6> expected;
};

} // namespace

TEST_CASE("what each misbehaviour of a provider comes to") {
    scripted_provider first, second;
    running_proxy proxy(two_proxies_config(first, second));
    second.play("");
    const std::vector<row> rows{
#include "tests/proxy/server/misbehaviour_rows.inc"
    };
    std::string table = fmt::format("\n{:42}{:16}{:16}{:16}{:16}{:16}{:16}\n", "misbehaviour", "once JSON", "once stream", "always JSON",
                                    "always stream", "second JSON", "second stream");
    int number = 0;
    for (const row& one : rows) {
        table += fmt::format("{:42}", one.fault);
        for (std::size_t column = 0; column < one.expected.size(); ++column) {
            const bool stream = column % 2 == 1, once = column < 2, both = column >= 4;
            const std::string nonce = "m" + std::to_string(++number);
            first.play(std::string{one.fault} + (once ? "; fail_times=1" : ""));
            second.play("");
            auto client = proxy.connect();
            const auto answer = client.request("POST", both ? "/both/v1/chat/completions" : "/alone/v1/chat/completions",
                                               {{"content-type", "application/json"}}, chat(nonce, stream));
            const std::string cell = fmt::format("{} {}{}", got(answer, nonce, stream), first.attempts(), both ? fmt::format("+{}", second.attempts()) : "");
            table += fmt::format("{:16}", cell);
            CAPTURE(one.fault);
            CAPTURE(column);
            CHECK(cell == one.expected[column]);
            CHECK(cell.find("FALSE") == std::string::npos);
            CHECK(answer.end != message_end::timeout);
        }
        table += '\n';
    }
    MESSAGE(table);
    CHECK(proxy.finish());
}

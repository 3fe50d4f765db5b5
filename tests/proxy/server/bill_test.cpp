// The bill over real sockets: what /metrics and the access log say that attempts took, against the ledger of the
// simulated provider.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::bill_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const header_list json{{"content-type", "application/json"}};

std::string chat(const std::string& more) {
    return R"({"model":"m",)" + more + R"(,"messages":[{"role":"user","content":"What keeps a ship upright?"}]})";
}

std::uint16_t admin_port(server::server& of) {
    const std::string address = of.admin_addresses().front();
    return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

// Sums of evenkeel_tokens_total by "kind estimated", and by outcome.
std::map<std::string, std::uint64_t> tokens_of(const std::string& metrics) {
    std::map<std::string, std::uint64_t> sums;
    std::istringstream in(metrics);
    for (std::string line; std::getline(in, line);) {
        if (!line.starts_with("evenkeel_tokens_total{")) continue;
        const auto word = [&](const std::string& name) {
            const auto at = line.find(name + "=\"") + name.size() + 2;
            return line.substr(at, line.find('"', at) - at);
        };
        const auto count = std::stoull(line.substr(line.rfind(' ')));
        sums[word("kind") + ' ' + word("estimated")] += count;
        sums[word("outcome")] += count;
        sums["all"] += count;
    }
    return sums;
}
} // namespace

TEST_CASE("what attempts took is what the provider's ledger says; a client that left is billed as well") {
    simulated_provider upstream;
    running_proxy proxy("defaults: {retry: {backoff: {initial: 2ms, max: 10ms}, budget: off}, stream: {usage: "
                        "ask}}\nupstreams:\n  sim: "
                        "{url: " +
                            upstream.url() +
                            ", prices: {m: {input: 3, output: 15}}}\nroutes:\n  - {name: all, match: {path_prefix: /}, "
                            "upstreams: [sim]}\n",
                        "127.0.0.1:0", "", "admin: {listen: 127.0.0.1:0}\n");
    const auto metrics = [&] {
        blocking_client client({.port = admin_port(*proxy)});
        return tokens_of(client.request("GET", "/metrics", {}, "").body);
    };

    // Told: JSON, a stream asked in its client's place, one that asks, messages, embeddings.
    {
        blocking_client client = proxy.connect();
        for (int i = 0; i < 20; ++i) {
            CHECK(client.request("POST", "/v1/chat/completions", json, chat(R"("stream":false)")).status == 200);
            const auto unasked = client.request("POST", "/v1/chat/completions", json, chat(R"("stream":true)"));
            CHECK(unasked.body.find("prompt_tokens") == std::string::npos);
            CHECK(unasked.body.find("[DONE]") != std::string::npos);
            const auto asked = client.request("POST", "/v1/chat/completions", json,
                                              chat(R"("stream":true,"stream_options":{"include_usage":true})"));
            CHECK(asked.body.find("prompt_tokens") != std::string::npos);
            CHECK(client.request("POST", "/v1/messages", json, chat(R"("stream":true)")).status == 200);
            CHECK(client.request("POST", "/v1/embeddings", json, R"({"model":"m","input":"x"})").status == 200);
            CHECK(client.request("POST", "/v1/messages/count_tokens", json, chat(R"("n":1)")).status == 200);
        }
    }
    REQUIRE(upstream.wait_for([](const provider_counters& c) { return c.completed == 120; }));
    auto found = metrics();
    const auto told = upstream.counters();
    CHECK(found["input false"] == told.input_tokens);
    CHECK(found["output false"] == told.output_tokens);
    CHECK(found["all"] == told.input_tokens + told.output_tokens);
    CHECK(found["served"] == found["all"]);

    // A client that asks what it cost.
    {
        blocking_client client = proxy.connect();
        header_list fields = json;
        fields.emplace_back("x-evenkeel-cost", "on");
        const std::string body = chat(R"("stream":false)");
        const auto answer = client.request("POST", "/v1/chat/completions", fields, body);
        const auto input = body.size() / 4 + 1;
        CHECK(
            answer.header("x-evenkeel-cost").starts_with("input=" + std::to_string(input) + "; output=12; cost=0.000"));
    }

    // Left in the midst of it, broken off, refused.
    const auto before = upstream.counters();
    upstream.script({.script = "events=8; gap=2ms; stall_after=4", .times = 5});
    for (int i = 0; i < 5; ++i) {
        blocking_client client = proxy.connect(400ms);
        CHECK(!client.request("POST", "/v1/chat/completions", json, chat(R"("stream":true)")).complete());
    }
    REQUIRE(upstream.wait_for([](const provider_counters& c) { return c.cancelled == 5; }));
    upstream.script({.script = "events=8; close_after=3", .times = 5});
    for (int i = 0; i < 5; ++i) {
        blocking_client client = proxy.connect();
        try {
            static_cast<void>(client.request("POST", "/v1/chat/completions", json, chat(R"("stream":true)")));
        } catch (const std::exception&) { // cut, as it has to be
        }
    }
    upstream.script({.script = "error=server", .times = 1});
    CHECK(proxy.connect().request("POST", "/v1/chat/completions", json, chat(R"("stream":false)")).status == 200);
    REQUIRE(upstream.wait_for([](const provider_counters& c) { return c.in_flight == 0; }));
    std::uint64_t cancelled = 0, failed = 0;
    for (const attempt_record& one : upstream.records()) {
        if (one.status != 200 || one.complete) continue;
        (one.cancelled ? cancelled : failed) += one.input_tokens + one.output_tokens;
    }
    CHECK(cancelled > 0);
    CHECK(failed > 0);
    CHECK(upstream.counters().input_tokens > before.input_tokens);
    found = metrics();
    // Estimated, and marked: each request's bytes are tokens as the provider counts them but for the last one, and its
    // words are 5.2 bytes each where it calls them a token.
    const auto near = [](std::uint64_t a, std::uint64_t b) {
        return std::abs(static_cast<double>(a) - static_cast<double>(b)) <= 0.3 * static_cast<double>(b);
    };
    CHECK(near(found["cancelled"], cancelled));
    CHECK(near(found["failed"], failed));
    CHECK(found["input true"] + found["output true"] == found["cancelled"] + found["failed"]);
    const auto all = upstream.counters();
    CHECK(found["input false"] + found["output false"] == all.input_tokens + all.output_tokens - cancelled - failed);

    CHECK(proxy.finish());
}

} // namespace evenkeel::test::bill_test

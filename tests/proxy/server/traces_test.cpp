// Traces of a running proxy, over real sockets: what a collector is sent of a request with all its attempts, what the
// upstreams were told of it, and nothing of a secret anywhere.

#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/proxy/server/what_came.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::traces_test {

using namespace provider;
using namespace std::chrono_literals;

namespace {
const std::string trace = "0af7651916cd43dd8448eb211c80319c", parent = "b7ad6b7169203331";
const header_list json{{"content-type", "application/json"}};

header_list traced(const std::string& flags = "01") {
    auto fields = json;
    fields.emplace_back("traceparent", "00-" + trace + "-" + parent + "-" + flags);
    fields.emplace_back("tracestate", "vendor=told");
    fields.emplace_back("baggage", "user=me");
    return fields;
}

// /echo of the simulated provider takes every batch.
struct collecting {
    simulated_provider collector{{.record_body_bytes = 1 << 22}};
    [[nodiscard]] std::string tracing(const std::string& more) const {
        return "tracing: {traces_endpoint: \"" + collector.url() + "/echo\", " + more + "}\n";
    }
    [[nodiscard]] boost::json::array spans() const {
        boost::json::array all;
        for (const auto& one : collector.records()) {
            const auto read = boost::json::parse(one.body);
            for (const auto& span : read.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").as_array())
                all.push_back(span);
        }
        return all;
    }
    [[nodiscard]] boost::json::array wait_for(std::size_t count) const {
        for (int i = 0; i < 1000 && spans().size() < count; ++i) std::this_thread::sleep_for(10ms);
        return spans();
    }
};

std::string text(const boost::json::value& span, std::string_view member) {
    const auto* const found = span.as_object().if_contains(member);
    return found == nullptr ? "absent" : std::string{found->as_string()};
}
std::string attribute(const boost::json::value& span, std::string_view name) {
    for (const auto& one : span.at("attributes").as_array()) {
        if (one.at("key").as_string() != name) continue;
        const auto& value = one.at("value").as_object().begin()->value();
        return value.is_string() ? std::string{value.as_string()} : boost::json::serialize(value);
    }
    return "absent";
}
std::vector<boost::json::value> having(const boost::json::array& all, std::string_view name, const std::string& value) {
    std::vector<boost::json::value> out;
    for (const auto& one : all)
        if (attribute(one, name) == value) out.push_back(one);
    return out;
}
boost::json::value server_span(const boost::json::array& all) {
    for (const auto& one : all)
        if (one.at("kind") == 2) return one;
    return nullptr;
}
std::string span_of(const attempt_record& at) {
    const std::string told = at.header("traceparent");
    return told.size() == 55 ? told.substr(36, 16) : told;
}
} // namespace

TEST_CASE("traces: a failed attempt, its retry and the hedge that won are one tree, as the upstreams were told") {
    collecting all;
    simulated_provider upstream;
    running_proxy proxy(
        "defaults: {retry: {backoff: {initial: 2ms, max: 10ms}, budget: off}, cooldown: off, circuit_breaker: off}\n"
        "upstreams:\n  a: {url: " +
            upstream.url() + "}\n  b: {url: " + upstream.url() + "/b, caller_credentials: drop}\n" +
            "routes:\n  - {name: llm, match: {path_prefix: /}, upstreams: [a, b], hedge: {delay: 2s}}\n",
        "127.0.0.1:0", all.tracing("sample: 0, resource: {zone: z1}"), "admin: {listen: \"127.0.0.1:0\"}\n");
    upstream.script({.script = "status=500", .times = 1});
    upstream.script({.script = "stall_after=request", .times = 1});
    auto client = proxy.connect();
    const auto answer = client.request("POST", "/v1/chat/completions", traced(), chat("n", true));
    CHECK(got(answer, "n", true) == "ok");
    const auto spans = all.wait_for(5);
    REQUIRE(spans.size() == 5);
    for (const auto& one : spans) CHECK(text(one, "traceId") == trace);
    const auto server = server_span(spans);
    CHECK(text(server, "parentSpanId") == parent);
    CHECK(text(server, "name") == "POST llm");
    CHECK(attribute(server, "evenkeel.outcome") == "hedged");
    const auto chats = having(spans, "gen_ai.operation.name", "chat");
    REQUIRE(chats.size() == 1);
    CHECK(text(chats[0], "name") == "chat m");
    CHECK(text(chats[0], "parentSpanId") == text(server, "spanId"));
    std::map<std::string, boost::json::value> attempts;
    for (const auto& one : spans) {
        if (attribute(one, "evenkeel.attempt.number") == "absent") continue;
        CHECK(text(one, "parentSpanId") == text(chats[0], "spanId"));
        attempts[attribute(one, "evenkeel.attempt.kind")] = one;
    }
    REQUIRE(attempts.size() == 3);
    CHECK(attribute(attempts["first"], "error.type") == "500");
    CHECK(attempts["first"].at("status").at("code") == 2);
    CHECK(attempts["retry"].as_object().if_contains("status") == nullptr); // it lost
    CHECK(attribute(attempts["retry"], "evenkeel.attempt.result") == "cancelled");
    CHECK(attribute(attempts["hedge"], "evenkeel.attempt.committed") == "true");
    REQUIRE(attempts["hedge"].as_object().contains("links"));
    CHECK(text(attempts["hedge"].at("links").at(0), "spanId") == text(attempts["retry"], "spanId"));
    // What each upstream was told is its own attempt, and no more than that.
    const auto records = upstream.records();
    REQUIRE(records.size() == 3);
    const char* kinds[] = {"first", "retry", "hedge"};
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(records[i].header("traceparent").starts_with("00-" + trace + "-"));
        CHECK(records[i].header("traceparent").ends_with("-01")); // its caller keeps the trace
        CHECK(span_of(records[i]) == text(attempts[kinds[i]], "spanId"));
        CHECK(records[i].header("tracestate").empty());
        CHECK(records[i].header("baggage").empty());
    }
    const std::string address = proxy->admin_addresses().front();
    blocking_client admin({.port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)))});
    const auto metrics = admin.request("GET", "/metrics", {}).body;
    CHECK(metrics.find("evenkeel_trace_spans_total{result=\"exported\"} 5\n") != std::string::npos);
    CHECK(metrics.find("evenkeel_trace_spans_total{result=\"queue_full\"} 0\n") != std::string::npos);
    CHECK(proxy.finish());
}

TEST_CASE("traces: of undisturbed requests those that are drawn, or that their callers keep") {
    collecting all;
    simulated_provider upstream;
    std::size_t expected = 0;
    std::string more = "sample: 0";
    header_list fields = json;
    SUBCASE("none is drawn") {}
    SUBCASE("all are drawn") {
        more = "sample: 1";
        expected = 3;
    }
    SUBCASE("its caller keeps it") {
        fields = traced("01");
        expected = 3;
    }
    SUBCASE("its caller does not") {
        more = "sample: 1";
        fields = traced("00");
    }
    SUBCASE("its caller is not asked") {
        more = "sample: 1, parent: ignore";
        fields = traced("00");
        expected = 3;
    }
    running_proxy proxy(through(upstream.url()), "127.0.0.1:0", all.tracing(more));
    auto client = proxy.connect();
    CHECK(client.request("POST", "/v1/chat/completions", fields, chat("n", false)).status == 200);
    CHECK(proxy.finish()); // and what is queued is sent
    CHECK(all.spans().size() == expected);
    const auto record = upstream.records().front();
    CHECK(record.header("traceparent").ends_with(expected != 0 ? "1" : "0") == (fields.size() > 1));
    CHECK(record.header("traceparent").size() == 55);
    if (fields.size() == 1 && expected != 0) CHECK(record.header("traceparent").ends_with("-03")); // a new one
}

TEST_CASE("traces: what upstreams are told") {
    collecting all;
    simulated_provider upstream;
    const auto ask = [&](const std::string& tracing) {
        running_proxy proxy(through(upstream.url()), "127.0.0.1:0", tracing);
        auto client = proxy.connect();
        CHECK(client.request("POST", "/v1/chat/completions", traced(), chat("n", false)).status == 200);
        return upstream.records().back();
    };
    const auto none = ask(all.tracing("propagate: none"));
    CHECK(none.header("traceparent").empty());
    CHECK(none.header("tracestate").empty());
    const auto everything = ask(all.tracing("propagate: all"));
    CHECK(everything.header("traceparent").starts_with("00-" + trace));
    CHECK(span_of(everything) != parent);
    CHECK(everything.header("tracestate") == "vendor=told");
    CHECK(everything.header("baggage") == "user=me");
    for (const std::string off : {"", "tracing: off\n"}) {
        const auto untouched = ask(off);
        CHECK(span_of(untouched) == parent);
        CHECK(untouched.header("tracestate") == "vendor=told");
    }
}

TEST_CASE("traces: the access log names the trace that began here") {
    collecting all;
    simulated_provider upstream;
    std::string line;
    {
        running_proxy proxy(through(upstream.url()), "127.0.0.1:0", all.tracing("sample: 1"));
        auto client = proxy.connect();
        CHECK(client.request("POST", "/v1/chat/completions", json, chat("n", false)).status == 200);
        static_cast<void>(proxy->reload());
        for (int i = 0; i < 500 && line.empty(); ++i) {
            std::this_thread::sleep_for(10ms);
            std::ifstream in(proxy.access_log());
            std::getline(in, line);
        }
        CHECK(proxy.finish());
    }
    const auto spans = all.spans();
    REQUIRE(spans.size() == 3);
    CHECK(boost::json::parse(line).at("trace_id").as_string() == text(spans[0], "traceId"));
    CHECK(text(server_span(spans), "parentSpanId") == "absent");
}

TEST_CASE("traces: the parts of a fan-out are within it, a follower is linked to whom it followed") {
    collecting all;
    simulated_provider upstream;
    SUBCASE("parts") {
        running_proxy proxy("upstreams:\n  sim: {url: " + upstream.url() +
                                "}\nroutes:\n  - {name: one, match: {path: /v1/chat/completions}, upstreams: [sim]}\n"
                                "  - {name: two, match: {path: /v1/embeddings}, upstreams: [sim]}\n"
                                "  - {name: both, match: {path: /both}, fan_out: {parts: [one, two], body: same}}\n",
                            "127.0.0.1:0", all.tracing("sample: 1"));
        auto client = proxy.connect();
        static_cast<void>(client.request("POST", "/both", traced(), chat("n", false)));
        CHECK(proxy.finish());
        const auto spans = all.spans();
        const auto whole = server_span(spans);
        REQUIRE(whole.is_object());
        const auto parts = having(spans, "evenkeel.part_of", "both");
        REQUIRE(parts.size() == 2);
        CHECK(text(parts[0], "spanId") != text(parts[1], "spanId"));
        for (const auto& one : parts) {
            CHECK(one.at("kind") == 1);
            CHECK(text(one, "parentSpanId") == text(whole, "spanId"));
            CHECK(text(one, "traceId") == trace);
        }
    }
    SUBCASE("a follower") {
        running_proxy proxy("upstreams:\n  sim: {url: " + upstream.url() +
                                "}\nroutes:\n  - {name: all, match: {path_prefix: /}, upstreams: [sim], coalesce: "
                                "always}\n",
                            "127.0.0.1:0", all.tracing("sample: 1"));
        upstream.play("first=700ms");
        const auto ask = [&] {
            auto client = proxy.connect();
            CHECK(client.request("POST", "/v1/chat/completions", json, chat("n", false)).status == 200);
        };
        std::thread leader(ask);
        CHECK(upstream.wait_for([](const provider_counters& now) { return now.requests == 1; }));
        ask();
        leader.join();
        CHECK(proxy.finish());
        const auto spans = all.spans();
        const auto led = having(spans, "evenkeel.coalesced", "leader");
        const auto followed = having(spans, "evenkeel.coalesced", "follower");
        REQUIRE(led.size() == 1);
        REQUIRE(followed.size() == 1);
        CHECK(text(followed[0].at("links").at(0), "traceId") == text(led[0], "traceId"));
        CHECK(text(followed[0].at("links").at(0), "spanId") == text(led[0], "spanId"));
        REQUIRE(upstream.records().size() == 1);
        const auto attempts = having(spans, "evenkeel.attempt.number", "1");
        REQUIRE(attempts.size() == 1);
        CHECK(span_of(upstream.records()[0]) == text(attempts[0], "spanId"));
    }
}

TEST_CASE("traces: nothing of a secret, wherever it stands") {
    const std::string canary = "sk-CANARY";
    collecting all;
    simulated_provider upstream;
    const std::string url = upstream.url();
    {
        running_proxy proxy("upstreams:\n  sim:\n    url: " + url + "\n    headers: {set: {x-api-key: " + canary +
                                "-set}}\nroutes:\n  - name: all\n    match: {path_prefix: /}\n    upstreams: [sim]\n"
                                "    retry: {max_retries: 1, backoff: {initial: 2ms, max: 4ms}}\n",
                            "127.0.0.1:0",
                            all.tracing("sample: 1, propagate: all, headers: {api-key: " + canary + "}"));
        auto fields = traced();
        for (const char* name : {"authorization", "api-key", "cookie", "x-goog-api-key", "user-agent", "x-anything"})
            fields.emplace_back(name, canary);
        fields.emplace_back("tracestate", "v=" + canary);
        const std::string body = R"({"model":"m","user":")" + canary + R"(","messages":[{"role":"user","content":")" +
                                 canary + R"( nonce:n"}]})";
        for (const char* fault : {"status=500", "status=429; body=text:sk-CANARY", "reset_after=request", ""}) {
            upstream.play(fault);
            auto client = proxy.connect();
            static_cast<void>(client.request("POST", "/v1/chat/completions?key=" + canary, fields, body));
        }
        CHECK(proxy.log_text().find("CANARY") == std::string::npos);
        CHECK(proxy.finish());
    }
    const auto spans = all.spans();
    CHECK(spans.size() >= 12);
    for (const auto& one : all.collector.records()) CHECK(one.body.find("CANARY") == std::string::npos);
}

TEST_CASE("traces: a collector that hangs holds up no request, and the end of the process not for long") {
    collecting all;
    simulated_provider upstream;
    all.collector.script({.script = "stall_after=request"});
    running_proxy proxy(through(upstream.url()), "127.0.0.1:0", all.tracing("sample: 1"));
    auto client = proxy.connect();
    for (int i = 0; i < 20; ++i) {
        const auto since = std::chrono::steady_clock::now();
        CHECK(client.request("POST", "/v1/chat/completions", json, chat("n", false)).status == 200);
        CHECK(std::chrono::steady_clock::now() - since < 8s); // one try of the exporter takes 10 s
        if (i == 0) CHECK(all.collector.wait_for([](const provider_counters& now) { return now.in_flight == 1; }, 20s));
    }
    const auto served = std::chrono::steady_clock::now();
    CHECK(proxy.finish());
    CHECK(std::chrono::steady_clock::now() - served < 8s); // of which 2 s are the exporter's
}

} // namespace evenkeel::test::traces_test

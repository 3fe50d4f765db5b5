// Fan-out over real sockets: the original's endpoints, from the example that is shipped, with a simulated provider in
// place of the real ones.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/support/storm_scale.hpp"

#include <doctest/doctest.h>

#include <boost/json.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::fan_out_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const std::string canary = "sk-canary-77ae";
const header_list as_json{{"content-type", "application/json"}, {"authorization", "Bearer " + canary}};
const header_list as_events{
    {"content-type", "application/json"}, {"authorization", "Bearer " + canary}, {"accept", "text/event-stream"}};
const std::string base = "/api/michelin-resilient";

std::string chat(const std::string& nonce) {
    return R"({"model":"deepseek-chat","messages":[{"role":"user","content":"nonce:)" + nonce + R"("}]})";
}
std::string split(const std::string& first, const std::string& second) {
    return R"({"phase1":)" + chat(first) + R"(,"phase2":)" + chat(second) + "}";
}

// A provider whose script depends on the nonce of the request.
class phases {
public:
    phases()
        : provider_({.record_body_bytes = 4096,
                     .script_for = [this](const attempt_record& seen) -> std::optional<std::string> {
                         const std::scoped_lock lock(mutex_);
                         const auto found = scripts_.find(seen.nonce);
                         return found == scripts_.end() ? std::nullopt : std::optional{found->second};
                     }}) {}
    void play(const std::string& nonce, const std::string& script) {
        const std::scoped_lock lock(mutex_);
        scripts_[nonce] = script;
    }
    [[nodiscard]] simulated_provider* operator->() { return &provider_; }
    [[nodiscard]] std::vector<attempt_record> of(const std::string& nonce) const {
        std::vector<attempt_record> found;
        for (auto& each : provider_.records()) {
            if (each.nonce == nonce) found.push_back(each);
        }
        return found;
    }

private:
    std::mutex mutex_;
    std::map<std::string, std::string> scripts_;
    simulated_provider provider_;
};

// The example as it is shipped, but for where its upstreams are and what the test's own head says.
std::string michelin(const std::string& url) {
    std::ifstream in(std::string{EVENKEEL_CONFIG_FOLDER} + "/examples/michelin.yaml");
    std::string text, line;
    while (std::getline(in, line)) {
        if (line.starts_with("version:") || line.starts_with("listen:") || line.starts_with("admin:")) continue;
        text += line + "\n";
    }
    text = std::regex_replace(text, std::regex("https://api.deepseek.com"), url + "/deepseek");
    text = std::regex_replace(text, std::regex(R"(\$\{env:SILICONFLOW_API_KEY\})"), "sk-of-siliconflow");
    return std::regex_replace(text, std::regex("https://api.siliconflow.cn"), url + "/siliconflow");
}

// Each phase with an upstream of its own, tried once or twice and quickly.
std::string two_phases(const std::string& first, const std::string& second) {
    return "defaults: {retry: {max_retries: 1, backoff: {initial: 2ms, max: 10ms}}, cooldown: off}\n"
           "upstreams:\n  one: {url: \"" +
           first + "\", dialect: openai}\n  two: {url: \"" + second +
           "\", dialect: openai, caller_credentials: drop}\n"
           "routes:\n"
           "  - {name: phase1, match: {path: " +
           base +
           "/analyze/phase1}, upstreams: [one], rewrite: {path: /v1/chat/completions}}\n"
           "  - {name: phase2, match: {path: " +
           base +
           "/analyze/phase2}, upstreams: [two], rewrite: {path: /v1/chat/completions}}\n"
           "  - {name: complete, match: {path: " +
           base +
           "/analyze/complete}, fan_out: {parts: [phase1, phase2]}}\n"
           "  - {name: health, match: {path: /health}, serve: health}\n";
}
// A port nobody listens on.
std::string dead_url() {
    simulated_provider gone;
    const std::string url = gone.url();
    gone.stop();
    return url;
}

double seconds_of(auto&& what) {
    const auto from = std::chrono::steady_clock::now();
    what();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

boost::json::object log_line(const running_proxy& proxy, const std::string& route) {
    for (int tries = 0; tries < 400; ++tries, std::this_thread::sleep_for(5ms)) {
        std::ifstream in(proxy.access_log());
        for (std::string line; std::getline(in, line);) {
            if (!in.eof() && line.find("\"route\":\"" + route + "\"") != std::string::npos)
                return boost::json::parse(line).as_object();
        }
    }
    FAIL("no line of route " << route);
    return {};
}
} // namespace

TEST_CASE("the example's four endpoints answer under the original's paths") {
    phases upstream;
    running_proxy proxy(michelin(upstream->url()));
    auto client = proxy.connect();

    for (const char* phase : {"phase1", "phase2"}) {
        const auto answer = client.request("POST", base + "/analyze/" + phase, as_json, chat("x"));
        CHECK(answer.status == 200);
        CHECK(answer.header("x-evenkeel-route") == phase);
    }
    const auto both = client.request("POST", base + "/analyze/complete", as_json, chat("both"));
    CHECK(both.status == 200);
    const auto document = boost::json::parse(both.body);
    CHECK(document.at("status") == "complete");
    CHECK(document.at("missing").as_array().empty());
    for (const char* phase : {"phase1", "phase2"}) {
        const auto& part = document.at("parts").at(phase);
        CHECK(part.at("status") == 200);
        CHECK(part.at("source") == "live");
        CHECK(part.at("body").at("object") == "chat.completion");
    }
    const auto health = client.request("GET", base + "/health");
    CHECK(health.status == 200);
    const auto shown = boost::json::parse(health.body);
    for (const char* phase : {"phase1", "phase2"}) {
        const auto& service = shown.at("services").at(phase);
        CHECK(service.at("circuit_state") == "closed");
        CHECK(service.at("success_rate").to_number<double>() == 1);
        CHECK(service.at("avg_latency").is_double());
        CHECK(service.at("p95_latency").is_double());
        CHECK(service.at("current_timeout").is_number());
        CHECK(service.at("upstreams").as_object().size() == 2);
    }
    CHECK(shown.at("overall_status").at("healthy") == true);
    CHECK(shown.at("overall_status").at("open_circuits") == 0);
    CHECK(health.body.find("127.0.0.1") == std::string::npos);
    CHECK(health.body.find("http") == std::string::npos);
    CHECK(proxy.finish());
}

TEST_CASE("the application's one body goes to both phases unsplit, an object of the phases goes in pieces") {
    phases upstream;
    running_proxy proxy(michelin(upstream->url()));
    auto client = proxy.connect();

    const std::string one = "{\n  \"model\": \"deepseek-chat\",\n  \"messages\": [ "
                            "{\"role\":\"user\",\"content\":\"nonce:one\"} ], \"n\": 1.0}";
    CHECK(client.request("POST", base + "/analyze/complete", as_json, one).status == 200);
    const auto seen = upstream.of("one");
    REQUIRE(seen.size() == 2);
    for (const auto& each : seen) {
        CHECK(each.body == one);
        CHECK(each.target == "/deepseek/v1/chat/completions");
        CHECK(each.header("authorization") == "Bearer " + canary);
    }

    CHECK(client.request("POST", base + "/analyze/complete", as_json, split("p1", "p2")).status == 200);
    REQUIRE(upstream.of("p1").size() == 1);
    REQUIRE(upstream.of("p2").size() == 1);
    CHECK(upstream.of("p1")[0].body == chat("p1"));
    CHECK(upstream.of("p2")[0].body == chat("p2"));
    CHECK(proxy.finish());
}

TEST_CASE("two phases take at most 1.1 times the slower one") {
    phases upstream;
    upstream.play("p1", "delay=600ms");
    upstream.play("p2", "delay=1s");
    running_proxy proxy(michelin(upstream->url()));
    auto client = proxy.connect();

    double alone = 1e9, together = 1e9; // the least disturbed of three
    for (int round = 0; round < 3; ++round) {
        alone = std::min(alone, seconds_of([&] {
                             CHECK(client.request("POST", base + "/analyze/phase2", as_json, chat("p2")).status == 200);
                         }));
        together = std::min(
            together, seconds_of([&] {
                CHECK(client.request("POST", base + "/analyze/complete", as_json, split("p1", "p2")).status == 200);
            }));
    }
    MESSAGE("phase 2 alone ", alone, " s, both ", together, " s");
    CHECK(together <= 1.1 * alone);
    CHECK(proxy.finish());
}

TEST_CASE("phase 1 shows while phase 2 still runs") {
    phases upstream;
    upstream.play("p2", "delay=700ms");
    running_proxy proxy(michelin(upstream->url()));
    auto client = proxy.connect();

    const auto from = monotonic_ns();
    REQUIRE(client.send_request("POST", base + "/analyze/complete", as_events, split("p1", "p2")));
    const auto head = client.read_head("POST");
    CHECK(head.status == 200);
    CHECK(head.header("content-type") == "text/event-stream");
    const auto first = client.next_event();
    REQUIRE(first);
    CHECK(first->event == "part");
    const auto told = boost::json::parse(first->data);
    CHECK(told.at("part") == "phase1");
    CHECK(told.at("body").at("object") == "chat.completion");
    CHECK(upstream->counters().completed <= 1); // phase 2 has not answered yet
    const auto second = client.next_event();
    REQUIRE(second);
    CHECK(boost::json::parse(second->data).at("part") == "phase2");
    const auto last = client.next_event();
    REQUIRE(last);
    CHECK(last->event == "complete");
    CHECK(last->data == R"({"status":"complete","missing":[]})");
    CHECK_FALSE(client.next_event());
    CHECK(client.ended() == message_end::complete);
    CHECK(first->arrived_ns - from < 600'000'000);
    CHECK(second->arrived_ns - from >= 700'000'000);
    // The connection goes on.
    CHECK(client.request("POST", base + "/analyze/phase1", as_json, chat("again")).status == 200);
    const auto line = log_line(proxy, "complete");
    CHECK(line.at("stream") == true);
    CHECK(line.at("parts").at("phase2").at("status") == 200);
    CHECK(proxy.finish());
}

TEST_CASE("with phase 2 dead phase 1's body comes as a partial answer, with both dead a 502 says so; no credential in "
          "either") {
    phases upstream;
    running_proxy half(two_phases(upstream->url(), dead_url()));
    auto client = half.connect();
    const auto partial = client.request("POST", base + "/analyze/complete?key=" + canary, as_json, chat("p"));
    CHECK(partial.status == 200);
    CHECK(partial.header("x-evenkeel-outcome") == "degraded");
    CHECK(partial.header("x-evenkeel-degraded") == "partial; missing=phase2");
    auto document = boost::json::parse(partial.body);
    CHECK(document.at("status") == "partial");
    CHECK(document.at("missing") == boost::json::array{"phase2"});
    CHECK(document.at("parts").at("phase1").at("body").at("object") == "chat.completion");
    CHECK(document.at("parts").at("phase2").at("status") == 502);
    const auto line = log_line(half, "complete");
    CHECK(line.at("outcome") == "degraded");
    CHECK(line.at("attempts") == 3);
    CHECK(line.at("parts").at("phase1").at("upstream") == "one");
    CHECK(line.at("parts").at("phase2").at("outcome") == "proxy_error");
    const auto& tries = line.at("parts").at("phase2").at("tries").as_array();
    REQUIRE(tries.size() == 2);
    CHECK(tries.at(0).at("end") == "connect_failure");
    CHECK(tries.at(1).at("kind") == "retry");
    CHECK_FALSE(line.at("parts").at("phase1").as_object().contains("tries"));

    running_proxy dead(two_phases(dead_url(), dead_url()));
    auto other = dead.connect();
    const auto failed = other.request("POST", base + "/analyze/complete?key=" + canary, as_json, chat("p"));
    CHECK(failed.status == 502);
    CHECK(failed.header("proxy-status").starts_with("evenkeel; error="));
    CHECK(failed.header("x-evenkeel-outcome") == "proxy_error");
    document = boost::json::parse(failed.body);
    CHECK(document.at("status") == "failed");
    CHECK(document.at("missing") == boost::json::array{"phase1", "phase2"});
    CHECK(log_line(dead, "complete").at("reason") == "parts_failed");

    REQUIRE(other.send_request("POST", base + "/analyze/complete?key=" + canary, as_events, chat("p")));
    const auto events = other.read_response("POST");
    CHECK(events.status == 200);
    CHECK(events.complete());
    CHECK(events.body.ends_with(
        "event: complete\ndata: {\"status\":\"failed\",\"missing\":[\"phase1\",\"phase2\"]}\n\n"));

    for (const auto& answer : {partial, failed, events}) {
        CHECK(answer.body.find(canary) == std::string::npos);
        for (const auto& [name, value] : answer.headers) CHECK(value.find(canary) == std::string::npos);
    }
    // Nothing of it can be served, and the health route says so where it is asked for.
    CHECK(other.request("GET", "/health").status == 200);
    const auto strict = other.request("GET", "/health?strict=1");
    CHECK(strict.status == 503);
    CHECK(boost::json::parse(strict.body).at("overall_status").at("healthy") == false);
    CHECK(client.request("GET", "/health?strict=1").status == 200);

    CHECK(half.finish());
    CHECK(dead.finish());
    for (const running_proxy* proxy : {&half, &dead}) {
        std::ifstream in(proxy->access_log());
        const std::string lines{std::istreambuf_iterator<char>(in), {}};
        CHECK(lines.find("parts") != std::string::npos);
        CHECK(lines.find(canary) == std::string::npos);
        CHECK(proxy->log_text().find(canary) == std::string::npos);
    }
}

TEST_CASE("a client that leaves ends every phase within 100 ms") {
    for (const header_list& fields : {as_json, as_events}) {
        phases upstream;
        upstream.play("p1", "stall_after=request");
        upstream.play("p2", "stall_after=4; first=1ms; events=9");
        running_proxy proxy(michelin(upstream->url()));
        auto client = proxy.connect();
        const std::string body =
            R"({"phase1":)" + chat("p1") +
            R"(,"phase2":{"model":"m","stream":true,"messages":[{"role":"user","content":"nonce:p2"}]}})";
        REQUIRE(client.send_request("POST", base + "/analyze/complete", fields, body));
        REQUIRE(upstream->wait_for([](const provider_counters& seen) { return seen.requests == 2; }));
        std::this_thread::sleep_for(50ms);

        const auto left = monotonic_ns();
        client.close();
        const auto all_gone = [](const provider_counters& seen) { return seen.cancelled == 2; };
        CHECK(upstream->wait_for(all_gone, 5s));
        for (const char* nonce : {"p1", "p2"})
            CHECK(upstream.of(nonce).at(0).peer_closed_ns - left < (sanitized ? 500'000'000 : 100'000'000));
        CHECK(log_line(proxy, "complete").at("outcome") == "client_cancelled");
        CHECK(proxy.finish());
    }
}

TEST_CASE(
    "fan-outs with failures, stalls and clients that leave, on two workers: whole or said so, nothing left over") {
    phases upstream;
    upstream->script({.script = "0.1: status=500 | 0.05: stall_after=request; stall=300ms | 0.05: reset_after=request "
                                "| 0.05: close_after=100b | "
                                "0.1: delay=uniform:1ms:80ms | delay=uniform:0ms:10ms"});
    running_proxy proxy("defaults: {retry: {max_retries: 1, backoff: {initial: 2ms, max: 10ms}}, circuit_breaker: off, "
                        "cooldown: off, overload: off, "
                        "timeout: {total: 5s, attempt: 150ms}}\n" +
                            two_phases(upstream->url() + "/one", upstream->url() + "/two")
                                .substr(two_phases("", "").find("upstreams:")),
                        "127.0.0.1:0", "workers: 2\n");
    std::atomic<int> complete{0}, partial{0}, failed{0}, left{0}, wrong{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 8; ++thread) {
        threads.emplace_back([&, thread] {
            std::mt19937 random(static_cast<unsigned>(thread) + 5);
            auto client = proxy.connect(15s);
            for (int n = 0; n < scaled(100); ++n) {
                const std::string first = "a" + std::to_string(thread) + "n" + std::to_string(n), second = "b" + first;
                const bool events = random() % 2 == 0;
                if (!client.send_request("POST", base + "/analyze/complete", events ? as_events : as_json,
                                         split(first, second))) {
                    client = proxy.connect(15s);
                    continue;
                }
                if (random() % 8 == 0) {
                    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 40));
                    random() % 2 == 0 ? client.reset() : client.close();
                    ++left;
                    client = proxy.connect(15s);
                    continue;
                }
                const auto answer = client.read_response("POST");
                const auto says = [&](const char* word) {
                    return answer.body.find(std::string{"\"status\":\""} + word) != std::string::npos;
                };
                const auto has_text = [&](const std::string& nonce) {
                    return answer.body.find("[" + nonce + ":0]") != std::string::npos &&
                           answer.body.find("[" + nonce + ":11]") != std::string::npos;
                };
                const int texts = has_text(first) + has_text(second);
                const bool right = answer.complete() &&
                                   ((says("complete") && texts == 2) || (says("partial") && texts == 1) ||
                                    (says("failed") && texts == 0)) &&
                                   (events || (answer.status == 502) == says("failed"));
                if (!right) ++wrong;
                ++(says("complete") ? complete : says("partial") ? partial : failed);
            }
        });
    }
    for (auto& each : threads) each.join();
    MESSAGE("complete ", complete.load(), ", partial ", partial.load(), ", failed ", failed.load(), ", left ",
            left.load());
    CHECK(wrong == 0);
    CHECK(complete > 0);
    CHECK(partial > 0);
    CHECK(proxy.finish());
}

} // namespace evenkeel::test::fan_out_test

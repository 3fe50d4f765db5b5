// Chaos over real sockets: every profile that rehearses one of FailoverBench's sixteen faults, injected into a healthy
// provider, with the expectations that provider_faults_test.cpp has of the real fault; the same decisions at any number
// of workers; rules that expire; and who may set them. Everything runs 20 times faster where a fault has a time of its
// own.

#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/proxy/server/what_came.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::chaos_test {

using namespace std::chrono_literals;

namespace {

const header_list json{{"content-type", "application/json"}};

std::string config_of(const simulated_provider& primary, const simulated_provider& fallback, const std::string& chaos) {
    return "upstreams:\n  primary: {url: \"" + primary.url() +
           "\", connections: {retry_stale: false}}\n  fallback: {url: \"" + fallback.url() +
           "\", caller_credentials: drop, models: {m: fallback-model}}\n"
           "defaults:\n"
           "  timeout: {total: 10s, attempt: 1500ms, stream_idle: 1250ms}\n" // 30 s, 25 s
           "  retry: {max_retries: 3, backoff: {initial: 12ms, max: 400ms}, budget: {min_per_second: 4}}\n"
           "  circuit_breaker: {window: 1500ms, recovery_timeout: 100ms, max_recovery_timeout: 3s, ramp: 500ms}\n"
           "  cooldown: {initial: 50ms, max: 3s, overload: 500ms, quota: 45s}\n"
           "routes:\n  - {name: all, match: {path_prefix: /}, upstreams: [primary, fallback]}\n" +
           chaos;
}
std::string rule(const std::string& what, const std::string& upstream = "primary") {
    return "{route: all, upstream: " + upstream + ", " + what + ", probability: 1, for: 10m}";
}
std::string rules(const std::string& list) { return "chaos: {enabled: true, rules: [" + list + "]}\n"; }

// One upstream, one attempt, admin on a port of its own.
struct controlled {
    simulated_provider upstream{{}};
    running_proxy proxy;
    std::uint16_t admin_port = 0;

    explicit controlled(const std::string& chaos, const std::string& token = "")
        : proxy(through(upstream.url(), "", "    circuit_breaker: off\n    overload: off\n") + chaos, "127.0.0.1:0", "",
                "admin: {listen: \"127.0.0.1:0\"" + (token.empty() ? std::string{} : ", token: " + token) + "}\n") {
        const std::string address = proxy->admin_addresses().at(0);
        admin_port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
    }
    client_response admin(std::string_view method, std::string_view path, const std::string& body = "",
                          header_list fields = {}) {
        blocking_client client({.port = admin_port});
        return client.request(method, path, fields, body);
    }
    int status(const std::string& nonce) {
        auto client = proxy.connect();
        return client.request("POST", "/v1/chat/completions", json, chat(nonce, false)).status;
    }
    [[nodiscard]] std::string log_with(const std::string& what) const { // waits for the helper thread
        for (int i = 0; i < 200 && proxy.log_text().find(what) == std::string::npos; ++i)
            std::this_thread::sleep_for(20ms);
        return proxy.log_text();
    }
};

const std::string aborts =
    R"({"rules": [{"route": "all", "fault": "abort", "status": 500, "probability": 1, "for": "10m"}]})";

} // namespace

TEST_CASE("every profile is met as the fault that it rehearses") {
    const std::string both = rule("profile: server_error") + ", " + rule("profile: invalid_request", "fallback");
    const std::string once =
        rule("profile: server_error_once, attempts: 1") + ", " + rule("profile: invalid_request", "fallback");
    const std::string late = rule("fault: latency, delay: 1s");
    std::string table = fmt::format("\n{:44}{:18}\n", "rules", "client; upstreams asked");
    for (const auto& [name, list, expected] : std::vector<std::array<std::string, 3>>{
             {"1 rate_limit_hint", rule("profile: rate_limit_hint"), "ok 0+1"},
             {"2 rate_limit", rule("profile: rate_limit"), "ok 0+1"},
             {"3 server_error_once", rule("profile: server_error_once"), "ok 0+1"},
             {"4 overloaded", rule("profile: overloaded"), "ok 0+1"},
             {"5 reset", rule("profile: reset"), "ok 0+1"},
             {"6 silence", rule("profile: silence"), "ok 0+1"},
             {"7 slow first token, 20 times faster", late, "ok 1+0"},
             {"7 slow_first_token, with a timeout below it", rule("profile: slow_first_token"), "ok 1+1"},
             {"8 cut", rule("profile: cut"), "cut+frame 1+0"},
             {"9 stall", rule("profile: stall"), "cut+frame 1+0"},
             {"10 malformed_event", rule("profile: malformed_event"), "ok 1+0"},
             {"11 missing_done", rule("profile: missing_done"), "ok 1+0"},
             {"11 missing_terminal", rule("profile: missing_terminal"), "cut+frame 1+0"},
             {"12 context_length", rule("profile: context_length"), "400 0+0"},
             {"13 content_filter", rule("profile: content_filter"), "400 0+0"},
             {"14 server_error, invalid_request", both, "500 0+0"},
             {"14 server_error_once, invalid_request", once, "ok 1+0"},
             {"15 outage", rule("profile: outage"), "ok 0+1"},
             {"16 server_error", rule("profile: server_error"), "ok 0+1"},
             {"error_in_stream", rule("profile: error_in_stream"), "ok 1+1"},
             {"utf8_split", rule("profile: utf8_split"), "ok 1+0"},
             {"drip, at 2000 bytes a second", rule("fault: drip, bytes_per_second: 2000"), "ok 1+0"},
         }) {
        CAPTURE(name);
        simulated_provider primary, fallback;
        primary.play("unicode");
        fallback.play("unicode");
        running_proxy proxy(config_of(primary, fallback, rules(list)));
        auto client = proxy.connect();
        const auto answer = client.request("POST", "/v1/chat/completions", json, chat("n1", true));
        const std::string text =
            fmt::format("{} {}+{}", got(answer, "n1", true), primary.counters().requests, fallback.counters().requests);
        CHECK(text == expected);
        if (text.ends_with("+1") && text.starts_with("ok"))
            CHECK(answer.body.find("\"model\":\"fallback-model\"") != std::string::npos); // 16
        CHECK(proxy.finish());
        table += fmt::format("{:44}{:18}\n", name, text);
    }
    MESSAGE(table);
    CHECK(table.find("FALSE") == std::string::npos);
}

TEST_CASE("a gzipped stream reaches the client as gzip, whole") {
    simulated_provider primary, fallback;
    running_proxy proxy(config_of(primary, fallback, rules(rule("profile: gzip"))));
    auto client = proxy.connect();
    const auto answer = client.request("POST", "/v1/chat/completions", json, chat("n1", true));
    CHECK(answer.status == 200);
    CHECK(answer.complete());
    CHECK(answer.header("content-encoding") == "gzip");
    CHECK(answer.body.starts_with("\x1F\x8B"));
    CHECK(answer.body.find("[n1:11]") != std::string::npos); // stored blocks: the text is in there
}

TEST_CASE("failoverbench at every probability: no broken answer is ever whole") {
    simulated_provider primary, fallback;
    running_proxy proxy(
        config_of(primary, fallback, rules("{route: all, profile: failoverbench, probability: 0.4, for: 10m}")));
    int fine = 0;
    for (int i = 0; i < 60; ++i) {
        for (const bool stream : {false, true}) {
            const std::string nonce = fmt::format("b{}{}", i, stream);
            auto client = proxy.connect();
            const auto answer =
                client.request("POST", "/v1/chat/completions",
                               {{"content-type", "application/json"}, {"x-request-id", nonce}}, chat(nonce, stream));
            const std::string text = got(answer, nonce, stream);
            CAPTURE(nonce);
            CHECK(text != "FALSE");
            fine += text == "ok";
        }
    }
    CHECK(fine > 60); // more than half, with 40 % of all attempts disturbed
    CHECK(proxy.finish());
}

TEST_CASE("the same seed and the same request ids give the same decisions with one, two and four workers") {
    constexpr int requests = 80;
    const auto decisions = [&](int workers, int seed) {
        simulated_provider upstream{{}};
        running_proxy proxy(
            "workers: " + std::to_string(workers) + "\n" +
            through(upstream.url(), "", "    circuit_breaker: off\n    cooldown: off\n    overload: off\n") +
            "chaos: {enabled: true, seed: " + std::to_string(seed) +
            ", rules: [{route: all, fault: abort, status: 500, probability: 0.3, for: 10m}, {route: all, fault: abort, "
            "status: 418, probability: 0.3, for: 10m}]}\n");
        std::vector<int> seen(requests);
        std::vector<std::thread> clients;
        for (int c = 0; c < 4; ++c) {
            clients.emplace_back([&, c] {
                for (int i = c; i < requests; i += 4) {
                    auto client = proxy.connect(); // a connection each, so that every worker has some
                    seen[static_cast<std::size_t>(i)] = client
                                                            .request("POST", "/v1/chat/completions",
                                                                     {{"content-type", "application/json"},
                                                                      {"x-request-id", "fixed-" + std::to_string(i)}},
                                                                     chat("d", false))
                                                            .status;
                }
            });
        }
        for (auto& each : clients) each.join();
        CHECK(proxy.finish());
        return seen;
    };
    const auto alone = decisions(1, 42);
    CHECK(std::count(alone.begin(), alone.end(), 200) > 0);
    CHECK(std::count(alone.begin(), alone.end(), 500) > 0);
    CHECK(std::count(alone.begin(), alone.end(), 418) > 0);
    CHECK(decisions(2, 42) == alone);
    CHECK(decisions(4, 42) == alone);
    CHECK(decisions(2, 43) != alone);
}

TEST_CASE("an operator sets rules, sees them with the time left, and ends them; metrics, logs and /health say so") {
    controlled one("chaos: {enabled: true, seed: 5}\n");
    CHECK(one.status("a") == 200);
    CHECK(one.admin("GET", "/-/chaos").body == "{\"enabled\":true,\"seed\":5,\"rules\":[]}\n");
    CHECK(one.admin("GET", "/health").body.find("chaos_rules") == std::string::npos);

    const auto set = one.admin("POST", "/-/chaos", aborts);
    CHECK(set.status == 200);
    CHECK(set.body.find("1 rule is in force") != std::string::npos);
    CHECK(one.status("b") == 500);
    const auto shown = boost::json::parse(one.admin("GET", "/-/chaos").body);
    const auto& first = shown.at("rules").at(0);
    CHECK(first.at("route").as_string() == "all");
    CHECK(first.at("fault").as_string() == "abort");
    CHECK(first.at("status").to_number<int>() == 500);
    CHECK(first.at("source").as_string() == "admin");
    CHECK(first.at("injected").to_number<int>() == 1);
    CHECK(first.at("left_s").to_number<double>() > 500);
    CHECK(first.at("left_s").to_number<double>() <= 600);
    const std::string metrics = one.admin("GET", "/metrics").body;
    CHECK(metrics.find("evenkeel_chaos_injected_total{route=\"all\",fault=\"abort\"} 1\n") != std::string::npos);
    CHECK(metrics.find("evenkeel_chaos_injected_total{route=\"all\",fault=\"gzip\"}") == std::string::npos);
    CHECK(metrics.find("evenkeel_chaos_active_rules 1\n") != std::string::npos);
    CHECK(one.admin("GET", "/health").body.find("\"chaos_rules\":1") != std::string::npos);

    const auto wrong =
        one.admin("POST", "/-/chaos", R"({"rules": [{"route": "all", "fault": "abort", "probability": 1}]})");
    CHECK(wrong.status == 422);
    CHECK(wrong.body.find("missing key 'for'") != std::string::npos);
    CHECK(one.status("c") == 500); // what was in force still is

    CHECK(one.admin("POST", "/-/chaos/off").status == 200);
    CHECK(one.status("d") == 200);
    CHECK(boost::json::parse(one.admin("GET", "/-/chaos").body).at("rules").as_array().empty());

    CHECK(one.admin("POST", "/-/chaos",
                    R"({"rules": [{"route": "all", "fault": "connect_fail", "probability": 1, "for": "1s"}]})")
              .status == 200);
    CHECK(one.status("e") == 502);
    std::this_thread::sleep_for(1200ms);
    CHECK(one.status("f") == 200);
    const std::string log = one.log_with("a chaos rule has expired");
    CHECK(log.find("a chaos rule is in force") != std::string::npos);
    CHECK(log.find("a chaos rule was ended") != std::string::npos);
    CHECK(log.find("a chaos rule has expired") != std::string::npos);
    const std::string access_log = one.proxy.access_log();
    CHECK(one.proxy.finish());
    std::ifstream in(access_log);
    std::stringstream lines;
    lines << in.rdbuf();
    CHECK(lines.str().find(R"("chaos":"abort")") != std::string::npos);
    CHECK(lines.str().find(R"("chaos":"connect_fail")") != std::string::npos);
}

TEST_CASE("control is refused where the file does not enable chaos, to other hosts and origins, without the token, and "
          "on the data port") {
    {
        controlled off("");
        const auto refused = off.admin("POST", "/-/chaos", aborts);
        CHECK(refused.status == 422);
        CHECK(refused.body.find("enabled: true") != std::string::npos);
        CHECK(off.admin("POST", "/-/chaos/off").status == 422);
        CHECK(off.status("a") == 200);
        CHECK(boost::json::parse(off.admin("GET", "/-/chaos").body).at("enabled").as_bool() == false);
    }
    {
        controlled on("chaos: {enabled: true}\n");
        CHECK(on.admin("POST", "/-/chaos", aborts, {{"host", "attacker.example"}}).status == 403);
        CHECK(on.admin("POST", "/-/chaos", aborts, {{"origin", "https://attacker.example"}}).status == 403);
        CHECK(on.admin("GET", "/-/chaos", "", {{"host", "attacker.example"}}).status == 403);
        CHECK(on.admin("GET", "/-/chaos/off").status == 405);
        CHECK(on.admin("DELETE", "/-/chaos").status == 405);
        CHECK(on.admin("DELETE", "/-/chaos").header("allow") == "GET, HEAD, POST");
        CHECK(on.admin("POST", "/-/chaos", std::string(70'000, ' ')).status == 413);
        auto data = on.proxy.connect();
        static_cast<void>(data.request("POST", "/-/chaos", json, aborts)); // goes to the provider like any other path
        CHECK(on.status("a") == 200);
        auto header = on.proxy.connect();
        CHECK(header
                  .request("POST", "/v1/chat/completions", {{"content-type", "application/json"}, {"x-chaos", "abort"}},
                           chat("h", false))
                  .status == 200);
    }
    {
        controlled guarded("chaos: {enabled: true}\n", "sk-CANARY-admin-token");
        CHECK(guarded.admin("POST", "/-/chaos", aborts).status == 401);
        CHECK(guarded.admin("GET", "/-/chaos").status == 401);
        CHECK(guarded.admin("POST", "/-/chaos/off", "", {{"authorization", "Bearer wrong"}}).status == 401);
        CHECK(guarded.status("a") == 200);
        CHECK(guarded.admin("POST", "/-/chaos", aborts, {{"authorization", "Bearer sk-CANARY-admin-token"}}).status ==
              200);
        CHECK(guarded.status("b") == 500);
        CHECK(guarded.proxy.log_text().find("CANARY") == std::string::npos);
    }
}

TEST_CASE("a reload brings rules in and out, and one that leaves a rule alone does not start its clock again") {
    simulated_provider upstream{{}};
    const std::string rest = through(upstream.url(), "", "    circuit_breaker: off\n");
    running_proxy proxy(rest +
                        "chaos: {enabled: true, rules: [{route: all, fault: abort, probability: 1, for: 2s}]}\n");
    const auto status = [&] {
        auto client = proxy.connect();
        return client.request("POST", "/v1/chat/completions", json, chat("r", false)).status;
    };
    CHECK(status() == 503);
    std::this_thread::sleep_for(1200ms);
    CHECK(proxy->reload());
    std::this_thread::sleep_for(1200ms); // 2.4 s after the rule was loaded, 1.2 s after the reload
    CHECK(status() == 200);
    proxy.write(rest +
                "chaos: {enabled: true, rules: [{route: all, fault: abort, status: 529, probability: 1, for: 1m}]}\n");
    CHECK(proxy->reload());
    CHECK(status() == 529);
    proxy.write(rest);
    CHECK(proxy->reload());
    CHECK(status() == 200);
    CHECK(proxy.finish());
}

} // namespace evenkeel::test::chaos_test

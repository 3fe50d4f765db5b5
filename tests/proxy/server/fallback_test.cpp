// Degraded answers over real sockets: every upstream dead, workers, restarts, and where credentials must never be seen.

#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

namespace evenkeel::test::fallback_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
std::string chat(const std::string& nonce, bool stream = false) {
    return std::string{R"({"model":"m","stream":)"} + (stream ? "true" : "false") +
           R"(,"messages":[{"role":"user","content":"nonce:)" + nonce + R"("}]})";
}
header_list as(const std::string& credential) {
    return {{"content-type", "application/json"}, {"authorization", "Bearer " + credential}};
}

std::string read(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

struct folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("evenkeel-fallback-" + std::to_string(::getpid()));
    folder() {
        std::filesystem::remove_all(path);
        std::filesystem::create_directories(path);
    }
    ~folder() { std::filesystem::remove_all(path); }
};

// One route per kind of ladder, all to `dead`; `cheap` goes to `alive`.
std::string ladders(const std::string& dead, const std::string& alive) {
    const auto bare = [](const std::string& name, const std::string& when_open) {
        return "  - name: " + name + "\n    match: {path_prefix: /" + name +
               "}\n    upstreams: [dead]\n    rewrite: {path: /v1/chat/completions}\n    retry: off\n" +
               "    circuit_breaker: {failure_threshold: 2, failure_ratio: 0, min_calls: 2, recovery_timeout: 60s, " +
               when_open + "}\n";
    };
    return "defaults: {retry: {max_retries: 1, backoff: {initial: 2ms, max: 4ms}}}\nupstreams:\n  dead: {url: " + dead +
           "}\n  alive: {url: " + alive + ", caller_credentials: drop}\nroutes:\n" +
           "  - {name: kept, match: {path_prefix: /kept}, upstreams: [dead], rewrite: {path: /v1/chat/completions},\n  "
           "   fallback: [{last_good: {}}]}\n" +
           "  - {name: other, match: {path_prefix: /other}, upstreams: [dead], rewrite: {path: "
           "/v1/chat/completions},\n     fallback: [{route: cheap}]}\n" +
           "  - {name: canned, match: {path_prefix: /canned}, upstreams: [dead], rewrite: {path: "
           "/v1/chat/completions},\n" +
           "     fallback: [{respond: {body: "
           "'{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"later\"}}]}'}}]}\n" +
           "  - {name: cheap, match: {path: /cheap}, upstreams: [alive], rewrite: {path: /v1/chat/completions}}\n" +
           bare("bare", "when_open: reject") + bare("old", "hold_max: 10ms");
}
} // namespace

TEST_CASE("with every upstream dead, routes with a fallback answer every request, labelled; without one they refuse "
          "within 5 ms") {
    auto first = std::make_unique<simulated_provider>();
    simulated_provider second;
    running_proxy proxy(ladders(first->url(), second.url()), "127.0.0.1:0", "workers: 2\n");
    constexpr int clients = 4, each = 25;
    const auto run = [&](const auto& check) {
        std::vector<std::thread> threads;
        for (int who = 0; who < clients; ++who)
            threads.emplace_back([&, who] {
                for (int n = 0; n < each; ++n) {
                    auto client = proxy.connect(); // whichever worker takes it
                    for (const char* path : {"/kept", "/other", "/canned"})
                        for (const bool stream : {false, true})
                            check(path, stream,
                                  client.request("POST", path, as("sk-" + std::to_string(who)),
                                                 chat("c" + std::to_string(who) + "n" + std::to_string(n), stream)));
                }
            });
        for (auto& thread : threads) thread.join();
    };
    std::atomic<int> good{0};
    run([&](const char*, bool, const client_response& answer) {
        good += answer.status == 200 && answer.complete() && answer.header("x-evenkeel-degraded").empty();
    });
    CHECK(good == clients * each * 6);

    first.reset();
    std::atomic<int> answered{0}, labelled{0}, streams{0};
    run([&](const char* path, bool stream, const client_response& answer) {
        answered += answer.status == 200 && answer.complete();
        const std::string label = answer.header("x-evenkeel-degraded");
        const std::string_view of{path};
        labelled +=
            answer.header("x-evenkeel-outcome") == "degraded" && (of == "/kept" ? label.starts_with("last_good; age=")
                                                                  : of == "/other" ? label == "route; name=cheap"
                                                                                   : label == "respond");
        streams += stream && answer.header("content-type").starts_with("text/event-stream") &&
                   answer.body.find("data: [DONE]") != std::string::npos;
    });
    CHECK(answered == clients * each * 6);
    CHECK(labelled == clients * each * 6);
    CHECK(streams == clients * each * 3);

    auto client = proxy.connect();
    for (const std::string path : {"/bare", "/old"}) { // at once; and because the outage is older than hold_max
        CAPTURE(path);
        // Opens the circuit.
        for (int n = 0; n < 2; ++n) static_cast<void>(client.request("POST", path, as("sk"), chat("x")));
        std::this_thread::sleep_for(20ms);
        std::vector<std::int64_t> took;
        for (int n = 0; n < 200; ++n) {
            const auto begun = monotonic_ns();
            const auto answer = client.request("POST", path, as("sk"), chat("x"));
            took.push_back(monotonic_ns() - begun);
            REQUIRE(answer.status == 503);
            REQUIRE(!answer.header("retry-after").empty());
            REQUIRE(answer.body.find("circuit_open") != std::string::npos);
        }
        std::sort(took.begin(), took.end());
        MESSAGE("refusals: median " << took[100] / 1000 << " us, 9 of 10 within " << took[180] / 1000
                                    << " us, the slowest " << took[199] / 1000 << " us");
        if (!sanitized) CHECK(took[180] < 5'000'000); // the slowest ones are the machine's
    }
    CHECK(proxy.finish());
}

TEST_CASE("a hundred credentials over two workers never share a last good answer") {
    auto upstream = std::make_unique<simulated_provider>(
        provider_options{.script_for = [](const attempt_record& seen) -> std::optional<std::string> {
            // So that the answers differ.
            return "piece=" + std::to_string(20 + std::stoi(seen.header("authorization").substr(10)));
        }});
    running_proxy proxy(ladders(upstream->url(), upstream->url()), "127.0.0.1:0", "workers: 2\n");
    std::vector<std::string> bodies;
    for (int who = 0; who < 100; ++who) {
        auto client = proxy.connect();
        bodies.push_back(client.request("POST", "/kept", as("sk-" + std::to_string(who)), chat("same")).body);
    }
    CHECK(std::set<std::string>(bodies.begin(), bodies.end()).size() == 100);
    upstream.reset();
    for (int who = 0; who < 100; ++who) {
        auto client = proxy.connect();
        const auto answer = client.request("POST", "/kept", as("sk-" + std::to_string(who)), chat("same"));
        REQUIRE(answer.status == 200);
        REQUIRE(answer.body == bodies[static_cast<std::size_t>(who)]);
    }
    auto client = proxy.connect();
    CHECK(client.request("POST", "/kept", as("sk-100"), chat("same")).status == 502);
    CHECK(proxy.finish());
}

TEST_CASE("a last good answer outlives the process where a path is given, and only there") {
    const folder where;
    const std::string path = (where.path / "last_good.db").string();
    for (const bool kept : {true, false}) {
        auto upstream = std::make_unique<simulated_provider>();
        const std::string url = upstream->url();
        const std::string more = kept ? "last_good: {path: " + path + "}\n" : "";
        std::string body, stream;
        {
            running_proxy proxy(ladders(url, url), "127.0.0.1:0", more);
            auto client = proxy.connect();
            body = client.request("POST", "/kept", as("sk"), chat("n")).body;
            stream = client.request("POST", "/kept", as("sk"), chat("n", true)).body;
            CHECK(proxy.finish());
        }
        upstream.reset();
        running_proxy proxy(ladders(url, url), "127.0.0.1:0", more);
        auto client = proxy.connect();
        const auto answer = client.request("POST", "/kept", as("sk"), chat("n"));
        CHECK((answer.status == 200) == kept);
        if (kept) {
            CHECK(answer.body == body);
            CHECK(client.request("POST", "/kept", as("sk"), chat("n", true)).body == stream);
            CHECK(client.request("POST", "/kept", as("other"), chat("n")).status == 502);
        }
        CHECK(proxy.finish());
    }
}

TEST_CASE("a file that is damaged or cannot be written costs no request") {
    const folder where;
    simulated_provider upstream;
    for (const bool damaged : {true, false}) {
        const std::string path =
            damaged ? (where.path / "damaged.db").string() : (where.path / "none" / "x.db").string();
        if (damaged) std::ofstream(path) << std::string(5000, '?');
        running_proxy proxy(ladders(upstream.url(), upstream.url()), "127.0.0.1:0",
                            "last_good: {path: " + path + "}\n");
        auto client = proxy.connect();
        CHECK(client.request("POST", "/kept", as("sk"), chat("n")).status == 200);
        upstream.script({.script = "status=500"});
        CHECK(client.request("POST", "/kept", as("sk"), chat("n"))
                  .header("x-evenkeel-degraded")
                  .starts_with("last_good"));
        CHECK(proxy.finish());
        upstream.clear_scripts();
    }
}

TEST_CASE("a reload changes ladders and the size of the store, and keeps what is in it") {
    simulated_provider upstream;
    running_proxy proxy(ladders(upstream.url(), upstream.url()));
    auto client = proxy.connect();
    const auto failing = as("sk");
    CHECK(client.request("POST", "/kept", failing, chat("n")).status == 200);
    upstream.script({.script = "status=500"});
    CHECK(client.request("POST", "/kept", failing, chat("n")).header("x-evenkeel-degraded").starts_with("last_good"));
    proxy.write("last_good: {max_bytes: 1MiB}\n" + ladders(upstream.url(), upstream.url()));
    REQUIRE(proxy->reload());
    CHECK(client.request("POST", "/kept", failing, chat("n")).header("x-evenkeel-degraded").starts_with("last_good"));
    std::string without = ladders(upstream.url(), upstream.url());
    without.replace(without.find("fallback: [{last_good: {}}]"), 27, "fallback: []");
    proxy.write(without);
    REQUIRE(proxy->reload());
    CHECK(client.request("POST", "/kept", failing, chat("n")).status == 500);
    CHECK(proxy.finish());
}

TEST_CASE("a credential shows in no log, metric, error, health document, and not in the store's file") {
    const folder where;
    const std::string canary = "CANARY-5f3a9c";
    const std::string path = (where.path / "last_good.db").string(), access = (where.path / "access").string(),
                      log = (where.path / "log").string();
    std::string admin_text;
    std::vector<std::string> errors;
    {
        auto upstream = std::make_unique<simulated_provider>();
        const std::string yaml =
            "version: 1\nlisten: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0, token: " + canary +
            "-admin-token}\naccess_log: {path: " + access + "}\nlog: {path: " + log +
            ", level: debug}\ndefaults: {retry: off, circuit_breaker: off}\nlast_good: {path: " + path +
            "}\nupstreams:\n  sim:\n    url: " + upstream->url() + "\n    headers: {set: {x-own-key: " + canary +
            "-config}}\nroutes:\n  - name: all\n    upstreams: [sim]\n" +
            "    fallback: [{last_good: {}}, {route: second}]\n  - name: keyed\n    match: {path: /keyed}\n    "
            "upstreams: [sim]\n" +
            "    fallback: [{last_good: {key: partial_key}}]\n  - {name: second, match: {path: /second}, upstreams: "
            "[sim]}\n";
        // The first route matches everything; the keyed one stands before it.
        std::string ordered = yaml;
        const auto all = ordered.find("  - name: all"), keyed = ordered.find("  - name: keyed"),
                   last = ordered.find("  - {name: second");
        const std::string first_route = ordered.substr(all, keyed - all),
                          keyed_route = ordered.substr(keyed, last - keyed), second_route = ordered.substr(last);
        ordered = ordered.substr(0, all) + keyed_route + second_route + first_route;
        const auto loaded = config::load_text(ordered, "canary.yaml", config::process_environment());
        REQUIRE(loaded.settings != nullptr);
        server::server proxy(
            {.config_file = "canary.yaml", .environment = config::process_environment(), .version = "test"},
            loaded.settings);
        proxy.start();
        const auto port_of = [](const std::string& address) {
            return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
        };
        blocking_client client({.port = port_of(proxy.addresses().front())});
        const std::string body = R"({"model":"m","user":")" + canary + R"(-body","messages":[]})";
        const header_list headers{
            {"content-type", "application/json"}, {"authorization", "Bearer " + canary + "-bearer"},
            {"x-api-key", canary + "-key"},       {"cookie", "s=" + canary + "-cookie"},
            {"x-other", canary + "-other"},       {"x-evenkeel-partial-key", canary + "-partial"}};
        const auto ask = [&](const char* target, const header_list& with) {
            const auto answer = client.request("POST", target + ("?key=" + canary + "-query"), with, body);
            std::string all_of = answer.body;
            for (const auto& [name, value] : answer.headers) all_of += name + ": " + value + "\n";
            errors.push_back(all_of);
            return answer;
        };
        for (const char* target : {"/v1/chat/completions", "/keyed"})
            CHECK(ask(target, headers).status == (std::string_view{target} == "/keyed" ? 404 : 200));
        upstream->script({.script = "status=503"});
        CHECK(ask("/v1/chat/completions", headers).header("x-evenkeel-degraded").starts_with("last_good"));
        upstream.reset();
        CHECK(ask("/v1/chat/completions", headers).header("x-evenkeel-degraded").starts_with("last_good"));
        auto stranger = headers;
        stranger.emplace_back("x-goog-api-key", canary + "-stranger");
        CHECK(ask("/v1/chat/completions", stranger).status >= 500);
        CHECK(ask("/keyed", headers).status >= 500);
        auto bad = headers;
        bad.emplace_back("x-evenkeel-timeout", canary);
        CHECK(ask("/v1/chat/completions", bad).status == 400);
        blocking_client operators({.port = port_of(proxy.admin_addresses().front())});
        for (const char* page : {"/metrics", "/health"}) {
            const auto answer =
                operators.request("GET", page, {{"authorization", "Bearer " + canary + "-admin-token"}});
            REQUIRE(answer.status == 200);
            admin_text += answer.body;
        }
        proxy.drain();
        CHECK(proxy.wait());
        const auto shown = config::show_effective(ordered, "canary.yaml", config::process_environment(), "", {});
        REQUIRE(shown);
        admin_text += *shown;
    }
    CHECK(admin_text.find("evenkeel_fallbacks_total{route=\"all\",step=\"last_good\"} 2") != std::string::npos);
    CHECK(read(access).find("\"degraded\":\"last_good\"") != std::string::npos);
    REQUIRE(!read(path).empty());
    CHECK(read(path).find("chat.completion") != std::string::npos); // the answer is there ...
    for (const std::string& text : {admin_text, read(access), read(log), read(path), read(path + "-wal")})
        CHECK(text.find("CANARY") == std::string::npos);
    for (const std::string& text : errors) CHECK(text.find("CANARY") == std::string::npos);
}

} // namespace evenkeel::test::fallback_test

// Callers that are known by their keys, over real sockets: each vendor's refusal, whom a provider is shown, limits
// under load, keys that are replaced while requests are under way, the bill by client; and nothing of a key anywhere.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/everything_told.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::clients_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const std::string admin_on = "admin: {listen: 127.0.0.1:0}\n";
const std::string key_a = "sk-CANARY-of-team-a-0123456789", key_b = "sk-CANARY-of-team-b-0123456789";
// printf %s sk-CANARY-of-team-b-0123456789 | sha256sum
const std::string digest_b = "81f829f1005e9f4bd21cf9d16060d3f6ec39fcca3a43a6fc2c46502b0dc023c2";
const std::string chat = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";

header_list with_key(const std::string& key, const std::string& field = "authorization") {
    return {{"content-type", "application/json"}, {field, field == "authorization" ? "Bearer " + key : key}};
}

struct key_folder {
    key_folder() : at(std::filesystem::temp_directory_path() / ("evenkeel-client-keys-" + std::to_string(::getpid()))) {
        std::filesystem::create_directories(at);
        write("a", key_a + "\n");
    }
    ~key_folder() { std::filesystem::remove_all(at); }
    key_folder(const key_folder&) = delete;
    key_folder& operator=(const key_folder&) = delete;
    void write(const std::string& name, const std::string& text) const { std::ofstream(at / name) << text; }
    [[nodiscard]] std::string clients(const std::string& more_of_a = "", const std::string& more_of_b = "") const {
        return "clients:\n  - {name: team-a, key_file: " + (at / "a").string() + more_of_a +
               "}\n  - {name: team-b, key_sha256: " + digest_b + more_of_b + "}\n";
    }
    std::filesystem::path at;
};

std::string upstream_at(const std::string& url, const std::string& routes) {
    return "upstreams:\n  sim:\n    url: " + url +
           "\n    headers: {set: {authorization: Bearer sk-CANARY-of-the-provider}}\n    prices: {m: {input: 3, "
           "output: "
           "15}}\nroutes:\n" +
           routes;
}
const std::string all_routes = "  - {name: all, match: {path_prefix: /}, upstreams: [sim]}\n";

bool saw(const simulated_provider& provider, const std::string& text) {
    for (const auto& one : provider.records()) {
        if (one.target.find(text) != std::string::npos || one.body.find(text) != std::string::npos) return true;
        for (const auto& [name, value] : one.headers)
            if (value.find(text) != std::string::npos) return true;
    }
    return false;
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }
} // namespace

TEST_CASE("whoever shows no key of a client's is refused in the words of his vendor, and never forwarded") {
    simulated_provider provider;
    const key_folder keys;
    running_proxy proxy(upstream_at(provider.url(), all_routes), "127.0.0.1:0", keys.clients(), admin_on);
    struct row {
        std::string path, field, says;
    };
    for (const row& one : {row{"/v1/chat/completions", "authorization", R"({"error":{"message":")"},
                           row{"/v1/messages", "x-api-key", R"({"type":"error","error":{"type":")"},
                           row{"/v1beta/models/m:generateContent", "x-goog-api-key", R"("status":"UNAUTHENTICATED")"},
                           row{"/api/chat", "authorization", R"({"error":")"}}) {
        CAPTURE(one.path);
        for (const std::string& key : {std::string{}, std::string{"sk-CANARY-of-nobody"}}) {
            auto client = proxy.connect();
            const auto got =
                client.request("POST", one.path, key.empty() ? header_list{} : with_key(key, one.field), chat);
            CHECK(got.status == 401);
            CHECK(got.header("www-authenticate") == "Bearer");
            CHECK(has(got.header("proxy-status"), "http_request_denied"));
            CHECK(got.header("x-evenkeel-outcome") == "rejected");
            CHECK(has(got.body, one.says));
            CHECK_FALSE(has(got.body, "CANARY"));
        }
    }
    CHECK(provider.records().empty());
    CHECK(proxy.comes_to_show("evenkeel_requests_refused_total{reason=\"client_key_unknown\"} 8"));
    CHECK_FALSE(has(everything_told(proxy), "CANARY"));
    CHECK(proxy.finish());
}

TEST_CASE("a provider is shown its own key and never a client's, wherever that stands; told apart by name alone") {
    simulated_provider provider({.record_body_bytes = 4096});
    const key_folder keys;
    running_proxy proxy(upstream_at(provider.url(), all_routes), "127.0.0.1:0", keys.clients(), admin_on);
    provider.script({.script = "status=500", .times = 1});
    int asked = 0;
    for (const char* field : {"authorization", "x-api-key", "api-key", "x-goog-api-key"}) {
        CAPTURE(field);
        header_list fields = with_key(key_a, field);
        fields.emplace_back("cookie", "session=" + key_a);
        auto client = proxy.connect();
        const std::string body = R"({"model":"m","api_key":")" + key_a + R"(","messages":[]})";
        CHECK(client.request("POST", "/v1/chat/completions?key=" + key_a + "&x=1", fields, body).status == 200);
        CHECK(client.request("POST", "/v1/chat/completions", with_key(key_b, field), chat).status == 200);
        asked += 2;
    }
    CHECK(provider.records().size() == static_cast<std::size_t>(asked) + 1);
    CHECK_FALSE(saw(provider, "of-team"));
    CHECK(saw(provider, "Bearer sk-CANARY-of-the-provider"));
    CHECK(proxy.comes_to_show("evenkeel_client_requests_total{client=\"team-a\",code_class=\"2xx\"} 4"));
    CHECK(proxy.comes_to_show("evenkeel_client_requests_total{client=\"team-b\",code_class=\"2xx\"} 4"));
    CHECK(proxy.comes_to_show("evenkeel_client_requests_in_flight{client=\"team-a\"} 0"));
    const std::string told = everything_told(proxy);
    CHECK_FALSE(has(told, "CANARY"));
    CHECK_FALSE(has(told, digest_b));
    for (const char* part :
         {R"("client_name":"team-a")", R"("client_name":"team-b")", "client 'team-a' at 127.0.0.1", "name: team-b"}) {
        CAPTURE(part);
        CHECK(has(told, part));
    }
    CHECK(proxy.finish());
}

TEST_CASE("the bill by client is the provider's ledger: what each one's requests took, lost attempts too") {
    simulated_provider provider;
    const key_folder keys;
    running_proxy proxy("defaults: {retry: {backoff: {initial: 2ms, max: 10ms}, budget: off}, stream: {usage: ask}}\n" +
                            upstream_at(provider.url(), all_routes),
                        "127.0.0.1:0", keys.clients(), admin_on);
    const auto ask = [&](const std::string& key, int times) {
        auto client = proxy.connect();
        for (int i = 0; i < times; ++i)
            CHECK(client.request("POST", "/v1/chat/completions", with_key(key), chat).status == 200);
    };
    ask(key_a, 20);
    REQUIRE(provider.wait_for([](const provider_counters& c) { return c.completed == 20; }));
    const auto of_a = provider.counters();
    ask(key_b, 5);
    REQUIRE(provider.wait_for([](const provider_counters& c) { return c.completed == 25; }));
    const auto all = provider.counters();
    const auto shown = [&](const std::string& client, const std::string& kind, std::uint64_t count) {
        return proxy.comes_to_show("evenkeel_client_tokens_total{client=\"" + client + "\",outcome=\"served\",kind=\"" +
                                   kind + "\"} " + std::to_string(count));
    };
    CHECK(shown("team-a", "input", of_a.input_tokens));
    CHECK(shown("team-a", "output", of_a.output_tokens));
    CHECK(shown("team-b", "input", all.input_tokens - of_a.input_tokens));
    CHECK(shown("team-b", "output", all.output_tokens - of_a.output_tokens));
    CHECK(has(admin_of(proxy).request("GET", "/metrics").body, "evenkeel_client_cost_total{client=\"team-a\","));
    CHECK(proxy.finish());
}

TEST_CASE("routes and numbers hold for the client that they are written for; health is for everybody") {
    simulated_provider provider({.script = "delay=300ms"});
    const key_folder keys;
    running_proxy proxy(upstream_at(provider.url(), "  - {name: health, match: {path: /healthz}, serve: health}\n"
                                                    "  - {name: dear, match: {path_prefix: /dear}, upstreams: [sim], "
                                                    "rewrite: {path_prefix: /}}\n" +
                                                        all_routes),
                        "127.0.0.1:0", keys.clients(", routes: [all], max_concurrent: 4"), admin_on);
    auto client = proxy.connect();
    CHECK(client.request("GET", "/healthz", {}, "").status == 200);
    CHECK(client.request("POST", "/dear/v1/chat/completions", with_key(key_b), chat).status == 200);
    const auto denied = client.request("POST", "/dear/v1/chat/completions", with_key(key_a), chat);
    CHECK(denied.status == 403);
    CHECK(has(denied.body, "client_route_denied"));
    CHECK(denied.header("x-evenkeel-route") == "dear");

    // More than it may: as many are served at a time as it may have, and nobody else notices.
    std::atomic<int> good{0}, refused{0}, other{0}, odd{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 12; ++i)
        threads.emplace_back([&] {
            auto one = proxy.connect();
            const auto got = one.request("POST", "/v1/chat/completions", with_key(key_a), chat);
            good += got.status == 200;
            refused += got.status == 503 && has(got.body, "client_limit") && !got.header("retry-after").empty();
            odd += got.status != 200 && got.status != 503;
        });
    for (int i = 0; i < 12; ++i)
        threads.emplace_back([&] {
            auto one = proxy.connect();
            other += one.request("POST", "/v1/chat/completions", with_key(key_b), chat).status == 200;
        });
    for (auto& each : threads) each.join();
    CHECK(good == 4);
    CHECK(refused == 8);
    CHECK(other == 12);
    CHECK(odd == 0);

    // One after another, each on a connection of its own: the place of the one before is free by then.
    provider.reset();
    running_proxy alone(upstream_at(provider.url(), all_routes), "127.0.0.1:0",
                        keys.clients(", max_concurrent: 1") + "workers: 2\n", admin_on);
    for (int i = 0; i < 200; ++i) {
        auto one = alone.connect();
        header_list fields = with_key(key_a);
        fields.emplace_back("x-sim", "delay=0ms");
        REQUIRE(one.request("POST", "/v1/chat/completions", fields, chat).status == 200);
    }
    CHECK(alone.finish());
    CHECK(proxy.finish());
}

TEST_CASE("a key is replaced under load, without a request that fails: the next one beside it, then alone") {
    simulated_provider provider;
    const key_folder keys;
    const std::string next = "sk-CANARY-of-team-a-next-0123456789";
    running_proxy proxy(upstream_at(provider.url(), all_routes), "127.0.0.1:0", keys.clients(), admin_on);
    std::atomic<bool> over{false}, shows_next{false};
    std::atomic<int> good{0}, bad{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            auto client = proxy.connect();
            while (!over) {
                const auto got =
                    client.request("POST", "/v1/chat/completions", with_key(shows_next ? next : key_a), chat);
                ++(got.status == 200 ? good : bad);
                if (!got.complete() || got.header("connection") == "close") client = proxy.connect();
            }
        });
    const auto wait_for = [&](int more) {
        const int enough = good + bad + more;
        for (int i = 0; i < 3000 && good + bad < enough; ++i) std::this_thread::sleep_for(10ms);
        CHECK(good + bad >= enough);
    };
    const auto reload = [&] { return admin_of(proxy).request("POST", "/-/reload").status; };
    wait_for(50);
    keys.write("a", key_a + "\n" + next + "\n");
    CHECK(reload() == 200);
    wait_for(50); // each worker takes it in its own turn
    shows_next = true;
    wait_for(50);
    keys.write("a", next + "\n");
    CHECK(reload() == 200);
    wait_for(50);
    // A file without a key is not taken: who has been let in still is.
    keys.write("a", "");
    CHECK(reload() == 422);
    wait_for(50);
    over = true;
    for (auto& each : threads) each.join();
    CHECK(bad == 0);
    auto client = proxy.connect();
    CHECK(client.request("POST", "/v1/chat/completions", with_key(key_a), chat).status == 401);
    CHECK(client.request("POST", "/v1/chat/completions", with_key(next), chat).status == 200);
    CHECK_FALSE(has(everything_told(proxy), "CANARY"));
    CHECK_FALSE(saw(provider, "of-team"));
    CHECK(proxy.finish());
}

} // namespace evenkeel::test::clients_test

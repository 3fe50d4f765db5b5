// One quota over real sockets, used by one proxy and by four that know nothing of each other: what is refused, and how
// much of the quota is used, with the fields of several providers and with none; beside the same clients without us.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::pace_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const header_list json{{"content-type", "application/json"}, {"authorization", "Bearer sk-CANARY-of-the-caller"}};
const std::string body = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";
constexpr int per_second = 60;

std::string paced(const std::string& url, const std::string& pace) {
    return "upstreams:\n  sim:\n    url: " + url + "\n    pace: " + pace +
           "\nroutes:\n  - {name: all, match: {path_prefix: /}, upstreams: [sim]}\n";
}
simulated_provider provider_that(const std::string& says) {
    const std::string script = "quota=" + std::to_string(per_second) + "/1s; quota_fills=steadily; key=q" +
                               (says.empty() ? "" : "; quota_says=" + says) + "; events=1";
    return simulated_provider({.script_for = [script](const attempt_record&) { return std::optional{script}; }});
}

struct seen {
    int good = 0, bad = 0;
    std::vector<int> by_client{};
};
// Clients that ask as often as they are answered, and at once again.
template <class Connect>
seen crowd(int clients, duration length, const Connect& connect_to) {
    std::atomic<int> bad{0};
    std::vector<int> good(static_cast<std::size_t>(clients), 0);
    std::vector<std::thread> threads;
    const auto end = std::chrono::steady_clock::now() + length;
    for (int i = 0; i < clients; ++i) {
        threads.emplace_back([&, i] {
            auto client = connect_to(i);
            while (std::chrono::steady_clock::now() < end) {
                const auto got = client.request("POST", "/v1/chat/completions", json, body);
                if (got.status == 200)
                    ++good[static_cast<std::size_t>(i)];
                else
                    ++bad;
                if (!got.complete() || got.header("connection") == "close") client = connect_to(i);
            }
        });
    }
    for (auto& each : threads) each.join();
    seen all{.bad = bad, .by_client = good};
    for (const int one : good) all.good += one;
    return all;
}
int answers(const simulated_provider& of, int status) {
    const auto all = of.records();
    return static_cast<int>(
        std::count_if(all.begin(), all.end(), [&](const auto& one) { return one.status == status; }));
}
} // namespace

TEST_CASE("pace over sockets: one and four proxies, a quota that each family of fields tells of, or none") {
    constexpr auto length = 5s;
    constexpr int came = per_second + per_second * 5; // the bucket, and what comes in
    for (const std::string says : {"openai", "anthropic", "ietf", ""}) {
        for (const int count : {1, 4}) {
            CAPTURE(says);
            CAPTURE(count);
            auto provider = provider_that(says);
            std::vector<std::unique_ptr<running_proxy>> proxies;
            for (int i = 0; i < count; ++i)
                proxies.push_back(std::make_unique<running_proxy>(paced(provider.url(), "{max_wait: 20s}")));
            const seen by =
                crowd(16, length, [&](int i) { return proxies[static_cast<std::size_t>(i % count)]->connect(); });
            const int refused = answers(provider, 429), served = answers(provider, 200);
            MESSAGE(says, " N=", count, ": served ", served, " of ", came, ", refused ", refused);
            // Where a refusal is all that several learn, a request may meet more of them than it is sent again for.
            const bool sure = !says.empty() || count == 1;
            CHECK(by.bad <= (sure ? 0 : served / 100));
            if (!says.empty()) CHECK(refused <= served * 3 / 100 + 2);
            // Of a bucket that several share some is left alone: it is their price.
            CHECK(served >= came * (says.empty() ? 60 : count == 1 ? 90 : 65) / 100);
            for (auto& each : proxies) CHECK(each->finish());
        }
    }
}

TEST_CASE("pace over sockets: what is learned is told: metrics, health, access log; and no key or body is") {
    auto provider = provider_that("openai");
    running_proxy proxy(paced(provider.url(), "{max_wait: 20s}"), "127.0.0.1:0", "", "admin: {listen: 127.0.0.1:0}\n");
    crowd(16, 4s, [&](int) { return proxy.connect(); });
    const std::string address = proxy->admin_addresses().front();
    blocking_client admin({.port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)))});
    const std::string metrics = admin.request("GET", "/metrics").body;
    for (const char* part :
         {R"(evenkeel_pace_waiting{route="all"} 0)", R"(evenkeel_pace_waits_total{route="all",result="went_on"})",
          R"(evenkeel_pace_wait_seconds_count{route="all"})"}) {
        CAPTURE(part);
        CHECK(metrics.find(part) != std::string::npos);
    }
    CHECK(metrics.find("evenkeel_pace_limit_per_second{") != std::string::npos);
    CHECK(metrics.find("evenkeel_pace_remaining{") != std::string::npos);
    const std::string health = admin.request("GET", "/health").body;
    const auto told = boost::json::parse(health);
    const auto& pace = told.at("services").at("all").at("upstreams").at("sim").at("pace").as_array();
    REQUIRE(pace.size() == 1);
    CHECK(pace[0].at("model").as_string() == "m");
    CHECK(pace[0].at("requests").at("limit").to_number<double>() == per_second);
    CHECK(metrics.find("CANARY") == std::string::npos);
    CHECK(health.find("CANARY") == std::string::npos);
    CHECK(proxy.finish());
}

} // namespace evenkeel::test::pace_test

// One key, two models over real sockets: one fails, is silent or is throttled at the first upstream. The other is
// served there as ever, in the same time; the first goes to the second upstream, and returns.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::model_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const header_list keyed{{"content-type", "application/json"}, {"authorization", "Bearer one-key"}};
const std::string healthy = "delay=100ms"; // so that five in a hundred are more than the noise

enum class trouble : unsigned char { none, fails, silent, throttled };

struct two_models {
    std::atomic<trouble> of_big{trouble::none};
    simulated_provider first{{.record_body_bytes = 64, .script_for = [this](const attempt_record& asked) {
                                  return std::optional<std::string>{script_of(asked)};
                              }}};
    simulated_provider second{{.record_body_bytes = 64, .script_for = [](const attempt_record&) {
                                   return std::optional<std::string>{healthy};
                               }}};
    running_proxy proxy{"defaults: {retry: {backoff: {initial: 2ms, max: 10ms}, budget: {burst: 1000}}, "
                        "circuit_breaker: {recovery_timeout: 500ms, max_recovery_timeout: 1s, ramp: 0s}}\n"
                        "upstreams:\n  first: {url: \"" +
                            first.url() + "\", caller_credentials: pass}\n  second: {url: \"" + second.url() +
                            "\", caller_credentials: pass}\n"
                            "routes:\n  - {name: all, match: {path_prefix: /}, upstreams: [first, second]}\n",
                        "127.0.0.1:0", "", "admin: {listen: 127.0.0.1:0}\n"};
    blocking_client client = proxy.connect();

    [[nodiscard]] std::string script_of(const attempt_record& asked) const {
        if (asked.body.find("big") == std::string::npos) return healthy;
        switch (of_big.load()) {
        case trouble::none: return healthy;
        case trouble::fails: return "status=500";
        case trouble::silent: return "stall_after=request";
        case trouble::throttled: return "status=429; retry_after=3";
        }
        return healthy;
    }
    struct asked_once {
        std::chrono::microseconds took{};
    };
    asked_once ask(const std::string& model) {
        const auto began = std::chrono::steady_clock::now();
        const auto answer =
            client.request("POST", "/v1/chat/completions", keyed,
                           R"({"model":")" + model + R"(","messages":[{"role":"user","content":"hi"}]})");
        const auto took = std::chrono::steady_clock::now() - began;
        CHECK(answer.status == 200);
        CHECK(answer.complete());
        return {std::chrono::duration_cast<std::chrono::microseconds>(took)};
    }
    // The time that a quarter of them stays within: what the machine does meanwhile is in the others.
    std::chrono::microseconds usual_of_small() {
        std::vector<std::chrono::microseconds> times;
        for (int i = 0; i < 16; ++i) {
            const std::size_t before = asked_at(second, "small");
            times.push_back(ask("small").took);
            CHECK(asked_at(second, "small") == before);
        }
        std::sort(times.begin(), times.end());
        return times[4];
    }
    static std::size_t asked_at(const simulated_provider& at, const std::string& model) {
        const auto all = at.records();
        return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const attempt_record& one) {
            return one.body.find('"' + model + '"') != std::string::npos;
        }));
    }
    boost::json::value shown(const std::string& upstream) {
        const std::string address = proxy->admin_addresses().front();
        blocking_client admin({.port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)))});
        return boost::json::parse(admin.request("GET", "/health").body)
            .at("services")
            .at("all")
            .at("upstreams")
            .at(upstream);
    }
};
} // namespace

TEST_CASE(
    "one key, two models, one of them in trouble: the other's time is untouched, and each goes where it is well") {
    for (const trouble what : {trouble::fails, trouble::silent, trouble::throttled}) {
        CAPTURE(static_cast<int>(what));
        two_models on;
        for (int i = 0; i < 3; ++i) CHECK(on.ask("big").took < 1s);
        const auto before = on.usual_of_small();
        on.of_big = what;
        for (int i = 0; i < 4; ++i) { // those that may pay
            CHECK(on.ask("big").took < 3s);
            on.ask("small");
        }
        const std::size_t at_second = two_models::asked_at(on.second, "big");
        CHECK(on.ask("big").took < 500ms); // at once, by the second
        CHECK(two_models::asked_at(on.second, "big") == at_second + 1);
        const auto during = on.usual_of_small();
        MESSAGE("small: " << before.count() << " us before, " << during.count() << " us during");
        CHECK(during.count() <= 1.05 * static_cast<double>(before.count()));

        const auto shown = on.shown("first");
        CHECK(shown.at("circuit_state") == "closed");
        CHECK(shown.at("doubted").is_null());
        if (what != trouble::throttled) {
            CHECK(shown.at("models").as_array().size() == 1);
            CHECK(shown.at("models").at(0).at("model") == "big");
            const bool silent = what == trouble::silent;
            CHECK(shown.at("models").at(0).at("doubted").is_null() == !silent);
            CHECK(on.proxy.comes_to_show(
                silent ? R"(evenkeel_models_doubted{route="all",upstream="first"} 1)"
                       : R"(evenkeel_circuit_breaker_state{route="all",upstream="first",state="open"} 0)"));
            CHECK(on.proxy.log_text().find(silent ? "an endpoint is asked second for a model"
                                                  : "the circuit of a model opened") != std::string::npos);
        }
        on.of_big = trouble::none;
        const auto until = std::chrono::steady_clock::now() + 30s;
        for (std::size_t here = two_models::asked_at(on.second, "big");;) {
            on.ask("big");
            const std::size_t now = two_models::asked_at(on.second, "big");
            if (now == here) break; // the first has it again
            here = now;
            REQUIRE(std::chrono::steady_clock::now() < until);
            std::this_thread::sleep_for(100ms);
        }
        on.client.close();
        CHECK(on.proxy.finish());
    }
}

} // namespace evenkeel::test::model_test

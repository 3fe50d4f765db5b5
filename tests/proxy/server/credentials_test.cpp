// Several keys of one provider over real sockets: their quotas used up, each of them refused in its own way, their
// values replaced while requests are under way; and nothing of a value anywhere.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/everything_told.hpp"
#include "tests/proxy/server/running_proxy.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::credentials_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
const header_list json{{"content-type", "application/json"}, {"authorization", "Bearer sk-CANARY-of-the-caller"}};
const std::string admin_on = "admin: {listen: 127.0.0.1:0}\n";

std::string body(const std::string& model) {
    return R"({"model":")" + model + R"(","messages":[{"role":"user","content":"hi"}]})";
}
std::string with_keys(const std::string& url, const std::string& keys, const std::string& more = "") {
    return "defaults: {retry: {max_retries: 10, backoff: {initial: 2ms, max: 10ms}}}\nupstreams:\n  sim:\n    url: " +
           url + "\n    credentials:\n" + keys + more +
           "routes:\n  - {name: all, match: {path_prefix: /}, upstreams: [sim]}\n";
}
std::string key(const std::string& name, const std::string& value) {
    return "      - {name: " + name + ", set: {authorization: \"Bearer " + value + "\"}}\n";
}

// Answers by the key it is shown and the model it is asked for.
class keyed_provider {
public:
    keyed_provider()
        : provider_({.record_body_bytes = 256, .script_for = [this](const attempt_record& of) {
                         return std::optional<std::string>{script_of(of)};
                     }}) {}
    void says(const std::string& key, const std::string& script, const std::string& model = "") {
        const std::scoped_lock lock(mutex_);
        scripts_[{key, model}] = script;
    }
    [[nodiscard]] std::string url() const { return provider_.url(); }
    // Answers of that status to that key; 0: any, empty: all keys.
    [[nodiscard]] int answers(int status, const std::string& key = "") const {
        int count = 0;
        for (const auto& one : provider_.records())
            count += (status == 0 || one.status == status) &&
                     (key.empty() || one.header("authorization") == "Bearer " + key);
        return count;
    }
    [[nodiscard]] bool saw(const std::string& text) const {
        for (const auto& one : provider_.records()) {
            for (const auto& [name, value] : one.headers)
                if (value.find(text) != std::string::npos) return true;
        }
        return false;
    }
    void forget() { provider_.reset(); }

private:
    std::string script_of(const attempt_record& of) {
        const std::string shown = of.header("authorization");
        const std::scoped_lock lock(mutex_);
        for (const auto& [whose, script] : scripts_) {
            if (shown == "Bearer " + whose.first &&
                (whose.second.empty() || of.body.find("\"" + whose.second + "\"") != std::string::npos))
                return script;
        }
        return "";
    }
    std::mutex mutex_;
    std::map<std::pair<std::string, std::string>, std::string> scripts_;
    simulated_provider provider_;
};

class load {
public:
    load(const running_proxy& proxy, int clients, const std::vector<std::string>& models) {
        for (int i = 0; i < clients; ++i) {
            threads_.emplace_back([this, &proxy, models] {
                auto client = proxy.connect();
                for (std::size_t n = 0; !over_; ++n) {
                    const auto got =
                        client.request("POST", "/v1/chat/completions", json, body(models[n % models.size()]));
                    ++(got.status == 200 ? good_ : bad_);
                    if (got.body.find("CANARY") != std::string::npos) ++leaked_;
                    for (const auto& [name, value] : got.headers)
                        if (value.find("CANARY") != std::string::npos) ++leaked_;
                    if (!got.complete() || got.header("connection") == "close") client = proxy.connect();
                }
            });
        }
    }
    ~load() { end(); }
    load(const load&) = delete;
    load& operator=(const load&) = delete;
    void end() {
        over_ = true;
        for (auto& each : threads_) each.join();
        threads_.clear();
    }
    void wait_for(int more) const {
        const auto until = std::chrono::steady_clock::now() + 60s;
        const int enough = good_ + bad_ + more;
        while (good_ + bad_ < enough && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(2ms);
        CHECK(good_ + bad_ >= enough);
    }
    [[nodiscard]] int good() const { return good_; }
    [[nodiscard]] int bad() const { return bad_; }
    [[nodiscard]] int leaked() const { return leaked_; }

private:
    std::atomic<bool> over_{false};
    std::atomic<int> good_{0}, bad_{0}, leaked_{0};
    std::vector<std::thread> threads_;
};

std::string state_of(running_proxy& proxy, const std::string& name) {
    const auto health = boost::json::parse(admin_of(proxy).request("GET", "/health").body);
    const auto& all = health.at("services").at("all").at("upstreams").at("sim").at("credentials").as_object();
    return all.at(name).at("state").as_string().c_str();
}
int control(running_proxy& proxy, const std::string& target) {
    return admin_of(proxy).request("POST", target, {}, "").status;
}
} // namespace

TEST_CASE("three keys of different quota: the whole is used to 95 %, and no request fails") {
    keyed_provider provider;
    provider.says("sk-CANARY-large", "quota=20/500ms; key=large");
    provider.says("sk-CANARY-middle", "quota=10/500ms; key=middle");
    provider.says("sk-CANARY-small", "quota=5/500ms; key=small");
    running_proxy proxy(with_keys(provider.url(), key("large", "sk-CANARY-large") + key("middle", "sk-CANARY-middle") +
                                                      key("small", "sk-CANARY-small")),
                        "127.0.0.1:0", "", admin_on);
    constexpr int windows = 10, quota = 35;
    load by(proxy, 8, {"m"});
    std::this_thread::sleep_for(windows * 500ms);
    const int served = provider.answers(200), limited = provider.answers(429);
    by.end();
    MESSAGE("served ", served, " of ", windows * quota, ", refused ", limited);
    CHECK(served >= windows * quota * 95 / 100);
    CHECK(by.bad() == 0);
    CHECK(by.leaked() == 0);
    CHECK(everything_told(proxy).find("CANARY") == std::string::npos);
    CHECK(proxy.finish());
}

TEST_CASE("one key revoked, one out of money, one limited for one model: no request fails that another could serve; "
          "names, never values, anywhere") {
    keyed_provider provider;
    provider.says("sk-CANARY-revoked", "error=auth");
    provider.says("sk-CANARY-poor", "error=billing");
    provider.says("sk-CANARY-limited", "error=rate; retry_after=1", "big");
    running_proxy proxy(with_keys(provider.url(), key("revoked", "sk-CANARY-revoked") + key("poor", "sk-CANARY-poor") +
                                                      key("limited", "sk-CANARY-limited") +
                                                      key("last", "sk-CANARY-last")),
                        "127.0.0.1:0", "", admin_on);
    load by(proxy, 4, {"big", "small"});
    by.wait_for(200);
    by.end();
    CHECK(by.bad() == 0);
    CHECK(by.leaked() == 0);
    // Each was found out by those that were under way together, and by nobody since.
    CHECK(provider.answers(0, "sk-CANARY-revoked") <= 4);
    CHECK(provider.answers(0, "sk-CANARY-poor") <= 4);
    CHECK(provider.answers(200, "sk-CANARY-limited") >= 80); // the other model is untouched
    CHECK(provider.answers(200, "sk-CANARY-last") >= 80);
    CHECK_FALSE(provider.saw("of-the-caller"));
    CHECK(state_of(proxy, "revoked") == "dead");
    CHECK(state_of(proxy, "poor") == "dead");
    CHECK(state_of(proxy, "last") == "well");

    const std::string told = everything_told(proxy);
    CHECK(told.find("CANARY") == std::string::npos);
    for (const char* part :
         {R"(evenkeel_upstream_credential_state{upstream="sim",credential="revoked",state="dead"} 1)",
          R"(evenkeel_upstream_credential_refusals_total{upstream="sim",credential="poor",reason="quota"})",
          R"(evenkeel_upstream_credential_attempts_total{upstream="sim",credential="last",result="success"})",
          R"("credential":"revoked","kind":"first")", R"("why":"next_credential")",
          "with credential 'poor', was asked instead", "a credential is dead", "credential=revoked",
          R"({"name":"revoked","state":"dead","in_flight":0,"asked_again_s":)"}) {
        CAPTURE(part);
        CHECK(told.find(part) != std::string::npos);
    }
    CHECK(proxy.finish());
}

TEST_CASE("keys from files are rotated by a reload under load: that one is alive again, the others stay as they are") {
    keyed_provider provider;
    provider.says("sk-CANARY-old", "error=auth");
    provider.says("sk-CANARY-poor", "error=billing");
    const auto directory = std::filesystem::temp_directory_path() / ("evenkeel-keys-" + std::to_string(::getpid()));
    std::filesystem::create_directories(directory);
    const auto write = [&](const std::string& value) { std::ofstream(directory / "team") << value << "\n"; };
    write("sk-CANARY-old");
    const std::string file =
        with_keys(provider.url(), key("team", "${file:" + (directory / "team").string() + "}") +
                                      key("poor", "sk-CANARY-poor") + key("last", "sk-CANARY-last"));
    running_proxy proxy(file, "127.0.0.1:0", "", admin_on);
    load by(proxy, 4, {"m"});
    by.wait_for(50);
    CHECK(state_of(proxy, "team") == "dead");
    CHECK(state_of(proxy, "poor") == "dead");
    CHECK(control(proxy, "/-/reload") == 200); // nothing has changed
    CHECK(state_of(proxy, "team") == "dead");
    write("sk-CANARY-new");
    CHECK(control(proxy, "/-/reload") == 200);
    by.wait_for(50);
    CHECK(state_of(proxy, "team") == "well");
    CHECK(state_of(proxy, "poor") == "dead");
    const int before = provider.answers(0, "sk-CANARY-poor");
    by.wait_for(50);
    CHECK(provider.answers(200, "sk-CANARY-new") >= 50);
    CHECK(provider.answers(0, "sk-CANARY-poor") == before);

    // By an operator's word: drained, revived.
    CHECK(control(proxy, "/-/credentials/sim?name=team&state=drained") == 200);
    by.wait_for(10); // what was under way
    const int drained = provider.answers(0, "sk-CANARY-new");
    by.wait_for(50);
    CHECK(provider.answers(0, "sk-CANARY-new") == drained);
    CHECK(state_of(proxy, "team") == "drained");
    CHECK(control(proxy, "/-/credentials/sim?name=team&state=well") == 200);
    by.wait_for(50);
    CHECK(provider.answers(0, "sk-CANARY-new") > drained);
    CHECK(control(proxy, "/-/credentials/sim?name=nobody&state=well") == 422);
    CHECK(control(proxy, "/-/credentials/nobody?state=well") == 422);
    by.end();
    CHECK(by.bad() == 0);
    CHECK(by.leaked() == 0);
    CHECK(everything_told(proxy).find("CANARY") == std::string::npos);
    CHECK(proxy.finish());
    std::filesystem::remove_all(directory);
}

} // namespace evenkeel::test::credentials_test

// Several endpoints of one upstream over real sockets: one is killed, one is slow, one comes back; and names whose
// addresses change under load.

#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"
#include "tests/proxy/server/running_proxy.hpp"
#include "tests/support/storm_scale.hpp"

#include <boost/asio/error.hpp>
#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test::endpoints_test {

using namespace evenkeel::provider;
using namespace std::chrono_literals;

namespace {
constexpr const char* body = R"({"model":"m","messages":[{"role":"user","content":"hi"}]})";
const header_list json{{"content-type", "application/json"}};
const std::string admin_on = "admin: {listen: 127.0.0.1:0}\n";

std::string route(const std::string& upstream, const std::string& more = "") {
    return "defaults: {retry: {backoff: {initial: 2ms, max: 10ms}, budget: {burst: 1000}}, circuit_breaker: "
           "{failure_ratio: 0, recovery_timeout: 200ms, max_recovery_timeout: 400ms, ramp: 0s}}\nupstreams:\n  u: " +
           upstream + "\n" + more + "routes:\n  - {name: all, match: {path_prefix: /}, upstreams: [u]}\n";
}
std::string urls_of(const std::vector<std::string>& urls) {
    std::string out = "[";
    for (const std::string& each : urls) out += (out.size() > 1 ? ", \"" : "\"") + each + "\"";
    return out + "]";
}

blocking_client admin_of(running_proxy& proxy) {
    const std::string address = proxy->admin_addresses().front();
    return blocking_client({.port = static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)))});
}
// Of each endpoint of `u` its state of circuit, by its name in /health.
std::map<std::string, std::string> circuits(running_proxy& proxy) {
    const auto health = boost::json::parse(admin_of(proxy).request("GET", "/health").body);
    std::map<std::string, std::string> out;
    for (const auto& [name, shown] :
         health.at("services").at("all").at("upstreams").at("u").at("endpoints").as_object())
        out[name] = shown.at("circuit_state").as_string().c_str();
    return out;
}
std::string metrics_of(running_proxy& proxy) { return admin_of(proxy).request("GET", "/metrics").body; }

// Requests from several clients, one after the other each, while it lives.
class load {
public:
    explicit load(running_proxy& proxy, int clients = 4) {
        for (int i = 0; i < clients; ++i) {
            threads_.emplace_back([this, &proxy] {
                auto client = proxy.connect();
                while (!over_) {
                    const auto answer = client.request("POST", "/v1/chat/completions", json, body);
                    ++(answer.status == 200 && answer.complete() ? good_ : bad_);
                    if (!answer.complete() || answer.header("connection") == "close") client = proxy.connect();
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
        const auto until = std::chrono::steady_clock::now() + 30s;
        const int enough = good_ + bad_ + more;
        while (good_ + bad_ < enough && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(2ms);
    }
    [[nodiscard]] int good() const { return good_; }
    [[nodiscard]] int bad() const { return bad_; }

private:
    std::atomic<bool> over_{false};
    std::atomic<int> good_{0}, bad_{0};
    std::vector<std::thread> threads_;
};

template <class Condition>
bool soon(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < until) {
        if (condition()) return true;
        std::this_thread::sleep_for(10ms);
    }
    return false;
}
} // namespace

namespace {
// Three of them, each a provider of its own that takes 5 ms, behind one upstream.
struct three {
    std::vector<std::unique_ptr<simulated_provider>> at;
    std::vector<std::string> urls, labels;
    const int some = scaled(400);
    three() {
        for (int i = 0; i < 3; ++i) {
            at.push_back(
                std::make_unique<simulated_provider>(provider_options{.script = "delay=5ms", .record = false}));
            urls.push_back(at.back()->url());
            labels.push_back(urls.back().substr(urls.back().rfind('/') + 1));
        }
    }
    // Of the next requests the share of each.
    std::vector<double> shares(const load& by) const {
        std::vector<std::uint64_t> before;
        std::vector<double> share;
        for (const auto& each : at) before.push_back(static_cast<std::uint64_t>(each->counters().requests));
        by.wait_for(some);
        for (std::size_t i = 0; i < 3; ++i)
            share.push_back(static_cast<double>(static_cast<std::uint64_t>(at[i]->counters().requests) - before[i]) /
                            some);
        MESSAGE("shares ", share[0], " ", share[1], " ", share[2]);
        return share;
    }
    void kill(std::size_t which) { at[which]->stop(); }
    void bring_back(std::size_t which) {
        const std::uint16_t port = at[which]->port();
        at[which] = std::make_unique<simulated_provider>(
            provider_options{.port = port, .script = "delay=5ms", .record = false});
    }
};
} // namespace

TEST_CASE("least_latency of three endpoints: all alike, then one killed and one slow; every request is served") {
    three world;
    running_proxy proxy(route("{urls: " + urls_of(world.urls) + "}"), "127.0.0.1:0", "", admin_on);
    load by(proxy);
    by.wait_for(20);
    static_cast<void>(world.shares(by)); // how even is a matter of the machine's mood: endpoint_flow_test says
    for (const auto& each : world.at) CHECK(each->counters().requests > 0);
    for (const auto& label : world.labels) CHECK(circuits(proxy)[label] == "closed");

    world.kill(0);
    world.at[1]->play("delay=400ms");
    by.wait_for(world.some); // until what was learned of the slow one counts
    const auto troubled = world.shares(by);
    CHECK(troubled[0] == 0);
    CHECK(troubled[1] < 0.25);
    CHECK(troubled[2] > 0.75);
    CHECK(circuits(proxy)[world.labels[1]] == "closed");
    CHECK(circuits(proxy)[world.labels[2]] == "closed");
    by.end();
    CHECK(by.bad() == 0);
    CHECK(proxy.finish());
}

TEST_CASE(
    "three endpoints in turn, one killed and back: it has a circuit of its own, and a share while that is closed") {
    three world;
    running_proxy proxy(route("{balance: round_robin, urls: " + urls_of(world.urls) + "}"), "127.0.0.1:0", "",
                        admin_on);
    const std::string& dead = world.labels[0];
    load by(proxy);
    by.wait_for(20);
    for (const double share : world.shares(by)) CHECK(share == doctest::Approx(1.0 / 3).epsilon(0.1));

    world.kill(0);
    CHECK(soon([&] { return circuits(proxy)[dead] != "closed"; }));
    for (const std::size_t other : {1U, 2U}) CHECK(world.shares(by)[other] == doctest::Approx(0.5).epsilon(0.1));
    CHECK(circuits(proxy)[world.labels[1]] == "closed");
    CHECK(circuits(proxy)[world.labels[2]] == "closed");

    world.bring_back(0);
    CHECK(soon([&] { return circuits(proxy)[dead] == "closed"; }));
    for (const double share : world.shares(by)) CHECK(share == doctest::Approx(1.0 / 3).epsilon(0.1));
    by.end();
    CHECK(by.bad() == 0);
    MESSAGE(by.good(), " requests");
    const std::string metrics = metrics_of(proxy);
    for (const auto& label : world.labels)
        CHECK(metrics.find("evenkeel_circuit_breaker_state{route=\"all\",upstream=\"u\",endpoint=\"" + label +
                           "\",state=\"closed\"} 1\n") != std::string::npos);
    CHECK(proxy.log_text().find("a circuit opened: its endpoint is left alone upstream=u endpoint=" + dead) !=
          std::string::npos);

    // An operator turns one off, and all.
    CHECK(admin_of(proxy).request("POST", "/-/circuits/u?state=open&endpoint=" + world.labels[2]).status == 200);
    CHECK(circuits(proxy) ==
          std::map<std::string, std::string>{{dead, "closed"}, {world.labels[1], "closed"}, {world.labels[2], "open"}});
    CHECK(admin_of(proxy).request("POST", "/-/circuits/u?state=open").status == 200);
    for (const auto& label : world.labels) CHECK(circuits(proxy)[label] == "open");
    CHECK(admin_of(proxy).request("POST", "/-/circuits/u?state=open&endpoint=nowhere:1").status == 422);
    CHECK(proxy.finish());
}

TEST_CASE("a reload that adds and removes endpoints under load loses no request and keeps the circuits of the others") {
    const three world;
    const auto& at = world.at;
    const auto &urls = world.urls, &labels = world.labels;
    running_proxy proxy(route("{urls: " + urls_of({urls[0], urls[1]}) + "}"), "127.0.0.1:0", "", admin_on);
    load by(proxy);
    by.wait_for(50);
    CHECK(admin_of(proxy).request("POST", "/-/circuits/u?state=open&endpoint=" + labels[1]).status == 200);
    proxy.write(route("{urls: " + urls_of({urls[2], urls[1]}) + "}"));
    REQUIRE(proxy->reload());
    by.wait_for(50);
    CHECK(circuits(proxy) == std::map<std::string, std::string>{{labels[1], "open"}, {labels[2], "closed"}});
    const auto gone = at[0]->counters().requests, kept_out = at[1]->counters().requests;
    by.wait_for(100);
    CHECK(at[0]->counters().requests == gone);
    CHECK(at[1]->counters().requests == kept_out);
    by.end();
    CHECK(by.bad() == 0);
    CHECK(at[0]->wait_for([](const provider_counters& now) { return now.open_connections == 0; }));
    CHECK(proxy.finish());
}

namespace {
// Names of the test's own: outlives the threads that look them up.
struct name_server {
    std::mutex mutex;
    std::vector<std::string> addresses; // of the one name; none: it cannot be looked up
    void say(std::vector<std::string> now) {
        const std::scoped_lock lock(mutex);
        addresses = std::move(now);
    }
    net::resolved answer() {
        const std::scoped_lock lock(mutex);
        net::resolved out;
        for (const std::string& each : addresses) out.addresses.push_back(boost::asio::ip::make_address(each));
        if (addresses.empty()) out.error = boost::asio::error::host_not_found_try_again;
        return out;
    }
};
} // namespace

TEST_CASE(
    "DNS that changes under load loses no request: new addresses are asked, vanished ones drained and forgotten") {
    const std::vector<std::string> hosts{"127.0.0.1", "127.0.0.2", "127.0.0.3"};
    std::vector<std::unique_ptr<simulated_provider>> at;
    for (const std::string& host : hosts) {
        const std::uint16_t port = at.empty() ? std::uint16_t{0} : at.front()->port();
        at.push_back(std::make_unique<simulated_provider>(
            provider_options{.host = host, .port = port, .script = "delay=5ms", .record = false}));
    }
    const std::string port = ":" + std::to_string(at[0]->port());
    const auto names = std::make_shared<name_server>();
    names->say({hosts[0], hosts[1]});
    server::server_options options;
    options.lookup = [names](const std::string&) { return names->answer(); };
    options.look_up_every = 20ms;
    running_proxy proxy(route("{url: \"http://replicas.example" + port + "\", resolve: each}"), "127.0.0.1:0", "",
                        admin_on, options);
    const auto known = [&] {
        std::string out;
        for (const auto& one : circuits(proxy)) out += one.first.substr(0, one.first.find(':')) + " ";
        return out;
    };
    CHECK(known() == "127.0.0.1 127.0.0.2 "); // from the first request on
    load by(proxy);
    by.wait_for(50);
    CHECK(at[0]->counters().requests > 0);
    CHECK(at[1]->counters().requests > 0);

    // One after the other, and all at once.
    const std::vector<std::vector<std::string>> changes{
        {hosts[1], hosts[2]}, {hosts[2]}, {hosts[0]}, {hosts[0], hosts[1], hosts[2]}, {hosts[2]}};
    for (int round = 0; round < 3; ++round) {
        for (const auto& now : changes) {
            names->say(now);
            std::string wanted;
            for (const std::string& each : now) wanted += each + " ";
            CHECK(soon([&] { return known() == wanted; }));
            by.wait_for(20);
        }
    }
    names->say({}); // a name server that is down changes nothing
    std::this_thread::sleep_for(100ms);
    CHECK(known() == "127.0.0.3 ");

    by.wait_for(20);
    const auto first = at[0]->counters().requests;
    by.wait_for(100);
    CHECK(at[0]->counters().requests == first);
    by.end();
    CHECK(by.bad() == 0);
    MESSAGE(by.good(), " requests over 15 changes");
    for (const std::size_t gone : {0U, 1U})
        CHECK(at[gone]->wait_for([](const provider_counters& now) { return now.open_connections == 0; }));

    // By the name, whatever the address.
    CHECK(proxy.finish());
}

TEST_CASE("a name that is not known yet is one endpoint, until its addresses are") {
    simulated_provider provider({.record = false});
    const auto names = std::make_shared<name_server>();
    server::server_options options;
    options.lookup = [names](const std::string&) { return names->answer(); };
    options.look_up_every = 20ms;
    const std::string port = ":" + std::to_string(provider.port());
    running_proxy proxy(route("{url: \"http://replicas.example" + port + "\", resolve: each}"), "127.0.0.1:0", "",
                        admin_on, options);
    CHECK(circuits(proxy).begin()->first == "replicas.example" + port);
    names->say({"127.0.0.1"});
    CHECK(soon([&] { return circuits(proxy).begin()->first == "127.0.0.1" + port; }));
    CHECK(proxy.connect().request("POST", "/v1/chat/completions", json, body).status == 200);
    CHECK(proxy.finish());
}

} // namespace evenkeel::test::endpoints_test

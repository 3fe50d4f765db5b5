// Requests to an upstream with several endpoints: which one is asked next, and what becomes of one that goes away.

#include "tests/proxy/request/flow_fixture.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace evenkeel::test::endpoint_flow_test {

namespace {
// One upstream with these endpoints, asked in their order; `then` is another with one.
struct several : fixture {
    std::vector<std::string> asked; // authorities, in order
    std::vector<std::string> answers;

    explicit several(const std::vector<std::string>& authorities, const std::string& then = "", bool own = false) {
        route->upstreams.clear();
        for (const std::string& each : authorities) route->upstreams.push_back(one("u", each, true, own));
        if (!then.empty()) route->upstreams.push_back(one("v", then, false, own));
        route->retry.max_retries = 3;
        settings->upstreams = route->upstreams;
        upstream.choose([this](const config::upstream& to, std::size_t) {
            asked.push_back(to.endpoint.authority);
            const std::string text = answers.empty() ? ok_json : answers.front();
            if (!answers.empty()) answers.erase(answers.begin());
            return exchange_script{.steps = {play::request{2}, play::pause{100ms}, play::send{text}}};
        });
    }
    static std::shared_ptr<const config::upstream> one(const std::string& name, const std::string& authority,
                                                       bool of_several, bool own = false) {
        auto made = std::make_shared<config::upstream>();
        made->name = name;
        made->address.authority = "api.example";
        made->endpoint = {authority, {}, of_several};
        made->balance = balance_kind::failover;
        made->own_credential = own;
        return made;
    }
    // As a reload or DNS would, for whoever comes from now on: only these are left.
    void only(const std::vector<std::string>& authorities) {
        config::settings left = *settings;
        std::erase_if(left.upstreams, [&](const auto& each) {
            return std::find(authorities.begin(), authorities.end(), each->endpoint.authority) == authorities.end();
        });
        static_cast<void>(registry.prepare(left));
    }
};
using names = std::vector<std::string>;
} // namespace

TEST_CASE("a retry goes to another endpoint of the same upstream at once, then to the next upstream") {
    several f({"a", "b"}, "c");
    f.answers = {status_answer(500), status_answer(500)};
    f.connect();
    f.send(post);
    f.pass(400ms);
    CHECK(f.asked == names{"a", "b", "c"});
    CHECK(has(f.client.received(), "HTTP/1.1 200"));
    CHECK(f.seen.requests.at(0).service == telemetry::request_service::failed_over);
    f.expect_nothing_left();
}

TEST_CASE("a credential that one endpoint refused is not shown to the next of the same upstream") {
    several f({"a", "b"}, "c", true);
    f.answers = {status_answer(401)};
    f.connect();
    f.send(post);
    f.pass(400ms);
    CHECK(f.asked == names{"a", "c"});
    f.expect_nothing_left();
}

TEST_CASE("an endpoint that has gone gets no new attempt, not even from a request that began before") {
    several f({"a", "b", "c"});
    f.answers = {status_answer(500)};
    f.connect();
    f.send(post);
    f.only({"a", "c"});
    f.pass(400ms);
    CHECK(f.asked == names{"a", "c"});
    CHECK(has(f.client.received(), "HTTP/1.1 200"));
    f.expect_nothing_left();
}

TEST_CASE("an attempt under way to one that goes ends as it would, and where all have gone they are still better than "
          "nothing") {
    several f({"a", "b"});
    f.answers = {status_answer(500)};
    f.connect();
    f.send(post);
    f.only({"elsewhere"});
    f.pass(2s);
    CHECK(f.asked == names{"a", "b"});
    CHECK(has(f.client.received(), "HTTP/1.1 200"));
    f.expect_nothing_left();
}

TEST_CASE("a hedge goes to another endpoint") {
    several f({"a", "b"});
    f.route->hedge.on = true;
    f.route->hedge.delay = hedge_options::delay_kind::fixed;
    f.route->hedge.fixed = 20ms;
    f.connect();
    f.send(post);
    f.pass(400ms);
    CHECK(f.asked == names{"a", "b"});
    f.expect_nothing_left();
}

namespace {
// `least_latency` over three endpoints that take 300 ms, one request after the other.
struct in_a_row : several {
    bool dead = false;
    duration slower{};
    in_a_row() : several({}) {
        for (const char* each : {"a", "b", "c"}) {
            auto made = std::make_shared<config::upstream>(*one("u", each, true));
            made->balance = balance_kind::least_latency;
            route->upstreams.push_back(made);
        }
        settings->upstreams = route->upstreams;
        route->circuit_breaker.on = true;
        route->retry.budget.burst = 1000;
        upstream.choose([this](const config::upstream& to, std::size_t) {
            asked.push_back(to.endpoint.authority);
            exchange_script script{.steps = {play::request{2}, play::pause{300ms}, play::send{ok_json}}};
            if (to.endpoint.authority == "a" && dead)
                script.connect_failure =
                    net::transport_error{net::transport_error::kind::refused, "connection_refused", 502, {}, {}};
            if (to.endpoint.authority == "b") script.steps[1] = play::pause{300ms + slower};
            return script;
        });
        connect();
    }
    // Shares of the attempts of so long; every request is served.
    std::map<std::string, double> shares(duration length) {
        asked.clear();
        seen.requests.clear();
        seen.started = 0;
        for (const steady_time end = loop.now() + length; loop.now() < end;) {
            const auto before = seen.requests.size();
            send(post);
            while (seen.requests.size() == before) pass(50ms);
            CHECK(seen.requests.back().status == 200);
        }
        std::map<std::string, double> out;
        for (const std::string& each : asked) out[each] += 1.0 / static_cast<double>(asked.size());
        MESSAGE("a ", out["a"], ", b ", out["b"], ", c ", out["c"]);
        return out;
    }
};
} // namespace

TEST_CASE("three endpoints, one killed, one slow, one back: all served, each with its share; who is back has it again "
          "within two minutes") {
    in_a_row f;
    for (const auto& [name, share] : f.shares(60s)) CHECK(share == doctest::Approx(1.0 / 3).epsilon(0.3));
    f.dead = true;
    f.slower = 3s;
    auto troubled = f.shares(60s);
    CHECK(troubled["a"] < 0.05); // tried again now and then
    CHECK(troubled["b"] < 0.1);
    CHECK(troubled["c"] > 0.85);
    f.dead = false;
    f.slower = {};
    static_cast<void>(f.shares(120s));
    CHECK(f.shares(120s)["a"] > 0.2);
    f.expect_nothing_left();
}

} // namespace evenkeel::test::endpoint_flow_test

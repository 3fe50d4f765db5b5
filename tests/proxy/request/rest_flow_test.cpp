// Rests, and circuits that a person holds, on the whole path of a request: who waits for what, and what they are told.

#include "tests/proxy/request/flow_fixture.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace evenkeel::test::rest_flow_test {

namespace {
std::string ask_for(const std::string& model) {
    const std::string body = R"({"model":")" + model + R"(","messages":[]})";
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}
std::string spent(const std::string& fields = "") {
    return status_answer(429, fields, R"({"error":{"type":"insufficient_quota","code":"insufficient_quota"}})");
}

// One after the other, each over a connection of its own, through an upstream (or two) with a key of its own.
struct resting : fixture {
    std::shared_ptr<config::upstream> backup = std::make_shared<config::upstream>();
    std::vector<std::string> asked;              // upstreams
    std::map<std::string, std::string> by_model; // answers
    std::map<std::string, std::string> by_name;  // ... of an upstream to everything
    std::vector<std::unique_ptr<scripted_client>> clients;

    explicit resting(bool two = false) {
        route->cooldown.on = true;
        route->circuit_breaker.on = true;
        route->retry.max_retries = 3;
        route->retry.backoff = {.initial = 100ms, .max = 1s, .base = 2, .jitter = jitter::none};
        provider->own_credential = true;
        backup->name = "backup";
        backup->address.authority = "backup.example";
        backup->own_credential = true;
        if (two) {
            route->upstreams.push_back(backup);
            settings->upstreams.push_back(backup);
        }
        upstream.choose([this](const config::upstream& to, std::size_t) {
            asked.push_back(to.name);
            const auto named = by_name.find(to.name);
            exchange_script script{.steps = {play::whole{}, play::pause{20ms}}};
            script.steps.push_back(play::send{named != by_name.end() ? named->second : ok_json});
            return script;
        });
        context.use(settings, registry.prepare(*settings));
    }
    // What it got, and when it was over at the latest.
    std::string ask(const std::string& request, duration within = 100ms) {
        clients.push_back(std::make_unique<scripted_client>(loop));
        loop.nursery().spawn(request::client_connection::run(
            std::make_unique<request::client_connection>(context, clients.back()->connect())));
        clients.back()->send(request);
        pass(within);
        return clients.back()->received();
    }
    void expect_all_over() {
        for (auto& each : clients) each->leave();
        connect();
        expect_nothing_left();
    }
};
} // namespace

TEST_CASE("A9: money that was said to be spent is there again with the first good answer") {
    resting f;
    f.by_name["provider"] = spent();
    CHECK(has(f.ask(ask_for("m")), " 429 "));
    CHECK(f.registry.report(*f.settings, f.loop.now()).routes.at(0).endpoints.at(0).cooldown->resting == 1);
    f.by_name.clear();
    f.pass(1s);
    CHECK(has(f.ask(ask_for("m")), " 200 ")); // there is nothing else to be asked
    CHECK(f.registry.report(*f.settings, f.loop.now()).routes.at(0).endpoints.at(0).cooldown->resting == 0);
    f.by_name["provider"] = status_answer(500);
    f.asked.clear();
    f.ask(ask_for("m"), 5s);
    CHECK(f.asked.size() == 4); // retried as ever
    f.expect_all_over();
}

TEST_CASE("A10: a model that is limited keeps no other model of the same key waiting") {
    resting f;
    f.by_name["provider"] = status_answer(429, "Retry-After: 8\r\n");
    f.route->retry.max_retries = 0;
    CHECK(has(f.ask(ask_for("big")), " 429 "));
    f.by_name.clear();
    f.pass(500ms);
    CHECK(has(f.ask(ask_for("small"), 21ms), " 200 ")); // 20 ms, as ever
    CHECK(f.ask(ask_for("big"), 7s).empty());           // waits
    f.pass(2s);
    CHECK(has(f.clients.back()->received(), " 200 "));
    f.expect_all_over();
}

TEST_CASE("A10: what two models meet is the key's, and a third waits as well") {
    resting f;
    f.route->retry.max_retries = 0;
    f.by_name["provider"] = status_answer(429, "Retry-After: 8\r\n");
    f.ask(ask_for("big"));
    f.ask(ask_for("small"));
    f.by_name.clear();
    CHECK(f.ask(ask_for("third"), 5s).empty());
    f.pass(5s);
    CHECK(has(f.clients.back()->received(), " 200 "));
    f.expect_all_over();
}

TEST_CASE("A11: behind a circuit that a person opened nothing is held, and each upstream's true reason is told") {
    resting f(true);
    f.by_name["backup"] = status_answer(401, "", R"({"error":{"code":"invalid_api_key"}})");
    REQUIRE(f.registry.force("", "provider", "", circuit_state::open, f.loop.now()));
    f.ask(ask_for("m"));
    f.asked.clear();
    f.pass(1s);
    const std::string said = f.ask(ask_for("m"), 1ms);
    CHECK(has(said, " 503 "));
    CHECK(has(said, "circuit_open"));
    CHECK(has(said, "'provider': its circuit is open by an operator's word"));
    CHECK(has(said, "'backup': it rests for another 899 s, since its own key was refused"));
    CHECK(f.asked.empty());

    // The same person says otherwise.
    CHECK(f.registry.end_rests("backup", "", f.loop.now()) == 1);
    CHECK_FALSE(f.registry.end_rests("nobody", "", f.loop.now()));
    f.by_name.clear();
    CHECK(has(f.ask(ask_for("m")), " 200 "));
    CHECK(f.asked == std::vector<std::string>{"backup"});
    REQUIRE(f.registry.force("", "provider", "", std::nullopt, f.loop.now()));
    CHECK(has(f.ask(ask_for("m")), " 200 "));
    f.expect_all_over();
}

} // namespace evenkeel::test::rest_flow_test

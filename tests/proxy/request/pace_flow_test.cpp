// Quotas that are paced, on the whole path of a request, in virtual time: what is waited for, by whom and how long,
// where else a request goes, and what is told of it.

#include "tests/proxy/request/flow_fixture.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace evenkeel::test::pace_flow_test {

namespace {
std::string ask_for(const std::string& model, const std::string& fields = "") {
    const std::string body = R"({"model":")" + model + R"(","messages":[]})";
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// Upstreams that let in so many requests a minute, each model by itself, and say so.
struct with_quota : fixture {
    struct bucket {
        double limit = 60, left = 60;
        steady_time filled = start;
    };
    std::map<std::string, bucket> quotas; // by authority, key and model
    std::map<std::string, double> limits; // ... of an authority and key, else 60
    std::vector<std::string> asked;       // one by one: "api.example/m 200"
    bool tells = true;
    std::string written;
    std::shared_ptr<config::upstream> backup = std::make_shared<config::upstream>();
    std::vector<std::unique_ptr<scripted_client>> clients;

    explicit with_quota(bool two = false) {
        route->cooldown.on = true;
        route->retry.max_retries = 3;
        route->retry.backoff = {.initial = 100ms, .max = 1s, .base = 2, .jitter = jitter::none};
        provider->pace.on = true;
        provider->own_credential = true;
        backup->name = "backup";
        backup->address.authority = "backup.example";
        backup->own_credential = true;
        if (two) {
            route->upstreams.push_back(backup);
            settings->upstreams.push_back(backup);
        }
        upstream.choose([this](const config::upstream& at, std::size_t) {
            exchange_script script;
            script.serve = [this, where = at.address.authority](const exchange_log& log) {
                return steps_for(where, log.written);
            };
            return script;
        });
    }
    std::vector<play_step> steps_for(const std::string& where, const std::string& all) {
        written = all;
        const auto body = all.rfind("\"model\":\"");
        const std::string model = all.substr(body + 9, all.find('"', body + 9) - body - 9);
        const auto shown = all.find("sk-");
        const std::string owner = where + (shown == std::string::npos ? "" : "#" + all.substr(shown + 3, 1));
        bucket& of = quotas[owner + "/" + model];
        if (limits.contains(owner)) of.limit = limits[owner];
        of.left = std::min(of.limit, of.left + in_seconds(loop.now() - of.filled) * of.limit / 60);
        of.filled = loop.now();
        const bool in = of.left >= 1 || where == "backup.example";
        if (in) of.left -= 1;
        const double left = std::max(std::floor(of.left), 0.0);
        std::string fields;
        if (tells)
            fields = "x-ratelimit-limit-requests: " + std::to_string(static_cast<int>(of.limit)) +
                     "\r\nx-ratelimit-remaining-requests: " + std::to_string(static_cast<int>(left)) +
                     "\r\nx-ratelimit-reset-requests: " +
                     std::to_string(static_cast<int>((of.limit - of.left) / of.limit * 60000)) + "ms\r\n";
        if (!in) fields += "retry-after-ms: 1000\r\n";
        asked.push_back(owner + "/" + model + (in ? " 200" : " 429"));
        return {play::pause{20ms}, play::send{status_answer(in ? 200 : 429, fields, R"({"a":1})")}};
    }
    void begin() { context.use(settings, registry.prepare(*settings)); }
    scripted_client& ask(const std::string& request) {
        clients.push_back(std::make_unique<scripted_client>(loop));
        loop.nursery().spawn(request::client_connection::run(
            std::make_unique<request::client_connection>(context, clients.back()->connect())));
        clients.back()->send(request);
        loop.run_virtual(loop.now());
        return *clients.back();
    }
    // Uses up what there is of a model.
    void use_up(const std::string& model, const std::string& where = "api.example") {
        ask(ask_for(model));
        pass(50ms);
        quotas[where + "/" + model].left = 1;
        ask(ask_for(model));
        pass(50ms);
        asked.clear();
    }
    int count(std::string_view what) const {
        return static_cast<int>(
            std::count_if(asked.begin(), asked.end(), [&](const std::string& one) { return has(one, what); }));
    }
    std::vector<telemetry::pace_report> known() {
        return registry.report(*settings, loop.now()).routes.at(0).endpoints.at(0).pace;
    }
    void expect_all_over() {
        for (auto& each : clients) each->leave();
        connect();
        expect_nothing_left();
        for (const auto& one : known()) CHECK(one.seen.waiting == 0);
    }
};
using names = std::vector<std::string>;
} // namespace

TEST_CASE("pace: a request waits for its turn instead of meeting a 429, and that is told") {
    with_quota f;
    f.begin();
    f.use_up("m");
    auto& waits = f.ask(ask_for("m"));
    f.pass(500ms);
    CHECK(f.asked.empty());
    REQUIRE(f.known().size() == 1);
    CHECK(f.known()[0].seen.name == "m");
    CHECK(f.known()[0].seen.waiting == 1);
    CHECK(f.known()[0].seen.units.at(0).limit == 60);
    f.pass(5s);
    CHECK(has(waits.received(), " 200 "));
    CHECK(f.asked == names{"api.example/m 200"});
    CHECK(has(f.seen.journal, "pacing quota"));
    CHECK(has(f.seen.journal, "paced went_on"));
    CHECK(f.seen.last.effort.paced >= 1s);
    CHECK(f.seen.last.effort.paced <= 4s);
    CHECK(f.seen.last.overhead < 50ms);
    CHECK(f.seen.requests.back().attempts == 1);
    f.expect_all_over();
}

TEST_CASE("pace: another model is untouched") {
    with_quota f;
    f.begin();
    f.use_up("small");
    f.ask(ask_for("small"));
    auto& other = f.ask(ask_for("large"));
    f.pass(50ms);
    CHECK(has(other.received(), " 200 "));
    CHECK(f.asked == names{"api.example/large 200"});
    f.expect_all_over();
}

TEST_CASE("pace: at max_wait it goes through; what it meets then is the provider's to say") {
    with_quota f;
    f.provider->pace.max_wait = 2s;
    f.route->retry.max_retries = 0;
    f.begin();
    f.use_up("m");
    f.quotas["api.example/m"].limit = 1; // it has taken nearly all away
    auto& waits = f.ask(ask_for("m"));
    f.pass(1900ms);
    CHECK(f.asked.empty());
    f.pass(200ms);
    CHECK(f.asked == names{"api.example/m 429"});
    CHECK(has(waits.received(), " 429 "));
    CHECK(has(f.seen.journal, "paced went_through"));
    f.expect_all_over();
}

TEST_CASE("pace: who cannot be in time goes to another upstream, who can waits for the first") {
    with_quota f(true);
    f.provider->pace.max_wait = 4s;
    f.begin();
    f.use_up("m");
    auto& waits = f.ask(ask_for("m")); // about three seconds
    f.pass(100ms);
    CHECK(f.asked.empty());
    for (int i = 0; i < 10; ++i) f.ask(ask_for("m"));
    f.pass(100ms);
    CHECK(f.count("backup.example/m 200") >= 8);
    CHECK(f.count("api.example") == 0);
    CHECK(has(f.seen.journal, "passed_over paced"));
    f.pass(4s);
    CHECK(has(waits.received(), " 200 "));
    CHECK(f.count("429") == 0);
    f.expect_all_over();
}

TEST_CASE("pace: of several keys the one that has something left is shown, and the whole is used") {
    with_quota f;
    for (const char* const key : {"sk-A", "sk-B"})
        f.provider->credentials.push_back({key + 3, {{"authorization", std::string{"Bearer "} + key}}});
    f.limits["api.example#B"] = 30;
    f.begin();
    for (int i = 0; i < 120; ++i) {
        f.ask(ask_for("m"));
        f.pass(100ms);
    }
    CHECK(f.count("429") == 0);
    CHECK(f.count("#A/m 200") >= 60);
    CHECK(f.count("#B/m 200") >= 30);
    REQUIRE(f.known().size() == 2);
    CHECK(f.known()[0].credential == "A");
    CHECK(f.known()[1].credential == "B");
    f.pass(60s);
    f.expect_all_over();
}

TEST_CASE("pace: quota_scope upstream: all keys draw on one") {
    with_quota f;
    f.provider->quota_scope = quota_scope::upstream;
    for (const char* const key : {"sk-A", "sk-B"})
        f.provider->credentials.push_back({key + 3, {{"authorization", std::string{"Bearer "} + key}}});
    f.begin();
    f.ask(ask_for("m"));
    f.pass(50ms);
    REQUIRE(f.known().size() == 1);
    CHECK(f.known()[0].credential.empty());
    f.expect_all_over();
}

TEST_CASE("pace: batch waits behind interactive, and its word does not go on") {
    with_quota f;
    f.begin();
    f.use_up("m");
    auto& batch = f.ask(ask_for("m", "x-evenkeel-priority: batch\r\n"));
    f.pass(10ms);
    auto& interactive = f.ask(ask_for("m"));
    f.pass(4s);
    CHECK(has(interactive.received(), " 200 "));
    CHECK_FALSE(has(batch.received(), " 200 "));
    f.pass(15s);
    CHECK(has(batch.received(), " 200 "));
    CHECK_FALSE(has(f.written, "evenkeel"));
    f.expect_all_over();
}

TEST_CASE("pace: a client that leaves is in nobody's way") {
    with_quota f;
    f.begin();
    f.use_up("m");
    auto& leaves = f.ask(ask_for("m"));
    auto& stays = f.ask(ask_for("m"));
    f.pass(200ms);
    CHECK(f.known()[0].seen.waiting == 2);
    leaves.leave();
    f.pass(10ms);
    CHECK(f.known()[0].seen.waiting == 1);
    f.pass(5s);
    CHECK(has(stays.received(), " 200 "));
    CHECK(f.asked.size() == 1);
    f.expect_all_over();
}

TEST_CASE("pace: a 429 all the same rests and is asked again; a rest and a turn are waited for once") {
    with_quota f;
    f.begin();
    f.ask(ask_for("m"));
    f.pass(50ms);
    f.quotas["api.example/m"].left = 0; // others were quicker
    auto& limited = f.ask(ask_for("m"));
    f.pass(5s);
    CHECK(has(limited.received(), " 200 "));
    CHECK(f.count("429") == 1);
    f.expect_all_over();
}

TEST_CASE("pace: without a word of limits nothing is held back until something is refused") {
    with_quota f;
    f.tells = false;
    f.begin();
    f.ask(ask_for("m"));
    f.pass(50ms);
    for (int i = 0; i < 30; ++i) f.ask(ask_for("m"));
    f.pass(100ms);
    CHECK(f.count(" 200") == 31);
    CHECK_FALSE(f.known()[0].seen.guessed);
    f.quotas["api.example/m"].left = 0;
    f.ask(ask_for("m"));
    f.pass(100ms);
    CHECK(f.known()[0].seen.guessed);
    f.pass(60s);
    f.expect_all_over();
}

TEST_CASE("pace: callers' own keys have quotas of their own; those without any share one") {
    with_quota f;
    f.provider->own_credential = false;
    f.begin();
    f.ask(ask_for("m", "authorization: Bearer sk-A\r\n"));
    f.ask(ask_for("m", "authorization: Bearer sk-B\r\n"));
    f.ask(ask_for("m"));
    f.pass(100ms);
    f.ask(ask_for("m"));
    f.pass(100ms);
    CHECK(f.known().size() == 3);
    CHECK(f.count(" 200") == 4);
    f.expect_all_over();
}

TEST_CASE("pace: off, nothing of it is there") {
    with_quota f;
    f.provider->pace.on = false;
    f.begin();
    f.use_up("m");
    f.ask(ask_for("m"));
    f.pass(30ms);
    CHECK(f.asked == names{"api.example/m 429"});
    CHECK(f.known().empty());
    f.pass(60s);
    f.expect_all_over();
}

} // namespace evenkeel::test::pace_flow_test

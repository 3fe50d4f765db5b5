// One key, one address, several models of which one fails or is silent: the others notice nothing. Whole flows in
// virtual time; what names a model, and every way in which that can be odd.

#include "tests/proxy/request/flow_fixture.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test::model_flow_test {

namespace {
using words = std::vector<std::string>;

std::string post_to(const std::string& path, const std::string& body, const std::string& type = "application/json") {
    return "POST " + path + " HTTP/1.1\r\nHost: h\r\nContent-Type: " + type +
           "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
std::string ask_for(const std::string& model) {
    return post_to("/v1/chat/completions", R"({"model":")" + model + R"(","messages":[]})");
}

enum class mood : unsigned char { well, fails, silent, slow, throttled };

// Two upstreams, of which the first has moods, by the word of a request that names a model.
struct moody : fixture {
    std::shared_ptr<config::upstream> backup = std::make_shared<config::upstream>();
    std::map<std::string, mood> moods;
    words asked; // "provider big", in the order in which they were asked, copies included
    std::vector<std::unique_ptr<scripted_client>> clients;
    bool way_is_gone = false;

    explicit moody(bool two = true) {
        route->match.path_prefix = "/";
        route->circuit_breaker.on = true;
        route->circuit_breaker.ramp = duration::zero();
        route->cooldown.on = true;
        route->timeout.learn_attempt = true;
        route->retry.max_retries = 3;
        route->retry.backoff = {.initial = 10ms, .max = 10ms, .base = 2, .jitter = jitter::none};
        provider->own_credential = true;
        backup->name = "backup";
        backup->address.authority = "backup.example";
        backup->own_credential = true;
        if (two) {
            route->upstreams.push_back(backup);
            settings->upstreams.push_back(backup);
        }
        upstream.choose([this](const config::upstream& to, std::size_t) {
            exchange_script script;
            script.serve = [this, name = to.name](const exchange_log& log) { return serve(name, log); };
            if (way_is_gone && to.name == "provider") {
                net::transport_error refused;
                refused.is = net::transport_error::kind::refused;
                refused.token = "connection_refused";
                refused.status = 502;
                script.connect_failure = refused;
            }
            return script;
        });
        use();
    }
    void use() { context.use(settings, registry.prepare(*settings)); }
    std::vector<play_step> serve(const std::string& at, const exchange_log& log) {
        const auto& request = log.requests.messages().back();
        std::string word = "-";
        mood is = mood::well;
        for (const auto& [each, how] : moods) {
            if (!has(request.head, each) && !has(request.body, each)) continue;
            word = each;
            is = at == "provider" ? how : mood::well;
        }
        asked.push_back(at + ' ' + word);
        switch (is) {
        case mood::silent: return {play::silence{}};
        case mood::fails: return {play::pause{20ms}, play::send{status_answer(500)}};
        case mood::throttled: return {play::pause{20ms}, play::send{status_answer(429, "Retry-After: 30\r\n")}};
        case mood::slow: return {play::pause{500ms}, play::send{ok_json}};
        case mood::well: break;
        }
        return {play::pause{20ms}, play::send{ok_json}};
    }
    // Over a connection of its own; how long it took until it was over.
    duration ask(const std::string& request, duration within = 60s) {
        clients.push_back(std::make_unique<scripted_client>(loop));
        loop.nursery().spawn(request::client_connection::run(
            std::make_unique<request::client_connection>(context, clients.back()->connect())));
        const steady_time began = loop.now();
        const auto before = seen.requests.size();
        clients.back()->send(request);
        loop.run_virtual(loop.now());
        while (seen.requests.size() == before && loop.now() < began + within) pass(1ms);
        return loop.now() - began;
    }
    // Who was asked for it, in order.
    words who(const std::string& model) {
        asked.clear();
        CHECK(ask(ask_for(model)) < 30s);
        CHECK(has(clients.back()->received(), " 200 "));
        words all;
        for (const auto& each : asked)
            if (each.ends_with(' ' + model)) all.push_back(each.substr(0, each.find(' ')));
        return all;
    }
    // What it costs to be asked for a model that is well: always the same.
    void expect_well(const std::string& model) {
        asked.clear();
        CHECK(ask(ask_for(model)) <= 21ms); // 20 ms, as ever
        CHECK(has(clients.back()->received(), " 200 "));
        CHECK(std::count(asked.begin(), asked.end(), "provider " + model) >= 1);
        CHECK(std::count(asked.begin(), asked.end(), "backup " + model) == 0);
    }
    telemetry::endpoint_report report(std::size_t at = 0) {
        return registry.report(*settings, loop.now()).routes.at(0).endpoints.at(at);
    }
    bool told(const std::string& change) const {
        return std::find(seen.changes.begin(), seen.changes.end(), change) != seen.changes.end();
    }
    ~moody() { // also of what hangs at the end
        for (auto& each : clients) each->leave();
        loop.run_virtual(loop.now());
    }
    void expect_all_over() {
        for (auto& each : clients) each->leave();
        connect();
        expect_nothing_left();
    }
};
} // namespace

TEST_CASE("N15 per model: one that fails opens its own circuit, and goes elsewhere; the other is served as ever") {
    moody f;
    f.moods = {{"big", mood::well}, {"small", mood::well}};
    for (int i = 0; i < 3; ++i) {
        f.expect_well("big");
        f.expect_well("small");
    }
    f.moods["big"] = mood::fails;
    int paid = 0;
    for (int i = 0; i < 10; ++i) {
        f.pass(100ms);
        paid += f.who("big").front() == "provider";
        f.expect_well("small");
    }
    CHECK(paid <= 4);
    CHECK(f.who("big") == words{"backup"});
    CHECK(f.told("provider/big open"));
    CHECK_FALSE(f.told("provider open"));
    CHECK(f.report().circuit->state == circuit_state::closed);
    REQUIRE(f.report().models.size() == 1);
    CHECK(f.report().models[0].name == "big");
    CHECK(f.report().models[0].circuit->state == circuit_state::open);
    CHECK(has(f.seen.journal, "passed_over model_circuit_open upstream=provider"));

    for (int i = 0; i < 60; ++i) { // while it lasts
        f.pass(1s);
        f.who("big");
        f.expect_well("small");
    }
    CHECK_FALSE(f.told("provider open"));
    f.moods["big"] = mood::well;
    duration until{};
    for (; f.who("big") != words{"provider"} && until < 60s; until += 1s) f.pass(1s);
    CHECK(until <= 30s);
    f.who("big");
    f.who("big");
    CHECK(f.told("provider/big closed"));
    CHECK(f.report().models.empty());
    f.expect_well("big");
    f.expect_all_over();
}

TEST_CASE("N15 per model: one that is silent is asked second after one caller has paid; the other never is") {
    moody f;
    f.moods = {{"big", mood::well}, {"small", mood::well}};
    for (int i = 0; i < 3; ++i) {
        f.expect_well("big");
        f.expect_well("small");
    }
    f.moods["big"] = mood::silent;
    SUBCASE("others are asked meanwhile") {
        f.clients.push_back(std::make_unique<scripted_client>(f.loop));
        f.loop.nursery().spawn(request::client_connection::run(
            std::make_unique<request::client_connection>(f.context, f.clients.back()->connect())));
        f.clients.back()->send(ask_for("big"));
        f.pass(300ms);
        f.expect_well("small");
        f.pass(1s); // joined by another attempt
        CHECK(has(f.clients[f.clients.size() - 2]->received(), " 200 "));
        CHECK(f.told("provider/big second"));
        CHECK_FALSE(f.told("provider second"));
    }
    SUBCASE("nobody else is asked until then") {
        CHECK(f.ask(ask_for("big")) <= 1s + 50ms);
        CHECK(f.told("provider second")); // of which nobody knew that it was the model
        f.pass(1s);
        f.who("small"); // a copy looks
        f.pass(100ms);
        CHECK(f.told("provider first"));
        CHECK(f.told("provider/big second"));
    }
    for (int i = 0; i < 60; ++i) {
        f.pass(1s);
        f.asked.clear();
        CHECK(f.ask(ask_for("big")) <= 21ms);
        CHECK(f.asked.front() == "backup big");
        f.expect_well("small");
    }
    CHECK(std::count(f.seen.changes.begin(), f.seen.changes.end(), "provider second") <= 1);
    CHECK_FALSE(f.told("provider open"));
    REQUIRE(f.report().models.size() == 1);
    CHECK(f.report().models[0].doubt.has_value());
    f.moods["big"] = mood::well;
    duration until{};
    for (; f.who("big").front() != "provider" && until < 60s; until += 1s) f.pass(1s);
    CHECK(until <= 45s);
    CHECK(f.told("provider/big first"));
    f.expect_well("big");
    f.expect_all_over();
}

TEST_CASE("N15 per model: one that is throttled rests for itself, and one that is slow is asked second for itself") {
    moody f;
    f.moods = {{"big", mood::fails}, {"small", mood::well}};
    for (int i = 0; i < 2; ++i) f.who("big"); // how fast the other one is
    f.moods["big"] = mood::well;
    for (int i = 0; i < 3; ++i) {
        f.expect_well("big");
        f.expect_well("small");
    }
    SUBCASE("throttled") {
        f.moods["big"] = mood::throttled;
        for (int i = 0; i < 10; ++i) {
            f.pass(1s);
            CHECK(f.who("big").back() == "backup");
            f.expect_well("small");
        }
        CHECK(f.who("big") == words{"backup"});
        CHECK(f.report().cooldown->resting == 1);
    }
    SUBCASE("slow") {
        f.moods["big"] = mood::slow;
        for (int i = 0; i < 4; ++i) {
            f.who("big");
            f.expect_well("small");
        }
        CHECK(f.told("provider/big second"));
        CHECK_FALSE(f.told("provider second"));
        CHECK(f.ask(ask_for("big")) <= 21ms);
        CHECK(f.report().models.at(0).doubt->slow);
    }
    f.expect_all_over();
}

TEST_CASE("what is common to models is their endpoint's: two that fail, a way that is gone, no name") {
    moody f;
    f.moods = {{"big", mood::well}, {"small", mood::well}, {"third", mood::well}};
    for (const char* each : {"big", "small", "third"}) f.expect_well(each);
    SUBCASE("two fail") {
        f.moods["big"] = f.moods["small"] = mood::fails;
        for (int i = 0; i < 2; ++i) {
            f.who("big");
            f.who("small");
        }
    }
    SUBCASE("two are silent") {
        f.moods["big"] = f.moods["small"] = mood::silent;
        f.who("big");
        CHECK(f.told("provider second"));
        CHECK(f.who("third").front() == "backup");
        return;
    }
    SUBCASE("the way is gone") {
        f.way_is_gone = true;
        for (const char* each : {"big", "small", "third", "big"}) CHECK(f.who(each) == words{"backup"});
        CHECK(f.report().models.empty());
    }
    SUBCASE("no name") {
        f.moods["nobody"] = mood::fails;
        for (int i = 0; i < 3; ++i) f.ask(post_to("/v1/chat/completions", R"({"messages":["nobody"]})"));
    }
    CHECK(f.told("provider open"));
    CHECK(f.seen.changes == words{"provider open"});
    CHECK(f.who("third") == words{"backup"});
    f.expect_all_over();
}

TEST_CASE("an endpoint that was left for one model is closed by another, and not opened by the first again") {
    moody f;
    f.moods = {{"big", mood::fails}, {"small", mood::well}};
    for (int i = 0; i < 3; ++i) f.who("big");
    REQUIRE(f.told("provider open"));
    int failed = 0;
    for (int i = 0; i < 60; ++i) {
        f.pass(1s);
        failed += f.who("big").front() == "provider";
        f.who("small");
    }
    CHECK(failed <= 8); // probes of its own
    CHECK(std::count(f.seen.changes.begin(), f.seen.changes.end(), "provider open") <= 2);
    CHECK(f.told("provider/big open"));
    CHECK(f.report().circuit->state == circuit_state::closed);
    f.expect_well("small");
    f.expect_all_over();
}

TEST_CASE("a model is what names one: a member, a path, a form; under whatever name its client has for it") {
    moody f;
    f.moods = {{"big", mood::fails}, {"small", mood::well}};
    const auto in_path = [](const std::string& model) {
        return post_to("/openai/deployments/" + model + "/chat/completions?api-version=2024-10-21",
                       R"({"messages":[]})");
    };
    const auto in_form = [](const std::string& model) {
        return post_to(
            "/v1/audio/transcriptions",
            "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n" + model +
                "\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n"
                "--b--\r\n",
            "multipart/form-data; boundary=b");
    };
    const auto opens = [&](const auto& request_for, const std::string& big, const std::string& small,
                           const std::string& name) {
        for (int i = 0; i < 4; ++i) {
            f.ask(request_for(big));
            CHECK(has(f.clients.back()->received(), " 200 "));
            f.asked.clear();
            CHECK(f.ask(request_for(small)) <= 21ms);
            CHECK(f.asked == words{"provider small"});
        }
        f.asked.clear();
        f.ask(request_for(big));
        REQUIRE(f.asked.size() == 1);
        CHECK(f.asked.front().starts_with("backup ")); // which has its own name for it, or none
        CHECK_FALSE(f.told("provider open"));
        REQUIRE(f.report().models.size() == 1);
        if (!name.empty()) CHECK(f.report().models[0].name == name);
    };
    SUBCASE("in the path") { opens(in_path, "big", "small", "big"); }
    SUBCASE("in a form") { opens(in_form, "big", "small", ""); }
    SUBCASE("an upstream's own name for it") {
        f.provider->models = {{"large", "big"}, {"huge*", "big"}};
        f.use();
        for (int i = 0; i < 2; ++i) { // two names of one: no two models
            f.ask(ask_for("large"));
            f.ask(ask_for("small"));
            f.ask(ask_for("huge-2"));
            f.ask(ask_for("small"));
        }
        CHECK_FALSE(f.told("provider open"));
        REQUIRE(f.report().models.size() == 1);
        CHECK(f.report().models[0].name == "big");
        for (const char* each : {"large", "huge-1", "big"}) {
            f.asked.clear();
            f.ask(ask_for(each));
            CHECK(f.asked.size() == 1);
            CHECK(f.asked.front().starts_with("backup "));
        }
    }
    SUBCASE("in a path, by an upstream's own name") {
        f.provider->models = {{"large", "big"}};
        f.use();
        opens(in_path, "large", "small", "big");
    }
    f.expect_all_over();
}

TEST_CASE("a lone endpoint: who asks for the model that fails waits for it, and nobody else does") {
    moody f(false);
    f.route->retry.max_retries = 0;
    f.use();
    f.moods = {{"big", mood::fails}, {"small", mood::well}};
    for (int i = 0; i < 20; ++i) {
        if (f.report().models.empty()) f.ask(ask_for("big"), 25ms);
        f.expect_well("small");
    }
    REQUIRE(f.told("provider/big open"));
    CHECK_FALSE(f.told("provider open"));
    f.moods["big"] = mood::well;
    f.clients.push_back(std::make_unique<scripted_client>(f.loop));
    f.loop.nursery().spawn(request::client_connection::run(
        std::make_unique<request::client_connection>(f.context, f.clients.back()->connect())));
    const std::size_t waits = f.clients.size() - 1;
    f.clients.back()->send(ask_for("big"));
    f.pass(1ms);
    f.expect_well("small");
    CHECK(f.clients[waits]->received().empty());
    f.pass(5s);
    CHECK(has(f.clients[waits]->received(), " 200 "));
    CHECK(has(f.seen.journal, "holding model_circuit_open"));

    f.route->circuit_breaker.when_open = when_open::reject; // and what it is told where it does not wait
    f.moods["big"] = mood::fails;
    f.use();
    for (int i = 0; i < 40 && !has(f.clients.back()->received(), " 503 "); ++i) {
        f.ask(ask_for("big"), 25ms);
        if (!has(f.clients.back()->received(), " 503 ")) f.expect_well("small");
    }
    CHECK(has(f.clients.back()->received(), "'provider': its circuit for this model is open for another"));
    f.expect_all_over();
}

TEST_CASE("a hedge to the same endpoint, upcasts and a stream: a model's circuit counts as the endpoint's does") {
    moody f(false);
    f.moods = {{"big", mood::well}, {"small", mood::well}};
    SUBCASE("hedged") {
        f.route->hedge.on = true;
        f.route->hedge.delay = hedge_options::delay_kind::fixed;
        f.route->hedge.fixed = 10ms;
        f.route->hedge.target = hedge_target::any;
    }
    SUBCASE("upcast") { f.route->stream.upcast = true; }
    f.route->retry.max_retries = 1;
    f.use();
    for (int i = 0; i < 3; ++i) {
        f.ask(ask_for("big"));
        f.ask(ask_for("small"));
    }
    f.moods["big"] = mood::fails;
    for (int i = 0; i < 20; ++i) {
        if (f.report().models.empty()) f.ask(ask_for("big"), 100ms);
        f.ask(ask_for("small"));
        CHECK(has(f.clients.back()->received(), " 200 "));
    }
    CHECK(f.told("provider/big open"));
    CHECK_FALSE(f.told("provider open"));
    f.moods["big"] = mood::well;
    for (int i = 0; i < 40 && !f.told("provider/big closed"); ++i) {
        f.pass(1s);
        f.ask(ask_for("big"), 5s);
    }
    CHECK(f.told("provider/big closed"));
    f.expect_all_over();
}

TEST_CASE("a reload while a model's circuit is half-open keeps it, and a person's word ends it") {
    moody f;
    f.moods = {{"big", mood::fails}, {"small", mood::well}};
    for (int i = 0; i < 4; ++i) {
        f.who("big");
        f.expect_well("small");
    }
    REQUIRE(f.told("provider/big open"));
    f.pass(3s);
    f.moods["big"] = mood::silent; // its probe
    f.clients.push_back(std::make_unique<scripted_client>(f.loop));
    f.loop.nursery().spawn(request::client_connection::run(
        std::make_unique<request::client_connection>(f.context, f.clients.back()->connect())));
    f.clients.back()->send(ask_for("big"));
    f.pass(50ms);
    REQUIRE(f.report().models.at(0).circuit->state == circuit_state::half_open);
    CHECK(f.report().models[0].circuit->probes == 1);
    f.settings = std::make_shared<config::settings>(*f.settings);
    f.use();
    REQUIRE(f.report().models.at(0).circuit->state == circuit_state::half_open);
    f.clients.back()->leave();
    f.pass(50ms);
    CHECK(f.report().models.at(0).circuit->probes == 0);
    f.moods["big"] = mood::fails;

    REQUIRE(f.registry.force("", "provider", "", circuit_state::open, f.loop.now()));
    CHECK(f.report().models.empty());
    CHECK(f.who("small") == words{"backup"});
    REQUIRE(f.registry.force("", "provider", "", circuit_state::closed, f.loop.now()));
    for (int i = 0; i < 8; ++i) {
        CHECK(f.who("big").front() == "provider"); // however much fails there
        f.expect_well("small");
    }
    CHECK(f.report().models.empty());
    REQUIRE(f.registry.force("", "provider", "", std::nullopt, f.loop.now()));
    for (int i = 0; i < 4; ++i) {
        f.who("big");
        f.expect_well("small");
    }
    CHECK(f.who("big") == words{"backup"}); // as at first
    f.expect_all_over();
}

TEST_CASE("copies look for each model, beside each other, and no more than four at an endpoint") {
    moody f;
    const words names{"m1", "m2", "m3", "m4", "m5", "m6"};
    for (const auto& each : names) f.moods[each] = mood::well;
    for (const auto& each : names) f.expect_well(each);
    for (const auto& each : names) f.moods[each] = mood::silent;
    f.who("m1");
    REQUIRE(f.told("provider second"));
    f.asked.clear();
    for (const auto& each : names) {
        const auto before = f.asked.size();
        CHECK(f.ask(ask_for(each)) <= 21ms);
        CHECK(f.asked[before].starts_with("backup "));
    }
    f.pass(500ms);
    const auto copies = [&] {
        return std::count_if(f.asked.begin(), f.asked.end(),
                             [](const auto& one) { return one.starts_with("provider"); });
    };
    CHECK(copies() >= 2);
    CHECK(copies() <= 4);
    for (const auto& each : names) f.moods[each] = mood::well;
    f.pass(30s);
    for (int i = 0; i < 3; ++i) {
        for (const auto& each : names) f.who(each);
        f.pass(5s);
    }
    for (const auto& each : names) f.expect_well(each);
    CHECK(f.report().models.empty());
    f.expect_all_over();
}

} // namespace evenkeel::test::model_flow_test

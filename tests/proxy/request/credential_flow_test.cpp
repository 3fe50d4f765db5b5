// Several credentials of one upstream, on the whole path of a request: which is shown, what a refusal of one does to
// the request, to the key and to nobody else, and what is told of it.

#include "tests/proxy/request/flow_fixture.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace evenkeel::test::credential_flow_test {

namespace {
constexpr std::string_view canary = "sk-CANARY-";

std::string ask_for(const std::string& model, const std::string& fields = "",
                    const std::string& path = "/v1/chat/completions") {
    const std::string body = R"({"model":")" + model + R"(","messages":[]})";
    return "POST " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "Content-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}
const std::string limited = status_answer(429, "Retry-After: 8\r\n");
const std::string revoked = status_answer(401, "", R"({"error":{"code":"invalid_api_key","message":"no"}})");
const std::string spent =
    status_answer(402, "", R"({"error":{"type":"insufficient_quota","code":"insufficient_quota"}})");

// One upstream that answers by the key it is shown, 20 ms after it was asked.
struct with_keys : fixture {
    std::vector<std::string> asked;              // the names of the keys shown, one by one
    std::map<std::string, std::string> by_key;   // answers; else a good one
    std::map<std::string, std::string> by_model; // ... of a key, as "key/model"
    std::string silent;                          // this key is never answered
    std::string written;                         // all that was sent upstream
    std::vector<std::unique_ptr<scripted_client>> clients;

    explicit with_keys(const std::vector<std::string>& names = {"team", "spare"}) {
        route->cooldown.on = true;
        route->circuit_breaker.on = true;
        route->retry.max_retries = 3;
        route->retry.backoff = {.initial = 100ms, .max = 1s, .base = 2, .jitter = jitter::none};
        for (const std::string& name : names) provider->credentials.push_back(of_name(name));
        provider->own_credential = true;
        upstream.choose([this](const config::upstream&, std::size_t) {
            exchange_script script;
            script.serve = [this](const exchange_log& log) { return steps_for(log.written); };
            return script;
        });
    }
    static config::credential of_name(const std::string& name, const std::string& more = "") {
        return {name, {{"authorization", "Bearer " + std::string{canary} + name + more}}};
    }
    std::vector<play_step> steps_for(const std::string& all) {
        written = all;
        const auto at = all.rfind(canary);
        const std::string head = at == std::string::npos ? "" : all.substr(at + canary.size(), 40);
        const std::string key = head.substr(0, head.find_first_of("\r+"));
        asked.push_back(key);
        if (key == silent) return {play::silence{}};
        std::string answer = by_key.contains(key) ? by_key[key] : ok_json;
        for (const auto& [which, said] : by_model) {
            const auto slash = which.find('/');
            if (which.substr(0, slash) == key && has(all.substr(at), "\"" + which.substr(slash + 1) + "\""))
                answer = said;
        }
        return {play::pause{20ms}, play::send{answer}};
    }
    void begin() { context.use(settings, registry.prepare(*settings)); }
    std::string ask(const std::string& request, duration within = 200ms) {
        clients.push_back(std::make_unique<scripted_client>(loop));
        loop.nursery().spawn(request::client_connection::run(
            std::make_unique<request::client_connection>(context, clients.back()->connect())));
        clients.back()->send(request);
        pass(within);
        return clients.back()->received();
    }
    const telemetry::endpoint_report report() {
        return registry.report(*settings, loop.now()).routes.at(0).endpoints.at(0);
    }
    credential_lane::summary of_key(std::size_t at) { return report().credentials.at(at).seen; }
    // Nothing of a key is anywhere but upstream.
    void expect_secrets_kept() {
        for (const auto& each : clients) CHECK_FALSE(has(each->received(), canary));
        CHECK_FALSE(has(seen.journal, canary));
        CHECK_FALSE(has(seen.last.tries, canary));
    }
    void expect_all_over() {
        expect_secrets_kept();
        for (auto& each : clients) each->leave();
        connect();
        expect_nothing_left();
        for (const auto& one : report().credentials) CHECK(one.seen.in_flight == 0);
    }
};
using names = std::vector<std::string>;
} // namespace

TEST_CASE("credentials: a limited key rests for its model, and the request goes on at once with the next") {
    with_keys f;
    f.by_model["team/big"] = limited;
    f.begin();
    const std::string said = f.ask(ask_for("big"), 41ms); // twice 20 ms: no pause between
    CHECK(has(said, " 200 "));
    CHECK(f.asked == names{"team", "spare"});
    CHECK(has(said, "x-evenkeel-tries: provider/team;kind=first;end=rate_limited;status=429;"));
    CHECK(has(said, ", provider/spare;kind=retry;why=next_credential;end=success;status=200;"));
    CHECK(has(f.seen.journal, "launched first attempt=1 upstream=provider credential=team"));
    CHECK(has(f.seen.journal, "launched next_credential attempt=2 upstream=provider credential=spare"));
    CHECK(has(f.seen.last.tries, R"("credential":"team")"));
    CHECK(f.seen.requests.back().service == telemetry::request_service::retried);

    f.asked.clear();
    CHECK(has(f.ask(ask_for("big")), " 200 "));
    CHECK(has(f.ask(ask_for("small")), " 200 ")); // whose limit is another
    CHECK(f.asked == names{"spare", "team"});
    CHECK(f.of_key(0).state == credential_state::resting);
    CHECK(f.of_key(0).why == outcome_kind::rate_limited);
    CHECK(f.of_key(1).state == credential_state::well);
    CHECK(f.report().circuit->failures == 0);
    CHECK_FALSE((f.report().cooldown && f.report().cooldown->until)); // the endpoint does not rest

    f.pass(8s);
    f.by_model.clear();
    f.asked.clear();
    CHECK(has(f.ask(ask_for("big")), " 200 "));
    CHECK(f.asked == names{"team"});
    f.expect_all_over();
}

TEST_CASE("credentials: a limited key rests for the model as its upstream is asked for it, whatever callers say") {
    with_keys f;
    f.provider->models = {{"fast", "small"}, {"quick", "small"}};
    f.by_model["team/small"] = limited;
    f.begin();
    CHECK(has(f.ask(ask_for("fast")), " 200 "));
    CHECK(has(f.ask(ask_for("quick")), " 200 "));
    CHECK(has(f.ask(ask_for("small")), " 200 "));
    CHECK(has(f.ask(ask_for("big")), " 200 "));
    CHECK(f.asked == names{"team", "spare", "spare", "spare", "team"});
    f.expect_all_over();
}

// A permit that holds all three: of the circuit, of the model's own circuit, and a key.
TEST_CASE(
    "credentials: the circuit of a model is of no key: any may probe it, and one that is limited fails no probe") {
    with_keys f;
    f.route->circuit_breaker.failure_ratio = 0; // three in a row,
    f.route->circuit_breaker.min_calls = 3;     // although it is all there is
    f.route->circuit_breaker.ramp = duration::zero();
    f.by_model = {{"team/big", status_answer(500)}, {"spare/big", status_answer(500)}};
    f.begin();
    f.ask(ask_for("big"), 30ms);                      // has failed once by then,
    CHECK(has(f.ask(ask_for("small"), 1s), " 200 ")); // and twice behind this
    REQUIRE(f.report().models.size() == 1);
    CHECK(f.report().models[0].name == "big");
    CHECK(f.report().models[0].circuit->state == circuit_state::open);
    CHECK(f.report().circuit->state == circuit_state::closed);
    for (const std::size_t key : {0, 1}) CHECK(f.of_key(key).state == credential_state::well);
    for (auto& each : f.clients) each->leave(); // what still waits for that circuit
    f.pass(100ms);

    f.by_model = {{"team/big", limited}};
    f.asked.clear();
    const std::string said = f.ask(ask_for("big"), 60s); // waits for the probe that it is
    CHECK(has(said, " 200 "));
    CHECK(f.asked == names{"team", "spare"});
    CHECK(has(said, "provider/team;kind=first;end=rate_limited;status=429;"));
    CHECK(has(said, ", provider/spare;kind=retry;why=next_credential;end=success;status=200;"));
    f.ask(ask_for("big"));
    CHECK(f.report().models.empty()); // closed again
    f.expect_all_over();
}

TEST_CASE("credentials: a revoked key and one without money are dead, asked again by one request, and come back") {
    with_keys f({"team", "poor", "spare"});
    f.by_key["team"] = revoked;
    f.by_key["poor"] = spent;
    f.begin();
    CHECK(has(f.ask(ask_for("m")), " 200 "));
    CHECK(f.asked == names{"team", "poor", "spare"});
    CHECK(f.of_key(0).state == credential_state::dead);
    CHECK(f.of_key(0).why == outcome_kind::credential);
    CHECK(f.of_key(1).state == credential_state::dead);
    CHECK(f.of_key(1).why == outcome_kind::quota);
    f.asked.clear();
    for (const char* model : {"m", "n", "o"}) CHECK(has(f.ask(ask_for(model)), " 200 "));
    CHECK(f.asked == names{"spare", "spare", "spare"});

    // Its time has come: one request finds out about each, and is served all the same.
    f.pass(15min);
    f.by_key["poor"] = ok_json;
    f.asked.clear();
    CHECK(has(f.ask(ask_for("m")), " 200 "));
    CHECK(f.asked == names{"team", "poor"});
    CHECK(f.of_key(1).state == credential_state::well);
    f.asked.clear();
    CHECK(has(f.ask(ask_for("m")), " 200 "));
    CHECK(f.asked == names{"poor"});
    CHECK(f.of_key(0).state == credential_state::dead);
    CHECK(*f.of_key(0).until - f.loop.now() > 29min);
    f.expect_all_over();
}

TEST_CASE("credentials: who could not go elsewhere does not ask a dead key, as long as another works") {
    with_keys f;
    f.by_key["team"] = revoked;
    f.begin();
    f.ask(ask_for("m"));
    f.pass(15min);
    f.route->retry.max_retries = 0;
    f.asked.clear();
    CHECK(has(f.ask(ask_for("m")), " 200 "));
    CHECK(f.asked == names{"spare"});
    f.route->retry.max_retries = 3;
    CHECK(has(f.ask(ask_for("m")), " 200 "));
    CHECK(f.asked == names{"spare", "team", "spare"});
    f.expect_all_over();
}

TEST_CASE("credentials: where all are limited the request waits for the first to be had again") {
    with_keys f;
    f.by_key["team"] = status_answer(429, "Retry-After: 8\r\n");
    f.by_key["spare"] = status_answer(429, "Retry-After: 3\r\n");
    f.begin();
    CHECK(f.ask(ask_for("m"), 2s).empty());
    CHECK(f.report().cooldown->until);
    f.by_key.clear();
    f.pass(3s);
    CHECK(has(f.clients.back()->received(), " 200 "));
    CHECK(f.asked == names{"team", "spare", "spare"});
    f.expect_all_over();
}

TEST_CASE("credentials: a refusal had no effect, so what may not be repeated goes on with the next key as well") {
    with_keys f;
    f.by_key["team"] = limited;
    f.begin();
    CHECK(has(f.ask(ask_for("m", "", "/v1/threads")), " 200 "));
    CHECK(f.asked == names{"team", "spare"});
    f.expect_all_over();
}

TEST_CASE("credentials: the next key is paid by no budget, but is one of max_retries") {
    with_keys f({"a", "b", "c"});
    for (const char* key : {"a", "b"}) f.by_key[key] = revoked;
    f.route->retry.budget.burst = 0;
    SUBCASE("an empty budget") {
        f.begin();
        CHECK(has(f.ask(ask_for("m")), " 200 "));
        CHECK(f.asked == names{"a", "b", "c"});
    }
    SUBCASE("one retry") {
        f.route->retry.max_retries = 1;
        f.begin();
        CHECK(has(f.ask(ask_for("m")), " 401 "));
        CHECK(f.asked == names{"a", "b"});
    }
    SUBCASE("none") {
        f.route->retry.max_retries = 0;
        f.begin();
        CHECK(has(f.ask(ask_for("m")), " 401 "));
        CHECK(f.asked == names{"a"});
    }
    f.expect_all_over();
}

TEST_CASE("credentials: x-should-retry: false is about the key that was shown") {
    with_keys f;
    f.by_key["team"] = status_answer(429, "x-should-retry: false\r\n");
    f.begin();
    CHECK(has(f.ask(ask_for("m")), " 200 "));
    f.by_key["spare"] = f.by_key["team"];
    CHECK(has(f.ask(ask_for("n")), " 429 ")); // nobody is left who was not told so
    CHECK(f.asked == names{"team", "spare", "team", "spare"});
    f.expect_all_over();
}

TEST_CASE("credentials: all refused for good is the answer, and the endpoint is not asked again by this request") {
    with_keys f;
    f.by_key["team"] = revoked;
    f.by_key["spare"] = spent;
    f.begin();
    const std::string said = f.ask(ask_for("m"), 5s);
    CHECK(has(said, " 402 "));
    CHECK(f.asked == names{"team", "spare"});
    f.expect_all_over();
}

TEST_CASE("credentials: a refusal of the model alone sends the request on and lets the key live") {
    with_keys f;
    f.by_model["team/big"] =
        status_answer(403, "", R"({"error":{"code":"model_not_found","type":"permission_error"}})");
    f.begin();
    CHECK(has(f.ask(ask_for("big")), " 200 "));
    CHECK(f.asked == names{"team", "spare"});
    CHECK(f.of_key(0).state == credential_state::well);
    f.expect_all_over();
}

TEST_CASE("credentials: another upstream follows when no key is left") {
    with_keys f;
    auto other = std::make_shared<config::upstream>();
    other->name = "other";
    other->address.authority = "other.example";
    other->own_credential = true;
    other->headers.set = {{"authorization", "Bearer sk-CANARY-other"}};
    f.route->upstreams.push_back(other);
    f.settings->upstreams.push_back(other);
    f.by_key["team"] = revoked;
    f.by_key["spare"] = limited;
    f.begin();
    CHECK(has(f.ask(ask_for("m"), 100ms), " 200 "));
    CHECK(f.asked == names{"team", "spare", "other"});
    CHECK(has(f.seen.journal, "launched failover attempt=3 upstream=other"));
    f.expect_all_over();
}

TEST_CASE("credentials: what is said of a key holds at every endpoint of its upstream") {
    with_keys f;
    auto second = std::make_shared<config::upstream>(*f.provider);
    f.provider->endpoint = {"one.example", "", true};
    second->endpoint = {"two.example", "", true};
    f.route->upstreams = {f.provider, second};
    f.settings->upstreams = {f.provider, second};
    f.by_key["team"] = limited;
    f.begin();
    CHECK(has(f.ask(ask_for("m")), " 200 "));
    CHECK(f.asked == names{"team", "spare"});
    for (int i = 0; i < 6; ++i) f.ask(ask_for("m"));
    CHECK(f.asked.size() == 8);
    CHECK(std::count(f.asked.begin(), f.asked.end(), "team") == 1);
    f.expect_all_over();
}

TEST_CASE("credentials: a rescue of the only endpoint is sent with another key") {
    with_keys f;
    f.silent = "team";
    f.route->timeout.rescue = {.on = true, .after = 1s};
    f.begin();
    CHECK(has(f.ask(ask_for("m"), 1100ms), " 200 "));
    CHECK(f.asked == names{"team", "spare"});
    CHECK(has(f.seen.journal, "launched rescue attempt=2 upstream=provider credential=spare"));
    f.expect_all_over();
}

TEST_CASE("credentials: spread shares attempts under way among the keys") {
    with_keys f({"a", "b", "c"});
    f.provider->credential_order = credential_order::spread;
    f.begin();
    for (int i = 0; i < 6; ++i) f.ask(ask_for("m"), 1ms);
    std::sort(f.asked.begin(), f.asked.end());
    CHECK(f.asked == names{"a", "a", "b", "b", "c", "c"});
    CHECK(f.of_key(0).in_flight == 2);
    f.pass(100ms);
    f.expect_all_over();
}

TEST_CASE("credentials: quota_scope upstream: what one key is limited by, none is asked against") {
    with_keys f;
    f.provider->quota_scope = quota_scope::upstream;
    f.by_key["team"] = status_answer(429, "Retry-After: 3\r\n");
    f.begin();
    CHECK(f.ask(ask_for("m"), 2s).empty());
    CHECK(f.asked == names{"team"});
    CHECK(f.of_key(1).state == credential_state::resting);
    f.by_key.clear();
    f.pass(3s);
    CHECK(has(f.clients.back()->received(), " 200 "));
    // That a key is not accepted is its own affair.
    f.by_key["team"] = revoked;
    f.asked.clear();
    CHECK(has(f.ask(ask_for("m")), " 200 "));
    CHECK(f.asked == names{"team", "spare"});
    f.expect_all_over();
}

TEST_CASE("credentials: an operator drains, rests and revives a key, by its name") {
    using word = request::policy_registry::credential_word;
    with_keys f;
    f.begin();
    CHECK(f.registry.say("provider", "nobody", {word::kind::drained}, f.loop.now()) == 0);
    CHECK(f.registry.say("nobody", "", {word::kind::drained}, f.loop.now()) == 0);
    f.ask(ask_for("m"), 10ms); // under way with the first
    CHECK(f.registry.say("provider", "team", {word::kind::drained}, f.loop.now()) == 1);
    f.pass(30ms);
    CHECK(has(f.clients.back()->received(), " 200 ")); // it was finished
    f.ask(ask_for("m"));
    CHECK(f.asked == names{"team", "spare"});
    CHECK(f.of_key(0).state == credential_state::drained);

    CHECK(f.registry.say("provider", "spare", {word::kind::resting, f.loop.now() + 10s}, f.loop.now()) == 1);
    CHECK(f.ask(ask_for("m"), 5s).empty()); // waits
    f.pass(7s);
    CHECK(has(f.clients.back()->received(), " 200 "));

    CHECK(f.registry.say("provider", "", {word::kind::drained}, f.loop.now()) == 2);
    const std::string refused = f.ask(ask_for("m"), 100ms);
    CHECK(has(refused, " 503 "));
    CHECK(has(refused, "'provider': an operator keeps back its keys"));
    CHECK(f.asked.size() == 3);

    f.by_key["team"] = revoked;
    CHECK(f.registry.say("provider", "", {word::kind::well}, f.loop.now()) == 2);
    CHECK(has(f.ask(ask_for("m")), " 200 "));
    CHECK(f.of_key(0).state == credential_state::dead);
    f.by_key.clear();
    f.asked.clear();
    CHECK(f.registry.say("provider", "team", {word::kind::well}, f.loop.now()) == 1);
    f.ask(ask_for("m"));
    CHECK(f.asked == names{"team"});
    f.by_key["team"] = revoked;
    f.ask(ask_for("m"));
    CHECK(f.registry.end_rests("provider", "", f.loop.now()) == 1);
    CHECK(f.of_key(0).state == credential_state::well);
    f.expect_all_over();
}

TEST_CASE("credentials: a reload with another secret ends the death of that key and leaves the others as they are") {
    with_keys f({"team", "poor", "spare"});
    f.by_key["team"] = revoked;
    f.by_key["poor"] = spent;
    f.begin();
    f.ask(ask_for("m"));
    const auto with = [&](std::vector<config::credential> list) {
        auto next = std::make_shared<config::upstream>(*f.provider);
        next->credentials = std::move(list);
        auto route = std::make_shared<config::route>(*f.route);
        route->upstreams = {next};
        f.settings = std::make_shared<config::settings>(*f.settings);
        f.settings->upstreams = {next};
        f.settings->routes = {route};
        f.begin();
    };
    SUBCASE("the same list") {
        with(f.provider->credentials);
        CHECK(f.of_key(0).state == credential_state::dead);
        CHECK(f.of_key(1).state == credential_state::dead);
    }
    SUBCASE("another secret, in another order") {
        with({f.of_name("spare"), f.of_name("poor"), f.of_name("team", "+2")});
        CHECK(f.of_key(0).state == credential_state::well);
        CHECK(f.of_key(1).state == credential_state::dead);
        CHECK(f.of_key(2).state == credential_state::well);
    }
    SUBCASE("what is refused to the old one later is nothing to the new") {
        f.pass(15min);
        f.asked.clear();
        f.ask(ask_for("m"), 10ms); // asks the dead one again
        CHECK(f.asked == names{"team"});
        with({f.of_name("team", "+2"), f.of_name("poor"), f.of_name("spare")});
        f.pass(100ms);
        CHECK(f.of_key(0).state == credential_state::well);
        CHECK(f.of_key(1).state == credential_state::dead);
    }
    SUBCASE("an operator's word is about the name") {
        using word = request::policy_registry::credential_word;
        f.registry.say("provider", "team", {word::kind::drained}, f.loop.now());
        f.registry.say("provider", "poor", {word::kind::resting, f.loop.now() + 1h}, f.loop.now());
        with({f.of_name("team", "+2"), f.of_name("poor", "+2"), f.of_name("spare")});
        CHECK(f.of_key(0).state == credential_state::drained);
        CHECK(f.of_key(1).state == credential_state::resting);
        CHECK(f.of_key(1).by_operator);
    }
    SUBCASE("a report of the configuration before does not bring the old secret back") {
        const auto before = f.settings;
        with({f.of_name("team", "+2"), f.of_name("poor"), f.of_name("spare")});
        static_cast<void>(f.registry.report(*before, f.loop.now()));
        f.by_key["team"] = revoked;
        f.ask(ask_for("m"));
        static_cast<void>(f.registry.report(*before, f.loop.now()));
        with({f.of_name("team", "+2"), f.of_name("poor"), f.of_name("spare")});
        CHECK(f.of_key(0).state == credential_state::dead);
    }
    f.expect_all_over();
}

TEST_CASE("credentials: the caller's own never go there, and a field of the route's gives way") {
    with_keys f;
    f.provider->credentials[0].set.emplace_back("openai-project", "of-team");
    f.route->headers.set = {{"openai-project", "of-route"}, {"x-title", "kept"}};
    f.begin();
    CHECK(has(f.ask(ask_for("m", "Authorization: Bearer sk-CALLER\r\nx-api-key: sk-CALLER\r\nOpenAI-Project: mine\r\n",
                            "/v1/chat/completions?key=sk-CALLER&alt=sse")),
              " 200 "));
    CHECK_FALSE(has(f.written, "sk-CALLER"));
    CHECK_FALSE(has(f.written, "mine"));
    CHECK_FALSE(has(f.written, "of-route"));
    CHECK(has(f.written, "openai-project: of-team\r\n"));
    CHECK(has(f.written, "x-title: kept\r\n"));
    CHECK(f.written.find("authorization:") == f.written.rfind("authorization:"));
    f.expect_all_over();
}

TEST_CASE("credentials: with `cooldown: off` nothing is remembered, but each request goes from key to key") {
    with_keys f;
    f.route->cooldown.on = false;
    f.by_key["team"] = limited;
    f.begin();
    for (int i = 0; i < 2; ++i) CHECK(has(f.ask(ask_for("m")), " 200 "));
    CHECK(f.asked == names{"team", "spare", "team", "spare"});
    f.expect_all_over();
}

} // namespace evenkeel::test::credential_flow_test

// Nothing crosses from one caller to another: who is told apart, by whatever he is told apart, and who is not.

#include "proxy/fallback/last_good_key.hpp"
#include "proxy/reading/credentials.hpp"
#include "proxy/reading/outgoing.hpp"
#include "proxy/reading/principal.hpp"
#include "proxy/reading/router.hpp"
#include "proxy/state/endpoint_permit.hpp"
#include "proxy/wire/gate.hpp"
#include "proxy/wire/json_model.hpp"
#include "tests/proxy/request/coalesce_fixture.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace evenkeel::test::crossing_test {

namespace {
using fields = std::vector<std::pair<std::string, std::string>>;

// A place where a credential may stand. One of these is filled.
struct kind {
    std::string field{}, query{}, member{};
    [[nodiscard]] std::string name() const {
        return !field.empty() ? field : !query.empty() ? "?" + query : "{" + member;
    }
};

const std::vector<kind>& kinds() {
    static const std::vector<kind> all = [] {
        std::vector<kind> out;
        for (const char* field : {"Authorization",
                                  "Proxy-Authorization",
                                  "X-Api-Key",
                                  "api-key",
                                  "x-goog-api-key",
                                  "Ocp-Apim-Subscription-Key",
                                  "X-Auth-Token",
                                  "cf-aig-authorization",
                                  "X-Amz-Security-Token",
                                  "Cookie",
                                  "OpenAI-Organization",
                                  "OpenAI-Project",
                                  "anthropic-organization-id",
                                  "x-goog-user-project",
                                  "Helicone-Auth",
                                  "x-portkey-api-key",
                                  "x-portkey-virtual-key",
                                  "xi-api-key",
                                  "x-functions-key",
                                  "x-rapidapi-key",
                                  "X-Access-Token",
                                  "private-token",
                                  "x-litellm-api-key",
                                  "cf-access-jwt-assertion",
                                  "x-forwarded-access-token",
                                  "x-openai-api-key",
                                  "x-team-token",
                                  "dpop",
                                  "x-app-secret",
                                  "x-serverless-authorization"}) {
            out.push_back({.field = field});
        }
        for (const char* query : {"key", "api_key", "api-key", "access_token", "token", "subscription-key", "sig",
                                  "X-Amz-Signature", "X-Amz-Security-Token", "code"})
            out.push_back({.query = query});
        for (const char* member : {"api_key", "access_token", "aws_secret_access_key", "authorization"})
            out.push_back({.member = member});
        return out;
    }();
    return all;
}

struct asked {
    std::string target = "/v1/chat/completions";
    fields with{{"Content-Type", "application/json"}, {"User-Agent", "sdk/1"}};
    std::string members = R"("seed":7)";

    [[nodiscard]] asked and_field(const std::string& name, const std::string& value) const {
        asked out = *this;
        out.with.emplace_back(name, value);
        return out;
    }
    [[nodiscard]] asked with_credential(const kind& where, const std::string& value) const {
        asked out = *this;
        if (!where.field.empty()) out.with.emplace_back(where.field, value);
        if (!where.query.empty())
            out.target += (out.target.find('?') == std::string::npos ? "?" : "&") + where.query + "=" + value;
        if (!where.member.empty()) out.members += ",\"" + where.member + "\":\"" + value + "\"";
        return out;
    }
    [[nodiscard]] std::string text() const {
        const std::string body = "{" + members + "}";
        std::string out = "POST " + target + " HTTP/1.1\r\nHost: h\r\n";
        for (const auto& [name, value] : with) out += name + ": " + value + "\r\n";
        return out + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    }
};

std::string joined(const std::vector<std::string_view>& pieces) {
    std::string out;
    for (const std::string_view each : pieces) out += each;
    return out;
}

// One request as the gate reads it.
struct one_request {
    one_request(crowd& f, const asked& what)
        : text(what.text()), request({.settings = f.settings, .head = &head}, f.loop, f.services.buffers) {
        std::size_t scanned = 0;
        const auto read = wire::read_request_head(text, {.max_head_bytes = text.size()}, scanned, head);
        REQUIRE(read.is == wire::head_result::state::complete);
        request.route = f.route;
        request.body.begin_whole(
            head.body, request::copy_to_block(f.services.buffers, std::string_view{text}.substr(read.consumed)));
    }
    std::string text;
    wire::request_head head;
    request::client_request request;
};

struct world : crowd {
    request::hash_key secret{{}};
    config::credential_rules rules;

    std::optional<request::last_good_key> last_good(
        const asked& what, config::last_good_key_kind by = config::last_good_key_kind::request) {
        one_request one(*this, what);
        return request::last_good_key_of(one.request, by, false, secret);
    }
    std::optional<request::coalesce_key> coalesced(const asked& what) {
        one_request one(*this, what);
        return request::coalesce_key_of(one.request, {.asked = route}, secret);
    }
    std::uint64_t principal(const asked& what) {
        one_request one(*this, what);
        return request::principal_of(one.head, rules, one.request.body.text().view());
    }
    std::uint64_t tenant(const asked& what) {
        one_request one(*this, what);
        return request::tenant_of(one.head, rules);
    }
    int ask(const asked& what) {
        scripted_client one(loop, false);
        if (!context.policies) context.use(settings, registry.prepare(*settings));
        loop.nursery().spawn(
            request::client_connection::run(std::make_unique<request::client_connection>(context, one.connect())));
        one.send(what.text());
        for (int waited = 0; one.received().empty() && waited < 400; ++waited) pass(100ms);
        const int status = one.received().size() > 12 ? std::stoi(one.received().substr(9, 3)) : 0;
        one.leave();
        pass(0ms);
        return status;
    }
};
} // namespace

TEST_CASE("callers that differ in one credential alone are apart wherever something is shared: last good answers of "
          "both kinds, "
          "flights, rests") {
    REQUIRE(kinds().size() >= 40);
    world f;
    std::size_t same = 0;
    for (const bool authorized : {false, true}) { // also beside a credential that both have
        const asked base = authorized ? asked{}.and_field("X-Common-Key", "same") : asked{};
        for (const kind& each : kinds()) {
            CAPTURE(each.name());
            const asked none = base, one = base.with_credential(each, "sk-one"),
                        other = base.with_credential(each, "sk-two");
            const auto keyed = [](const asked& what) { return what.and_field("X-Evenkeel-Partial-Key", "dash"); };
            using enum config::last_good_key_kind;
            for (const auto& [a, b] : {std::pair{one, other}, std::pair{none, one}}) {
                REQUIRE(f.last_good(a));
                REQUIRE(f.last_good(keyed(a), partial_key));
                REQUIRE(f.coalesced(a));
                CHECK_FALSE(f.last_good(a) == f.last_good(b));
                CHECK_FALSE(f.last_good(keyed(a), partial_key) == f.last_good(keyed(b), partial_key));
                CHECK_FALSE(f.coalesced(a) == f.coalesced(b));
                CHECK(f.principal(a) != f.principal(b));
                same += f.last_good(a) == f.last_good(b);
            }
            CHECK(f.last_good(one) == f.last_good(one));
            CHECK(f.last_good(keyed(one), partial_key) == f.last_good(keyed(one), partial_key));
            CHECK(f.principal(one) == f.principal(one));
        }
    }
    CHECK(same == 0);
}

TEST_CASE("what a client says differently each time it repeats a question changes no last good answer") {
    world f;
    using enum config::last_good_key_kind;
    const asked base = asked{}.and_field("Authorization", "Bearer a").and_field("X-Evenkeel-Partial-Key", "dash");
    for (const char* name :
         {"x-request-id", "traceparent", "Idempotency-Key", "X-Stainless-Retry-Count", "x-evenkeel-timeout"}) {
        CAPTURE(name);
        CHECK(f.last_good(base.and_field(name, "1")) == f.last_good(base.and_field(name, "2")));
        CHECK(f.last_good(base.and_field(name, "1"), partial_key) ==
              f.last_good(base.and_field(name, "2"), partial_key));
    }
    for (const char* name : {"accept-language", "anthropic-beta", "x-made-up", "x-user", "content-language"}) {
        CAPTURE(name);
        CHECK_FALSE(f.last_good(base.and_field(name, "1")) == f.last_good(base.and_field(name, "2")));
        CHECK_FALSE(f.last_good(base.and_field(name, "1"), partial_key) ==
                    f.last_good(base.and_field(name, "2"), partial_key));
    }
    asked queried = base;
    queried.target += "?anything=1";
    CHECK_FALSE(f.last_good(queried) == f.last_good(base));
    CHECK_FALSE(f.last_good(queried, partial_key) == f.last_good(base, partial_key));
}

TEST_CASE("each kind in traffic: one caller's 429 rests that caller and nobody who differs from it") {
    for (const kind& each : kinds()) {
        CAPTURE(each.name());
        world f;
        f.route->coalesce = coalesce_mode::off;
        f.route->cooldown = {.on = true, .initial = 30s};
        f.context.use(f.settings, f.registry.prepare(*f.settings));
        const asked one = asked{}.with_credential(each, "one"), other = asked{}.with_credential(each, "two");
        f.upstream.next(answering(status_answer(429)));
        f.upstream.always(answering(ok_json));
        CHECK(f.ask(one) == 429);
        const steady_time then = f.loop.now();
        CHECK(f.ask(other) == 200);
        CHECK(f.loop.now() - then < 1s);
        CHECK(f.ask(one) == 200);
        CHECK(f.loop.now() - then > 20s); // it was held until its rest was over
        f.connect();
        f.expect_nothing_left();
    }
}

TEST_CASE("each kind in traffic: a good answer that is too large to hold ends the ramp of its own caller's rests") {
    const std::string chunked =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(R"({"a":)") +
        chunk("1}") + "0\r\n\r\n";
    for (const kind& each : kinds()) {
        for (const std::string& good : {ok_json, chunked}) {
            CAPTURE(each.name());
            CAPTURE(good);
            world f;
            f.route->coalesce = coalesce_mode::off;
            f.route->cooldown = {.on = true, .initial = 10s};
            f.route->stream.hold_buffer = 4;
            f.context.use(f.settings, f.registry.prepare(*f.settings));
            const asked one = asked{}.with_credential(each, "one");
            for (int i = 0; i < 3; ++i) {
                f.upstream.next(answering(status_answer(429)));
                CHECK(f.ask(one) == 429);
                const steady_time then = f.loop.now();
                f.upstream.next(answering(good));
                CHECK(f.ask(one) == 200);
                CHECK(f.loop.now() - then > 9s);
                CHECK(f.loop.now() - then < 11s);
            }
            f.connect();
            f.expect_nothing_left();
        }
    }
}

namespace {
// A second upstream, for whoever rests at the first.
std::shared_ptr<config::upstream> add_second(world& f) {
    auto second = std::make_shared<config::upstream>();
    second->name = "second";
    second->address.authority = "second.example";
    f.route->upstreams.push_back(second);
    f.settings->upstreams.push_back(second);
    return second;
}
} // namespace

TEST_CASE("a caller who cannot be told while his body is still coming rests nobody in another's place") {
    for (const kind& each : {kind{.field = "Authorization"}, kind{.member = "api_key"}}) {
        for (const auto& [early, shared] :
             {std::pair{true, ""}, std::pair{true, "OpenAI-Organization"}, std::pair{true, "Cookie"},
              std::pair{true, "Proxy-Authorization"}, std::pair{false, ""}, std::pair{false, "OpenAI-Organization"}}) {
            CAPTURE(each.name());
            CAPTURE(early);  // the 429 comes before the rest of the body
            CAPTURE(shared); // a field that all callers have
            const asked nobody = *shared != 0 ? asked{}.and_field(shared, "same") : asked{};
            world f;
            add_second(f);
            f.route->coalesce = coalesce_mode::off;
            f.route->cooldown = {.on = true, .initial = 30s};
            f.context.use(f.settings, f.registry.prepare(*f.settings));
            asked large = nobody;
            large.members += ",\"text\":\"" + std::string(200'000, 'x') + "\"";
            large = large.with_credential(each, "one");
            const std::string text = large.text();
            const auto send_large = [&](bool halted) {
                scripted_client client(f.loop, false);
                f.loop.nursery().spawn(request::client_connection::run(
                    std::make_unique<request::client_connection>(f.context, client.connect())));
                client.send(text.substr(0, 100'000));
                f.pass(50ms);
                if (!halted) client.send(text.substr(100'000));
                f.pass(100ms);
                CHECK(!client.received().empty());
                client.leave();
                f.pass(10ms);
                return f.upstream.exchanges().back()->upstream;
            };
            f.upstream.next({.steps = {play::request{early ? std::size_t{0} : std::size_t{200'000}},
                                       play::send{status_answer(429)}}});
            f.upstream.always(answering(ok_json));
            CHECK(send_large(early) == "provider");

            const auto asks = [&](const asked& what) {
                CHECK(f.ask(what) == 200);
                return f.upstream.exchanges().back()->upstream;
            };
            CHECK(asks(nobody) == "provider");
            CHECK(asks(nobody.with_credential(each, "two")) == "provider");
            const bool told = !each.field.empty() || !early;
            CHECK(asks(nobody.with_credential(each, "one")) == (told ? "second" : "provider"));
            f.connect();
            f.expect_nothing_left();
        }
    }
}

TEST_CASE("who has nowhere else to go is told by the same credential after his answer was begun as before") {
    for (const kind& each : {kind{.field = "Authorization"}, kind{.query = "key"}, kind{.member = "api_key"}}) {
        for (const bool rests : {true, false}) { // ... at the other upstream, so that the breaking one is all there is
            CAPTURE(each.name());
            CAPTURE(rests);
            world f;
            add_second(f);
            f.route->coalesce = coalesce_mode::off;
            f.route->cooldown = {.on = true, .initial = 30s};
            f.route->circuit_breaker.on = true;
            f.context.use(f.settings, f.registry.prepare(*f.settings));
            const asked one = asked{}.with_credential(each, "one");
            const auto& policies = f.context.policies->of(*f.route);
            if (rests)
                policies.endpoints[1].rest->throttled({f.principal(one)}, outcome_kind::rate_limited, 50s, 0.5,
                                                      f.loop.now());
            f.upstream.always({.steps = {play::request{2},
                                         play::send{stream_head + chunk("data: {\"choices\":[{\"delta\":"
                                                                        "{\"content\":\"a\"}}]}\n\n")},
                                         play::pause{1ms}, play::end{}}});
            for (int i = 0; i < 6; ++i) f.ask(one);
            const auto shown = f.registry.report(*f.settings, f.loop.now()).routes.at(0).endpoints.at(0);
            REQUIRE(shown.circuit);
            CHECK((shown.circuit->state == circuit_state::closed) == rests);
            f.connect();
            f.expect_nothing_left();
        }
    }
}

TEST_CASE("an upstream that is asked without retries rests for as long as it says") {
    world f;
    f.route->retry.max_retries = 0;
    f.route->cooldown = {.on = true, .initial = 1s};
    f.context.use(f.settings, f.registry.prepare(*f.settings));
    f.upstream.next(answering(status_answer(429, "retry-after: 20\r\n")));
    f.upstream.always(answering(ok_json));
    CHECK(f.ask(asked{}) == 429);
    const steady_time then = f.loop.now();
    CHECK(f.ask(asked{}) == 200);
    CHECK(f.loop.now() - then > 19s);
    f.connect();
    f.expect_nothing_left();
}

TEST_CASE("nobody becomes another tenant by what he adds to a credential, and those with credentials of their own are "
          "tenants of "
          "their own") {
    world f;
    for (const kind& each : {kind{.field = "Authorization"}, kind{.field = "x-api-key"}, kind{.field = "api-key"},
                             kind{.field = "x-goog-api-key"}, kind{.query = "key"}, kind{.query = "api_key"}}) {
        CAPTURE(each.name());
        const asked base = asked{}.with_credential(each, "sk-one");
        const std::uint64_t tenant = f.tenant(base);
        CHECK(tenant != 0);
        CHECK(f.tenant(asked{}.with_credential(each, "sk-two")) != tenant);
        CHECK(f.tenant(asked{}) != tenant);
        std::mt19937 random(7);
        for (int i = 0; i < 300; ++i) {
            const std::string number = std::to_string(random());
            asked more = base.and_field("x-made-up-" + number, number);
            more = more.and_field("x-foo-token", number)
                       .and_field("x-" + number + "-api-key", number)
                       .and_field("Cookie", "c=" + number);
            more = more.and_field("cookie", "d=" + number)
                       .and_field("openai-organization", number)
                       .and_field("x-forwarded-for", number)
                       .and_field("user-agent", number);
            // A gateway's credentials stand behind the provider's.
            more = more.and_field("cf-aig-authorization", number)
                       .and_field("x-auth-token", number)
                       .and_field("ocp-apim-subscription-key", number);
            more.target += (more.target.find('?') == std::string::npos ? "?" : "&") + std::string{"user_token="} +
                           number + "&x=" + number + "&token=" + number;
            more.members += ",\"api_key\":\"" + number + "\"";
            CHECK(f.tenant(more) == tenant);
        }
    }
}

TEST_CASE(
    "a second credential of the same rank makes a caller one of a crowd, whatever it says; how the same one is written "
    "makes no difference") {
    world f;
    const asked base = asked{}.and_field("Authorization", "Bearer sk-one");
    std::set<std::uint64_t> crowd;
    for (int i = 0; i < 200; ++i) {
        const std::string made_up = "made-up-" + std::to_string(i);
        crowd.insert(f.tenant(base.and_field("x-api-key", made_up)));
        crowd.insert(f.tenant(base.and_field("Authorization", "Bearer " + made_up)));
        crowd.insert(f.tenant(base.with_credential({.query = "key"}, made_up)));
    }
    CHECK(crowd.size() == 1);
    CHECK(crowd.count(f.tenant(base)) == 0);
    const std::uint64_t tenant = f.tenant(base);
    CHECK(f.tenant(asked{}.and_field("authorization", "bearer   sk-one ")) == tenant);
    CHECK(f.tenant(asked{}.and_field("authorization", "sk-one")) == tenant);
    CHECK(f.tenant(asked{}.and_field("x-api-key", "sk-one")) == tenant);
    CHECK(f.tenant(base.and_field("x-api-key", "sk-one")) == tenant); // the same one twice
    CHECK(f.tenant(base.and_field("Authorization", "Bearer")) != 0);
    CHECK(f.tenant(asked{}.with_credential({.query = "k%65y"}, "sk%2Done")) == tenant);
    // A signature is another with each request; the key that made it is not.
    const auto signed_by = [](const std::string& id, const std::string& signature) {
        return asked{}.and_field("Authorization",
                                 "AWS4-HMAC-SHA256 Credential=" + id +
                                     "/20260101/r/bedrock/aws4_request, SignedHeaders=host, Signature=" + signature);
    };
    CHECK(f.tenant(signed_by("AK1", "aa")) == f.tenant(signed_by("AK1", "bb")));
    CHECK(f.tenant(signed_by("AK1", "aa")) != f.tenant(signed_by("AK2", "aa")));
    // Without any credential all are one, cookies or not.
    CHECK(f.tenant(asked{}) == f.tenant(asked{}.and_field("cookie", "a=1").and_field("x-made-up-token", "2")));
}

TEST_CASE(
    "credential_fields extends what names tenants, by name and in its order; a pattern keeps apart and names nobody") {
    world f;
    f.rules = config::credential_rules{{{"x-corp", "cookie", "x-*-ticket"}, {"ticket"}, {}}};
    const asked base = asked{}.and_field("Authorization", "Bearer shared");
    const auto corp = [&](const std::string& who) { return base.and_field("X-Corp", who); };
    CHECK(f.tenant(corp("a")) != f.tenant(corp("b")));
    CHECK(f.tenant(corp("a")) ==
          f.tenant(corp("a").and_field("Authorization", "Bearer other").and_field("cookie", "x")));
    CHECK(f.tenant(base.and_field("cookie", "a")) != f.tenant(base.and_field("cookie", "b")));
    CHECK(f.tenant(base.with_credential({.query = "ticket"}, "a")) != f.tenant(base));
    CHECK(f.tenant(base.and_field("x-1-ticket", "a")) == f.tenant(base.and_field("x-2-ticket", "b")));
    CHECK(f.principal(base.and_field("x-1-ticket", "a")) != f.principal(base.and_field("x-1-ticket", "b")));
}

TEST_CASE("tenants in traffic: a flood with a made-up field in each request has one share, and one shard") {
    world f;
    f.route->coalesce = coalesce_mode::off;
    f.route->bulkhead = {.on = true, .max_concurrent = 8, .max_queue = 100, .queue_timeout = 30s, .tenant_share = 0.5};
    f.context.use(f.settings, f.registry.prepare(*f.settings));
    f.upstream.always({.steps = {play::request{2}, play::pause{1s}, play::send{ok_json}}});
    std::vector<std::unique_ptr<scripted_client>> all;
    const auto come = [&](const asked& what) {
        auto& one = *all.emplace_back(std::make_unique<scripted_client>(f.loop, false));
        f.loop.nursery().spawn(
            request::client_connection::run(std::make_unique<request::client_connection>(f.context, one.connect())));
        one.send(what.text());
    };
    for (int i = 0; i < 40; ++i) {
        const std::string number = std::to_string(i);
        come(asked{}
                 .and_field("Authorization", "Bearer flood")
                 .and_field("x-foo-token", number)
                 .and_field("cookie", "c=" + number)
                 .and_field("x-n" + number, "1"));
    }
    f.pass(10ms);
    come(asked{}.and_field("Authorization", "Bearer quiet"));
    f.pass(1900ms); // of the second round of eight
    const bool second_round = has(all.back()->received(), "200 OK");
    f.pass(200ms);
    CHECK((second_round || has(all.back()->received(), "200 OK"))); // not behind the 32 that came before it
    std::size_t served = 0;
    for (const auto& one : all) served += has(one->received(), "200 OK");
    CHECK(served <= 17);
    f.pass(1min);
    for (const auto& one : all) one->leave();
    f.pass(1min);
    f.connect();
    f.expect_nothing_left();
}

TEST_CASE("an upstream that hides callers is shown none of their credentials, in no field, query member or member of "
          "the body, "
          "and everything else") {
    world f;
    const auto write = [&](const asked& what, bool hides) {
        one_request one(f, what);
        config::upstream to;
        to.address.authority = "b.example";
        to.own_credential = hides;
        to.headers.set = {{"authorization", "Bearer own"}};
        std::string room;
        wire::head_text head;
        request::append_request_head(head, one.head, request::upstream_target(*f.route, to, one.head, room), *f.route,
                                     to, one.head.body, "192.0.2.7");
        const request::shared_bytes body = one.request.body.text();
        const auto kept = request::body_without_credentials(body.view(), f.rules);
        return std::string{head.view()} + (hides && !kept.empty() ? joined(kept) : std::string{body.view()});
    };
    for (const kind& each : kinds()) {
        CAPTURE(each.name());
        asked what = asked{}
                         .with_credential({.query = "alt"}, "sse")
                         .with_credential(each, "CANARY")
                         .with_credential({.query = "api-version"}, "1");
        what.members += R"(,"messages":[])";
        const std::string hidden = write(what, true);
        CAPTURE(hidden);
        CHECK_FALSE(has(hidden, "CANARY"));
        for (const char* rest : {"alt=sse", "api-version=1", "User-Agent: sdk/1", "authorization: Bearer own",
                                 R"("seed":7)", R"("messages":[])"})
            CHECK(has(hidden, rest));
        if (each.field != "Proxy-Authorization" && each.field != "Authorization")
            CHECK(has(write(what, false), "CANARY"));
    }
}

TEST_CASE("a query without its credentials") {
    const config::credential_rules rules;
    struct row {
        const char *target, *expected;
    };
    for (const row& r : {row{"/v1/x", "/v1/x"},
                         {"/v1/x?", "/v1/x?"},
                         {"/v1/x?alt=sse", "/v1/x?alt=sse"},
                         {"/v1/x?key=s", "/v1/x"},
                         {"/v1/x?key=s&alt=sse", "/v1/x?alt=sse"},
                         {"/v1/x?alt=sse&key=s", "/v1/x?alt=sse"},
                         {"/v1/x?a=1&key=s&b=2", "/v1/x?a=1&b=2"},
                         {"/v1/x?k%65y=s&b=2", "/v1/x?b=2"},
                         {"/v1/x?KEY=s", "/v1/x"},
                         {"/v1/x?key[]=s&key[0]=t&b", "/v1/x?b"},
                         {"/v1/x?a=1;key=s;b=2", "/v1/x?a=1;b=2"},
                         {"/v1/x?key", "/v1/x"},
                         {"/v1/x?key=s&key=t", "/v1/x"},
                         {"/v1/key=s?api_key=s&q=key%3Ds", "/v1/key=s?q=key%3Ds"},
                         {"/v1/x?a=%zz&key=s", "/v1/x?a=%zz"},
                         {"/v1/x?next_page_token=t", "/v1/x?next_page_token=t"}}) {
        CAPTURE(r.target);
        std::string room;
        CHECK(request::target_without_credentials(r.target, rules, room) == r.expected);
    }
}

TEST_CASE("a body without its credentials keeps every other byte") {
    const config::credential_rules rules;
    struct row {
        const char *body, *expected; // null: as it is
    };
    for (const row& r : {row{R"({"a":1})", nullptr},
                         {R"({"api_key":"s"})", "{}"},
                         {R"({"api_key":"s","a":1})", R"({"a":1})"},
                         {R"({"a":1,"api_key":"s"})", R"({"a":1})"},
                         {R"({ "a" : 1 , "api_key" : "s" , "b" : [ 2 ] } )", R"({ "a" : 1 , "b" : [ 2 ] } )"},
                         {R"({"api_key":"s", "access_token":{"x":[1]},"b":2})", R"({"b":2})"},
                         {R"({"a":1,"api_key":"s","api_key":"t","b":2})", R"({"a":1,"b":2})"},
                         {R"({"api\u005fkey":"s","b":1e400})", R"({"b":1e400})"},
                         {R"({"messages":[{"api_key":"s"}]})", nullptr},
                         {"\xEF\xBB\xBF{\"apiKey\":1,\"b\":2}", "\xEF\xBB\xBF{\"b\":2}"},
                         {R"(["api_key"])", nullptr},
                         {"", nullptr},
                         {"api_key=s", nullptr},
                         {R"({"api_key":"s")", "{"}, // not quite JSON, but some server may read it
                         {R"({"api_key":"s","a":NaN})", R"({"a":NaN})"}}) {
        CAPTURE(r.body);
        const std::string kept = joined(request::body_without_credentials(r.body, rules));
        CHECK(kept == (r.expected != nullptr ? r.expected : ""));
        const auto behind_mark = [](std::string_view text) { return text.substr(text.starts_with("\xEF") ? 3 : 0); };
        if (!kept.empty()) CHECK(wire::is_json(behind_mark(kept)) == wire::is_json(behind_mark(r.body)));
    }
}

TEST_CASE("401 and 403 of an upstream's own credential: about the request nobody rests, about the key everybody does, "
          "and unsaid "
          "where several callers meet it") {
    struct row {
        const char* name;
        std::string answer;
        int callers;
        bool rests;
    };
    const auto error = [](const char* type, const char* code, const char* message) {
        return std::string{R"({"error":{"type":")"} + type + R"(","code":")" + code + R"(","message":")" + message +
               R"("}})";
    };
    for (const row& r :
         {row{"model", status_answer(403, "", error("invalid_request_error", "model_not_found", "no")), 8, false},
          row{"permission", status_answer(403, "", error("permission_error", "", "no")), 8, false},
          row{"scopes", status_answer(401, "", error("invalid_request_error", "", "You have insufficient permissions")),
              8, false},
          row{"content", status_answer(403, "", error("", "content_policy_violation", "no")), 8, false},
          row{"key", status_answer(401, "", error("invalid_request_error", "invalid_api_key", "Incorrect API key")), 1,
              true},
          row{"key, 403", status_answer(403, "", error("permission_error", "", "token has been revoked")), 1, true},
          row{"unsaid, one caller", status_answer(403, "", "{}"), 1, false},
          row{"unsaid, several callers", status_answer(401, "", "{}"), 3, true}}) {
        CAPTURE(r.name);
        world f;
        f.route->coalesce = coalesce_mode::off;
        f.route->cooldown.on = true;
        f.route->retry.max_retries = 1; // else nobody looks into an answer
        f.provider->own_credential = true;
        f.provider->headers.set = {{"authorization", "Bearer own"}};
        f.context.use(f.settings, f.registry.prepare(*f.settings));
        f.upstream.always(answering(r.answer));
        for (int i = 0; i < 8; ++i)
            f.ask(asked{}.and_field("Authorization", "Bearer " + std::to_string(i % r.callers)));
        const auto& policies = f.context.policies->of(*f.route).endpoints.at(0);
        REQUIRE(policies.own_credential);
        CHECK(policies.rest->resting({}, f.loop.now()).has_value() == r.rests);
        f.connect();
        f.expect_nothing_left();
    }
}

} // namespace evenkeel::test::crossing_test

#include "proxy/admin/access_rules.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::test::access_rules_test {

using namespace evenkeel::admin;

namespace {

constexpr std::string_view secret = "sk-CANARY-admin";

struct row {
    const char* name;
    std::string_view method, path;
    std::optional<std::string_view> host, origin, authorization;
    int status;
};

int status_of(const access_rules& rules, const row& asked) {
    access_question question{
        .method = asked.method, .path = asked.path, .hosts = {}, .origins = {}, .authorizations = {}};
    if (asked.host) question.hosts.push_back(*asked.host);
    if (asked.origin) question.origins.push_back(*asked.origin);
    if (asked.authorization) question.authorizations.push_back(*asked.authorization);
    return decide(rules, question).status;
}

const access_rules loopback = rules_for({.host = "127.0.0.1", .port = 9901, .unix = {}, .tls = {}}, surface::full, "");
const access_rules loopback_token =
    rules_for({.host = "::1", .port = 9901, .unix = {}, .tls = {}}, surface::full, std::string(secret));
const access_rules outside =
    rules_for({.host = "0.0.0.0", .port = 9901, .unix = {}, .tls = {}}, surface::full, std::string(secret));
const access_rules metrics_only =
    rules_for({.host = "0.0.0.0", .port = 9902, .unix = {}, .tls = {}}, surface::read_only, std::string(secret));

constexpr auto none = std::nullopt;

} // namespace

TEST_CASE("on loopback without a token reads are open and control is for local pages and tools") {
    for (const auto& asked : {
             row{"curl", "GET", "/metrics", "127.0.0.1:9901", none, none, 200},
             row{"browser", "GET", "/", "localhost:9901", none, none, 200},
             row{"what is kept", "GET", "/-/requests", "localhost:9901", none, none, 200},
             row{"one of it", "GET", "/-/requests/r-1", "localhost:9901", none, none, 200},
             row{"nothing to post", "POST", "/-/requests/r-1", "localhost:9901", none, none, 405},
             row{"rebinding of it", "GET", "/-/requests", "attacker.example:9901", none, none, 403},
             row{"IPv6", "GET", "/health", "[::1]:9901", none, none, 200},
             row{"other loopback", "GET", "/health", "127.9.9.9", none, none, 200},
             row{"subdomain", "GET", "/health", "evenkeel.localhost:9901", none, none, 200},
             row{"trailing dot, capitals", "GET", "/health", "LocalHost.:9901", none, none, 200},
             row{"HEAD", "HEAD", "/metrics", "localhost", none, none, 200},
             row{"rebinding", "GET", "/metrics", "attacker.example:9901", none, none, 403},
             row{"rebinding of a probe", "GET", "/livez", "attacker.example", none, none, 403},
             row{"ends like localhost", "GET", "/metrics", "evillocalhost", none, none, 403},
             row{"starts like an address", "GET", "/metrics", "127.0.0.1.attacker.example", none, none, 403},
             row{"number instead of an address", "GET", "/metrics", "2130706433", none, none, 403},
             row{"wildcard", "GET", "/metrics", "0.0.0.0:9901", none, none, 403},
             row{"outside address", "GET", "/metrics", "10.0.0.5:9901", none, none, 403},
             row{"user info", "GET", "/metrics", "localhost@attacker.example", none, none, 403},
             row{"port that is none", "GET", "/metrics", "localhost:evil", none, none, 403},
             row{"bracket that does not close", "GET", "/metrics", "[::1", none, none, 403},
             row{"empty", "GET", "/metrics", "", none, none, 403},
             row{"no Host", "GET", "/metrics", none, none, none, 400},

             row{"curl -X POST", "POST", "/-/reload", "127.0.0.1:9901", none, none, 200},
             row{"chaos shown", "GET", "/-/chaos", "127.0.0.1:9901", none, none, 200},
             row{"chaos set", "POST", "/-/chaos", "127.0.0.1:9901", none, none, 200},
             row{"chaos set by a page", "POST", "/-/chaos", "127.0.0.1:9901", "https://attacker.example", none, 403},
             row{"chaos set by rebinding", "POST", "/-/chaos", "attacker.example", none, none, 403},
             row{"chaos by another method", "PUT", "/-/chaos", "127.0.0.1:9901", none, none, 405},
             row{"chaos off", "POST", "/-/chaos/off", "127.0.0.1:9901", none, none, 200},
             row{"chaos off by reading", "GET", "/-/chaos/off", "127.0.0.1:9901", none, none, 405},
             row{"the level of the log", "GET", "/-/log", "localhost", none, none, 200},
             row{"the level set", "POST", "/-/log", "localhost", none, none, 200},
             row{"the level set by a page", "POST", "/-/log", "localhost", "https://attacker.example", none, 403},
             row{"the level set by rebinding", "POST", "/-/log", "attacker.example", none, none, 403},
             row{"the configuration", "GET", "/-/config", "localhost", none, none, 200},
             row{"the configuration by rebinding", "GET", "/-/config", "attacker.example", none, none, 403},
             row{"the configuration posted", "POST", "/-/config", "localhost", none, none, 405},
             row{"own page", "POST", "/-/drain", "localhost:9901", "http://localhost:9901", none, 200},
             row{"own page behind TLS", "POST", "/-/drain", "localhost:9901", "https://localhost:9901", none, 200},
             row{"other page", "POST", "/-/drain", "localhost:9901", "https://attacker.example", none, 403},
             row{"other port", "POST", "/-/drain", "localhost:9901", "http://localhost:3000", none, 403},
             row{"sandboxed page", "POST", "/-/drain", "localhost:9901", "null", none, 403},
             row{"other scheme", "POST", "/-/drain", "localhost:9901", "file://localhost:9901", none, 403},
             row{"own origin as prefix", "POST", "/-/drain", "localhost:9901", "http://localhost:9901.attacker.example",
                 none, 403},
             row{"rebound page", "POST", "/-/reload", "attacker.example:9901", "http://attacker.example:9901", none,
                 403},

             row{"a circuit", "POST", "/-/circuits/deepseek", "localhost:9901", none, none, 200},
             row{"a circuit by a page", "POST", "/-/circuits/deepseek", "localhost:9901", "https://attacker.example",
                 none, 403},
             row{"a circuit by GET", "GET", "/-/circuits/deepseek", "localhost", none, none, 405},
             row{"a circuit without a name", "POST", "/-/circuits/", "localhost", none, none, 404},
             row{"circuits", "POST", "/-/circuits", "localhost", none, none, 404},
             row{"rests", "POST", "/-/rests/deepseek", "localhost", none, none, 200},
             row{"rests by GET", "GET", "/-/rests/deepseek", "localhost", none, none, 405},
             row{"rests without a name", "POST", "/-/rests/", "localhost", none, none, 404},

             row{"control by GET", "GET", "/-/reload", "localhost", none, none, 405},
             row{"control by HEAD", "HEAD", "/-/drain", "localhost", none, none, 405},
             row{"read by POST", "POST", "/metrics", "localhost", none, none, 405},
             row{"preflight", "OPTIONS", "/-/reload", "localhost", "https://attacker.example", none, 405},
             row{"method in small letters", "get", "/metrics", "localhost", none, none, 405},
             row{"unknown", "GET", "/config_dump", "localhost", none, none, 404},
             row{"not normalised", "GET", "//metrics", "localhost", none, none, 404},
             row{"a slash too many", "GET", "/metrics/", "localhost", none, none, 404},
         }) {
        CAPTURE(asked.name);
        CHECK(status_of(loopback, asked) == asked.status);
    }
}

TEST_CASE("with a token everything but the probes needs it") {
    for (const auto& asked : {
             row{"none", "GET", "/metrics", "10.0.0.5:9901", none, none, 401},
             row{"right", "GET", "/metrics", "10.0.0.5:9901", none, "Bearer sk-CANARY-admin", 200},
             row{"any name of ours", "GET", "/health", "evenkeel.prod.svc", none, "Bearer sk-CANARY-admin", 200},
             row{"HTTP/1.0 without Host", "GET", "/health", none, none, "Bearer sk-CANARY-admin", 200},
             row{"scheme in small letters", "GET", "/", "x", none, "bearer  sk-CANARY-admin", 200},
             row{"wrong", "GET", "/metrics", "x", none, "Bearer sk-CANARY-admiN", 401},
             row{"shorter", "GET", "/metrics", "x", none, "Bearer sk-CANARY-admi", 401},
             row{"longer", "GET", "/metrics", "x", none, "Bearer sk-CANARY-admin2", 401},
             row{"empty", "GET", "/metrics", "x", none, "Bearer ", 401},
             row{"other scheme", "GET", "/metrics", "x", none, "Basic sk-CANARY-admin", 401},
             row{"bare", "GET", "/metrics", "x", none, "sk-CANARY-admin", 401},
             row{"control without", "POST", "/-/drain", "x", none, none, 401},
             row{"control with", "POST", "/-/drain", "x", none, "Bearer sk-CANARY-admin", 200},
             row{"control with, from elsewhere", "POST", "/-/drain", "x", "https://attacker.example",
                 "Bearer sk-CANARY-admin", 403},
             row{"a circuit without", "POST", "/-/circuits/deepseek", "x", none, none, 401},
             row{"a circuit with", "POST", "/-/circuits/deepseek", "x", none, "Bearer sk-CANARY-admin", 200},
             row{"the page's document without", "GET", "/-/overview", "x", none, none, 401},
             row{"events without", "GET", "/-/live", "x", none, none, 401},
             row{"events with", "GET", "/-/live", "x", none, "Bearer sk-CANARY-admin", 200},
             row{"events with, from elsewhere", "GET", "/-/live", "x", "https://attacker.example",
                 "Bearer sk-CANARY-admin", 403},
             row{"to log in", "POST", "/-/login", "x", none, none, 200},
             row{"to log in by GET", "GET", "/-/login", "x", none, none, 405},
             row{"to be logged in by another page", "POST", "/-/login", "x", "https://attacker.example", none, 403},
             row{"to log out", "POST", "/-/logout", "x", "http://x", none, 200},
             row{"unknown tells nothing", "GET", "/secret", "x", none, none, 401},
             row{"unknown with", "GET", "/secret", "x", none, "Bearer sk-CANARY-admin", 404},
             row{"liveness", "GET", "/livez", "10.0.0.5:9901", none, none, 200},
             row{"readiness", "GET", "/readyz", "10.0.0.5:9901", none, none, 200},
             row{"liveness by POST", "POST", "/livez", "10.0.0.5:9901", none, none, 405},
         }) {
        CAPTURE(asked.name);
        CHECK(status_of(outside, asked) == asked.status);
    }
    CHECK(status_of(loopback_token,
                    {"rebinding", "GET", "/metrics", "attacker.example", none, "Bearer sk-CANARY-admin", 403}) == 403);
    CHECK(status_of(loopback_token, {"local", "GET", "/metrics", "[::1]:9901", none, "Bearer sk-CANARY-admin", 200}) ==
          200);
    CHECK(status_of(loopback_token, {"local without", "GET", "/metrics", "[::1]:9901", none, none, 401}) == 401);
}

TEST_CASE("a session stands in for the token, and not for an Origin") {
    const auto status = [](const access_question& asked) { return decide(outside, asked).status; };
    access_question read{.method = "GET",
                         .path = "/-/overview",
                         .hosts = {"x:1"},
                         .origins = {},
                         .authorizations = {},
                         .has_session = true};
    CHECK(status(read) == 200);
    read.authorizations = {"Bearer wrong"};
    CHECK(status(read) == 401);
    access_question change{.method = "POST",
                           .path = "/-/reload",
                           .hosts = {"x:1"},
                           .origins = {},
                           .authorizations = {},
                           .has_session = true};
    CHECK(status(change) == 403);
    change.origins = {"http://x:1"};
    CHECK(status(change) == 200);
    change.fetch_sites = {"same-site"};
    CHECK(status(change) == 403);
    change.fetch_sites = {"same-origin"};
    CHECK(status(change) == 200);
    change.hosts = {};
    CHECK(status(change) == 403);
    // Where none is needed it changes nothing.
    change = {.method = "POST", .path = "/-/reload", .hosts = {"localhost"}, .origins = {}, .authorizations = {}};
    CHECK(decide(loopback, change).status == 200);
    change.fetch_sites = {"cross-site"};
    CHECK(decide(loopback, change).status == 403);
}

TEST_CASE("metrics_listen has the readable endpoints under any name, and no others") {
    for (const auto& asked : {
             row{"scrape", "GET", "/metrics", "10.1.2.3:9902", none, none, 200},
             row{"health", "GET", "/health", "pod.example", none, none, 200},
             row{"probe", "GET", "/readyz", none, none, none, 200},
             row{"probe", "HEAD", "/livez", "x", none, none, 200},
             row{"index", "GET", "/", "x", none, none, 404},
             row{"control", "POST", "/-/drain", "localhost", none, none, 404},
             row{"control with the token", "POST", "/-/reload", "localhost", none, "Bearer sk-CANARY-admin", 404},
             row{"a circuit", "POST", "/-/circuits/deepseek", "x", none, none, 404},
             row{"write", "POST", "/metrics", "x", none, none, 405},
         }) {
        CAPTURE(asked.name);
        CHECK(status_of(metrics_only, asked) == asked.status);
    }
}

TEST_CASE("fields that come twice are not chosen from") {
    const auto ask = [](const access_rules& rules, std::string_view method, std::string_view path,
                        std::vector<std::string_view> hosts, std::vector<std::string_view> origins,
                        std::vector<std::string_view> authorizations) {
        return decide(rules, {.method = method,
                              .path = path,
                              .hosts = std::move(hosts),
                              .origins = std::move(origins),
                              .authorizations = std::move(authorizations)});
    };
    CHECK(ask(loopback, "GET", "/metrics", {"localhost", "attacker.example"}, {}, {}).status == 400);
    CHECK(ask(loopback, "POST", "/-/drain", {"localhost"}, {"http://localhost", "http://localhost"}, {}).status == 403);
    CHECK(ask(outside, "GET", "/metrics", {"x"}, {}, {"Bearer sk-CANARY-admin", "Bearer sk-CANARY-admin"}).status ==
          401);
}

TEST_CASE("a refusal says what is allowed and never the token") {
    const auto wrong_method = decide(
        loopback, {.method = "GET", .path = "/-/drain", .hosts = {"localhost"}, .origins = {}, .authorizations = {}});
    CHECK(wrong_method.allow == "POST");
    const auto write = decide(
        loopback, {.method = "PUT", .path = "/metrics", .hosts = {"localhost"}, .origins = {}, .authorizations = {}});
    CHECK(write.allow == "GET, HEAD");
    const auto closed =
        decide(outside, {.method = "GET", .path = "/metrics", .hosts = {"x"}, .origins = {}, .authorizations = {}});
    CHECK(closed.explanation.find("CANARY") == std::string_view::npos);
    CHECK(decide(loopback, {.method = "HEAD", .path = "/", .hosts = {"localhost"}, .origins = {}, .authorizations = {}})
              .head_only);
}

TEST_CASE("a unix socket is as local as loopback") {
    const auto rules = rules_for({.host = "", .port = 0, .unix = config::unix_path{"/run/evenkeel.sock"}, .tls = {}},
                                 surface::full, "");
    CHECK(rules.check_host);
}

} // namespace evenkeel::test::access_rules_test

// What a credential is, and to whom a file may show one.

#include "config/credentials.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::credentials_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

namespace {
using enum credential_kind;

std::string two_vendors(const std::string& second = "", const std::string& route = "") {
    return "version: 1\nupstreams:\n  a: {url: \"https://a.example\"}\n  b: {url: \"https://b.example\"" + second +
           "}\nroutes:\n  - name: r\n    upstreams: [a, b]\n" + route;
}
std::string message_of(const std::string& yaml) {
    const auto result = load(yaml);
    return result.diagnostics.empty() ? "" : result.diagnostics.front().message;
}
} // namespace

TEST_CASE("fields that are credentials, by name, by how they end, and those that only look like it") {
    const credential_rules rules;
    for (const char* name : {"Authorization",
                             "Proxy-Authorization",
                             "Cookie",
                             "X-Api-Key",
                             "api-key",
                             "API_KEY",
                             "x-goog-api-key",
                             "Ocp-Apim-Subscription-Key",
                             "X-Auth-Token",
                             "cf-aig-authorization",
                             "X-Amz-Security-Token",
                             "helicone-auth",
                             "x-portkey-api-key",
                             "x-portkey-virtual-key",
                             "x-portkey-config",
                             "xi-api-key",
                             "x-functions-key",
                             "x-rapidapi-key",
                             "X-Access-Token",
                             "private-token",
                             "X-Vault-Token",
                             "x-litellm-api-key",
                             "cf-access-jwt-assertion",
                             "X-Forwarded-Client-Cert",
                             "dpop",
                             "signature",
                             "x-openai-api-key",
                             "x-team-token",
                             "x-my-secret",
                             "x-corp-session-token",
                             "app-password",
                             "x-some-jwt",
                             "X_AUTH_TOKEN",
                             "x-csrf-token",
                             "x-serverless-authorization"}) {
        CAPTURE(name);
        CHECK(rules.field(name) == secret);
    }
    for (const char* name : {"OpenAI-Organization", "openai-project", "anthropic-organization-id",
                             "x-goog-user-project", "x-ms-client-principal-id"}) {
        CAPTURE(name);
        CHECK(rules.field(name) == scope);
    }
    for (const char* name :
         {"accept", "content-type", "user-agent", "anthropic-version", "anthropic-beta", "openai-beta",
          "idempotency-key", "Idempotency_Key", "x-request-id", "traceparent", "x-max-tokens", "x-title",
          "http-referer", "x-stainless-lang", "x-cache-key", "x-ms-continuation-token", "x-keyboard", "tokens", ""}) {
        CAPTURE(name);
        CHECK(rules.field(name) == none);
    }
    CHECK(rules.field(std::string(5000, 'x')) == none);
    CHECK(rules.field(std::string(5000, 'x') + "-token") == secret);
}

TEST_CASE("query members and members of the body that are credentials") {
    const credential_rules rules;
    for (const char* name : {"key", "KEY", "api_key", "api-key", "apiKey", "access_token", "token", "subscription-key",
                             "sig", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "code",
                             "client_secret", "my_api_key", "accessToken", "auth_token"}) {
        CAPTURE(name);
        CHECK(rules.query_member(name) == secret);
    }
    for (const char* name : {"alt", "api-version", "model", "pageToken", "page_token", "next_page_token", "limit",
                             "order", "keys", "beta"}) {
        CAPTURE(name);
        CHECK(rules.query_member(name) == none);
    }
    for (const char* name : {"api_key", "apiKey", "openai_api_key", "access_token", "authorization",
                             "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "vertex_credentials"}) {
        CAPTURE(name);
        CHECK(rules.body_member(name) == secret);
    }
    for (const char* name : {"model", "messages", "prompt_cache_key", "safety_identifier", "max_tokens", "bos_token",
                             "stop_token", "metadata", "user", "key", "input"}) {
        CAPTURE(name);
        CHECK(rules.body_member(name) == none);
    }
}

TEST_CASE("a file extends the lists by name and pattern, and takes back what a pattern or a scope catches") {
    const credential_rules rules{{{"X-Corp", "x-*-ticket", "!x-page-token", "!openai-*"}, {"ticket"}, {"*_ticket"}}};
    CHECK(rules.field("x-corp") == secret);
    CHECK(rules.field("X_Corp") == secret);
    CHECK(rules.field("x-any-ticket") == secret);
    CHECK(rules.field("x-page-token") == none);
    CHECK(rules.field("openai-project") == none);
    CHECK(rules.field("authorization") == secret);
    CHECK(rules.query_member("Ticket") == secret);
    CHECK(rules.body_member("user_ticket") == secret);
    CHECK(rules.names_body());
    CHECK_FALSE(credential_rules{}.names_body());
    CHECK(rules ==
          credential_rules{{{"X-Corp", "x-*-ticket", "!x-page-token", "!openai-*"}, {"ticket"}, {"*_ticket"}}});
    CHECK_FALSE(rules == credential_rules{});
    // Names in full stand first where tenants are looked for; patterns, which anybody can make names for, do not.
    REQUIRE(rules.tenant_order().size() == credential_rules{}.tenant_order().size() + 2);
    CHECK(rules.tenant_order()[0].name == "x-corp");
    CHECK(rules.tenant_order()[1].name == "ticket");
    CHECK(rules.tenant_order()[1].in_query);
    CHECK(rules.tenant_order()[2].name == "authorization");
}

TEST_CASE("what may not stand in the lists of credentials") {
    for (const char* yaml :
         {"credential_fields: [\"*\"]\n", "credential_fields: [content-*]\n",
          "credential_fields: [\"!authorization\"]\n", "credential_fields: [\"!*\"]\n",
          "credential_fields: [x-evenkeel-timeout]\n", "credential_fields: [\"a b\"]\n", "credential_fields: [\"!\"]\n",
          "credential_query: [api-version]\n", "credential_body: [\"mo*\"]\n", "credential_body: [messages]\n"}) {
        CAPTURE(yaml);
        const auto result = load(good(yaml));
        CAPTURE(printed(result.diagnostics));
        REQUIRE(result.diagnostics.size() == 1);
        CHECK(result.diagnostics[0].code == "bad-credential-name");
        CHECK(result.diagnostics[0].line == 2);
    }
    CHECK(load(good("credential_fields: x-corp\n")).diagnostics.at(0).code == "wrong-type");
    CHECK(load(good("credential_fields: [x-corp, \"x-*-pass\"]\n")).ok());
}

TEST_CASE(
    "E1: no route shows its callers' credentials to a second authority, unless that has its own or the file says so") {
    struct row {
        const char* name;
        std::string yaml;
        std::vector<std::string> expected;
    };
    const std::string own = ", headers: {set: {authorization: k}}", crosses = "error credential-crosses ";
    const auto ladder = [](const std::string& more) {
        return "version: 1\nupstreams: {a: {url: \"https://a.example\"}, b: {url: \"https://b.example\"" + more +
               "}}\nroutes:\n" +
               "  - {name: r, match: {path: /r}, upstreams: [a], fallback: [{route: s}]}\n  - {name: s, match: {path: "
               "/s}, "
               "upstreams: [b]}\n";
    };
    const auto parts = [](const std::string& more) {
        return "version: 1\nupstreams: {a: {url: \"https://a.example\"}, b: {url: \"https://b.example\"" + more +
               "}}\nroutes:\n" +
               "  - {name: p, match: {path: /p}, upstreams: [a]}\n  - {name: q, match: {path: /q}, upstreams: [b]}\n  "
               "- {name: "
               "all, match: {path: /all}, fan_out: {parts: [p, q]}}\n";
    };
    for (const row& r : std::vector<row>{
             {"nothing said", two_vendors(), {crosses + "7:20"}},
             {"its own", two_vendors(own), {}},
             {"an empty one of its own", two_vendors(", headers: {set: {authorization: \"\"}}"), {crosses + "7:20"}},
             {"a project is no credential", two_vendors(", headers: {set: {openai-project: p}}"), {crosses + "7:20"}},
             {"any title", two_vendors(", headers: {set: {x-title: t}}"), {crosses + "7:20"}},
             {"removing one kind is not enough",
              two_vendors(", headers: {remove: [authorization]}"),
              {crosses + "7:20"}},
             {"a kind of its own that the file names",
              "credential_fields: [x-corp]\n" + two_vendors(", headers: {set: {x-corp: k}}"),
              {}},
             {"pass", two_vendors(", caller_credentials: pass"), {}},
             {"drop", two_vendors(", caller_credentials: drop"), {}},
             {"auto", two_vendors(", caller_credentials: auto"), {crosses + "7:20"}},
             {"neither", two_vendors(", caller_credentials: never"), {"error bad-word 4:53"}},
             {"pass beside its own", two_vendors(own + ", caller_credentials: pass"), {"error contradiction 4:89"}},
             {"the same authority, another path",
              "version: 1\nupstreams: {a: {url: \"https://A.example:443\"}, b: {url: "
              "\"https://a.example/b\"}}\nroutes: [{name: "
              "r, upstreams: [a, b]}]\n",
              {}},
             {"another port",
              "version: 1\nupstreams: {a: {url: \"http://a\"}, b: {url: \"http://a:81\"}}\nroutes: [{name: r, "
              "upstreams: [a, "
              "b]}]\n",
              {crosses + "3:35"}},
             {"another scheme",
              "version: 1\nupstreams: {a: {url: \"https://a:81\"}, b: {url: \"http://a:81\"}}\nroutes: [{name: r, "
              "upstreams: [a, "
              "b]}]\n",
              {crosses + "3:35"}},
             {"the first has its own: the callers' still belong there",
              "version: 1\nupstreams: {a: {url: \"http://a\"" + own +
                  "}, b: {url: \"http://b\"}}\nroutes: [{name: r, upstreams: [a, b]}]\n",
              {crosses + "3:35"}},
             {"balanced",
              two_vendors("", "    balance: least_latency\n    hedge: {}\n    shuffle_shard: {size: 1}\n"),
              {crosses + "7:20"}},
             {"a fallback route", ladder(""), {crosses + "4:69"}},
             {"... with its own", ladder(own), {}},
             {"... that drops", ladder(", caller_credentials: drop"), {}},
             {"a part", parts(""), {crosses + "6:59"}},
             {"... with its own", parts(own), {}},
             {"the ladder of a part",
              "version: 1\nupstreams: {a: {url: \"https://a.example\"}, b: {url: \"https://b.example\"}}\nroutes:\n  - "
              "{name: p, "
              "match: {path: /p}, upstreams: [a]}\n"
              "  - {name: q, match: {path: /q}, upstreams: [a], fallback: [{route: s}]}\n  - {name: s, match: {path: "
              "/s}, "
              "upstreams: [b]}\n  - {name: all, match: {path: /all}, fan_out: {parts: [p, q]}}\n",
              {crosses + "5:69", crosses + "7:59"}},
             {"a ladder of all routes, said once",
              "version: 1\ndefaults: {fallback: [{route: s}]}\nupstreams: {a: {url: \"https://a.example\"}, b: {url: "
              "\"https://b.example\"}}\nroutes:\n"
              "  - {name: p, match: {path: /p}, upstreams: [a]}\n  - {name: q, match: {path: /q}, upstreams: [a]}\n  - "
              "{name: s, "
              "match: {path: /s}, upstreams: [b]}\n",
              {crosses + "2:31"}},
             {"the route's own goes to both",
              two_vendors("", "    headers: {set: {authorization: k}}\n"),
              {crosses + "8:21"}},
             {"... where the second has another", two_vendors(own, "    headers: {set: {authorization: k}}\n"), {}},
             {"... where the second removes it",
              two_vendors(", headers: {remove: [authorization]}", "    headers: {set: {authorization: k}}\n"),
              {}},
         }) {
        CAPTURE(r.name);
        std::string yaml = r.yaml;
        if (yaml.starts_with("credential_fields"))
            yaml = "version: 1\ncredential_fields: [x-corp]\n" +
                   two_vendors(", headers: {set: {x-corp: k}}").substr(std::string("version: 1\n").size());
        const load_result result = load(yaml);
        CAPTURE(printed(result.diagnostics));
        CHECK(brief(result.diagnostics) == r.expected);
        const bool refused = !r.expected.empty();
        CHECK(result.ok() == !refused);
    }
    // Where, whose, and what to write.
    const std::string said = message_of(two_vendors());
    CAPTURE(said);
    for (const char* part : {"route 'r'", "first upstream, 'a' at a.example", "upstream 'b' is at b.example",
                             "headers: {set: {authorization: ...}}", "caller_credentials: drop", "pass"})
        CHECK(said.find(part) != std::string::npos);
}

TEST_CASE("E2: an address that others reach spends what the upstreams have") {
    const std::string own = "    headers: {set: {x-api-key: k}}\n";
    CHECK(brief(load(good("listen: 0.0.0.0:8080\n", own)).diagnostics) ==
          std::vector<std::string>{"warning open-to-all 2:9"});
    CHECK(brief(load(good("listen: [\"127.0.0.1:1\", \"[::]:8080\"]\n", own)).diagnostics) ==
          std::vector<std::string>{"warning open-to-all 2:25"});
    CHECK(load(good("listen: 127.0.0.1:8080\n", own)).diagnostics.empty());
    CHECK(load(good("listen: unix:/run/e.sock\n", own)).diagnostics.empty());
    CHECK(load(good("listen: 0.0.0.0:8080\n")).diagnostics.empty());
    CHECK(brief(load(good("listen: 0.0.0.0:8080\n", "", "    headers: {set: {authorization: k}}\n")).diagnostics) ==
          std::vector<std::string>{"warning open-to-all 2:9"});
    CHECK(message_of(good("listen: 0.0.0.0:8080\n", own)).find("upstream 'openai'") != std::string::npos);
}

} // namespace evenkeel::test::credentials_test

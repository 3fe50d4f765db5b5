// Several keys of one upstream: what the file may say, what it is told, and what is shown of it.

#include "support.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace evenkeel::test::credential_lists_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

namespace {
std::string with(const std::string& upstream, const std::string& more = "") { return good(more, upstream); }
const std::string two = "    credentials:\n"
                        "      - {name: team, set: {authorization: \"Bearer one\"}}\n"
                        "      - {name: spare, set: {authorization: \"Bearer two\", openai-project: p}}\n";
} // namespace

TEST_CASE("credentials of an upstream: names, fields, order and scope, and no caller's beside them") {
    const auto plain = load(with(two));
    CAPTURE(printed(plain.diagnostics));
    REQUIRE(plain.ok());
    CHECK(plain.diagnostics.empty());
    const upstream& u = *plain.settings->upstreams[0];
    REQUIRE(u.credentials.size() == 2);
    CHECK(u.credentials[0] == credential{"team", {{"authorization", "Bearer one"}}});
    CHECK(u.credentials[1].name == "spare");
    CHECK(u.credentials[1].sets("openai-project"));
    CHECK(u.credential_order == credential_order::fill_first);
    CHECK(u.quota_scope == quota_scope::credential);
    CHECK(u.own_credential);
    CHECK(u.headers == header_edits{});
    const auto other = load(with(two + "    credential_order: spread\n    quota_scope: upstream\n"));
    REQUIRE(other.ok());
    CHECK(other.settings->upstreams[0]->credential_order == credential_order::spread);
    CHECK(other.settings->upstreams[0]->quota_scope == quota_scope::upstream);
    CHECK(load(good()).settings->upstreams[0]->credentials.empty());
}

TEST_CASE("credentials of an upstream: each mistake is told where it is, and never with a value") {
    const std::string sk = "sk-CANARY-0123456789";
    struct row {
        const char* name;
        std::string yaml;
        std::vector<std::string> expected;
    };
    const auto key = [&](const std::string& name, const std::string& field = "authorization") {
        return "      - {name: " + name + ", set: {" + field + ": \"Bearer " + sk + name + "\"}}\n";
    };
    const std::string list = "    credentials:\n";
    for (const row& r : std::vector<row>{
             {"good", with(list + key("a") + key("b")), {}},
             {"a kind that the file names", with(list + key("a", "x-corp"), "credential_fields: [x-corp]\n"), {}},
             {"two of one name",
              with(list + key("a") + key("b") + key("a")),
              {"error duplicate-name 8:16", "warning same-credential 8:24"}},
             {"a bad name", with(list + key("a/b")), {"error bad-name 6:16"}},
             {"no name", with(list + "      - {set: {authorization: k}}\n"), {"error missing-key 6:9"}},
             {"no fields", with(list + "      - {name: a}\n"), {"error missing-key 6:9"}},
             {"empty fields", with(list + "      - {name: a, set: {}}\n"), {"error empty-value 6:24"}},
             {"no credential", with(list + key("a", "x-title")), {"error no-credential 6:25"}},
             {"in the headers as well",
              with("    headers: {set: {authorization: " + sk + "}}\n" + list + key("a")),
              {"error contradiction 5:21"}},
             {"removed as well",
              with("    headers: {remove: [authorization]}\n" + list + key("a")),
              {"error contradiction 5:24"}},
             {"passed as well", with("    caller_credentials: pass\n" + list + key("a")), {"error contradiction 5:25"}},
             {"an order of nothing", with("    credential_order: spread\n"), {"error has-no-effect 5:5"}},
             {"a scope of nothing", with("    quota_scope: upstream\n"), {"error has-no-effect 5:5"}},
             {"one key twice",
              with(list + "      - {name: a, set: {x-api-key: " + sk + "}}\n      - {name: b, set: {x-api-key: " + sk +
                   "}}\n"),
              {"warning same-credential 7:24"}},
             {"none", with("    credentials: []\n"), {"error empty-value 5:18"}},
         }) {
        CAPTURE(r.name);
        const load_result result = load(r.yaml);
        const std::string said = printed(result.diagnostics);
        CAPTURE(said);
        CHECK(brief(result.diagnostics) == r.expected);
        CHECK(said.find("CANARY") == std::string::npos);
        if (result.ok()) {
            const auto shown = show_effective(r.yaml, "conf/evenkeel.yaml", world(), "", stages);
            CHECK(shown.value_or("").find("CANARY") == std::string::npos);
            CHECK(result.settings->hash.find("CANARY") == std::string::npos);
        }
    }
}

TEST_CASE("credentials of an upstream: as good as one of its own for a route to two vendors, and for a probe") {
    const std::string vendors = "version: 1\nupstreams:\n  a: {url: \"https://a.example\"}\n  b:\n    url: "
                                "https://b.example\n    credentials: [{name: k, set: {authorization: k}}]\nroutes:\n"
                                "  - {name: r, upstreams: [a, b]}\n";
    CHECK(load(vendors).diagnostics.empty());
    CHECK(load(with(two + "    prewarm: {probe: {path: /v1/models}}\n")).diagnostics.empty());
    CHECK(brief(load(with(two, "listen: 0.0.0.0:8080\n")).diagnostics) ==
          std::vector<std::string>{"warning open-to-all 2:9"});
}

TEST_CASE("credentials of an upstream: what is shown of the effective file can be loaded again, with the keys masked") {
    const auto shown = show_effective(with(two), "conf/evenkeel.yaml", world(), "", stages).value_or("");
    CAPTURE(shown);
    CHECK(shown.find("name: team") != std::string::npos);
    CHECK(shown.find("authorization: \"***\"") != std::string::npos);
    CHECK(shown.find("credential_order: fill_first") != std::string::npos);
    CHECK(shown.find("Bearer") == std::string::npos);
    const auto again = load(shown);
    CAPTURE(printed(again.diagnostics));
    CHECK(again.ok());
    const auto without = show_effective(good(), "conf/evenkeel.yaml", world(), "", stages).value_or("");
    CHECK(without.find("credential_order") == std::string::npos);
    CHECK(load(without).ok());
}

} // namespace evenkeel::test::credential_lists_test

#include "config/endpoints.hpp"
#include "tests/config/support.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace evenkeel::config::test::endpoints_test {

namespace {
std::string with_upstream(const std::string& upstream, const std::string& more = "") {
    return "version: 1\nupstreams:\n  u: " + upstream + "\n" + more + "routes: [{name: r, upstreams: [u]}]\n";
}
std::string list_of(int count) {
    std::string out = "[";
    for (int i = 0; i < count; ++i) out += (i > 0 ? ", \"http://e" : "\"http://e") + std::to_string(i) + "\"";
    return out + "]";
}
std::vector<std::string> labels_of(const std::vector<std::shared_ptr<const upstream>>& all) {
    std::vector<std::string> out;
    for (const auto& each : all) out.push_back(each->name + "=" + std::string(each->endpoint.label()));
    return out;
}
using names = std::vector<std::string>;
} // namespace

TEST_CASE("each url is an endpoint with everything that its upstream has; alone it has no label") {
    const auto loaded = load(with_upstream(
        "{urls: [\"https://One.example/base\", \"https://two.example:8443\"], dialect: openai, balance: round_robin}"));
    REQUIRE(loaded.ok());
    const auto& all = loaded.settings->upstreams;
    CHECK(labels_of(all) == names{"u=one.example", "u=two.example:8443"});
    CHECK(loaded.settings->routes[0]->upstreams == all);
    CHECK(loaded.settings->routes[0]->weights == std::vector<double>{1, 1});
    for (const auto& each : all) {
        CHECK(each->dialect == dialect_setting::openai);
        CHECK(each->balance == balance_kind::round_robin);
        CHECK(each->endpoint.address.empty());
    }
    CHECK(all[0]->address.base_path == "/base");
    CHECK(all[1]->address.port == 8443);

    const auto alone = load(with_upstream("{urls: [\"http://one.example\"]}"));
    REQUIRE(alone.ok());
    CHECK(labels_of(alone.settings->upstreams) == names{"u="});
    CHECK(alone.settings->upstreams[0]->endpoint.authority == "one.example");
    CHECK(load(with_upstream("{url: \"http://one.example\"}")).settings->upstreams[0]->endpoint ==
          alone.settings->upstreams[0]->endpoint);
    CHECK(alone.settings->upstreams[0]->balance == balance_kind::least_latency);
}

TEST_CASE("what contradicts itself about endpoints is refused where it stands") {
    struct row {
        const char* name;
        std::string yaml;
        std::vector<std::string> expected;
    };
    for (const row& r : std::vector<row>{
             {"neither", with_upstream("{dialect: openai}"), {"error missing-key 3:3"}},
             {"both", with_upstream("{url: \"http://a\", urls: [\"http://b\"]}"), {"error contradiction 3:24"}},
             {"none", with_upstream("{urls: []}"), {"error empty-value 3:13"}},
             {"twice", with_upstream("{urls: [\"http://a\", \"http://A:80/x\"]}"), {"error duplicate-url 3:26"}},
             {"twice with another port", with_upstream("{urls: [\"http://a\", \"http://a:81\"]}"), {}},
             {"in the clear and not",
              with_upstream("{urls: [\"https://a\", \"http://b\"]}"),
              {"error contradiction 3:27"}},
             {"of an address",
              with_upstream("{url: \"http://10.0.0.1\", resolve: each}"),
              {"error contradiction 3:40"}},
             {"of an IPv6 address",
              with_upstream("{url: \"http://[::1]:80\", resolve: each}"),
              {"error contradiction 3:40"}},
             {"of several", with_upstream("{urls: [\"http://a\"], resolve: each}"), {"error contradiction 3:36"}},
             {"behind a proxy",
              with_upstream("{url: \"http://a\", resolve: each, proxy: \"http://p\"}"),
              {"error contradiction 3:33"}},
             {"of a unix socket", with_upstream("{url: \"unix:/run/a\", resolve: each}"), {"error bad-url 3:12"}},
             {"another word", with_upstream("{url: \"http://a\", resolve: all}"), {"error bad-word 3:33"}},
             {"a choice of one",
              with_upstream("{url: \"http://a\", balance: round_robin}"),
              {"error has-no-effect 3:24"}},
             {"weights of endpoints",
              with_upstream("{urls: [\"http://a\", \"http://b\"], balance: weighted}"),
              {"error bad-word 3:48"}},
             {"a choice of addresses", with_upstream("{url: \"http://a\", resolve: each, balance: failover}"), {}},
             {"tls of plain ones",
              with_upstream("{urls: [\"http://a\"], tls: {verify: true}}"),
              {"error has-no-effect 3:33"}},
             {"64 of them", with_upstream("{urls: " + list_of(64) + "}"), {}},
         }) {
        CAPTURE(r.name);
        const auto loaded = load(r.yaml);
        CAPTURE(printed(loaded.diagnostics));
        CHECK(brief(loaded.diagnostics) == r.expected);
    }
    CHECK(load(with_upstream("{urls: " + list_of(65) + "}")).diagnostics.at(0).code == "too-many-entries");
    const std::string two = "version: 1\nupstreams:\n  u: {urls: " + list_of(40) +
                            "}\n  v: {caller_credentials: drop, urls: " + list_of(40) + "}\n";
    CHECK(load(two + "routes: [{name: r, match: {path: /r}, upstreams: [u]}, {name: s, upstreams: [v]}]\n").ok());
    CHECK(load(two + "routes: [{name: r, upstreams: [u, v]}]\n").diagnostics.at(0).code == "too-many-entries");
}

TEST_CASE("the endpoints of an upstream are one vendor to whom its callers' credentials go, and nobody else is") {
    const auto crosses = [](const std::string& first, const std::string& second) {
        const auto loaded = load("version: 1\nupstreams:\n  a: " + first + "\n  b: " + second +
                                 "\nroutes: [{name: r, upstreams: [a, b]}]\n");
        for (const auto& each : loaded.diagnostics)
            if (each.code == "credential-crosses") return true;
        CHECK(loaded.ok());
        return false;
    };
    const std::string two = "{urls: [\"https://one.example\", \"https://two.example\"]}";
    CHECK_FALSE(crosses(two, "{url: \"https://two.example/v2\"}"));
    CHECK(crosses(two, "{url: \"https://three.example\"}"));
    CHECK(crosses("{url: \"https://one.example\"}", two));
    CHECK(crosses(two, "{urls: [\"https://one.example\", \"https://three.example\"]}"));
    CHECK_FALSE(crosses(two, "{urls: [\"https://three.example\"], caller_credentials: drop}"));
}

namespace {
snapshot resolving(const std::string& more = "", const std::string& routes = "[{name: r, upstreams: [u, v]}, {name: "
                                                                             "s, match: {path: /s}, upstreams: [v]}]") {
    const auto loaded =
        load("version: 1\nupstreams:\n  u: {url: \"https://api.example:8443/base\", resolve: each" + more +
             "}\n  v: {caller_credentials: drop, urls: [\"http://v1\", \"http://v2\"]}\nroutes: " + routes + "\n");
    REQUIRE(loaded.settings != nullptr);
    return loaded.settings;
}
} // namespace

TEST_CASE("every address of a name is an endpoint that is called by the name; before they are known the name is one") {
    const snapshot written = resolving();
    CHECK(labels_of(written->upstreams) == names{"u=api.example:8443", "v=v1", "v=v2"});

    const snapshot found = with_addresses(*written, {{"u", {"10.0.0.2", "10.0.0.1", "fd00::1", "10.0.0.2"}}}, *written);
    CHECK(labels_of(found->upstreams) ==
          names{"u=10.0.0.1:8443", "u=10.0.0.2:8443", "u=[fd00::1]:8443", "v=v1", "v=v2"});
    CHECK(found->routes[0]->upstreams == found->upstreams);
    CHECK(found->routes[0]->weights.size() == 5);
    CHECK(found->routes[1] == written->routes[1]); // the very same
    CHECK(found->upstreams[0]->address == written->upstreams[0]->address);
    CHECK(found->upstreams[0]->endpoint.address == "10.0.0.1");
    CHECK(found->upstreams[2]->endpoint.address == "fd00::1");
}

TEST_CASE("a change of addresses changes those alone: what stays is the very same object") {
    const snapshot written = resolving();
    const snapshot one = with_addresses(*written, {{"u", {"10.0.0.1", "10.0.0.2"}}}, *written);
    const snapshot two = with_addresses(*written, {{"u", {"10.0.0.2", "10.0.0.3"}}}, *one);
    CHECK(labels_of(two->upstreams) == names{"u=10.0.0.2:8443", "u=10.0.0.3:8443", "v=v1", "v=v2"});
    CHECK(two->upstreams[0] == one->upstreams[1]);
    CHECK(two->routes[0] != one->routes[0]);
    const snapshot same = with_addresses(*written, {{"u", {"10.0.0.3", "10.0.0.2"}}}, *two);
    CHECK(same->upstreams == two->upstreams);
    CHECK(same->routes == two->routes);
    CHECK(with_addresses(*written, {{"u", {}}}, *two)->upstreams == written->upstreams); // as if never asked
}

TEST_CASE("no route has more endpoints than it can ask, and upstreams that resolve share what is left") {
    std::vector<std::string> many;
    for (int i = 0; i < 100; ++i) many.push_back("10.0.0." + std::to_string(100 + i));
    const snapshot written = resolving();
    CHECK(with_addresses(*written, {{"u", many}}, *written)->routes[0]->upstreams.size() == 64);
    CHECK(with_addresses(*written, {{"u", many}}, *written)->upstreams[0]->endpoint.address == "10.0.0.100");
    const snapshot both = resolving("}\n  w: {caller_credentials: drop, url: \"http://w\", resolve: each",
                                    "[{name: r, upstreams: [u, v, w]}]");
    const snapshot found = with_addresses(*both, {{"u", many}, {"w", {"10.1.0.1"}}}, *both);
    CHECK(found->routes[0]->upstreams.size() == 31 + 2 + 1);
}

} // namespace evenkeel::config::test::endpoints_test

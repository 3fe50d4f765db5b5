// A canary in every place where a secret can stand, well-formed and ill-formed, must appear in no output.

#include "support.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::secrets_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

namespace {

constexpr const char* canary = "sk-CANARY-0123456789";

std::string everything(const std::string& yaml, const environment& env) {
    const load_result result = load(yaml, env);
    std::ostringstream out;
    print_text(out, result.diagnostics);
    print_json(out, result.diagnostics);
    out << show_effective(yaml, "conf/evenkeel.yaml", env, "", stages).value_or("");
    out << show_effective(yaml, "conf/evenkeel.yaml", env, "chat", stages).value_or("");
    if (result.ok()) out << result.settings->hash;
    return out.str();
}

} // namespace

TEST_CASE("a secret appears in no diagnostic, no effective configuration and no hash") {
    const std::string c = canary;
    const environment env = world({{"KEY", c}}, {{"conf/key", c + "\n"}});
    const std::string files[] = {
        good("", "    headers: {set: {authorization: \"Bearer " + c + "\"}}\n"),
        good("", "    headers: {set: {authorization: \"Bearer " + c + "\"}, remve: [x]}\n"),
        good("", "    headers: {set: {authorization: " + c + ", host: " + c + "}}\n"),
        good("", "    headers: {set: {authorization: [" + c + "]}}\n"),
        good("", "    headers: {set: [authorization, " + c + "]}\n"),
        good("", "    headers: {set: \"authorization: " + c + "\"}\n"),
        good("", "    headers: " + c + "\n"),
        good("", "    header: {set: {authorization: " + c + "}}\n"),
        good("", "    authorization: " + c + "\n"),
        good("", "    api_key: " + c + "\n"),
        good("", "    headers:\n      set:\n        authorization: >-\n          Bearer\n          " + c +
                     "\n      bad: 1\n"),
        good("", "    headers:\n      set:\n        authorization: |\n          " + c + "\n          " + c + "\n"),
        good("", "    headers:\n      set:\n        authorization: \"Bearer\n          " + c + "\"\n        host: x\n"),
        good("", "    headers:\n      set:\n        authorization: &a " + c + "\n"),
        good("", "    headers:\n      set:\n        authorization: !secret " + c + "\n"),
        good("", "    headers:\n      set:\n        authorization: *" + c + "\n"),
        good("", "    headers:\n      set:\n        authorization: \"" + c + "\n"),
        good("", "    headers:\n      set:\n        authorization: '" + c + "\n"),
        good("", "    headers: {set: {authorization: " + c + "}\n"),
        good("", "    headers: {set: {authorization: \"" + c + "\\q\"}}\n"),
        good("", "    headers:\n      set:\n      \tauthorization: " + c + "\n"),
        good("", "    headers: {set: {authorization: " + c + ", authorization: " + c + "}}\n"),
        good("", "    headers: {set: {<<: {authorization: " + c + "}}}\n"),
        good("", "    headers: {set: {authorization: \"" + c + "\\n\"}}\n"),
        good("", "    headers: {set: {authorization: \"Bearer ${env:KEY} \"}}\n", "    bad: 1\n"),
        good("", "    headers: {set: {authorization: \"${file:key}\"}}\n", "    bad: 1\n"),
        good("", "    headers: {set: {authorization: \"$" + c + "\"}}\n"),
        good("", "    headers: {set: {authorization: \"${env:" + c + "}\"}}\n"),
        good("", "    headers: {set: {authorization: \"os.environ/" + c + "\"}}\n"),
        good("", "    headers: {set: {x-a: \"" + c + "\"}}   # was " + c + "\n    dialect: " + "banana   # not " + c +
                     "\n"),
        good("admin: {token: " + c + "}\n"),
        good("admin: {tokn: " + c + "}\n"),
        good("admin: {listen: 0.0.0.0:1, token: \"" + c + " x\"}\n"),
        good("admin: {token: {a: " + c + "}}\n"),
        good("token: " + c + "\n"),
        good("admin: {token: " + c + ", token: " + c + "}\n"),
        "version: 1\nupstreams:\n  a: {url: \"https://user:" + c + "@x\"}\nroutes: [{name: chat, upstreams: [a]}]\n",
        "version: 1\nupstreams:\n  a: {url: \"https://x/?key=" + c + "\"}\nroutes: [{name: chat, upstreams: [a]}]\n",
        "version: 1\nupstreams:\n  a: {url: \"" + c + "@\"}\nroutes: [{name: chat, upstreams: [a]}]\n",
        good("workers: ${env:KEY}\n"),
        good("log: {level: \"${env:KEY}\"}\n"),
        good("drain: {timeout: \"${file:key}\"}\n"),
        good("limits: {max_body: \"${env:KEY}\"}\n"),
        good("", "    url: ${env:KEY}\n"),
        good("listen: ${env:KEY}\n"),
        good("", "    models: {a: \"${file:key}\"}\n"),
        good("", "    tls: {ca_file: \"${file:key}\"}\n"),
        good("", "", "    match: {headers: {authorization: \"" + c + "*\"}}\n"),
        good("", "", "    match: {headers: {x-api-key: \"" + c + "\", x-b: []}}\n"),
        good("", "", "    headers: {set: {x-a: " + c + "}, remove: [" + "x-a]}\n"),
        good("", "", "    hedge: {delay: \"${env:KEY}\"}\n"),
        good("", "", "    timeout: {adaptive: {initial: \"${file:key}\"}}\n"),
        good("", "", "    circuit_breaker: {min_calls: \"${env:KEY}\"}\n"),
        good("profile: \"${env:KEY}\"\n"),
        good("tracing: {headers: {authorization: " + c + "}}\n"),
        good("tracing: " + c + "\n"),
        good("chaos: {enabled: true, rules: [{route: \"${env:KEY}\", fault: stall, probability: 1, for: 1m}]}\n"),
        good("chaos: {enabled: true, rules: [{route: chat, fault: abort, code: \"${file:key}\", delay: 1s, "
             "probability: 1, for: 1m}]}\n"),
        good("last_good: {path: \"${file:key}\"}\n"),
        good("", "", "    fallback: [{respond: {body: \"${file:key}\"}}]\n"),
        good("", "", "    fallback: [{respond: {body: \"${env:KEY}\"}}]\n"),
        good("", "", "    fallback: [{route: \"${env:KEY}\"}]\n"),
        good("", "", "    fallback: [{respond: {body_file: \"${env:KEY}\"}}]\n"),
        "authorization: " + c + "\n",
        "- authorization: " + c + "\n",
        c + "\n",
        "\"" + c + "\n",
        "{authorization: " + c + "\n",
        "version: 1\nroutes: [\n  " + c + "\n",
        "version: 1 " + c + ": x: y\n",
        "version: 1\n---\ntoken: " + c + "\n",
        "version: 1\ntoken: " + c + "\xff\n",
    };
    for (const std::string& yaml : files) {
        CAPTURE(yaml);
        const std::string out = everything(yaml, env);
        CAPTURE(out);
        CHECK(out.find("CANARY") == std::string::npos);
    }
}

TEST_CASE("masked lines keep their caret under the right word") {
    const load_result result =
        load(good("", "    headers: {set: {authorization: \"Bearer very-secret-value\"}, remve: []}\n"));

    REQUIRE(result.diagnostics.size() == 1);
    const diagnostic& d = result.diagnostics[0];
    CHECK(d.column == 65);
    CHECK(d.source == "    headers: {set: {authorization: ***}, remve: []}");
    CHECK(d.source.substr(static_cast<std::size_t>(d.source_column) - 1, static_cast<std::size_t>(d.source_length)) ==
          "remve");
}

TEST_CASE("the hash changes with a secret") {
    const auto hash_with = [](const char* key) {
        const load_result result =
            load(good("", "    headers: {set: {authorization: \"${env:KEY}\"}}\n"), world({{"KEY", key}}));
        REQUIRE(result.ok());
        return result.settings->hash;
    };

    CHECK(hash_with("first-secret") != hash_with("second-secret"));
    CHECK(hash_with("first-secret") == hash_with("first-secret"));
    CHECK(hash_with("first-secret").size() == 64);
}

} // namespace evenkeel::test::secrets_test

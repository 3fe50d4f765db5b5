#include "support.hpp"

#include <doctest/doctest.h>

using namespace evenkeel;
using namespace evenkeel::config;
using namespace evenkeel::config::test;
using namespace std::chrono_literals;

namespace {

std::string show(const std::string& yaml, std::string_view route = "", const environment& env = world()) {
    return show_effective(yaml, "conf/evenkeel.yaml", env, route).value_or("nothing");
}

bool has_line(const std::string& text, const std::string& line) {
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

} // namespace

TEST_CASE("each value shows where it comes from: built-in, defaults, route") {
    const std::string shown = show(
        good("defaults:\n  timeout:\n    connect: 2s\n", "    dialect: openai\n", "    timeout:\n      total: 90s\n"),
        "chat");

    CHECK(shown == "upstreams:\n"
                   "  openai:\n"
                   "    url: https://api.openai.com  # upstream:7\n"
                   "    dialect: openai  # upstream:8\n"
                   "    tls:\n"
                   "      ca_file: system  # built-in\n"
                   "      server_name: auto  # built-in\n"
                   "      verify: true  # built-in\n"
                   "    connections:\n"
                   "      max: 256  # built-in\n"
                   "      idle_timeout: 30s  # built-in\n"
                   "      max_age: 5m  # built-in\n"
                   "      retry_stale: true  # built-in\n"
                   "    forwarded: off  # built-in\n"
                   "routes:\n"
                   "  - name: chat  # route:10\n"
                   "    upstreams:\n"
                   "      - name: openai  # route:11\n"
                   "    balance: failover  # built-in\n"
                   "    timeout:\n"
                   "      total: 1m30s  # route:13\n"
                   "      connect: 2s  # defaults:4\n"
                   "      attempt: off  # built-in\n"
                   "      stream_idle: 1m  # built-in\n"
                   "      content_idle: 5m  # built-in\n"
                   "    retry:\n"
                   "      max_retries: 5  # built-in\n"
                   "      on:\n"
                   "        - connect_failure  # built-in\n"
                   "        - reset  # built-in\n"
                   "        - timeout  # built-in\n"
                   "        - overloaded  # built-in\n"
                   "        - rate_limited  # built-in\n"
                   "        - server_error  # built-in\n"
                   "        - stream_error  # built-in\n"
                   "        - protocol_error  # built-in\n"
                   "      backoff:\n"
                   "        initial: 250ms  # built-in\n"
                   "        max: 8s  # built-in\n"
                   "        base: 2  # built-in\n"
                   "        jitter: full  # built-in\n"
                   "      max_retry_after: 1m  # built-in\n"
                   "      replay: auto  # built-in\n"
                   "      replay_buffer: 32MiB  # built-in\n"
                   "      budget:\n"
                   "        extra_work: 0.2  # built-in\n"
                   "        burst: 10  # built-in\n"
                   "        min_per_second: 0.2  # built-in\n"
                   "    stream:\n"
                   "      head_hold: auto  # built-in\n"
                   "      heartbeat: 10s  # built-in\n"
                   "      hold_buffer: 1MiB  # built-in\n");
}

TEST_CASE("a built-in value that an explicit bound makes impossible is lowered, and says why") {
    const std::string yaml = good("defaults: {timeout: {total: 30s}}\n", "", "    timeout:\n      attempt: 2s\n");
    const std::string shown = show(yaml);
    const load_result result = load(yaml);

    CHECK(has_line(shown, "      stream_idle: 30s  # built-in, clamped by timeout.total (line 2)"));
    CHECK(has_line(shown, "      connect: 2s  # built-in, clamped by timeout.attempt (line 10)"));
    REQUIRE(result.ok());
    CHECK(result.settings->routes[0]->timeout == timeouts{30s, 2s, duration{2s}, 30s});
}

TEST_CASE("a route's off overrides what defaults say") {
    const std::string yaml = good("defaults: {timeout: {attempt: 20s}}\n", "", "    timeout: {attempt: off}\n");
    const load_result result = load(yaml);

    REQUIRE(result.ok());
    CHECK_FALSE(result.settings->routes[0]->timeout.attempt);
    CHECK(has_line(show(yaml), "      attempt: off  # route:9"));
}

TEST_CASE("secrets are masked, variables are named, files are masked too") {
    const environment env =
        world({{"KEY", "sk-very-secret"}, {"ADDR", "127.0.0.1:7777"}}, {{"conf/model", "confidential-model"}});
    const std::string shown =
        show(good("listen: ${env:ADDR}\n",
                  "    headers: {set: {authorization: \"Bearer ${env:KEY}\"}}\n    models: {m: \"${file:model}\"}\n"),
             "", env);

    CHECK(has_line(shown, "  - address: 127.0.0.1:7777  # file:2, from ${env:ADDR}"));
    CHECK(has_line(shown, "        authorization: \"***\"  # upstream:6, from ${env:KEY}"));
    CHECK(has_line(shown, "      m: \"***\"  # upstream:7, from ${file:model}"));
}

TEST_CASE("there is nothing to show for a wrong file or an unknown route") {
    CHECK_FALSE(show_effective("version: 2\n", "f", world(), ""));
    CHECK_FALSE(show_effective(good(), "f", world(), "no-such-route"));
    CHECK_FALSE(show_effective("\xff", "f", world(), ""));
}

TEST_CASE("what is shown loads again and means the same") {
    std::vector<std::pair<std::string, std::string>> files;
    for (const std::string& name : example_names()) files.emplace_back(name, read_file(config_file(name)));
    files.emplace_back("dollar signs and quotes",
                       good("access_log: {path: \"a$$b \\\"c\\\" # d\"}\n",
                            "    models: {\"a: b\": \"${env:NONE:-c}\", \"off\": \"true\"}\n"));
    files.emplace_back("admin off", good("admin: off\nlisten: [\"[::1]:1\", unix:/x]\n"));
    files.emplace_back("health", "version: 1\nroutes: [{name: h, match: {path_prefix: /}, serve: health}]\n");
    files.emplace_back("clamped", good("defaults: {timeout: {total: 1s}}\nlimits: {memory: 1MiB}\n",
                                       "    connections: {max_age: 2s}\n"));
    files.emplace_back("globs", good("", "    forwarded: true\n",
                                     "    match: {headers: {x: \"*\"}, model: [\"a*\", \"-\", \"~\"], methods: "
                                     "[GET]}\n    rewrite: {path: /a$$b}\n"));
    for (const auto& [name, yaml] : files) {
        CAPTURE(name);
        const load_result first = load(yaml);
        CAPTURE(printed(first.diagnostics));
        REQUIRE(first.ok());
        const std::string shown = show(yaml);
        CAPTURE(shown);
        const load_result second = load(shown);
        CAPTURE(printed(second.diagnostics));
        REQUIRE(second.ok());
        CHECK(same_meaning(*first.settings, *second.settings));
        CHECK(first.settings->hash == second.settings->hash);
    }
}

TEST_CASE("the hash follows the meaning, not the spelling") {
    const auto hash = [](const std::string& yaml) {
        const load_result result = load(yaml);
        REQUIRE(result.ok());
        return result.settings->hash;
    };
    const std::string plain = hash(good());

    CHECK(plain == hash(good("# a comment\nlisten: \"127.0.0.1:8080\"\nworkers: 1\n")));
    CHECK(plain == hash(good("defaults: {timeout: {total: 10m}}\n")));
    CHECK(plain == hash(good("", "", "    timeout: {connect: 5000ms}\n    hedge: off\n")));
    CHECK(plain != hash(good("workers: 2\n")));
    CHECK(plain != hash(good("", "", "    timeout: {connect: 5001ms}\n")));
}

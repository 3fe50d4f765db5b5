#include "config/entry.hpp"
#include "config/schema.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

using namespace evenkeel;
using namespace evenkeel::config;
using namespace evenkeel::config::test;
using namespace std::chrono_literals;

TEST_CASE("the smallest file means what the settings' own defaults mean") {
    const load_result result = load(good());

    REQUIRE(result.ok());
    CHECK(result.diagnostics.empty());
    const settings& s = *result.settings;
    const settings plain;
    CHECK(s.workers == plain.workers);
    CHECK(s.access_log == plain.access_log);
    CHECK(s.log == plain.log);
    CHECK(s.limits == plain.limits);
    CHECK(s.drain_timeout == plain.drain_timeout);
    CHECK(s.routes[0]->timeout == timeouts{});
    CHECK(s.routes[0]->retry == evenkeel::retry_options{});
    CHECK_FALSE(s.routes[0]->own_budget);
    CHECK(s.routes[0]->stream == stream_options{});
    CHECK(s.replay_buffer == plain.replay_buffer);
    CHECK(s.upstreams[0]->connections == connection_options{});
    CHECK(s.upstreams[0]->tls == client_tls{});
    CHECK(s.upstreams[0]->dialect == dialect::automatic);
    CHECK_FALSE(s.upstreams[0]->forwarded);
    CHECK_FALSE(s.upstreams[0]->proxy);
    REQUIRE(s.listen.size() == 1);
    CHECK(s.listen[0].host == "127.0.0.1");
    CHECK(s.listen[0].port == 8080);
    REQUIRE(s.admin.listen);
    CHECK(s.admin.listen->port == 9901);
    CHECK_FALSE(s.admin.metrics_listen);
    CHECK(s.admin.token.empty());
    CHECK(s.source == "conf/evenkeel.yaml");
    CHECK(s.generation == 0);
}

TEST_CASE("every available key reaches the settings") {
    const environment env = world({{"TOKEN", "t0ken"}}, {{"conf/c.pem", ""}, {"/k.pem", ""}});
    const load_result result = load(R"(version: 1
listen:
  - "[::1]:8080"
  - unix:/run/evenkeel.sock
  - {address: 0.0.0.0:8443, tls: {cert_file: c.pem, key_file: /k.pem}}
workers: 3
admin: {listen: 0.0.0.0:1, metrics_listen: 0.0.0.0:2, token: "${env:TOKEN}"}
upstreams:
  one:
    url: https://API.example.com:8443/base/
    dialect: anthropic
    headers: {set: {X-Api-Key: k, x-empty: ""}, remove: [X-Debug, cookie]}
    models: {a: b, "c d": e}
    tls: {ca_file: c.pem, server_name: other.example, cert_file: c.pem, key_file: /k.pem, verify: true}
    proxy: http://egress:3128
    connections: {max: 7, idle_timeout: 1s, max_age: 2m, retry_stale: false}
    forwarded: true
  two: {url: "http://two"}
defaults:
  timeout: {total: 100s, connect: 1s, attempt: 50s, stream_idle: 20s, content_idle: 70s}
  retry:
    max_retries: 2
    on: [reset, stream_error]
    backoff: {initial: 1s, max: 3s, base: 1.5, jitter: decorrelated}
    max_retry_after: 5s
    replay: always
    replay_buffer: 1MiB
    budget: {extra_work: 0.5, burst: 4, min_per_second: 1}
  stream: {head_hold: 3s, heartbeat: 4s, hold_buffer: 2MiB}
routes:
  - name: r1
    match: {path: /x, methods: [POST, GET], headers: {X-Team: "a*"}, model: ["m*", n]}
    upstreams: [one]
    rewrite: {path: /y}
    headers: {set: {x-r: "1"}, remove: [x-s]}
    timeout: {attempt: off, total: 90s}
    balance: failover
    retry: {replay: never, budget: {burst: 1}}
    stream: {head_hold: off}
  - name: r2
    match: {path_prefix: /p/, model: only}
    upstreams: [{name: two}, one]
    rewrite: {path_prefix: /q/}
    retry: off
  - name: r3
    match: {path: /health}
    serve: health
access_log: {path: /var/log/a.log, sample_ok: 0.25}
log: {level: warning, format: json, path: stdout}
limits: {max_header_bytes: 32KiB, max_body: 1MiB, header_timeout: 1s, body_timeout: 2s, idle_timeout: 3s, write_timeout: 4s,
         max_connections: 5, memory: 6MiB}
drain: {timeout: 7s}
)",
                                    env);

    CAPTURE(printed(result.diagnostics));
    REQUIRE(result.ok());
    CHECK(result.diagnostics.empty());
    const settings& s = *result.settings;
    REQUIRE(s.listen.size() == 3);
    CHECK(s.listen[0] == listener{"::1", 8080, std::nullopt, std::nullopt});
    CHECK(s.listen[1].unix->path == "/run/evenkeel.sock");
    CHECK(s.listen[2] == listener{"0.0.0.0", 8443, std::nullopt, server_tls{"conf/c.pem", "/k.pem"}});
    CHECK(s.workers == 3);
    CHECK(s.admin.listen->port == 1);
    CHECK(s.admin.metrics_listen->port == 2);
    CHECK(s.admin.token == "t0ken");

    REQUIRE(s.upstreams.size() == 2);
    const upstream& u = *s.upstreams[0];
    CHECK(u.name == "one");
    CHECK(u.address == url{true, "api.example.com", 8443, "api.example.com:8443", "/base"});
    CHECK(u.dialect == dialect::anthropic);
    CHECK(u.headers.set == std::vector<std::pair<std::string, std::string>>{{"x-api-key", "k"}, {"x-empty", ""}});
    CHECK(u.headers.remove == std::vector<std::string>{"x-debug", "cookie"});
    CHECK(u.models.at("a") == "b");
    CHECK(u.models.at("c d") == "e");
    CHECK(u.tls == client_tls{"conf/c.pem", "other.example", "conf/c.pem", "/k.pem", true});
    CHECK(u.proxy == url{false, "egress", 3128, "egress:3128", ""});
    CHECK(u.connections == connection_options{7, 1s, 2min, false});
    CHECK(u.forwarded);

    REQUIRE(s.routes.size() == 3);
    const route& r1 = *s.routes[0];
    CHECK(r1.name == "r1");
    REQUIRE(r1.upstreams.size() == 1);
    CHECK(r1.upstreams[0] == s.upstreams[0]);
    CHECK(r1.match.path == "/x");
    CHECK(r1.match.methods == std::vector<std::string>{"POST", "GET"});
    CHECK(r1.match.headers == std::vector<header_match>{{"x-team", "a*"}});
    CHECK(r1.match.models == std::vector<std::string>{"m*", "n"});
    CHECK(r1.rewrite == path_rewrite{path_rewrite::kind::whole, "/y"});
    CHECK(r1.headers.set[0].first == "x-r");
    CHECK(r1.headers.remove[0] == "x-s");
    CHECK(r1.timeout == timeouts{90s, 1s, std::nullopt, 20s, 70s});
    const route& r2 = *s.routes[1];
    CHECK(r2.match.path_prefix == "/p");
    CHECK(r2.match.models == std::vector<std::string>{"only"});
    CHECK(r2.rewrite == path_rewrite{path_rewrite::kind::prefix, "/q"});
    CHECK(r2.timeout == timeouts{100s, 1s, duration{50s}, 20s, 70s});
    evenkeel::retry_options retry;
    retry.max_retries = 2;
    retry.on = static_cast<evenkeel::retry_on>(static_cast<int>(evenkeel::retry_on::reset) | static_cast<int>(evenkeel::retry_on::stream_error));
    retry.backoff = {1s, 3s, 1.5, evenkeel::jitter::decorrelated};
    retry.max_retry_after = 5s;
    retry.replay = evenkeel::replay_mode::never;
    retry.replay_buffer = 1024 * 1024;
    retry.budget = {0.5, 1, 1};
    CHECK(r1.retry == retry);
    CHECK(r1.own_budget);
    CHECK(r1.stream == stream_options{false, std::nullopt, 4s, 2 * 1024 * 1024});
    REQUIRE(r2.upstreams.size() == 2);
    CHECK(r2.upstreams[0] == s.upstreams[1]);
    CHECK(r2.upstreams[1] == s.upstreams[0]);
    CHECK(r2.retry.max_retries == 0);
    CHECK_FALSE(r2.own_budget);
    CHECK(r2.stream == stream_options{true, duration{3s}, 4s, 2 * 1024 * 1024});
    CHECK(s.replay_buffer == 1024 * 1024);
    CHECK(s.routes[2]->serves == route_serves::health);
    CHECK(s.routes[2]->upstreams.empty());

    CHECK(s.access_log == access_log_options{"/var/log/a.log", 0.25});
    CHECK(s.log == log_options{log_level::warning, true, "stdout"});
    CHECK(s.limits == limits{32 * 1024, 1024 * 1024, 1s, 2s, 3s, 4s, 5, 6 * 1024 * 1024});
    CHECK(s.drain_timeout == 7s);
}

TEST_CASE("admin off leaves no admin listener") {
    const load_result result = load(good("admin: off\n"));

    REQUIRE(result.ok());
    CHECK_FALSE(result.settings->admin.listen);
    CHECK_FALSE(result.settings->admin.metrics_listen);
}

TEST_CASE("workers auto is at least one") {
    const load_result result = load(good("workers: auto\n"));

    REQUIRE(result.ok());
    CHECK(result.settings->workers >= 1);
}

TEST_CASE("load_file explains what cannot be read") {
    CHECK(brief(load_file(config_file("no-such-file.yaml"), world()).diagnostics) ==
          std::vector<std::string>{"error unreadable-file 0:0"});
    CHECK(brief(load_file(config_file(""), world()).diagnostics) ==
          std::vector<std::string>{"error unreadable-file 0:0"});
    CHECK(load_file(config_file("examples/openai.yaml"), process_environment()).ok());
}

TEST_CASE("the process environment reads variables and regular files only") {
    const environment env = process_environment();

    CHECK(env.variable("PATH"));
    CHECK_FALSE(env.variable("EVENKEEL_NO_SUCH_VARIABLE"));
    CHECK(env.file(config_file("reference.yaml")));
    CHECK_FALSE(env.file(config_file("")));
    CHECK_FALSE(env.file("/dev/zero"));
}

TEST_CASE("the table is consistent with itself") {
    for (const key_row& row : key_table()) {
        CAPTURE(row.path);
        CHECK_FALSE(row.documentation.empty());
        CHECK(row.documentation.back() != ' ');
        if (!row.available) continue;
        const bool has_default = !row.fallback.empty() && row.kind != value_kind::block;
        const auto defaults = row.shape == value_shape::list ? split_words(row.fallback) : std::vector{row.fallback};
        for (const std::string_view each : defaults) {
            if (has_default) CHECK(std::holds_alternative<leaf>(read_leaf(row, std::string(each), {})));
        }
        for (const std::string_view bound : {row.min, row.max}) {
            if (!bound.empty()) CHECK(std::holds_alternative<leaf>(read_leaf(row, std::string(bound), {})));
        }
        const bool quantity = row.kind == value_kind::integer || row.kind == value_kind::duration ||
                              row.kind == value_kind::size || row.kind == value_kind::ratio;
        CHECK(quantity == !row.max.empty());
    }
}

TEST_CASE("a range includes its ends and nothing beyond") {
    struct range {
        const char* below;
        const char* least;
        const char* most;
        const char* above;
        std::string (*file)(const std::string&);
    };
    for (const range& r :
         {range{"0", "1", "256", "257", [](const std::string& v) { return good("workers: " + v + "\n"); }},
          range{"1023B", "1KiB", "1MiB", "1048577B",
                [](const std::string& v) { return good("limits: {max_header_bytes: " + v + "}\n"); }},
          range{"0.9ms", "1ms", "24h", "24h1us",
                [](const std::string& v) { return good("", "", "    timeout: {total: " + v + "}\n"); }},
          range{"0", "1", "1000000", "1000001",
                [](const std::string& v) { return good("limits: {max_connections: " + v + "}\n"); }},
          range{"-1", "0", "1", "1.001",
                [](const std::string& v) { return good("access_log: {sample_ok: " + v + "}\n"); }}}) {
        CAPTURE(r.least);
        CHECK_FALSE(load(r.file(r.below)).ok());
        CHECK(load(r.file(r.least)).ok());
        CHECK(load(r.file(r.most)).ok());
        CHECK_FALSE(load(r.file(r.above)).ok());
    }
}

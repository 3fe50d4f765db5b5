#include "config/entry.hpp"
#include "config/fill.hpp"
#include "config/prices.hpp"
#include "config/profiles.hpp"
#include "config/schema.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::settings_test {

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
    CHECK(s.journal == plain.journal);
    CHECK(s.tracing == plain.tracing);
    CHECK(s.log == plain.log);
    CHECK(s.limits == plain.limits);
    CHECK(s.drain_timeout == plain.drain_timeout);
    CHECK(s.drain_delay == plain.drain_delay);
    timeouts usual;
    usual.learn_attempt = true; // the structs leave off what the file has on
    CHECK(s.routes[0]->timeout == usual);
    evenkeel::breaker_options breaker;
    breaker.on = true;
    CHECK(s.routes[0]->circuit_breaker == breaker);
    CHECK(s.circuit_breaker == breaker);
    CHECK_FALSE(s.routes[0]->own_circuit);
    evenkeel::cooldown_options cooldown;
    cooldown.on = true;
    CHECK(s.routes[0]->cooldown == cooldown);
    evenkeel::overload_options overload;
    overload.on = true;
    CHECK(s.routes[0]->overload == overload);
    CHECK(s.routes[0]->hedge == evenkeel::hedge_options{});
    evenkeel::bulkhead_options bulkhead;
    bulkhead.on = true;
    CHECK(s.routes[0]->bulkhead == bulkhead);
    CHECK(s.routes[0]->shuffle_shard == evenkeel::shuffle_shard_options{});
    CHECK(s.routes[0]->balance == evenkeel::balance_kind::failover);
    CHECK(s.routes[0]->weights == std::vector<double>{1});
    CHECK(s.routes[0]->retry == evenkeel::retry_options{});
    CHECK_FALSE(s.routes[0]->own_budget);
    CHECK(s.routes[0]->stream == stream_options{});
    CHECK(s.replay_buffer == plain.replay_buffer);
    CHECK(s.upstreams[0]->connections == connection_options{});
    CHECK(s.upstreams[0]->tls == client_tls{});
    CHECK(s.upstreams[0]->dialect == dialect_setting::automatic);
    CHECK_FALSE(s.upstreams[0]->forwarded);
    CHECK_FALSE(s.upstreams[0]->prewarm.on);
    CHECK_FALSE(s.upstreams[0]->proxy);
    REQUIRE(s.listen.size() == 1);
    CHECK(s.listen[0].host == "127.0.0.1");
    CHECK(s.listen[0].port == 8080);
    REQUIRE(s.admin.listen);
    CHECK(s.admin.listen->port == 9901);
    CHECK_FALSE(s.admin.metrics_listen);
    CHECK(s.admin.token.empty());
    CHECK(s.source == "conf/evenkeel.yaml");
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
    paths: {/v1: /api/v3}
    prices: {"gpt-4*": {input: 2.5, output: 10, cached_read: 1.25}, "*": {}}
    tls: {ca_file: c.pem, server_name: other.example, cert_file: c.pem, key_file: /k.pem, verify: true}
    proxy: http://egress:3128
    connections: {max: 7, idle_timeout: 1s, max_age: 2m, retry_stale: false}
    forwarded: true
  two: {url: "http://two", caller_credentials: pass}
credential_fields: [X-Corp, "x-*-ticket", "!x-page-token"]
credential_query: [ticket]
credential_body: [user_ticket]
defaults:
  timeout: {total: 100s, connect: 1s, attempt: 50s, stream_idle: 20s, content_idle: 70s,
            adaptive: {min_samples: 7, window: 30s}}
  retry:
    max_retries: 2
    on: [reset, stream_error]
    backoff: {initial: 1s, max: 3s, base: 1.5, jitter: decorrelated}
    max_retry_after: 5s
    replay: always
    replay_buffer: 1MiB
    budget: {extra_work: 0.5, burst: 4, min_per_second: 1}
  circuit_breaker:
    failure_threshold: 4
    failure_ratio: 0.25
    min_calls: 9
    window: 11s
    recovery_timeout: 3s
    max_recovery_timeout: 13s
    half_open_max_calls: 5
    success_threshold: 6
    ramp: 7s
    scope: upstream
    when_open: hold
    hold_max: 8s
    hold_queue: 10
  cooldown: {initial: 2s, max: 3s, overload: 4s, quota: 5s}
  overload: {window: 12s, ratio: 0.4, min_verdicts: 13, max_wait: 14s}
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
    circuit_breaker: {scope: route, when_open: reject}
    cooldown: off
    overload: off
    stream: {head_hold: off}
  - name: r2
    match: {path_prefix: /p/, model: only}
    upstreams: [{name: two, weight: 3}, one]
    balance: weighted
    rewrite: {path_prefix: /q/}
    retry: off
  - name: r4
    match: {path: /hedged}
    upstreams: [one, two]
    balance: least_latency
    timeout: {attempt: adaptive, adaptive: {quantile: 0.9, multiplier: 4, max: 90s,
                                            initial: {stream: 20s, buffered: 40s}, min: 5s}}
    retry: {budget: off}
    hedge: {delay: p91, max_hedges: 2, min_delay: 60ms, max_delay: 20s, target: other, guard: 0.6}
  - name: r5
    match: {path: /fixed}
    upstreams: [two]
    hedge: {delay: 3s, max_extra: 0.3}
    stream: {resume: verified_replay, min_rate: 2.5, upcast: on}
  - name: r3
    match: {path: /health}
    serve: health
  - name: r6
    match: {path: /all}
    fan_out: {parts: [r5, r1], min_success: 2, body: same}
    timeout: {total: 80s}
    stream: {heartbeat: 5s, hold_buffer: 3KiB}
  - name: r7
    match: {path: /any}
    fan_out: {parts: [r5]}
access_log: {path: /var/log/a.log, sample_ok: 0.25, format: text}
journal: {keep: 20, max_bytes: 1MiB}
log: {level: warning, format: json, path: stdout}
limits: {max_header_bytes: 32KiB, max_body: 1MiB, header_timeout: 1s, body_timeout: 2s, body_min_rate: 7KiB,
         idle_timeout: 3s, write_timeout: 4s,
         max_connections: 5, memory: 6MiB}
drain: {delay: 3s, timeout: 7s}
)",
                                    env);

    CAPTURE(printed(result.diagnostics));
    REQUIRE(result.ok());
    CHECK(brief(result.diagnostics) == std::vector<std::string>{"warning open-to-all 5:15"});
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
    CHECK(u.dialect == dialect_setting::anthropic);
    CHECK(u.headers.set == std::vector<std::pair<std::string, std::string>>{{"x-api-key", "k"}, {"x-empty", ""}});
    CHECK(u.headers.remove == std::vector<std::string>{"x-debug", "cookie"});
    CHECK(u.models.at("a") == "b");
    CHECK(u.models.at("c d") == "e");
    CHECK(u.paths.at("/v1") == "/api/v3");
    CHECK(u.prices.size() == 2);
    CHECK(u.prices.at("gpt-4*") == price{.input = 2.5, .output = 10, .cached_read = 1.25, .cached_write = {}});
    CHECK(u.prices.at("*") == price{});
    CHECK(price_of(u, "gpt-4o") == &u.prices.at("gpt-4*"));
    CHECK(price_of(u, "") == &u.prices.at("*"));
    CHECK(u.tls == client_tls{"conf/c.pem", "other.example", "conf/c.pem", "/k.pem", true});
    CHECK(u.proxy == url{false, "egress", 3128, "egress:3128", ""});
    CHECK(u.connections == connection_options{7, 1s, 2min, false});
    CHECK(u.forwarded);
    CHECK(u.own_credential);
    CHECK(u.caller_credentials == caller_credentials::automatic);
    CHECK(s.upstreams[1]->caller_credentials == caller_credentials::pass);
    CHECK_FALSE(s.upstreams[1]->own_credential);
    CHECK(s.credentials == credential_rules{{{"X-Corp", "x-*-ticket", "!x-page-token"}, {"ticket"}, {"user_ticket"}}});

    REQUIRE(s.routes.size() == 7);
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
    CHECK(r1.credentials == s.credentials);
    evenkeel::adaptive_options learned;
    learned.min_samples = 7;
    learned.window = 30s;
    timeouts times{90s, 1s, std::nullopt, 20s, 70s, false, learned};
    CHECK(r1.timeout == times);
    const route& r2 = *s.routes[1];
    CHECK(r2.match.path_prefix == "/p");
    CHECK(r2.match.models == std::vector<std::string>{"only"});
    CHECK(r2.rewrite == path_rewrite{path_rewrite::kind::prefix, "/q"});
    times.total = 100s;
    times.attempt = 50s;
    CHECK(r2.timeout == times);
    evenkeel::retry_options retry;
    retry.max_retries = 2;
    retry.on = static_cast<evenkeel::retry_on>(static_cast<int>(evenkeel::retry_on::reset) |
                                               static_cast<int>(evenkeel::retry_on::stream_error));
    retry.backoff = {1s, 3s, 1.5, evenkeel::jitter::decorrelated};
    retry.max_retry_after = 5s;
    retry.replay = evenkeel::replay_mode::never;
    retry.replay_buffer = 1024 * 1024;
    retry.budget = {0.5, 1, 1, true};
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
    CHECK(s.routes[4]->serves == route_serves::health);
    CHECK(s.routes[4]->upstreams.empty());
    CHECK_FALSE(s.routes[4]->circuit_breaker.on);
    const route& r6 = *s.routes[5];
    CHECK(r6.serves == route_serves::fan_out);
    CHECK(r6.fan_out == fan_out_options{{"r5", "r1"}, 2, fan_out_body::same});
    CHECK(r6.timeout.total == 80s);
    CHECK(r6.stream.heartbeat == 5s);
    CHECK(r6.stream.hold_buffer == 3 * 1024);
    CHECK(r6.upstreams.empty());
    const route& r7 = *s.routes[6];
    CHECK(r7.fan_out == fan_out_options{{"r5"}, 1, fan_out_body::automatic});
    CHECK(r7.timeout.total == 100s);
    CHECK(r7.stream.heartbeat == 4s);
    CHECK(r7.stream.hold_buffer == 2 * 1024 * 1024);
    CHECK(stream_options{}.resume == stream_resume::off);
    CHECK(stream_options{}.min_rate == 0);
    CHECK_FALSE(stream_options{}.upcast);
    CHECK(r7.retry.replay_buffer == 1024 * 1024);

    evenkeel::breaker_options breaker{
        true,         4, 0.25, 9, 11s, 3s, 13s, 5, 6, 7s, evenkeel::circuit_scope::upstream, evenkeel::when_open::hold,
        duration{8s}, 10};
    CHECK(s.circuit_breaker == breaker);
    CHECK(r2.circuit_breaker == breaker);
    CHECK_FALSE(r2.own_circuit);
    breaker.scope = evenkeel::circuit_scope::route;
    breaker.when_open = evenkeel::when_open::reject;
    breaker.hold_max.reset();
    breaker.hold_queue = evenkeel::breaker_options{}.hold_queue;
    CHECK(r1.circuit_breaker == breaker);
    CHECK(r1.own_circuit);
    CHECK_FALSE(r1.cooldown.on);
    CHECK_FALSE(r1.overload.on);
    CHECK(r2.cooldown == evenkeel::cooldown_options{true, 2s, 3s, 4s, 5s});
    CHECK(r2.overload == evenkeel::overload_options{true, 12s, 0.4, 13, 14s});
    CHECK(r2.balance == evenkeel::balance_kind::weighted);
    CHECK(r2.weights == std::vector<double>{3, 1});

    const route& r4 = *s.routes[2];
    CHECK(r4.balance == evenkeel::balance_kind::least_latency);
    CHECK(r4.weights == std::vector<double>{1, 1});
    CHECK(r4.timeout.learn_attempt);
    CHECK_FALSE(r4.timeout.attempt);
    CHECK(r4.timeout.adaptive == evenkeel::adaptive_options{0.9, 4, 7, 30s, 90s, {20s, 40s}, {5s, 5s}});
    CHECK_FALSE(r4.retry.budget.on);
    CHECK(r4.own_budget);
    CHECK(r4.hedge == evenkeel::hedge_options{true, evenkeel::hedge_options::delay_kind::quantile, 0.91, duration{}, 2,
                                              0.2, 60ms, 20s, evenkeel::hedge_target::other, 0.6});
    const route& r5 = *s.routes[3];
    CHECK(r5.hedge.delay == evenkeel::hedge_options::delay_kind::fixed);
    CHECK(r5.hedge.fixed == 3s);
    CHECK(r5.hedge.max_extra == 0.3);
    CHECK(r5.stream.resume == stream_resume::verified_replay);
    CHECK(r5.stream.min_rate == 2.5);
    CHECK(r5.stream.upcast);

    CHECK(s.access_log == access_log_options{"/var/log/a.log", 0.25, access_log_format::text});
    CHECK(s.journal == journal_options{true, 20, 1024 * 1024});
    CHECK_FALSE(load(good("journal: off\n")).settings->journal.on);
    CHECK(s.log == log_options{log_level::warning, true, "stdout"});
    CHECK(s.limits == limits{32 * 1024, 1024 * 1024, 1s, 2s, 3s, 4s, 5, 6 * 1024 * 1024, 7 * 1024});
    CHECK(s.drain_timeout == 7s);
    CHECK(s.drain_delay == 3s);
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
                              row.kind == value_kind::size || row.kind == value_kind::ratio ||
                              row.kind == value_kind::delay || row.kind == value_kind::rate;
        CHECK(quantity == !row.max.empty());
    }
}

TEST_CASE("every key fills a member of the settings, or is read by whoever builds what is around it") {
    const std::string elsewhere = " version profile credential_fields credential_query credential_body "
                                  "routes.upstreams.name routes.upstreams.weight fallback.respond.body "
                                  "fallback.respond.body_file ";
    for (const key_row& row : key_table()) {
        CAPTURE(row.path);
        if (row.kind == value_kind::block || !row.available) continue;
        const bool read_there = elsewhere.find(" " + std::string(row.path) + " ") != std::string::npos;
        CHECK((row.fills == nullptr) == read_there);
    }
}

// Fills an owner with one word after the other.
template <class Owner, class Enum>
void check_words(std::string_view path, Enum (*of)(const Owner&),
                 std::initializer_list<std::pair<std::string_view, Enum>> meant) {
    CAPTURE(path);
    const auto row =
        std::find_if(key_table().begin(), key_table().end(), [&](const key_row& each) { return each.path == path; });
    REQUIRE(row != key_table().end());
    CHECK(split_words(row->words).size() == meant.size());
    schema_node node;
    node.row = &*row;
    for (const auto& [text, is] : meant) {
        CAPTURE(text);
        entry leaf, list;
        leaf.schema = list.schema = &node;
        leaf.value = word{std::string(text)};
        list.single = false;
        list.children = {leaf};
        Owner owner;
        fill(row->shape == value_shape::list ? list : leaf, {&owner, {}});
        CHECK(of(owner) == is);
    }
}

TEST_CASE("each word means its enumerator") {
    using enum evenkeel::when_open;
    using enum evenkeel::hedge_target;
    using enum evenkeel::retry_on;
    using evenkeel::circuit_scope, evenkeel::jitter, evenkeel::replay_mode, evenkeel::balance_kind,
        evenkeel::coalesce_mode;
    using r = const route&;
    check_words("circuit_breaker.scope", +[](r at) { return at.circuit_breaker.scope; },
                {{"endpoint", circuit_scope::endpoint},
                 {"upstream", circuit_scope::upstream},
                 {"route", circuit_scope::route}});
    check_words("circuit_breaker.when_open", +[](r at) { return at.circuit_breaker.when_open; },
                {{"hold", hold}, {"reject", reject}});
    check_words("hedge.target", +[](r at) { return at.hedge.target; },
                {{"prefer_other", prefer_other}, {"other", other}, {"any", any}});
    check_words("retry.on", +[](r at) { return at.retry.on; },
                {{"connect_failure", connect_failure},
                 {"reset", reset},
                 {"timeout", timeout},
                 {"overloaded", overloaded},
                 {"rate_limited", rate_limited},
                 {"server_error", server_error},
                 {"stream_error", stream_error},
                 {"protocol_error", protocol_error},
                 {"empty", empty}});
    check_words("retry.backoff.jitter", +[](r at) { return at.retry.backoff.jitter; },
                {{"equal", jitter::equal},
                 {"full", jitter::full},
                 {"decorrelated", jitter::decorrelated},
                 {"none", jitter::none}});
    check_words("retry.replay", +[](r at) { return at.retry.replay; },
                {{"auto", replay_mode::automatic}, {"always", replay_mode::always}, {"never", replay_mode::never}});
    check_words("routes.balance", +[](r at) { return at.balance; },
                {{"failover", balance_kind::failover},
                 {"least_latency", balance_kind::least_latency},
                 {"round_robin", balance_kind::round_robin},
                 {"weighted", balance_kind::weighted}});
    check_words("coalesce", +[](r at) { return at.coalesce; },
                {{"off", coalesce_mode::off},
                 {"deterministic", coalesce_mode::deterministic},
                 {"always", coalesce_mode::always}});
    check_words("stream.resume", +[](r at) { return at.stream.resume; },
                {{"off", stream_resume::off},
                 {"buffer", stream_resume::buffer},
                 {"verified_replay", stream_resume::verified_replay}});
    check_words("routes.fan_out.body", +[](r at) { return at.fan_out.body; },
                {{"auto", fan_out_body::automatic}, {"same", fan_out_body::same}, {"split", fan_out_body::split}});
    check_words("upstreams.dialect", +[](const upstream& at) { return at.dialect; },
                {{"auto", dialect_setting::automatic},
                 {"openai", dialect_setting::openai},
                 {"anthropic", dialect_setting::anthropic},
                 {"gemini", dialect_setting::gemini},
                 {"ollama", dialect_setting::ollama},
                 {"generic", dialect_setting::generic}});
    check_words("upstreams.caller_credentials", +[](const upstream& at) { return at.caller_credentials; },
                {{"auto", caller_credentials::automatic},
                 {"pass", caller_credentials::pass},
                 {"drop", caller_credentials::drop}});
    check_words("fallback.last_good.key", +[](const fallback_step& at) { return at.key; },
                {{"request", last_good_key_kind::request}, {"partial_key", last_good_key_kind::partial_key}});
    check_words("tracing.parent", +[](const settings& at) { return at.tracing.parent; },
                {{"follow", trace_parent::follow}, {"ignore", trace_parent::ignore}});
    check_words("tracing.propagate", +[](const settings& at) { return at.tracing.propagate; },
                {{"none", trace_propagation::none},
                 {"traceparent", trace_propagation::traceparent},
                 {"all", trace_propagation::all}});
    check_words(
        "tracing.semconv", +[](const settings& at) { return at.tracing.semconv; },
        {{"0.1", genai_conventions::v0_1}, {"1.41", genai_conventions::v1_41}, {"both", genai_conventions::both}});
    check_words("log.level", +[](const settings& at) { return at.log.level; },
                {{"debug", log_level::debug},
                 {"info", log_level::info},
                 {"warning", log_level::warning},
                 {"error", log_level::error}});
}

TEST_CASE("a block that is off by default is on once it is written, with the built-in rest") {
    const load_result result = load(good("", "", "    hedge: {}\n"));

    REQUIRE(result.ok());
    evenkeel::hedge_options hedge;
    hedge.on = true;
    CHECK(result.settings->routes[0]->hedge == hedge);
    CHECK_FALSE(load(good("defaults: {hedge: {}}\n", "", "    hedge: off\n")).settings->routes[0]->hedge.on);
    CHECK(load(good("defaults: {hedge: {delay: p99.9}}\n")).settings->routes[0]->hedge.quantile ==
          doctest::Approx(0.999));
}

TEST_CASE("coalesce is read from defaults and routes, and is off where nobody asks") {
    using evenkeel::coalesce_mode;
    const auto mode = [](const std::string& text) { return load(text).settings->routes[0]->coalesce; };
    CHECK(mode(good()) == coalesce_mode::off);
    CHECK(mode(good("", "", "    coalesce: deterministic\n")) == coalesce_mode::deterministic);
    CHECK(mode(good("defaults: {coalesce: always}\n")) == coalesce_mode::always);
    CHECK(mode(good("defaults: {coalesce: always}\n", "", "    coalesce: off\n")) == coalesce_mode::off);
    CHECK(mode(good("profile: classic\n")) == coalesce_mode::off);
}

TEST_CASE("bulkhead and shuffle shard are read, and a tenant's header in any case") {
    const load_result result = load(
        good("",
             "  b: {url: \"http://b\", caller_credentials: drop}\n  c: {url: \"http://c\", caller_credentials: drop}\n")
            .replace(good("", "  b: {url: \"http://b\", caller_credentials: drop}\n  c: {url: \"http://c\", "
                              "caller_credentials: drop}\n")
                         .find("[openai]"),
                     8, "[openai, b, c]") +
        "    bulkhead: {max_concurrent: 3, max_queue: 4, queue_timeout: 5s, tenant_share: 0.25}\n"
        "    shuffle_shard: {by: \"header:X-Team\", size: 1}\n");

    CAPTURE(printed(result.diagnostics));
    REQUIRE(result.ok());
    const route& r = *result.settings->routes[0];
    CHECK(r.bulkhead == evenkeel::bulkhead_options{true, 3, 4, 5s, 0.25});
    CHECK(r.shuffle_shard == evenkeel::shuffle_shard_options{true, 1, "x-team"});
    CHECK_FALSE(load(good("", "", "    bulkhead: off\n")).settings->routes[0]->bulkhead.on);
    CHECK_FALSE(load(good("profile: classic\n")).settings->routes[0]->bulkhead.on);
}

TEST_CASE("a budget that is off bounds nothing, and a route may have one again") {
    const load_result result =
        load(good("defaults: {retry: {budget: off}}\n") +
             "  - {name: b, match: {path: /b}, upstreams: [openai], retry: {budget: {burst: 3}}}\n");

    REQUIRE(result.settings != nullptr);
    CHECK_FALSE(result.settings->budget.on);
    CHECK_FALSE(result.settings->routes[0]->retry.budget.on);
    CHECK_FALSE(result.settings->routes[0]->own_budget);
    CHECK(result.settings->routes[1]->retry.budget.on);
    CHECK(result.settings->routes[1]->retry.budget.burst == 3);
    CHECK(result.settings->routes[1]->own_budget);
}

TEST_CASE("the classic profile has the classic numbers, and whatever the file says wins over it") {
    const load_result result = load(good("profile: classic\n"));

    CAPTURE(printed(result.diagnostics));
    REQUIRE(result.ok());
    CHECK(result.diagnostics.empty());
    const route& r = *result.settings->routes[0];
    CHECK(r.timeout.total == 60s);
    CHECK(r.timeout.learn_attempt);
    CHECK(r.timeout.adaptive == evenkeel::adaptive_options{0.95, 1.5, 10, 60s, 60s, {30s, 30s}, {1s, 1s}});
    CHECK(r.retry.max_retries == 3);
    CHECK(r.retry.backoff == evenkeel::backoff_options{500ms, 30s, 2.0, evenkeel::jitter::equal});
    CHECK_FALSE(r.retry.budget.on);
    CHECK_FALSE(r.own_budget);
    CHECK(r.circuit_breaker == evenkeel::breaker_options{true, 3, 0.0, 1, 30s, 30s, 30s, 2, 2, 0s,
                                                         evenkeel::circuit_scope::endpoint, evenkeel::when_open::reject,
                                                         std::nullopt, 64});
    CHECK_FALSE(r.own_circuit);
    CHECK_FALSE(r.cooldown.on);
    CHECK_FALSE(r.overload.on);
    CHECK(r.hedge.on);
    CHECK(r.hedge.delay == evenkeel::hedge_options::delay_kind::fixed);
    CHECK(r.hedge.fixed == 3s);
    CHECK(r.hedge.max_hedges == 1);
    CHECK(r.hedge.guard == 0);
    CHECK_FALSE(r.stream.hold_head);

    const load_result changed = load(good("profile: classic\ndefaults: {retry: {budget: {burst: 5}}, hedge: off}\n", "",
                                          "    retry: {max_retries: 7}\n    cooldown: {}\n"));
    REQUIRE(changed.ok());
    CHECK(changed.settings->routes[0]->retry.max_retries == 7);
    CHECK(changed.settings->routes[0]->retry.backoff.initial == 500ms);
    CHECK(changed.settings->routes[0]->retry.budget.on);
    CHECK(changed.settings->routes[0]->retry.budget.burst == 5);
    CHECK_FALSE(changed.settings->routes[0]->hedge.on);
    CHECK(changed.settings->routes[0]->cooldown.on);
    CHECK(load(good("profile: tuned\n")).settings->routes[0]->retry == load(good()).settings->routes[0]->retry);
}

TEST_CASE("a profile names keys of the table, with values that they take") {
    for (const profile_row& row : profile_rows("classic")) {
        CAPTURE(row.path);
        const auto found = std::find_if(key_table().begin(), key_table().end(),
                                        [&](const key_row& key) { return key.path == row.path; });
        REQUIRE(found != key_table().end());
        CHECK(found->available);
        CHECK(found->fallback != row.fallback);
        if (row.fallback == "on") {
            CHECK(found->kind == value_kind::block);
            CHECK(found->fallback == "off");
        } else {
            CHECK(std::holds_alternative<leaf>(read_leaf(*found, std::string(row.fallback), {})));
        }
    }
    CHECK(profile_rows("tuned").empty());
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
          range{"0", "1", "100", "101",
                [](const std::string& v) {
                    return good("", "", "    circuit_breaker: {failure_threshold: " + v + "}\n");
                }},
          range{"0.49", "0.5", "0.99", "0.991",
                [](const std::string& v) { return good("", "", "    timeout: {adaptive: {quantile: " + v + "}}\n"); }},
          range{"p49", "p50", "p99", "p100",
                [](const std::string& v) { return good("", "", "    hedge: {delay: " + v + "}\n"); }},
          range{"0s", "1ms", "299s", "1h1s",
                [](const std::string& v) { return good("", "", "    hedge: {delay: " + v + "}\n"); }},
          range{"-1", "0", "1", "1.001",
                [](const std::string& v) { return good("access_log: {sample_ok: " + v + "}\n"); }}}) {
        CAPTURE(r.least);
        CHECK_FALSE(load(r.file(r.below)).ok());
        CHECK(load(r.file(r.least)).ok());
        CHECK(load(r.file(r.most)).ok());
        CHECK_FALSE(load(r.file(r.above)).ok());
    }
}

TEST_CASE("pace is off until it is written, and learns what is not said") {
    const auto paced = [](const std::string& line) { return load(good("", line)).settings->upstreams.at(0)->pace; };
    CHECK(paced("") == evenkeel::pace_options{});
    CHECK(paced("    pace: off\n") == evenkeel::pace_options{});
    CHECK(paced("    pace: {}\n") == evenkeel::pace_options{.on = true});
    CHECK(paced("    pace: {requests: 600/min, tokens: learn, headroom: 0.1, max_wait: 30s}\n") ==
          evenkeel::pace_options{.on = true, .requests = 600, .headroom = 0.1, .max_wait = std::chrono::seconds{30}});
    for (const char* wrong : {"requests: 600", "requests: 10/s", "requests: /min", "requests: 0/min", "requests: x/min",
                              "tokens: off", "headroom: 0.6", "requests: 1.5/min"}) {
        CAPTURE(wrong);
        CHECK_FALSE(load(good("", std::string{"    pace: {"} + wrong + "}\n")).diagnostics.empty());
    }
}

TEST_CASE("prewarm is off until it is written, and has its defaults then") {
    const auto warmed = [](const std::string& line) { return load(good("", line)).settings->upstreams.at(0)->prewarm; };
    CHECK(warmed("") == evenkeel::prewarm_options{});
    CHECK(warmed("    prewarm: off\n") == evenkeel::prewarm_options{});
    CHECK(warmed("    prewarm: {}\n") == evenkeel::prewarm_options{.on = true, .min_idle = 2, .predict = true});
    CHECK(warmed("    prewarm: {min_idle: 7, predict: false, probe: off}\n") ==
          evenkeel::prewarm_options{.on = true, .min_idle = 7, .predict = false});
    CHECK(
        warmed("    headers: {set: {x-api-key: k}}\n    prewarm: {probe: {path: /v1/models, interval: 20s}}\n") ==
        evenkeel::prewarm_options{.on = true, .probe_path = "/v1/models", .probe_interval = std::chrono::seconds{20}});
}

TEST_CASE("allowed_hosts and allowed_origins are a value or a list, in small letters") {
    const load_result result = load(good("allowed_hosts: LLM.Example.com\nallowed_origins: "
                                         "[\"https://App.example.com\", \"null\", \"*\", \"file://\"]\n"));
    REQUIRE(result.ok());
    CHECK(result.settings->pages.hosts == std::vector<std::string>{"llm.example.com"});
    CHECK(result.settings->pages.origins ==
          std::vector<std::string>{"https://app.example.com", "null", "*", "file://"});
    CHECK(load(good()).settings->pages == page_options{});

    for (const char* wrong : {"https://llm.example.com", "llm.example.com:8080", "llm.example.com/v1", "\"[::1]\""}) {
        CAPTURE(wrong);
        CHECK(brief(load(good(std::string("allowed_hosts: [") + wrong + "]\n")).diagnostics) ==
              std::vector<std::string>{"error bad-host-pattern 2:17"});
    }
    for (const char* wrong : {"app.example.com", "https://app.example.com/", "https://app.example.com/x",
                              "https://a@app.example.com", "\"://x\""}) {
        CAPTURE(wrong);
        CHECK(brief(load(good(std::string("allowed_origins: [") + wrong + "]\n")).diagnostics) ==
              std::vector<std::string>{"error bad-origin 2:19"});
    }
}

TEST_CASE("the mode of a unix socket is one of three, and of a unix socket only") {
    CHECK(load(good("listen: unix:/run/e.sock\n")).settings->listen[0].unix->mode == 0660);
    CHECK(load(good("listen: {address: \"unix:/run/e.sock\", mode: 0666}\n")).settings->listen[0].unix->mode == 0666);
    CHECK(load(good("listen: {address: \"unix:/run/e.sock\", mode: \"0600\"}\n")).settings->listen[0].unix->mode ==
          0600);
    CHECK(brief(load(good("listen: {address: \"unix:/run/e.sock\", mode: 0777}\n")).diagnostics) ==
          std::vector<std::string>{"error bad-word 2:45"});
    CHECK(brief(load(good("listen: {address: \"127.0.0.1:1\", mode: 0600}\n")).diagnostics) ==
          std::vector<std::string>{"error has-no-effect 2:40"});
}

} // namespace evenkeel::test::settings_test

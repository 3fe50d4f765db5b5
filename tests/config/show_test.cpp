#include "support.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::show_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;
using namespace std::chrono_literals;

namespace {

std::string show(const std::string& yaml, std::string_view route = "", const environment& env = world()) {
    return show_effective(yaml, "conf/evenkeel.yaml", env, route, stages).value_or("nothing");
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
                   "    resolve: any  # built-in\n"
                   "    dialect: openai  # upstream:8\n"
                   "    pace: off  # built-in\n"
                   "    caller_credentials: auto  # built-in\n"
                   "    tls:\n"
                   "      ca_file: system  # built-in\n"
                   "      server_name: auto  # built-in\n"
                   "      verify: true  # built-in\n"
                   "    connections:\n"
                   "      max: 1024  # built-in\n"
                   "      idle_timeout: 30s  # built-in\n"
                   "      max_age: 5m  # built-in\n"
                   "      retry_stale: true  # built-in\n"
                   "    forwarded: off  # built-in\n"
                   "    prewarm: off  # built-in\n"
                   "routes:\n"
                   "  # deadline: timeout.total (1m30s)\n"
                   "  # bulkhead: 1024 at a time, 4096 wait (as long as each may)\n"
                   "  # hold: while no endpoint can be asked (hold_max auto, at most 64 requests)\n"
                   "  # flight: first attempt, retries (at most 5); paid from the budget of their upstream\n"
                   "  # each attempt: balance (failover) -> cooldown -> circuit_breaker -> overload -> timeout.attempt "
                   "(adaptive)\n"
                   "  - name: chat  # route:10\n"
                   "    upstreams:\n"
                   "      - name: openai  # route:11\n"
                   "    balance: failover  # built-in\n"
                   "    shuffle_shard: off  # built-in\n"
                   "    timeout:\n"
                   "      total: 1m30s  # route:13\n"
                   "      connect: 2s  # defaults:4\n"
                   "      attempt: adaptive  # built-in\n"
                   "      rescue: auto  # built-in\n"
                   "      stream_idle: 1m  # built-in\n"
                   "      content_idle: 5m  # built-in\n"
                   "      adaptive:\n"
                   "        quantile: 0.95  # built-in\n"
                   "        multiplier: 3  # built-in\n"
                   "        min_samples: 10  # built-in\n"
                   "        window: 1m  # built-in\n"
                   "        max: 1m30s  # built-in, clamped by timeout.total (line 13)\n"
                   "        initial:\n"
                   "          stream: 30s  # built-in\n"
                   "          buffered: 1m  # built-in\n"
                   "        min:\n"
                   "          stream: 10s  # built-in\n"
                   "          buffered: 25s  # built-in\n"
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
                   "        - empty  # built-in\n"
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
                   "    circuit_breaker:\n"
                   "      failure_threshold: 3  # built-in\n"
                   "      failure_ratio: auto  # built-in\n"
                   "      min_calls: auto  # built-in\n"
                   "      window: 30s  # built-in\n"
                   "      recovery_timeout: 2s  # built-in\n"
                   "      max_recovery_timeout: 25s  # built-in\n"
                   "      half_open_max_calls: 2  # built-in\n"
                   "      success_threshold: 2  # built-in\n"
                   "      ramp: 10s  # built-in\n"
                   "      scope: endpoint  # built-in\n"
                   "      when_open: hold  # built-in\n"
                   "      hold_max: auto  # built-in\n"
                   "      hold_queue: 64  # built-in\n"
                   "    cooldown:\n"
                   "      initial: 1s  # built-in\n"
                   "      max: 1m  # built-in\n"
                   "      overload: 10s  # built-in\n"
                   "      quota: 15m  # built-in\n"
                   "    overload:\n"
                   "      window: 10s  # built-in\n"
                   "      ratio: 0.3  # built-in\n"
                   "      min_verdicts: 20  # built-in\n"
                   "      max_wait: 5s  # built-in\n"
                   "    hedge: off  # built-in\n"
                   "    bulkhead:\n"
                   "      max_concurrent: 1024  # built-in\n"
                   "      max_queue: 4096  # built-in\n"
                   "      queue_timeout: auto  # built-in\n"
                   "      tenant_share: 0.5  # built-in\n"
                   "    coalesce: off  # built-in\n"
                   "    stream:\n"
                   "      head_hold: auto  # built-in\n"
                   "      heartbeat: 10s  # built-in\n"
                   "      hold_buffer: 1MiB  # built-in\n"
                   "      resume: off  # built-in\n"
                   "      upcast: off  # built-in\n"
                   "      usage: read  # built-in\n"
                   "      min_rate: off  # built-in\n");
}

TEST_CASE("a built-in value that an explicit bound makes impossible is lowered, and says why") {
    const std::string yaml = good("defaults: {timeout: {total: 30s}}\n", "", "    timeout:\n      attempt: 2s\n");
    const std::string shown = show(yaml);
    const load_result result = load(yaml);

    CHECK(has_line(shown, "      stream_idle: 30s  # built-in, clamped by timeout.total (line 2)"));
    CHECK(has_line(shown, "      connect: 2s  # built-in, clamped by timeout.attempt (line 10)"));
    REQUIRE(result.ok());
    CHECK(result.settings->routes[0]->timeout == timeouts{30s, 2s, duration{2s}, 30s, 300s, false, {}});
}

TEST_CASE("what a profile says is shown as that, and yields like any built-in value") {
    const std::string shown = show(good("profile: classic\ndefaults: {timeout: {attempt: 2s}}\n"), "chat");

    CHECK(has_line(shown, "      total: 1m  # profile classic"));
    CHECK(has_line(shown, "      max_retries: 3  # profile classic"));
    CHECK(has_line(shown, "      budget: off  # profile classic"));
    CHECK(has_line(shown, "      failure_threshold: 3  # built-in"));
    CHECK(has_line(shown, "    cooldown: off  # profile classic"));
    CHECK(has_line(shown, "      delay: 1s  # profile classic, clamped by timeout.attempt (line 3)"));
    CHECK(has_line(shown, "  # flight: first attempt, retries (at most 3), 1 of them a hedge (after 1s); no budget"));
    CHECK(has_line(shown, "  # each attempt: balance (failover) -> circuit_breaker -> timeout.attempt (2s)"));
    CHECK(shown.find("# hold:") == std::string::npos);
    CHECK(has_line(show(good("profile: classic\n", "", "    retry: off\n"), "chat"),
                   "    hedge: off  # profile classic, ruled out by retry (line 9)"));
    CHECK(has_line(show(good("profile: classic\n", "", "    retry: off\n"), "chat"), "  # flight: one attempt"));
}

TEST_CASE("a learned timeout's bounds yield to what stands closer, and say so") {
    CHECK(has_line(show(good("", "", "    timeout: {total: 20s}\n"), "chat"),
                   "        max: 20s  # built-in, clamped by timeout.total (line 8)"));
    CHECK(has_line(show(good("", "", "    timeout: {total: 20s}\n"), "chat"),
                   "          buffered: 20s  # built-in, clamped by timeout.total (line 8)"));
    CHECK(has_line(
        show(good("defaults: {timeout: {adaptive: {max: 100s}}}\n", "", "    timeout: {total: 90s}\n"), "chat"),
        "        max: 1m30s  # defaults:2, clamped by timeout.total (line 9)"));
    CHECK(has_line(show(good("", "", "    timeout: {adaptive: {min: 70s}}\n"), "chat"),
                   "          stream: 1m10s  # built-in, clamped by timeout.adaptive.min (line 8)"));
    CHECK(has_line(show(good("", "", "    circuit_breaker: {recovery_timeout: 2m}\n"), "chat"),
                   "      max_recovery_timeout: 2m  # built-in, clamped by circuit_breaker.recovery_timeout (line 8)"));
}

TEST_CASE("what has no effect is not shown") {
    const std::string shown =
        show(good("defaults: {circuit_breaker: {hold_queue: 3}, timeout: {adaptive: {quantile: 0.9}}}\n", "",
                  "    timeout: {attempt: 9s}\n    circuit_breaker: {when_open: reject}\n    hedge: {delay: 2s}\n"),
             "chat");

    for (const char* gone : {"hold_queue", "hold_max", "quantile", "multiplier", "initial", "min_delay", "max_delay"}) {
        CAPTURE(gone);
        CHECK(shown.substr(shown.find("timeout:")).find(std::string(gone) + ":") ==
              (std::string_view(gone) == "initial" ? shown.substr(shown.find("timeout:")).find("initial: 250ms")
                                                   : std::string::npos));
    }
    CHECK(has_line(shown, "        min_samples: 10  # built-in"));
}

TEST_CASE("coalescing stands in the order of policies where it is on") {
    const std::string line = "  # coalesce: identical requests in flight share one answer (deterministic)";
    CHECK(has_line(show(good("", "", "    coalesce: deterministic\n")), line));
    CHECK(show(good("defaults: {coalesce: always}\n")).find("share one answer (always)") != std::string::npos);
    CHECK(show(good()).find("# coalesce:") == std::string::npos);
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
    CHECK_FALSE(show_effective("version: 2\n", "f", world(), "", stages));
    CHECK_FALSE(show_effective(good(), "f", world(), "no-such-route", stages));
    CHECK_FALSE(show_effective("\xff", "f", world(), "", stages));
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
    files.emplace_back("classic", good("profile: classic\n"));
    files.emplace_back("classic with an own budget",
                       good("profile: classic\n", "", "    retry: {budget: {}}\n    cooldown: {}\n"));
    files.emplace_back("coalesce", good("defaults: {coalesce: always}\n", "", "    coalesce: deterministic\n"));
    files.emplace_back("retry off", good("profile: classic\n", "", "    retry: off\n"));
    files.emplace_back("fixed attempt", good("", "", "    timeout: {attempt: 9s}\n    hedge: {delay: p80}\n"));
    files.emplace_back("short deadline", good("", "", "    timeout: {total: 3s}\n    hedge: {}\n"));
    files.emplace_back("reject", good("", "", "    circuit_breaker: {when_open: reject}\n    overload: off\n"));
    files.emplace_back("overridden bounds",
                       good("defaults: {timeout: {adaptive: {max: 100s, min: 20s}}, hedge: {max_delay: 40s}}\n", "",
                            "    timeout: {total: 10s}\n"));
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

TEST_CASE("settings keep what was shown of them, without a secret, under a heading with their hash") {
    const std::string yaml = good("admin: {token: CANARY-0123456789}\n");
    const load_result result = load_text(yaml, "conf/evenkeel.yaml", world(), stages);
    REQUIRE(result.ok());
    REQUIRE(result.settings->shown != nullptr);
    CHECK(*result.settings->shown == show(yaml));
    CHECK(result.settings->shown->find("CANARY") == std::string::npos);
    CHECK(heading(*result.settings) == "# conf/evenkeel.yaml\n# hash " + result.settings->hash + "\n");
    CHECK(load(heading(*result.settings) + yaml).ok());
    CHECK_FALSE(load_text("version: 1\n", "x", world(), stages).ok());
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

} // namespace evenkeel::test::show_test

#include "support.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::relations_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

namespace {

struct row {
    const char* name;
    std::string yaml;
    std::vector<std::string> expected;
};

void check_rows(const std::vector<row>& rows, const environment& env = world({}, {{"conf/a.pem", "x"}})) {
    for (const row& r : rows) {
        CAPTURE(r.name);
        const load_result result = load(r.yaml, env);
        CAPTURE(printed(result.diagnostics));
        CHECK(brief(result.diagnostics) == r.expected);
    }
}

std::string with_routes(const std::string& routes, const std::string& more = "") {
    return "version: 1\n" + more +
           "upstreams: {a: {url: \"http://a\"}, b: {url: \"http://b\", caller_credentials: drop}}\nroutes:\n" + routes;
}

} // namespace

TEST_CASE("explicit timeouts must not contradict each other") {
    check_rows({
        {"attempt over total in one block",
         good("", "", "    timeout: {total: 10s, attempt: 11s}\n"),
         {"error contradiction 8:36"}},
        {"connect over total", good("", "", "    timeout: {total: 1s, connect: 2s}\n"), {"error contradiction 8:35"}},
        {"stream_idle over total",
         good("", "", "    timeout: {stream_idle: 2s, total: 1s}\n"),
         {"error contradiction 8:28"}},
        {"connect over attempt",
         good("", "", "    timeout: {connect: 2s, attempt: 1s}\n"),
         {"error contradiction 8:24"}},
        {"equal is fine",
         good("", "", "    timeout: {total: 10s, attempt: 10s, stream_idle: 10s, connect: 10s}\n"),
         {}},
        {"route over defaults",
         good("defaults: {timeout: {total: 10s}}\n", "", "    timeout: {attempt: 11s}\n"),
         {"error contradiction 9:24"}},
        {"defaults over route",
         good("defaults: {timeout: {attempt: 10s}}\n", "", "    timeout: {total: 9s}\n"),
         {"error contradiction 9:22"}},
        {"in defaults, said once",
         good("defaults: {timeout: {total: 10s, attempt: 11s}}\n"),
         {"error contradiction 2:43"}},
        {"the route that repairs defaults",
         good("defaults: {timeout: {attempt: 30s}}\n", "", "    timeout: {total: 20s, attempt: 10s}\n"),
         {}},
        {"over a built-in bound", good("", "", "    timeout: {attempt: 601s}\n"), {"warning never-reached 8:24"}},
        {"a built-in value yields", good("", "", "    timeout: {total: 1s}\n"), {}},
    });
}

TEST_CASE("other quantities must fit each other") {
    check_rows({
        {"replay buffer over memory",
         good("defaults: {retry: {replay_buffer: 8MiB}}\nlimits: {memory: 4MiB}\n"),
         {"error contradiction 2:35"}},
        {"replay buffer of a route over memory",
         good("limits: {memory: 4MiB}\n", "", "    retry: {replay_buffer: 8MiB}\n"),
         {"error contradiction 9:28"}},
        {"backoff beyond its maximum",
         good("", "", "    retry: {backoff: {initial: 2s, max: 1s}}\n"),
         {"error contradiction 8:32"}},
        {"backoff of a route beyond the maximum of defaults",
         good("defaults: {retry: {backoff: {max: 1s}}}\n", "", "    retry: {backoff: {initial: 2s}}\n"),
         {"error contradiction 9:32"}},
        {"built-in backoff yields", good("", "", "    retry: {backoff: {max: 10ms}}\n"), {}},
        {"a stream may be silent no longer than without meaning",
         good("", "", "    timeout: {stream_idle: 20s, content_idle: 10s}\n"),
         {"error contradiction 8:28"}},
        {"retry on nothing", good("", "", "    retry: {on: []}\n"), {"error empty-value 8:17"}},
        {"an egress proxy over https", good("", "    proxy: https://egress:3128\n"), {"error not-available 5:12"}},
        {"built-in replay buffer yields", good("limits: {memory: 4MiB}\n"), {}},
        {"idle over age", good("", "    connections: {idle_timeout: 2m, max_age: 1m}\n"), {"error contradiction 5:33"}},
        {"more warm connections than there may be",
         good("", "    prewarm: {min_idle: 8}\n    connections: {max: 7}\n"),
         {"error contradiction 5:25"}},
        {"... of each worker", good("workers: 2\n", "    prewarm: {min_idle: 8}\n    connections: {max: 4}\n"), {}},
        {"a probe without a credential",
         good("", "    prewarm: {probe: {path: /v1/models}}\n"),
         {"error has-no-effect 5:15"}},
        {"warm connections where none is kept",
         good("", "    prewarm: {}\n    connections: {idle_timeout: 0s}\n"),
         {"error has-no-effect 5:5"}},
        {"built-in idle yields", good("", "    connections: {max_age: 1s}\n"), {}},
    });
}

TEST_CASE("hedge, attempt and total follow each other") {
    check_rows({
        {"delay over attempt",
         good("", "", "    timeout: {attempt: 2s}\n    hedge: {delay: 3s}\n"),
         {"error contradiction 9:20"}},
        {"delay equal to attempt",
         good("", "", "    timeout: {attempt: 3s}\n    hedge: {delay: 3s}\n"),
         {"error contradiction 9:20"}},
        {"delay below attempt", good("", "", "    timeout: {attempt: 3001ms}\n    hedge: {delay: 3s}\n"), {}},
        {"delay over total",
         good("", "", "    timeout: {total: 2s}\n    hedge: {delay: 3s}\n"),
         {"error contradiction 9:20"}},
        {"delay over what can be learned",
         good("", "", "    timeout: {adaptive: {max: 30s}}\n    hedge: {delay: 30s}\n"),
         {"error contradiction 9:20"}},
        {"delay over the built-in bound", good("", "", "    hedge: {delay: 301s}\n"), {"warning never-reached 8:20"}},
        {"attempt of a route below the delay of defaults",
         good("defaults: {hedge: {delay: 3s}}\n", "", "    timeout: {attempt: 2s}\n"),
         {"error contradiction 9:24"}},
        {"a learned delay yields", good("", "", "    timeout: {attempt: 2s}\n    hedge: {delay: p95}\n"), {}},
        {"longest delay over attempt",
         good("", "", "    timeout: {attempt: 2s}\n    hedge: {max_delay: 3s}\n"),
         {"error contradiction 9:24"}},
        {"shortest over longest delay",
         good("", "", "    hedge: {min_delay: 3s, max_delay: 2s}\n"),
         {"error contradiction 8:24"}},
        {"bounds of a fixed delay",
         good("", "", "    hedge: {delay: 3s, min_delay: 1s}\n"),
         {"error has-no-effect 8:24"}},
        {"more hedges than retries",
         good("", "", "    retry: {max_retries: 1}\n    hedge: {max_hedges: 2}\n"),
         {"error contradiction 9:25"}},
        {"hedges without retries", good("", "", "    retry: off\n    hedge: {}\n"), {"error contradiction 9:5"}},
        {"hedges of defaults and a route without retries", good("defaults: {hedge: {}}\n", "", "    retry: off\n"), {}},
        {"hedges of what is never repeated",
         good("", "", "    retry: {replay: never}\n    hedge: {}\n"),
         {"error contradiction 9:5"}},
        {"said once", good("defaults: {hedge: {}, retry: off}\n"), {"error contradiction 2:12"}},
        {"deposits into no budget",
         good("", "", "    retry: {budget: off}\n    hedge: {max_extra: 0.1}\n"),
         {"error has-no-effect 9:13"}},
        {"deposits into the classic profile",
         good("profile: classic\n", "", "    hedge: {max_extra: 0.1}\n"),
         {"error has-no-effect 9:13"}},
        {"nowhere to send a hedge", good("", "", "    hedge: {target: other}\n"), {"error contradiction 8:21"}},
        {"nowhere to send a hedge of defaults",
         good("defaults: {hedge: {target: other}}\n"),
         {"warning never-reached 8:5"}},
    });
}

TEST_CASE("what is learned stays between its bounds") {
    check_rows({
        {"max over total",
         good("", "", "    timeout: {total: 10s, adaptive: {max: 11s}}\n"),
         {"error contradiction 8:43"}},
        {"max of a route over total of defaults",
         good("defaults: {timeout: {total: 10s}}\n", "", "    timeout: {adaptive: {max: 11s}}\n"),
         {"error contradiction 9:31"}},
        {"max of defaults over total of a route",
         good("defaults: {timeout: {adaptive: {max: 11s}}}\n", "", "    timeout: {total: 10s}\n"),
         {}},
        {"min over max", good("", "", "    timeout: {adaptive: {min: 6s, max: 5s}}\n"), {"error contradiction 8:31"}},
        {"initial over max, once for both shapes",
         good("", "", "    timeout: {adaptive: {initial: 6s, max: 5s}}\n"),
         {"error contradiction 8:35"}},
        {"min over initial, of one shape",
         good("", "", "    timeout: {adaptive: {initial: {stream: 3s}, min: {stream: 4s}}}\n"),
         {"error contradiction 8:63"}},
        {"built-in bounds yield", good("", "", "    timeout: {adaptive: {min: 400s}}\n"), {}},
        {"min over the built-in total",
         good("", "", "    timeout: {adaptive: {min: 700s}}\n"),
         {"warning never-reached 8:31", "warning never-reached 8:31"}},
        {"bounds of a timeout that is not learned",
         good("", "", "    timeout: {attempt: 3s, adaptive: {initial: 2s}}\n"),
         {"error has-no-effect 8:48"}},
        {"... but hedge delays are learned in the same window",
         good("", "", "    timeout: {attempt: 3s, adaptive: {window: 20s, min_samples: 5}}\n"),
         {}},
        {"bounds of defaults and a route that does not learn",
         good("defaults: {timeout: {adaptive: {max: 20s}}}\n", "", "    timeout: {attempt: 3s}\n"),
         {}},
    });
}

TEST_CASE("breaker, cooldown and overload agree with themselves and with the deadline") {
    check_rows({
        {"recovery over its maximum",
         good("", "", "    circuit_breaker: {recovery_timeout: 5s, max_recovery_timeout: 4s}\n"),
         {"error contradiction 8:41"}},
        {"recovery over the built-in maximum", good("", "", "    circuit_breaker: {recovery_timeout: 5m}\n"), {}},
        {"a low maximum", good("", "", "    circuit_breaker: {max_recovery_timeout: 1s}\n"), {}},
        {"hold over total",
         good("", "", "    timeout: {total: 5s}\n    circuit_breaker: {hold_max: 6s}\n"),
         {"error contradiction 9:33"}},
        {"a queue that nobody stands in",
         good("", "", "    circuit_breaker: {when_open: reject, hold_queue: 5}\n"),
         {"error has-no-effect 8:42"}},
        {"a queue in the classic profile",
         good("profile: classic\n", "", "    circuit_breaker: {hold_queue: 5}\n"),
         {"error has-no-effect 9:23"}},
        {"a line longer than the bulkhead",
         good("", "", "    circuit_breaker: {hold_queue: 3}\n    bulkhead: {max_concurrent: 2}\n"),
         {"error contradiction 8:35"}},
        {"a line longer than the built-in bulkhead",
         good("", "", "    circuit_breaker: {hold_queue: 1100}\n"),
         {"warning never-reached 8:35"}},
        {"a built-in line yields to a small bulkhead", good("", "", "    bulkhead: {max_concurrent: 2}\n"), {}},
        {"no bulkhead bounds the line",
         good("", "", "    circuit_breaker: {hold_queue: 1100}\n    bulkhead: off\n"),
         {}},
        {"waiting for longer than the whole",
         good("", "", "    timeout: {total: 1s}\n    bulkhead: {queue_timeout: 3s}\n"),
         {"error contradiction 9:31"}},
        {"sharing what is not sent twice",
         good("", "", "    coalesce: always\n    retry: {replay: never}\n"),
         {"error has-no-effect 8:5"}},
        {"... by inheritance", good("defaults: {coalesce: always}\n", "", "    retry: {replay: never}\n"), {}},
        {"... not shared", good("", "", "    coalesce: off\n    retry: {replay: never}\n"), {}},
        {"a shard of all", good("", "", "    shuffle_shard: {size: 1}\n"), {"warning has-no-effect 8:27"}},
        {"a built-in shard of all", good("", "", "    shuffle_shard: {}\n"), {"warning has-no-effect 8:5"}},
        {"a queue of defaults",
         good("defaults: {circuit_breaker: {hold_queue: 5}}\n", "", "    circuit_breaker: {when_open: reject}\n"),
         {}},
        {"cooldown over its maximum",
         good("", "", "    cooldown: {initial: 5s, max: 4s}\n"),
         {"error contradiction 8:25"}},
        {"wait over total",
         good("", "", "    timeout: {total: 5s}\n    overload: {max_wait: 6s}\n"),
         {"error contradiction 9:26"}},
        {"built-in wait yields", good("", "", "    timeout: {total: 2s}\n"), {}},
    });
}

TEST_CASE("weights are for balance: weighted") {
    check_rows({
        {"with failover",
         with_routes("  - {name: r, upstreams: [{name: a, weight: 2}, b]}\n"),
         {"error has-no-effect 4:37"}},
        {"with another balance",
         with_routes("  - {name: r, balance: round_robin, upstreams: [a, {name: b, weight: 2}]}\n"),
         {"error has-no-effect 4:62"}},
        {"with its own", with_routes("  - {name: r, balance: weighted, upstreams: [{name: a, weight: 2}, b]}\n"), {}},
        {"without any", with_routes("  - {name: r, balance: weighted, upstreams: [a, b]}\n"), {}},
        {"with a misspelt one",
         with_routes("  - {name: r, balance: wieghted, upstreams: [{name: a, weight: 2}, b]}\n"),
         {"error bad-word 4:24"}},
    });
}

TEST_CASE("listeners do not take each other's address") {
    check_rows({
        {"twice in the list",
         good("listen: [\"127.0.0.1:80\", \"127.0.0.1:80\"]\n"),
         {"error duplicate-listener 2:26"}},
        {"admin on the data port",
         good("listen: 127.0.0.1:80\nadmin: {listen: 127.0.0.1:80}\n"),
         {"error duplicate-listener 3:17"}},
        {"admin on the built-in data port",
         good("admin: {listen: 127.0.0.1:8080}\n"),
         {"error duplicate-listener 2:17"}},
        {"data on the built-in admin port", good("listen: 127.0.0.1:9901\n"), {"error duplicate-listener 2:9"}},
        {"metrics on the admin port",
         good("admin: {listen: 127.0.0.1:1, metrics_listen: 127.0.0.1:1}\n"),
         {"error duplicate-listener 2:46"}},
        {"metrics on all addresses",
         good("listen: 127.0.0.1:80\nadmin: {metrics_listen: 0.0.0.0:80}\n"),
         {"error duplicate-listener 3:25"}},
        {"free ports", good("listen: [\"127.0.0.1:0\", \"127.0.0.1:0\"]\nadmin: {listen: 127.0.0.1:0}\n"), {}},
        {"admin off", good("listen: 127.0.0.1:9901\nadmin: off\n"), {}},
        {"data open to the network", good("listen: 0.0.0.0:80\n"), {}},
    });
}

TEST_CASE("admin beyond loopback demands a token") {
    check_rows({
        {"none", good("admin: {listen: 0.0.0.0:1}\n"), {"error token-required 2:17"}},
        {"empty", good("admin: {listen: 0.0.0.0:1, token: \"\"}\n"), {"error token-required 2:35"}},
        {"empty variable",
         good("admin: {listen: 10.0.0.1:1, token: \"${env:NONE:-}\"}\n"),
         {"error token-required 2:36"}},
        {"given", good("admin: {listen: 0.0.0.0:1, token: abc}\n"), {}},
        {"loopback", good("admin: {listen: \"[::1]:1\"}\n"), {}},
        {"a unix socket", good("admin: {listen: \"unix:/run/a\"}\n"), {}},
        {"metrics may be open", good("admin: {metrics_listen: 0.0.0.0:9902}\n"), {}},
        {"a bad token is reported once", good("admin: {listen: 0.0.0.0:1, token: \"a b\"}\n"), {"error bad-text 2:35"}},
    });
}

TEST_CASE("files named by tls keys exist") {
    const std::string listen = "listen: {address: \"127.0.0.1:1\", tls: {cert_file: ";
    check_rows({
        {"both there", good(listen + "a.pem, key_file: a.pem}}\n"), {}},
        {"key missing", good(listen + "a.pem, key_file: b.pem}}\n"), {"error unreadable-file 2:68"}},
        {"authority missing", good("", "    tls: {ca_file: b.pem}\n"), {"error unreadable-file 5:20"}},
        {"system authorities",
         good("", "    tls: {ca_file: system, server_name: auto, cert_file: \"\", key_file: \"\"}\n"),
         {}},
        {"certificate without key", good("", "    tls: {cert_file: a.pem}\n"), {"error missing-key 5:22"}},
        {"key without certificate", good("", "    tls: {key_file: a.pem}\n"), {"error missing-key 5:21"}},
        {"unverified", good("", "    tls: {verify: false}\n"), {"warning insecure 5:19"}},
        {"verified", good("", "    tls: {verify: true}\n"), {}},
    });
    CHECK(brief(load("version: 1\nupstreams: {a: {url: \"http://a\", tls: {verify: true}}}\nroutes: [{name: r, "
                     "upstreams: [a]}]\n")
                    .diagnostics) == std::vector<std::string>{"error has-no-effect 2:40"});
}

TEST_CASE("routes have unique names, existing upstreams and sensible rewrites") {
    check_rows({
        {"unknown upstream",
         with_routes("  - {name: r, upstreams: [a]}\n  - {name: s, upstreams: [bb]}\n"),
         {"error unknown-upstream 5:27"}},
        {"same name",
         with_routes("  - {name: r, match: {path: /a}, upstreams: [a]}\n  - {name: r, upstreams: [b]}\n"),
         {"error duplicate-route 5:12"}},
        {"no upstream", with_routes("  - {name: r}\n"), {"error missing-key 4:5"}},
        {"an empty list", with_routes("  - {name: r, upstreams: []}\n"), {"error empty-value 4:26"}},
        {"prefix rewrite without prefix",
         with_routes("  - {name: r, match: {path: /a}, upstreams: [a], rewrite: {path_prefix: /b}}\n  - {name: s, "
                     "upstreams: [b]}\n"),
         {"error rewrite-needs-prefix 4:60"}},
        {"prefix rewrite",
         with_routes("  - {name: r, match: {path_prefix: /a}, upstreams: [a], rewrite: {path_prefix: /}}\n  - {name: "
                     "s, upstreams: [b]}\n"),
         {}},
        {"both rewrites",
         with_routes("  - {name: r, match: {path_prefix: /a}, upstreams: [a], rewrite: {path: /x, path_prefix: /}}\n  "
                     "- {name: s, upstreams: [b]}\n"),
         {"error contradiction 4:77"}},
        {"an empty rewrite",
         with_routes("  - {name: r, upstreams: [a], rewrite: {}}\n  - {name: s, match: {path: /}, upstreams: [b]}\n"),
         {"error missing-key 4:31"}},
        {"both matches",
         with_routes(
             "  - {name: r, match: {path: /a, path_prefix: /b}, upstreams: [a]}\n  - {name: s, upstreams: [b]}\n"),
         {"error contradiction 4:33"}},
        {"set and removed", good("", "    headers: {set: {x-a: b}, remove: [X-A]}\n"), {"error contradiction 5:39"}},
        {"removing a framing header",
         good("", "    headers: {remove: [Content-Length]}\n"),
         {"error forbidden-header 5:24"}},
        {"a header twice", good("", "    headers: {set: {x-a: b, X-A: c}}\n"), {"error duplicate-key 5:29"}},
    });
}

TEST_CASE("a stream can be resumed only where another attempt may be made, and be too slow only where it is resumed") {
    check_rows({
        {"resumed", good("", "", "    stream: {resume: buffer, min_rate: 1}\n"), {}},
        {"without retries",
         good("", "", "    retry: off\n    stream: {resume: buffer}\n"),
         {"error contradiction 9:14"}},
        {"never twice",
         good("", "", "    retry: {replay: never}\n    stream: {resume: verified_replay}\n"),
         {"error contradiction 9:14"}},
        {"upcast", good("", "", "    stream: {upcast: on, min_rate: 1}\n"), {}},
        {"upcast without retries",
         good("", "", "    retry: off\n    stream: {upcast: on}\n"),
         {"error contradiction 9:14"}},
        {"upcast and never twice",
         good("", "", "    retry: {replay: never}\n    stream: {upcast: on}\n"),
         {"error contradiction 9:14"}},
        {"slow and not resumed", good("", "", "    stream: {min_rate: 1}\n"), {"error has-no-effect 8:14"}},
        {"a default that a route without retries rules out",
         "version: 1\nupstreams: {a: {url: \"http://a\"}}\ndefaults: {stream: {resume: buffer}}\nroutes:\n  - {name: "
         "r, upstreams: [a], retry: off}\n",
         {}},
    });
}

TEST_CASE("a route that serves health by itself takes nothing it would ignore") {
    check_rows({
        {"plain", good() + "", {}},
        {"alone", "version: 1\nroutes:\n  - {name: h, serve: health}\n", {}},
        {"with upstreams",
         "version: 1\nroutes:\n  - {name: h, serve: health, upstreams: [a]}\n",
         {"error has-no-effect 3:30"}},
        {"with a timeout",
         "version: 1\nroutes:\n  - {name: h, serve: health, timeout: {total: 1s}}\n",
         {"error has-no-effect 3:30"}},
        {"with headers",
         "version: 1\nroutes:\n  - {name: h, serve: health, headers: {remove: [x]}}\n",
         {"error has-no-effect 3:30"}},
        {"with a rewrite",
         "version: 1\nroutes:\n  - {name: h, serve: health, rewrite: {path: /}}\n",
         {"error has-no-effect 3:30"}},
        {"serving something else", "version: 1\nroutes:\n  - {name: h, serve: metrics}\n", {"error bad-word 3:22"}},
    });
}

TEST_CASE("a fan-out takes routes with upstreams for its parts, and nothing it would ignore") {
    const auto with = [](const std::string& fan_out, const std::string& more = "") {
        return with_routes(
            "  - {name: a1, match: {path: /a}, upstreams: [a]}\n  - {name: b1, match: {path: /b}, upstreams: [b]}\n"
            "  - {name: all, match: {path: /all}, " +
            fan_out + "}\n" + more);
    };
    check_rows({
        {"plain", with("fan_out: {parts: [a1, b1]}"), {}},
        {"whole",
         with("fan_out: {parts: [a1, b1], min_success: 2, body: split}, timeout: {total: 5s}, stream: {heartbeat: 1s, "
              "hold_buffer: 2KiB}"),
         {}},
        {"off is none", with("fan_out: off, upstreams: [a]"), {}},
        {"off and nothing else", with("fan_out: off"), {"error missing-key 6:5"}},
        {"no parts", with("fan_out: {}"), {"error missing-key 6:38"}},
        {"empty parts", with("fan_out: {parts: []}"), {"error empty-value 6:55"}},
        {"an unknown part", with("fan_out: {parts: [a1, b2]}"), {"error unknown-route 6:60"}},
        {"a part twice", with("fan_out: {parts: [a1, a1]}"), {"error duplicate-part 6:60"}},
        {"itself", with("fan_out: {parts: [all]}"), {"error bad-part 6:56"}},
        {"another fan-out",
         with("fan_out: {parts: [a1]}", "  - {name: more, match: {path: /m}, fan_out: {parts: [all, b1]}}\n"),
         {"error bad-part 7:55"}},
        {"the health document",
         with("fan_out: {parts: [a1, h]}", "  - {name: h, match: {path: /h}, serve: health}\n"),
         {"error bad-part 6:60"}},
        {"a part that rewrites a prefix",
         with("fan_out: {parts: [p]}",
              "  - {name: p, match: {path_prefix: /p}, upstreams: [a], rewrite: {path_prefix: /}}\n"),
         {"error bad-part 6:56"}},
        {"more successes than parts", with("fan_out: {parts: [a1, b1], min_success: 3}"), {"error contradiction 6:78"}},
        {"no success at all", with("fan_out: {parts: [a1], min_success: 0}"), {"error out-of-range 6:74"}},
        {"a word that is none", with("fan_out: {parts: [a1], body: some}"), {"error bad-word 6:67"}},
        {"with upstreams", with("fan_out: {parts: [a1]}, upstreams: [b]"), {"error contradiction 6:62"}},
        {"with serve", with("fan_out: {parts: [a1]}, serve: health"), {"error contradiction 6:62"}},
        {"with a policy", with("fan_out: {parts: [a1]}, retry: {max_retries: 1}"), {"error has-no-effect 6:62"}},
        {"with another timeout", with("fan_out: {parts: [a1]}, timeout: {attempt: 1s}"), {"error has-no-effect 6:72"}},
        {"with a rewrite", with("fan_out: {parts: [a1]}, rewrite: {path: /x}"), {"error has-no-effect 6:62"}},
        {"a part that only its fan-out reaches",
         with_routes("  - {name: all, fan_out: {parts: [a1, b1]}}\n  - {name: a1, upstreams: [a]}\n  - {name: b1, "
                     "upstreams: [b]}\n"),
         {}},
    });
}

TEST_CASE("a route behind a wider one is never reached") {
    struct pair {
        const char* early;
        const char* late;
        bool unreachable;
    };
    for (const pair& p : {pair{"{}", "{path: /x}", true},
                          pair{"{path_prefix: /}", "{path: /x}", true},
                          pair{"{path_prefix: /}", "{}", true},
                          pair{"{path_prefix: /v1}", "{path_prefix: /v1/chat}", true},
                          pair{"{path_prefix: /v1/}", "{path: /v1}", true},
                          pair{"{path_prefix: /v1}", "{path: /v10}", false},
                          pair{"{path_prefix: /v1/chat}", "{path_prefix: /v1}", false},
                          pair{"{path: /x}", "{path: /x}", true},
                          pair{"{path: /x}", "{path_prefix: /x}", false},
                          pair{"{path: /x}", "{}", false},
                          pair{"{path: /x, methods: [POST]}", "{path: /x}", false},
                          pair{"{path: /x}", "{path: /x, methods: [POST]}", true},
                          pair{"{methods: [GET, POST]}", "{methods: [POST]}", true},
                          pair{"{methods: [POST]}", "{methods: [GET, POST]}", false},
                          pair{"{headers: {x-a: \"1\"}}", "{path: /x}", false},
                          pair{"{headers: {x-a: \"1\"}}", "{path: /x, headers: {X-A: \"1\"}}", true},
                          pair{"{headers: {x-a: \"1\"}}", "{headers: {x-a: \"2\"}}", false},
                          pair{"{model: \"gpt-*\"}", "{path: /x}", false},
                          pair{"{model: \"gpt-*\"}", "{model: [\"gpt-*\"]}", true},
                          pair{"{model: \"*\"}", "{model: \"gpt-4\"}", true},
                          pair{"{}", "{}", true}}) {
        CAPTURE(p.early);
        CAPTURE(p.late);
        const load_result result =
            load(with_routes(std::string("  - {name: r, match: ") + p.early +
                             ", upstreams: [a]}\n  - {name: s, match: " + p.late + ", upstreams: [b]}\n"));
        CHECK(result.ok());
        CAPTURE(printed(result.diagnostics));
        CHECK(brief(result.diagnostics) == (p.unreachable ? std::vector<std::string>{"warning unreachable-route 5:12"}
                                                          : std::vector<std::string>{}));
    }
}

TEST_CASE("an upstream that no route uses is a warning") {
    const load_result result = load(with_routes("  - {name: r, upstreams: [a]}\n"));

    CHECK(result.ok());
    CHECK(brief(result.diagnostics) == std::vector<std::string>{"warning unused-upstream 2:35"});
    CHECK(count_problems(result.diagnostics).warnings == 1);
}

} // namespace evenkeel::test::relations_test

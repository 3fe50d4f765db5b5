#include "support.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

namespace evenkeel::test::diagnostics_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

namespace {

// One mistake per marked line.
constexpr const char* twenty_mistakes = R"(version: 1
lisetn: 127.0.0.1:8080
workers: many
admin: {listen: localhost:9901, tokn: abc}
upstreams:
  openai:
    url: api.openai.com
    dialect: openia
    headers: {set: {content-length: "5", x-a: "ok"}, remove: [x b]}
  spare:
    url: https://spare.example
    connections: {max: 0, idle_timeout: 30}
    tls: {verify: no, ca_file: missing.pem}
defaults:
  timeout: {total: 30s, attempt: 60s}
  stream: {upcast: auto}
routes:
  - name: chat
    match: {path_prefix: v1, methods: [post]}
    upstreams: [opanai]
    max_retries: 3
  - name: chat
    upstreams: [spare]
    timeout: {total: 1h30}
)";

} // namespace

TEST_CASE("a file of many mistakes gives each of them once, in file order, at its place") {
    const load_result result = load(twenty_mistakes);

    CHECK_FALSE(result.ok());
    CAPTURE(printed(result.diagnostics));
    CHECK(brief(result.diagnostics) ==
          std::vector<std::string>{
              "error unknown-key 2:1",       "error bad-integer 3:10",       "error bad-address 4:17",
              "error unknown-key 4:33",      "error bad-url 7:10",           "error bad-word 8:14",
              "error forbidden-header 9:21", "error bad-header-name 9:63",   "error out-of-range 12:24",
              "error bad-duration 12:41",    "error bad-boolean 13:19",      "error unreadable-file 13:32",
              "error contradiction 15:34",   "error bad-word 16:20",         "error bad-path 19:26",
              "error bad-word 19:40",        "error unknown-upstream 20:17", "error unknown-key 21:5",
              "error duplicate-route 22:11", "error bad-duration 24:22",
          });
    CHECK(count_problems(result.diagnostics).errors == 20);
}

TEST_CASE("suggestions come from the place first, then from elsewhere") {
    struct row {
        std::string yaml;
        const char* says;
    };
    for (const row& r :
         {row{good("lisetn: 127.0.0.1:1\n"), "(did you mean 'listen'?)"},
          row{good("", "", "    timeuot: {total: 1s}\n"), "in route 'chat' (did you mean 'timeout'?)"},
          row{good("", "    conections: {max: 1}\n"), "in upstream 'openai' (did you mean 'connections'?)"},
          row{good("", "", "    max_retries: 3\n"), "it is valid under `retry:`"},
          row{good("", "", "    retries: 3\n"), "in route 'chat' (did you mean 'retry'?)"},
          row{good("", "", "    timeout: 30\n"),
              "'timeout' must be a mapping of keys (total, connect, attempt ...), not"},
          row{good("listen: 8080\n"), "127.0.0.1:8080 for this machine only, 0.0.0.0:8080 for all interfaces"},
          row{good("stream_idle: 3s\n"), "it is valid under `timeout:`"},
          row{good("", "", "    listen: 127.0.0.1:1\n"), "it is valid under `admin:`"},
          row{good("", "    upstreams: [a]\n"), "it is valid under `routes:`"},
          row{good("", "", "    drain: {timeout: 1s}\n"), "it is valid at the top level"},
          row{good("banana: 1\n"), "unknown key 'banana' at the top level"},
          row{good("", "    dialect: OpenAI\n"), "(did you mean 'openai'?)"},
          row{good("", "", "    match: {methods: [get]}\n"), "(did you mean 'GET'?)"}}) {
        CAPTURE(r.yaml);
        const load_result result = load(r.yaml);
        CHECK_FALSE(result.ok());
        CAPTURE(printed(result.diagnostics));
        REQUIRE(result.diagnostics.size() == 1);
        CHECK(result.diagnostics[0].message.find(r.says) != std::string::npos);
    }
}

TEST_CASE("a missing key is reported where its parent stands") {
    CHECK(brief(load("version: 1\n").diagnostics) == std::vector<std::string>{"error missing-key 1:1"});
    CHECK(brief(load("routes: [{name: a, serve: health}]\n").diagnostics) ==
          std::vector<std::string>{"error missing-key 1:1"});
    CHECK(brief(load("version: 1\nupstreams:\n  a: {dialect: openai}\nroutes:\n  - upstreams: [a]\n").diagnostics) ==
          std::vector<std::string>{"error missing-key 3:3", "error missing-key 5:5"});
    CHECK(brief(load(good("listen: {address: \"127.0.0.1:1\", tls: {cert_file: a}}\n"), world({}, {{"conf/a", ""}}))
                    .diagnostics) == std::vector<std::string>{"error missing-key 2:34"});
    CHECK(brief(load("version: 1\nroutes:\n  - name: a\n").diagnostics) ==
          std::vector<std::string>{"error missing-key 3:5"});
}

TEST_CASE("a node of the wrong type says what belongs there") {
    struct row {
        std::string yaml;
        std::string expected;
        const char* says;
    };
    for (const row& r : {row{good("log: info\n"), "error wrong-type 2:6", "mapping"},
                         row{good("log: [info]\n"), "error wrong-type 2:6", "not a list"},
                         row{good("workers: [1]\n"), "error wrong-type 2:10", "single value"},
                         row{good("workers: {a: 1}\n"), "error wrong-type 2:10", "single value"},
                         row{good("", "    models: [a]\n"), "error wrong-type 5:13", "names to values"},
                         row{good("", "    headers: {remove: x-a}\n"), "error wrong-type 5:23", "must be a list"},
                         row{good("listen: []\n"), "error empty-value 2:9", "at least one"},
                         row{good("log:\n  level:info\n"), "error wrong-type 3:3", "blank missing after ':'"},
                         row{good("", "", "    match: {model: []}\n"), "error empty-value 8:20", "at least one"},
                         row{good("limits: off\n"), "error wrong-type 2:9", "mapping"}}) {
        CAPTURE(r.yaml);
        const load_result result = load(r.yaml);
        CAPTURE(printed(result.diagnostics));
        REQUIRE(result.diagnostics.size() == 1);
        CHECK(brief(result.diagnostics)[0] == r.expected);
        CHECK(result.diagnostics[0].message.find(r.says) != std::string::npos);
    }
}

TEST_CASE("the text form is what compilers print") {
    const load_result result = load("version: 1\nlisetn: 1\nroutes:\n  - {name: a, serve: health}\n");

    CHECK(
        printed(result.diagnostics) ==
        "conf/evenkeel.yaml:2:1: error: unknown key 'lisetn' at the top level (did you mean 'listen'?) [unknown-key]\n"
        "    2 | lisetn: ***\n"
        "      | ^~~~~~\n"
        "1 problem (1 error, 0 warnings)\n");
}

TEST_CASE("a contradiction shows both lines") {
    const load_result result =
        load(good("defaults:\n  timeout: {total: 30s}\n", "", "    timeout:\n      attempt: 60s\n"));

    CHECK(printed(result.diagnostics) == "conf/evenkeel.yaml:11:16: error: 'timeout.attempt' (1m) exceeds "
                                         "'timeout.total' (30s, line 3) [contradiction]\n"
                                         "   11 |       attempt: 60s\n"
                                         "      |                ^~~\n"
                                         "conf/evenkeel.yaml:3:20: note: 'timeout.total' is set here\n"
                                         "    3 |   timeout: {total: 30s}\n"
                                         "      |                    ^~~\n"
                                         "1 problem (1 error, 0 warnings)\n");
}

TEST_CASE("the JSON form holds the same, for programs") {
    std::ostringstream out;
    print_json(out, load(good("lisetn: 1\n")).diagnostics);

    const boost::json::value parsed = boost::json::parse(out.str());
    CHECK(parsed.at("errors").to_number<int>() == 1);
    CHECK(parsed.at("warnings").to_number<int>() == 0);
    const boost::json::value& first = parsed.at("diagnostics").at(0);
    CHECK(first.at("file").as_string() == "conf/evenkeel.yaml");
    CHECK(first.at("line").to_number<int>() == 2);
    CHECK(first.at("column").to_number<int>() == 1);
    CHECK(first.at("severity").as_string() == "error");
    CHECK(first.at("code").as_string() == "unknown-key");
}

TEST_CASE("a long line is cut around the caret") {
    const std::string many(3000, 'x');
    const load_result result = load(good("log: {path: " + many + ", levle: info, format: text}\n"));

    REQUIRE(result.diagnostics.size() == 1);
    const diagnostic& d = result.diagnostics[0];
    CHECK(d.column == 3015);
    CHECK(d.source.size() < 200);
    CHECK(d.source.substr(static_cast<std::size_t>(d.source_column) - 1, 5) == "levle");
}

TEST_CASE("an upstream named twice in one route is reported with the first place") {
    const load_result twice = load(good("", "  more: {url: \"http://x\", caller_credentials: drop}\n") +
                                   "  - {name: b, match: {path: /b}, upstreams: [openai, more, openai]}\n");
    CHECK(brief(twice.diagnostics).at(0).starts_with("error duplicate-upstream 9:"));
}

TEST_CASE("what leaves a key without meaning is named with it") {
    const load_result result =
        load(good("", "", "    circuit_breaker:\n      when_open: reject\n      hold_queue: 3\n"));

    CHECK(printed(result.diagnostics) == "conf/evenkeel.yaml:10:7: error: 'circuit_breaker.hold_queue' has no effect: "
                                         "'circuit_breaker.when_open' is reject (line 9) [has-no-effect]\n"
                                         "   10 |       hold_queue: 3\n"
                                         "      |       ^~~~~~~~~~\n"
                                         "conf/evenkeel.yaml:9:18: note: 'circuit_breaker.when_open' is set here\n"
                                         "    9 |       when_open: reject\n"
                                         "      |                  ^~~~~~\n"
                                         "1 problem (1 error, 0 warnings)\n");
}

TEST_CASE("a hedge delay that is neither a duration nor a quantile says what it may be") {
    const load_result result = load(good("", "", "    hedge: {delay: p49}\n"));

    REQUIRE(result.diagnostics.size() == 1);
    CHECK(result.diagnostics[0].message == "'delay': a duration is written like 250ms, 1.5s or 1m30s (units: us, ms, "
                                           "s, m, h) (or auto, or a quantile: p50 to "
                                           "p99, p99.9)");
}

} // namespace evenkeel::test::diagnostics_test

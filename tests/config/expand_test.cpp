#include "support.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::expand_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;

TEST_CASE("variables and files are expanded inside values") {
    const environment env =
        world({{"KEY", "sk-1"}, {"EMPTY", ""}, {"PORT", "9000"}, {"N", "3"}, {"INJECT", "a\nworkers: 7"}},
              {{"conf/secret", "from file\n"}, {"/abs/secret", "absolute\r\n"}, {"conf/two", "x\n\n"}});
    struct row {
        const char* written;
        const char* expected;
    };
    for (const row& r :
         {row{"Bearer ${env:KEY}", "Bearer sk-1"}, row{"${env:KEY:-none}", "sk-1"}, row{"${env:ABSENT:-none}", "none"},
          row{"${env:EMPTY:-none}", "none"}, row{"x${env:EMPTY}y", "xy"}, row{"${env:ABSENT:-}", ""},
          row{"${file:secret}", "from file"}, row{"${file:/abs/secret}", "absolute"}, row{"$$5", "$5"},
          row{"$${env:KEY}", "${env:KEY}"}, row{"${env:N}${env:N}", "33"}, row{"${env:ABSENT:-a:-b}", "a:-b"}}) {
        CAPTURE(r.written);
        const load_result result =
            load(good("", std::string("    headers: {set: {x-a: \"") + r.written + "\"}}\n"), env);
        CAPTURE(printed(result.diagnostics));
        REQUIRE(result.ok());
        CHECK(result.settings->upstreams[0]->headers.set[0].second == r.expected);
    }

    const load_result typed = load(good("workers: ${env:N}\nlisten: 127.0.0.1:${env:PORT}\n"), env);
    REQUIRE(typed.ok());
    CHECK(typed.settings->workers == 3);
    CHECK(typed.settings->listen[0].port == 9000);

    const load_result quoted = load(good("log: {level: \"${env:LEVEL:-debug}\"}\nworkers: \"${env:N}\"\n"), env);
    REQUIRE(quoted.ok());
    CHECK(quoted.settings->log.level == log_level::debug);
}

TEST_CASE("what comes from outside cannot change the structure") {
    const load_result result =
        load(good("access_log: {path: \"${env:INJECT}\"}\n"), world({{"INJECT", "a\nworkers: 7"}}));

    REQUIRE(result.diagnostics.size() == 1);
    CHECK(result.diagnostics[0].code == "bad-text");
}

TEST_CASE("an expansion that cannot be made is an error at its place") {
    struct row {
        const char* written;
        const char* code;
        const char* says;
    };
    for (const row& r :
         {row{"${env:ABSENT}", "undefined-variable", "${env:ABSENT:-value}"},
          row{"${ABSENT}", "bad-expansion", "${env:ABSENT}"}, row{"$KEY", "bad-expansion", "$$"},
          row{"${env:KEY", "bad-expansion", "closing"}, row{"${env:}", "bad-expansion", "NAME"},
          row{"${env:A B}", "bad-expansion", "name"}, row{"${file:nowhere}", "unreadable-file", "nowhere"},
          row{"${file:}", "bad-expansion", "PATH"}, row{"${env:A:-${env:B}}", "bad-expansion", "nested"},
          row{"${vault:x}", "bad-expansion", "${env:NAME}"},
          row{"os.environ/OPENAI_API_KEY", "bad-expansion", "${env:OPENAI_API_KEY}"},
          row{"cost $", "bad-expansion", "$$"}}) {
        CAPTURE(r.written);
        const load_result result = load(good("", std::string("    headers: {set: {x-a: \"") + r.written + "\"}}\n"));
        REQUIRE(result.diagnostics.size() == 1);
        const diagnostic& d = result.diagnostics[0];
        CHECK(d.code == r.code);
        CHECK(d.line == 5);
        CHECK(d.column == 26);
        CHECK(d.message.find(r.says) != std::string::npos);
    }
}

TEST_CASE("a bad value from outside names its source, not itself") {
    const load_result result = load(good("workers: ${env:N}\n"), world({{"N", "surprise-value"}}));

    REQUIRE(result.diagnostics.size() == 1);
    CHECK(result.diagnostics[0].message.find("${env:N}") != std::string::npos);
    CHECK(printed(result.diagnostics).find("surprise-value") == std::string::npos);
}

TEST_CASE("a huge file is not taken into a value") {
    const load_result result = load(good("", "    headers: {set: {x-a: \"${file:big}\"}}\n"),
                                    world({}, {{"conf/big", std::string(100000, 'x')}}));

    REQUIRE(result.diagnostics.size() == 1);
    CHECK(result.diagnostics[0].code == "bad-expansion");
}

} // namespace evenkeel::test::expand_test

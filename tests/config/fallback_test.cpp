// Fallback ladders and the store of last good answers, as they are read and checked.

#include "support.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace evenkeel::test::fallback_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;
using namespace std::chrono_literals;

namespace {
// Routes one and two, each with what stands after its name; lines 4 and up.
std::string two(const std::string& one, const std::string& other = "", const std::string& more = "") {
    return "version: 1\n" + more +
           "upstreams: {a: {url: \"http://a\"}}\nroutes:\n  - name: one\n    match: {path: /1}\n    upstreams: [a]\n" +
           one + "  - name: two\n    match: {path: /2}\n    upstreams: [a]\n" + other;
}
std::string ladder(const std::string& steps) { return "    fallback: " + steps + "\n"; }
} // namespace

TEST_CASE("a ladder is read with its defaults, its files and the place of its route") {
    const load_result result = load(two(ladder("[{last_good: {}}, {route: two}, {respond: {body_file: canned.json}}]"),
                                        ladder("[{last_good: {key: partial_key, max_age: 90s}}, {respond: {status: "
                                               "503, body: busy, content_type: text/plain}}]"),
                                        "last_good: {max_bytes: 1MiB, path: /var/lib/x.db}\n"),
                                    world({}, {{"conf/canned.json", "{\"a\": 1}"}}));
    CAPTURE(printed(result.diagnostics));
    REQUIRE(result.ok());
    CHECK(result.diagnostics.empty());
    const auto& one = result.settings->routes[0]->fallback;
    REQUIRE(one.size() == 3);
    CHECK(one[0].is == fallback_kind::last_good);
    CHECK(one[0].key == last_good_key_kind::request);
    CHECK(one[0].max_age == 1h);
    CHECK(one[1].is == fallback_kind::route);
    CHECK(one[1].route == 1);
    CHECK(one[2].is == fallback_kind::respond);
    CHECK(one[2].respond.status == 200);
    CHECK(one[2].respond.content_type == "application/json");
    CHECK(*one[2].respond.body == "{\"a\": 1}");
    const auto& other = result.settings->routes[1]->fallback;
    REQUIRE(other.size() == 2);
    CHECK(other[0].key == last_good_key_kind::partial_key);
    CHECK(other[0].max_age == 90s);
    CHECK(*other[1].respond.body == "busy");
    CHECK(result.settings->last_good == last_good_options{.max_bytes = 1024 * 1024, .path = "/var/lib/x.db"});
}

TEST_CASE("a route inherits the ladder of defaults whole, replaces it whole, or does without") {
    const std::string defaults = "defaults: {fallback: [{route: two}, {respond: {body: \"{}\"}}]}\n";
    const auto steps = [&](const std::string& of_one) {
        return load(two(of_one, "", defaults)).settings->routes[0]->fallback.size();
    };
    CHECK(steps("") == 2);
    CHECK(steps(ladder("[]")) == 0);
    CHECK(steps(ladder("off")) == 0);
    CHECK(steps(ladder("[{respond: {body: \"[]\"}}]")) == 1);

    const load_result result = load(two("", "", defaults));
    CHECK(result.settings->routes[1]->fallback.size() == 1); // an inherited step to itself is none
    const auto shown = show_effective(two("", "", defaults), "conf/evenkeel.yaml", world(), "two", stages);
    REQUIRE(shown);
    CHECK(shown->find("- route") == std::string::npos);
    CHECK(shown->find("# fallback, where no attempt has a good answer: canned 200\n") != std::string::npos);
}

TEST_CASE("what is shown of a ladder can be loaded again and means the same") {
    const std::string yaml = two(
        ladder("[{last_good: {max_age: 2h}}, {route: two}, {respond: {body: '{\"say\": \"$$5\"}'}}]"), ladder("off"));
    const auto shown = show_effective(yaml, "conf/evenkeel.yaml", world(), "", stages);
    REQUIRE(shown);
    CHECK(shown->find("# fallback, where no attempt has a good answer: last good answer (request, at most 2h old), "
                      "route two, canned 200\n") != std::string::npos);
    const load_result again = load(*shown);
    CAPTURE(printed(again.diagnostics));
    REQUIRE(again.ok());
    CHECK(again.settings->routes[0]->fallback == load(yaml).settings->routes[0]->fallback);
    CHECK(*again.settings->routes[0]->fallback[2].respond.body == "{\"say\": \"$5\"}");
}

TEST_CASE("one route is shown with those that take over from it") {
    const std::string third = "  - name: three\n    match: {path: /3}\n    upstreams: [b]\n";
    const std::string yaml =
        two(ladder("[{route: three}]"))
            .replace(two("").find("upstreams: {a:"), 14,
                     "upstreams: {b: {url: \"http://b\", caller_credentials: drop}, c: {url: \"http://c\"}, a:") +
        third + "  - {name: four, upstreams: [c]}\n";
    const auto shown = show_effective(yaml, "conf/evenkeel.yaml", world(), "one", stages);
    REQUIRE(shown);
    for (const char* there : {"name: one ", "name: three ", "http://a", "http://b"})
        CHECK(shown->find(there) != std::string::npos);
    for (const char* absent : {"name: two ", "name: four ", "http://c"})
        CHECK(shown->find(absent) == std::string::npos);
    CHECK(load("version: 1\n" + *shown).ok());
}

TEST_CASE("what can be wrong with a ladder") {
    struct row {
        const char* name;
        std::string yaml;
        std::vector<std::string> expected;
    };
    const auto files = world({}, {{"conf/good.json", "{}"},
                                  {"conf/cut.json", "{\"a\":"},
                                  {"conf/long.json", std::string(1024 * 1024 + 1, ' ')}});
    const row rows[] = {
        {"no list", two(ladder("{}")), {"error wrong-type 7:15"}},
        {"an element that is off", two(ladder("[off]")), {"error wrong-type 7:16"}},
        {"an empty step", two(ladder("[{}]")), {"error missing-key 7:16"}},
        {"two steps in one", two(ladder("[{last_good: {}, route: two}]")), {"error contradiction 7:32"}},
        {"an unknown step", two(ladder("[{rout: two}]")), {"error unknown-key 7:17"}},
        {"respond first", two(ladder("[{respond: {body: \"{}\"}}, {route: two}]")), {"error wrong-order 7:42"}},
        {"route before last_good", two(ladder("[{route: two}, {last_good: {}}]")), {"error wrong-order 7:31"}},
        {"respond twice",
         two(ladder("[{respond: {body: \"{}\"}}, {respond: {body: \"{}\"}}]")),
         {"error wrong-order 7:42"}},
        {"unknown route", two(ladder("[{route: tow}]")), {"error unknown-route 7:24"}},
        {"itself", two(ladder("[{route: one}]")), {"error fallback-cycle 7:24"}},
        {"a cycle of two", two(ladder("[{route: two}]"), ladder("[{route: one}]")), {"error fallback-cycle 7:24"}},
        {"no body", two(ladder("[{respond: {}}]")), {"error missing-key 7:17"}},
        {"two bodies", two(ladder("[{respond: {body: \"{}\", body_file: good.json}}]")), {"error contradiction 7:39"}},
        {"no such file", two(ladder("[{respond: {body_file: nowhere.json}}]")), {"error unreadable-file 7:38"}},
        {"a cut file", two(ladder("[{respond: {body_file: cut.json}}]")), {"error bad-json 7:38"}},
        {"too long a file", two(ladder("[{respond: {body_file: long.json}}]")), {"error too-large 7:38"}},
        {"no JSON", two(ladder("[{respond: {body: hello}}]")), {"error bad-json 7:33"}},
        {"no JSON, and nobody says so", two(ladder("[{respond: {body: hello, content_type: text/plain}}]")), {}},
        {"store off", two(ladder("[{last_good: {}}]"), "", "last_good: off\n"), {"error contradiction 8:17"}},
        {"store off, and nobody asks", two("", "", "last_good: off\n"), {}},
        {"a file for nothing", two("", "", "last_good: {path: x.db}\n"), {"warning never-reached 2:13"}},
        {"a ladder in defaults is checked once",
         two("", "", "defaults: {fallback: [{respond: {body: x}}]}\n"),
         {"error bad-json 2:40"}},
    };
    for (const row& r : rows) {
        CAPTURE(r.name);
        const load_result result = load(r.yaml, files);
        CAPTURE(printed(result.diagnostics));
        CHECK(brief(result.diagnostics) == r.expected);
    }
    const load_result near = load(two(ladder("[{route: tow}]")));
    CHECK(near.diagnostics[0].message == "there is no route 'tow' (did you mean 'two'?)");
}

TEST_CASE("a cycle is reported once, with every line it goes through") {
    const load_result result =
        load(two(ladder("[{route: two}]"),
                 ladder("[{route: three}]") + "  - name: three\n    upstreams: [a]\n    fallback: [{route: one}]\n"));
    REQUIRE(result.diagnostics.size() == 1);
    const diagnostic& d = result.diagnostics[0];
    CHECK(d.message == "the fallback of route 'one' leads back to it (line 14)");
    CHECK(d.line == 7);
    REQUIRE(d.related.size() == 2);
    CHECK(d.related[0].line == 11);
    CHECK(d.related[1].line == 14);
}

TEST_CASE("a route that answers by itself takes nobody's place and has no ladder") {
    const std::string health = "  - {name: health, match: {path: /h}, serve: health";
    CHECK(brief(load(two(ladder("[{route: health}]")) + health + "}\n").diagnostics) ==
          std::vector<std::string>{"error has-no-upstream 7:24"});
    CHECK(brief(load(two("") + health + ", fallback: [{respond: {body: \"{}\"}}]}\n").diagnostics) ==
          std::vector<std::string>{"error has-no-effect 10:54"});
    const std::string parts = "  - {name: parts, match: {path: /p}, fan_out: {parts: [two]}";
    CHECK(brief(load(two(ladder("[{route: parts}]")) + parts + "}\n").diagnostics) ==
          std::vector<std::string>{"error has-no-upstream 7:24"});
    CHECK(brief(load(two("") + parts + ", fallback: [{route: one}]}\n").diagnostics) ==
          std::vector<std::string>{"error has-no-effect 10:63"});
    CHECK(load(two("", "", "defaults: {fallback: [{respond: {body: \"{}\"}}]}\n") + health + "}\n")
              .settings->routes[2]
              ->fallback.empty());
}

} // namespace evenkeel::test::fallback_test

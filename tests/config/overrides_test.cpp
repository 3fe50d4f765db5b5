// What is said beside the file: `--set` of `config show`, and variables that are taken as set.

#include "config/show.hpp"
#include "tests/config/support.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

namespace evenkeel::config::test {

namespace {
show_result with(const std::vector<std::string>& overrides, const std::string& yaml = good()) {
    return show(yaml, "conf/evenkeel.yaml", world(), stages, {.overrides = overrides});
}
bool shows(const show_result& what, const std::string& line) {
    return what.text && what.text->find(line + '\n') != std::string::npos;
}
} // namespace

TEST_CASE("overrides: a value takes its place, whatever stands there, and says where it comes from") {
    CHECK(shows(with({"routes.chat.timeout.total=5s"}), "      total: 5s  # --set"));
    CHECK(shows(with({"routes.0.timeout.total=5s"}), "      total: 5s  # --set"));
    CHECK(shows(with({"defaults.hedge.delay=3s"}), "    delay: 3s  # --set"));
    CHECK(shows(with({"defaults.retry=off"}), "  retry: off  # --set"));
    CHECK(shows(with({"defaults.retry.max_retries=1", "defaults.retry.max_retries=7"}), "    max_retries: 7  # --set"));
    CHECK(shows(with({"routes.chat.match.methods=[GET, POST]"}), "        - GET  # --set"));
    CHECK(shows(with({"upstreams.openai.models.\"gpt-4.1\"=x"}), "      gpt-4.1: x  # --set"));
    CHECK(shows(with({"upstreams.openai.url=http://other:1"}), "    url: http://other:1  # --set"));
    CHECK(shows(with({"defaults.hedge.delay=3s"}, good("defaults: {hedge: off}\n")), "    delay: 3s  # --set"));
    // What depends on it says so.
    CHECK(shows(with({"routes.chat.timeout.total=5s"}),
                "      stream_idle: 5s  # built-in, clamped by timeout.total (--set)"));
}

TEST_CASE("overrides: problems are those of a line, and name the override") {
    struct row {
        const char* said;
        const char* printed;
    };
    for (const row& each : {
             row{"routes.chat.timeout.total=5", "--set:1:27: error: 'total': a duration needs a unit"},
             row{"defaults.retry.max_retires=7",
                 "--set:1:16: error: unknown key 'max_retires' under `retry:` (did you mean 'max_retries'?) "
                 "[unknown-key]\n    1 | defaults.retry.max_retires=7\n      |                ^~~~~~~~~~~\n"},
             row{"routes.nope.x=1", "--set:1:8: error: the list has no 'nope'"},
             row{"routes.9.x=1", "--set:1:8: error: the list has no '9'"},
             row{"routes.chat.timeout.total", "--set:1:1: error: write --set KEY.KEY=VALUE"},
             row{".a=1", "--set:1:1: error: write --set KEY.KEY=VALUE"},
             row{"a..b=1", "--set:1:1: error: write --set KEY.KEY=VALUE"},
             row{"=1", "--set:1:1: error: write --set KEY.KEY=VALUE"},
             row{"defaults.retry=[1", "--set:1:1: error: the value is no YAML"},
             row{"upstreams.openai.url.x=1", "--set:1:22: error: what is above 'x' is a single value"},
             row{"listen=", "--set:1:1: error: 'listen' has no value"},
         }) {
        const auto told = with({each.said});
        CAPTURE(each.said);
        CHECK_FALSE(told.text);
        CHECK_MESSAGE(printed(told.diagnostics).find(each.printed) != std::string::npos, printed(told.diagnostics));
    }
    const auto second = with({"workers=2", "version=9"});
    CHECK(printed(second.diagnostics).find("--set:2:9: error: ") != std::string::npos);
    // A contradiction names both sides where they are.
    const auto both = with({"routes.chat.timeout.connect=90s"}, good("", "", "    timeout: {total: 60s}\n"));
    const std::string text = printed(both.diagnostics);
    CHECK_MESSAGE(text.find("--set:1:29: error: ") != std::string::npos, text);
    CHECK_MESSAGE(text.find("conf/evenkeel.yaml:8:22: note: ") != std::string::npos, text);
}

TEST_CASE("overrides: no credential in any of them is shown, wherever it is put") {
    for (const std::string place :
         {"upstreams.openai.headers.set.authorization=Bearer ", "upstreams.openai.url.x=", "upstreams.openai.headerz=",
          "admin.token=[", "admin.token={a: ", "nope.x=", "routes.nope.headers.set.x-api-key=", "upstreams..x="}) {
        CAPTURE(place);
        const auto told = with({place + "sk-CANARY-0123456789"});
        CHECK(printed(told.diagnostics).find("CANARY") == std::string::npos);
        CHECK(told.text.value_or("").find("CANARY") == std::string::npos);
    }
}

TEST_CASE("show: as JSON, which loads again, with the origin of each value") {
    const std::vector<std::string> overrides{"defaults.retry.max_retries=7",
                                             "upstreams.openai.headers.set.authorization=Bearer sk-CANARY-0123456789"};
    const auto told = show(good(), "conf/evenkeel.yaml", world(), stages, {.overrides = overrides, .json = true});
    REQUIRE(told.text);
    CHECK(told.text->find("CANARY") == std::string::npos);
    const auto whole = boost::json::parse(*told.text);
    const auto& settings = whole.at("settings");
    CHECK(settings.at("defaults").at("retry").at("max_retries") == 7);
    CHECK(settings.at("routes").at(0).at("name") == "chat");
    CHECK(settings.at("upstreams").at("openai").at("headers").at("set").at("authorization") == "***");
    const auto& origins = whole.at("origins").as_object();
    CHECK(origins.at("defaults.retry.max_retries") == "--set");
    CHECK(origins.at("routes.0.name") == "route:6");
    CHECK(origins.at("defaults.retry.backoff.max") == "built-in");
    const auto begin = told.text->find("\"settings\":") + 11, end = told.text->find(",\"origins\":");
    const auto again = load(told.text->substr(begin, end - begin));
    CHECK_MESSAGE(again.ok(), printed(again.diagnostics));
    const auto one = show(good(), "f", world(), stages, {.route = "none", .json = true});
    CHECK(!one.text);
    CHECK(one.diagnostics.empty());
}

TEST_CASE("assuming: what is not set counts as whatever its key can hold; what is set, and other files, as they are") {
    const std::string yaml = R"(version: 1
listen: "${env:WHERE}"
upstreams:
  a: {url: "https://${env:A_HOST}:8443", headers: {set: {authorization: "Bearer ${env:KEY}"}}}
  b: {url: "${env:B_URL}", headers: {set: {x-api-key: "${env:OTHER_KEY}"}}}
defaults:
  retry: {max_retries: "${env:N}", budget: {extra_work: "${env:SHARE}"}}
routes:
  - name: chat
    match: {path_prefix: "${env:PREFIX}"}
    upstreams: [a, b]
    timeout: {total: "${env:T}s", connect: "${env:SET}"}
    fallback: [{respond: {status: 200, body_file: "${env:DIR}/x.json"}}]
limits: {max_body: "${env:SIZE}"}
)";
    std::set<std::string> assumed;
    const auto told = load(yaml, assuming(world({{"SET", "3s"}}), assumed));
    CHECK_MESSAGE(told.ok(), printed(told.diagnostics));
    CHECK(assumed == std::set<std::string>{"WHERE", "A_HOST", "KEY", "B_URL", "OTHER_KEY", "N", "SHARE", "PREFIX", "T",
                                           "DIR", "SIZE"});
    if (told.ok()) CHECK(told.settings->routes.front()->timeout.connect == std::chrono::seconds{3});
    // Everything else is still a problem.
    assumed.clear();
    CHECK_FALSE(load(good("lisetn: ${env:X}\n"), assuming(world(), assumed)).ok());
    CHECK_FALSE(load(good("", "    tls: {ca_file: none.pem}\n"), assuming(world(), assumed)).ok());
    CHECK(load(good("listen: \"${env:X:-127.0.0.1:1}\"\n"), assuming(world(), assumed)).ok());
    CHECK(assumed.empty());
}

TEST_CASE("diagnostics: on a terminal, within its width, with colour only where it is asked for") {
    const auto told =
        load(good("listen: [1]\n" + std::string("defaults: {retry: {max_retires: 3}, ") +
                  "timeout: {total: 600s, connect: 10s, stream_idle: 60s, content_idle: 300s, atempt: 3s}}\n"));
    for (const std::size_t width : {40, 60, 80, 100}) {
        std::ostringstream out;
        print_text(out, told.diagnostics, {.colour = false, .width = width});
        CAPTURE(out.str());
        CHECK(out.str().find('\x1b') == std::string::npos);
        std::istringstream lines(out.str());
        for (std::string line; std::getline(lines, line);) CHECK_MESSAGE(line.size() <= width, line);
        CHECK(out.str().find("atempt") != std::string::npos);
    }
    std::ostringstream out;
    print_text(out, told.diagnostics, {.colour = true, .width = 80});
    CHECK(out.str().find("\x1b[1;31merror:\x1b[0m ") != std::string::npos);
}

} // namespace evenkeel::config::test

#include "config/chaos_rules.hpp"
#include "tests/config/support.hpp"

#include <doctest/doctest.h>

#include <string>

namespace evenkeel::test::chaos_test {

using namespace evenkeel::config;
using namespace evenkeel::config::test;
using namespace std::chrono_literals;

namespace {
std::string with(const std::string& rule, const std::string& before = "enabled: true, ") {
    return good("chaos: {" + before + "rules: [" + rule + "]}\n");
}
const std::string stall = "{route: chat, fault: stall, after_events: 5, probability: 0.05, for: 10m}";
} // namespace

TEST_CASE("chaos rules become what they say, and what is absent keeps its default") {
    const load_result read = load(with(stall + ", {route: chat, upstream: openai, profile: failoverbench, probability: "
                                               "1, for: 1m, attempts: 1, max_active: 3}",
                                       "enabled: true, seed: 42, "));
    CAPTURE(printed(read.diagnostics));
    REQUIRE(read.ok());
    const chaos_options& chaos = read.settings->chaos;
    CHECK(chaos.enabled);
    CHECK(chaos.seed == 42);
    REQUIRE(chaos.rules.size() == 2);
    chaos_rule first;
    first.route = "chat";
    first.fault.is = chaos_fault::stall;
    first.fault.after_events = 5;
    first.probability = 0.05;
    first.lasts = 10min;
    CHECK(chaos.rules[0] == first);
    CHECK(chaos.rules[1].upstream == "openai");
    CHECK(chaos.rules[1].profile == "failoverbench");
    CHECK(chaos.rules[1].attempts == 1);
    CHECK(chaos.rules[1].max_active == 3);
    CHECK(load(good()).settings->chaos == chaos_options{});
    CHECK(load(good("chaos: off\n")).settings->chaos == chaos_options{});
    CHECK(load(good("chaos: {enabled: false}\n")).settings->chaos == chaos_options{});
}

TEST_CASE("every parameter reaches the fault it is for") {
    const auto fault = [](const std::string& text) {
        const load_result read = load(with("{route: chat, probability: 1, for: 1m, " + text + "}"));
        CAPTURE(text);
        CAPTURE(printed(read.diagnostics));
        REQUIRE(read.ok());
        return read.settings->chaos.rules.at(0).fault;
    };
    CHECK(fault("fault: latency, delay: 3s, jitter: 500ms").delay == 3s);
    CHECK(fault("fault: latency, delay: 3s, jitter: 500ms").jitter == 500ms);
    CHECK(fault("fault: abort, status: 429, retry_after: 5s, code: slow_down").status == 429);
    CHECK(fault("fault: abort, status: 429, retry_after: 5s, code: slow_down").retry_after == 5s);
    CHECK(fault("fault: abort, status: 429, retry_after: 5s, code: slow_down").code == "slow_down");
    CHECK(fault("fault: reset, after_bytes: 1KiB").after_bytes == 1024);
    CHECK(fault("fault: truncate, after_events: 3, mid_event: true").mid_event);
    CHECK(fault("fault: drip, bytes_per_second: 7").bytes_per_second == 7);
    CHECK(fault("fault: gzip").is == chaos_fault::gzip);
}

TEST_CASE("rules that would do nothing, or never end, are errors that say what to do") {
    struct row {
        const char* name;
        std::string yaml;
        const char *code, *says;
    };
    for (const row& each : {
             row{"not enabled", with(stall, ""), "chaos-disabled", "write `enabled: true`, or remove the rules"},
             row{"enabled: false", with(stall, "enabled: false, "), "chaos-disabled", "not true"},
             row{"no end", with("{route: chat, fault: stall, probability: 1}"), "missing-key", "missing key 'for'"},
             row{"no probability", with("{route: chat, fault: stall, for: 1m}"), "missing-key",
                 "missing key 'probability'"},
             row{"no route", with("{fault: stall, probability: 1, for: 1m}"), "missing-key", "missing key 'route'"},
             row{"no fault", with("{route: chat, probability: 1, for: 1m}"), "missing-key",
                 "needs `fault` or `profile`"},
             row{"both", with("{route: chat, fault: stall, profile: cut, probability: 1, for: 1m}"), "contradiction",
                 "exclude each other"},
             row{"another route", with("{route: chta, fault: stall, probability: 1, for: 1m}"), "unknown-route",
                 "did you mean 'chat'?"},
             row{"another upstream", with("{route: chat, upstream: backup, fault: stall, probability: 1, for: 1m}"),
                 "unknown-upstream", "has no upstream 'backup'"},
             row{"a parameter of another fault",
                 with("{route: chat, fault: stall, status: 500, probability: 1, for: 1m}"), "has-no-effect",
                 "the fault is stall"},
             row{"a parameter of a profile",
                 with("{route: chat, profile: cut, after_events: 2, probability: 1, for: 1m}"), "has-no-effect",
                 "brings its own"},
             row{"two places",
                 with("{route: chat, fault: stall, after_events: 2, after_bytes: 10B, probability: 1, for: 1m}"),
                 "contradiction", "exclude each other"},
             row{"half of nothing", with("{route: chat, fault: stall, mid_event: true, probability: 1, for: 1m}"),
                 "has-no-effect", "without `after_events`"},
             row{"an unknown fault", with("{route: chat, fault: explode, probability: 1, for: 1m}"), "bad-word",
                 "latency"},
             row{"too probable", with("{route: chat, fault: stall, probability: 1.5, for: 1m}"), "out-of-range", "1"},
         }) {
        CAPTURE(each.name);
        const load_result read = load(each.yaml);
        CAPTURE(printed(read.diagnostics));
        CHECK_FALSE(read.ok());
        REQUIRE(read.diagnostics.size() == 1);
        CHECK(read.diagnostics[0].code == each.code);
        CHECK(read.diagnostics[0].message.find(each.says) != std::string::npos);
    }
}

TEST_CASE("a rule for a route without upstreams is an error") {
    const load_result read = load(with("{route: alive, fault: stall, probability: 1, for: 1m}") +
                                  "  - {name: alive, match: {path: /health}, serve: health}\n");
    CHECK(count_problems(read.diagnostics).errors == 1);
    CHECK(printed(read.diagnostics).find("[has-no-upstream]") != std::string::npos);
}

TEST_CASE("the profiles and faults of the table are those of the policy") {
    const auto words_of = [](std::string_view path) {
        for (const key_row& row : key_table()) {
            if (row.path == path) return split_words(row.words);
        }
        return std::vector<std::string_view>{};
    };
    std::vector<std::string_view> profiles, faults;
    for (const auto& each : chaos_profiles()) profiles.push_back(each.name);
    for (int i = 0; i < chaos_fault_count; ++i) faults.push_back(to_string(static_cast<chaos_fault>(i)));
    CHECK(words_of("chaos.rules.profile") == profiles);
    CHECK(words_of("chaos.rules.fault") == faults);
}

TEST_CASE("rules sent at run time go through the same table and the same checks") {
    const snapshot loaded = load(good("chaos: {enabled: true}\n")).settings;
    const settings& current = *loaded;
    const sent_rules sent = read_chaos_rules("{\n\t\"seed\": 9,\r\n "
                                             "\"rules\":[{\"route\":\"chat\",\"fault\":\"abort\",\"status\":429,"
                                             "\"code\":\"a:b,c\",\"probability\":0.5,\"for\":\"90s\"}]}\n",
                                             current);
    CHECK(sent.problem == "");
    CHECK(sent.seed == 9);
    REQUIRE(sent.rules.size() == 1);
    CHECK(sent.rules[0].probability == 0.5);
    CHECK(sent.rules[0].lasts == 90s);
    CHECK(sent.rules[0].fault.status == 429);
    CHECK(sent.rules[0].fault.code == "a:b,c");

    struct row {
        const char *name, *json, *says;
    };
    for (const row& each : {
             row{"nothing", "", "Send JSON"},
             row{"no JSON", "rules: []", "Send JSON"},
             row{"a list", "[]", "Send JSON"},
             row{"no rules", "{}", "Send JSON"},
             row{"empty", R"({"rules": []})", "at least one"},
             row{"no end", R"({"rules": [{"route": "chat", "fault": "stall", "probability": 1}]})",
                 "missing key 'for'"},
             row{"another route", R"({"rules": [{"route": "other", "fault": "stall", "probability": 1, "for": "1m"}]})",
                 "no route 'other'"},
             row{"unknown key",
                 R"({"rules": [{"route": "chat", "fault": "stall", "probability": 1, "for": "1m", "banana": 1}]})",
                 "banana"},
             row{"twice",
                 R"({"rules": [{"route": "chat", "route": "chat", "fault": "stall", "probability": 1, "for": "1m"}]})",
                 "route"},
             row{"enabled",
                 R"({"enabled": true, "rules": [{"route": "chat", "fault": "stall", "probability": 1, "for": "1m"}]})",
                 "in the file only"},
             row{"a variable",
                 R"({"rules": [{"route": "${env:HOME}", "fault": "stall", "probability": 1, "for": "1m"}]})",
                 "HOME is not set"},
             row{"a file",
                 R"({"rules": [{"route": "${file:/etc/passwd}", "fault": "stall", "probability": 1, "for": "1m"}]})",
                 "cannot be read"},
             row{"null", R"({"rules": null})", "no value"},
             row{"too long", R"({"rules": [{"route": "chat", "fault": "stall", "probability": 1, "for": "1000h"}]})",
                 "168h"},
         }) {
        CAPTURE(each.name);
        const sent_rules refused = read_chaos_rules(each.json, current);
        CHECK(refused.rules.empty());
        CHECK(refused.problem.find(each.says) != std::string::npos);
        CAPTURE(refused.problem);
    }
}

} // namespace evenkeel::test::chaos_test

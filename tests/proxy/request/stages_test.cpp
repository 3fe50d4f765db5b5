// The order of the policies stands in one list; what is said of it elsewhere comes from there.

#include "config/load.hpp"
#include "proxy/serve/order.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::test::stages_test {

namespace {
std::vector<std::string_view> names() {
    std::vector<std::string_view> all;
    for (const request::stage& one : request::stages()) all.push_back(one.name);
    return all;
}

// The comments above the route, by their first words.
std::vector<std::string> shown(std::string_view route, const std::vector<std::string_view>& stages) {
    static const std::string yaml = R"(version: 1
upstreams: {a: {url: "http://a"}, b: {url: "http://b", caller_credentials: drop}}
routes:
  - name: whole
    match: {path: /v1/whole}
    fan_out: {parts: [chat]}
  - name: chat
    match: {path_prefix: /v1/chat}
    upstreams: [a, b]
    coalesce: deterministic
    shuffle_shard: {size: 1, by: credential}
    fallback: [{respond: {body: "{}"}}]
)";
    const config::environment nothing{[](const std::string&) { return std::nullopt; },
                                      [](const std::string&) { return std::nullopt; }};
    const auto text = config::show_effective(yaml, "evenkeel.yaml", nothing, "", stages);
    REQUIRE(text);
    std::vector<std::string> out;
    std::istringstream lines(text->substr(text->find("routes:")));
    std::vector<std::string> above;
    for (std::string line; std::getline(lines, line);) {
        const auto begin = line.find_first_not_of(' ');
        if (begin == std::string::npos) continue;
        if (line[begin] == '#') above.push_back(line.substr(begin + 2, line.find_first_of(":,", begin) - begin - 2));
        if (line.substr(begin).starts_with("- name: ")) {
            if (line.find("name: " + std::string{route}) != std::string::npos) out = above;
            above.clear();
        }
    }
    return out;
}
} // namespace

TEST_CASE("config show prints the stages in the order of the request path's own list") {
    CHECK(shown("chat", names()) == std::vector<std::string>{"fallback", "deadline", "coalesce", "bulkhead",
                                                             "shuffle shard", "hold", "flight", "each attempt"});
    CHECK(shown("whole", names()) == std::vector<std::string>{"deadline", "parts"});
    auto turned = names();
    std::reverse(turned.begin(), turned.end());
    CHECK(shown("chat", turned) == std::vector<std::string>{"shuffle shard", "hold", "flight", "each attempt",
                                                            "bulkhead", "coalesce", "deadline", "fallback"});
}

TEST_CASE("every stage says what it does, and the innermost sends") {
    const auto all = request::stages();
    REQUIRE(all.size() > 2);
    CHECK(all.front().name == "routed");
    CHECK(all.back().name == "run_flight");
    for (const request::stage& one : all) {
        CHECK((one.run != nullptr));
        CHECK_FALSE(one.what.empty());
    }
}

} // namespace evenkeel::test::stages_test

#include "proxy/wire/error_facts.hpp"
#include "proxy/wire/find_word.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace evenkeel::test::error_facts_test {

using namespace evenkeel::wire;
using namespace std::chrono_literals;

TEST_CASE("an error in every shape that providers write it") {
    struct row {
        const char* body;
        const char *type, *code, *status, *message;
    };
    for (const row& one : {
             row{R"({"error":{"message":"m","type":"t","param":null,"code":"c"}})", "t", "c", "", "m"},
             row{R"({"type":"error","error":{"type":"overloaded_error","message":"m"},"request_id":"r"})",
                 "overloaded_error", "", "", "m"},
             row{R"({"type":"error","error":{"type":"rate_limit_error","message":"m",)"
                 R"("details":{"error_code":"enforced_spend_limit_reached"}}})",
                 "rate_limit_error", "enforced_spend_limit_reached", "", "m"},
             row{R"({"error":{"code":503,"message":"m","status":"UNAVAILABLE"}})", "", "503", "UNAVAILABLE", "m"},
             row{R"([{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}])", "", "429",
                 "RESOURCE_EXHAUSTED", "m"},
             row{R"({"object":"error","message":"m","type":"t","param":null,"code":40001})", "t", "40001", "", "m"},
             row{R"({"error":"model not found"})", "", "", "", "model not found"},
             row{R"({"message":"throttled"})", "", "", "", "throttled"},
             row{R"({"detail":"Not authenticated"})", "", "", "", "Not authenticated"},
             row{R"({"type":"response.failed","response":{"error":{"code":"server_error","message":"m"}}})", "",
                 "server_error", "", "m"},
             row{R"({"type":"error","code":"rate_limit_exceeded","message":"m"})", "", "rate_limit_exceeded", "", "m"},
             row{R"({"error":{"message":"\"quoted\" \u00e4"}})", "", "", "", "\"quoted\" \xc3\xa4"},
         }) {
        CAPTURE(one.body);
        const error_facts facts = read_error(one.body);
        CHECK(facts.is_error);
        CHECK(facts.type == one.type);
        CHECK(facts.code == one.code);
        CHECK(facts.status == one.status);
        CHECK(facts.message == one.message);
    }
}

TEST_CASE("Google's details") {
    const error_facts facts = read_error(R"({"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"m","details":[
        {"@type":"type.googleapis.com/google.rpc.QuotaFailure",
          "violations":[{"quotaMetric":"x","quotaId":"RequestsPerDay"}]},
        {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"46.5s"}, 7, {"retryDelay":"x"}]}})");
    CHECK(facts.quota == "RequestsPerDay");
    CHECK(facts.retry_delay == 46500ms);
}

TEST_CASE("what is no error is none, and nothing is too strange to look at") {
    for (const char* body :
         {"", " ", "null", "[]", "{}", "7", "\"text\"", "<html>502</html>", "{\"error\":", "{\"error\":null}",
          "{\"error\":{}}", "{\"error\":\"\"}", "{\"error\":false}", "{\"error\":[]}", "{\"error\":0}",
          "{\"error\":0.0}", "{\"choices\":[]}", "[[[[{\"error\":1}]]]]", "\xff\xfe"}) {
        CAPTURE(body);
        CHECK_FALSE(read_error(body).is_error);
    }
    CHECK_FALSE(read_error(std::string(100000, '[')).is_error);
    CHECK(read_error("{\"error\":{\"message\":\"" + std::string(9000, 'x') + "\"}}").message.size() ==
          max_error_message);
    // Too long for one.
    CHECK_FALSE(read_error("{\"error\":{\"message\":\"" + std::string(max_error_body, 'x') + "\"}}").is_error);
}

TEST_CASE("an error with status 200") {
    CHECK(holds_error(R"({"error":{"message":"m"}})"));
    CHECK(holds_error(R"({"id":"x","error":"m"})"));
    CHECK(holds_error(R"({"type":"error","error":{"type":"api_error"}})"));
    CHECK(holds_error(R"({"object":"error","message":"m"})"));
    CHECK(holds_error(R"({"choices":[{"finish_reason":"error","error":{"code":502,"message":"m"}}]})"));
    CHECK(holds_error(R"({"choices":[{"finish_reason":"error","message":{"content":""}}]})"));
    CHECK(holds_error("\xef\xbb\xbf{\"error\":\"m\"}"));
    CHECK(holds_error(R"({"error":{"message":"\ud83d"},"score":NaN})"));
    for (const char* good :
         {R"({"id":"resp_1","error":null,"output":[]})", R"({"error":false})", R"({"error":{}})", R"({"error":[]})",
          R"({"error":0})", R"({"choices":[{"message":{"content":"\"error\": x"}}]})",
          R"({"choices":[{"error":null}]})", R"({"choices":[{"error":{}},{"error":"m"}]})", R"({"data":[]})", "",
          "error\""}) {
        CAPTURE(good);
        CHECK_FALSE(holds_error(good));
    }
}

TEST_CASE("B9: the error of a choice is read like any other") {
    const error_facts facts =
        read_error(R"({"id":"x","choices":[{"finish_reason":"error","error":{"code":429,"message":"m"}}]})");
    CHECK(facts.is_error);
    CHECK(facts.in_choice);
    CHECK(facts.code == "429");
    CHECK(facts.message == "m");
}

TEST_CASE("B6: of several quotas that are used up the longest counts") {
    for (const char* ids : {R"({"quotaId":"PerDay-x"},{"quotaId":"PerMinute-x"})",
                            R"({"quotaId":"PerMinute-x"},{"quotaId":"PerDay-x"})"}) {
        const error_facts facts = read_error(R"({"error":{"status":"RESOURCE_EXHAUSTED","details":[{"violations":[)" +
                                             std::string{ids} + "]}]}}");
        CHECK(facts.quota == "PerDay-x");
    }
}

TEST_CASE("no bytes make it throw") {
    const std::string seeds[] = {R"({"error":{"message":"m","type":"t","code":"c","details":[{"retryDelay":"1s"}]}})",
                                 R"([{"error":{"code":429,"status":"S","details":{"error_code":"x"}}}])"};
    std::mt19937 random(11);
    for (int i = 0; i < 20000; ++i) {
        std::string body = seeds[random() % 2];
        for (unsigned n = random() % 4; n > 0; --n) body[random() % body.size()] = static_cast<char>(random());
        body.resize(random() % (body.size() + 1));
        static_cast<void>(read_error(body));
        static_cast<void>(holds_error(body));
    }
}

TEST_CASE("property: a word is found where std::string_view finds it, whatever the lengths and the probe") {
    for (std::uint32_t seed = 1; seed <= 100000; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const auto letters = [&](std::size_t size) {
            std::string text(size, 'a');
            for (char& c : text) c = "abr"[random() % 3];
            return text;
        };
        const std::string word = letters(2 + random() % 8);
        const std::string text = letters(random() % 300) + (random() % 3 == 0 ? word : "");
        REQUIRE(find_word(text, word, random() % (word.size() - 1)) == text.find(word));
    }
}

TEST_CASE("find_pairs finds all pairs, in as many calls as it takes") {
    std::mt19937 random(7);
    for (int round = 0; round < 3000; ++round) {
        std::string text(random() % 700, 'a');
        for (char& c : text) c = "\":ax"[random() % (round % 3 == 0 ? 2 : 4)];
        std::vector<std::uint32_t> expected, found;
        for (std::size_t i = 0; i + 1 < text.size(); ++i) {
            if (text[i] == '"' && text[i + 1] == ':') expected.push_back(static_cast<std::uint32_t>(i));
        }
        std::array<std::uint32_t, 70> places{};
        int calls = 0;
        for (std::size_t from = 0; from < text.size(); ++calls) {
            const std::size_t count = find_pairs(text, from, '"', ':', places);
            found.insert(found.end(), places.begin(), places.begin() + static_cast<std::ptrdiff_t>(count));
            REQUIRE(calls < 100);
        }
        REQUIRE(found == expected);
    }
}

} // namespace evenkeel::test::error_facts_test

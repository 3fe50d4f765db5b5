// JSON that servers of models write and the standard does not have, and what a body begins with.

#include "proxy/wire/body_beginning.hpp"
#include "proxy/wire/event_meaning.hpp"
#include "proxy/wire/lenient_json.hpp"

#include <boost/json/parse.hpp>
#include <doctest/doctest.h>

#include <random>
#include <string>

namespace evenkeel::test::lenient_json_test {

using namespace evenkeel::wire;

TEST_CASE("half a pair, NaN, infinities and depth are mended, and nothing else is touched") {
    struct row {
        const char *text, *mended;
    };
    for (const row& one : {
             row{R"({"a":"\ud83d"})", R"({"a":"\ufffd"})"},
             row{R"({"a":"\ude00b\ud83d\ude00"})", R"({"a":"\ufffdb\ud83d\ude00"})"},
             row{R"({"a":"\ud83dx\ud83d\ud83d\ude00"})", R"({"a":"\ufffdx\ufffd\ud83d\ude00"})"},
             row{R"({"a":"\\ud83d \" NaN"})", R"({"a":"\\ud83d \" NaN"})"},
             row{R"([NaN,-Infinity,Infinity,1.0,"NaN"])", R"([null,null,null,1.0,"NaN"])"},
             row{R"([[[[1,"]"]]],{"a":{"b":{"c":[2]}}}])", R"([[["..."]],{"a":{"b":"..."}}])"},
             row{R"({"a":"\u12)", R"({"a":"\u12)"},
             row{R"({"a":"\)", R"({"a":"\)"},
             row{"", ""},
             row{"]]]", "]]]"},
         }) {
        CAPTURE(one.text);
        CHECK(mended_json(one.text, 3) == one.mended);
    }
}

TEST_CASE("what is JSON either way is read, and what is not is not") {
    for (const char* good :
         {R"({"a":"\ud83d"})", "\xef\xbb\xbf{\"a\":1}", R"([NaN])", R"({"a":1})", R"([[[[[[[[[[[[1]]]]]]]]]]]])"}) {
        CAPTURE(good);
        boost::json::error_code failed;
        static_cast<void>(parse_leniently(good, 8, {}, failed));
        CHECK_FALSE(failed);
    }
    for (const char* bad : {"", "{", R"({"a":"\ud8"})", "NaNa", "[1,]", "\xef\xbb{}"}) {
        CAPTURE(bad);
        boost::json::error_code failed;
        static_cast<void>(parse_leniently(bad, 8, {}, failed));
        CHECK(failed);
    }
}

TEST_CASE("no bytes make the mending throw or go on for ever, and what it mends it need not mend again") {
    std::mt19937 random(13);
    const std::string letters = R"({}[]",:\ud83dNaNInfinity-1 )";
    for (int round = 0; round < 20000; ++round) {
        std::string text(random() % 40, ' ');
        for (char& c : text) c = letters[random() % letters.size()];
        const std::string once = mended_json(text, 4);
        if (const boost::json::error_code failed =
                [&] {
                    boost::json::error_code result;
                    static_cast<void>(boost::json::parse(once, result));
                    return result;
                }();
            !failed)
            CHECK(mended_json(once, 4) == once);
    }
}

TEST_CASE("B5: a body is what it begins with, in any cut") {
    using kind = body_beginning::kind;
    struct row {
        std::string text;
        kind is;
    };
    for (const row& one : {row{"data: {}", kind::events},
                           row{"data:{}", kind::events},
                           row{"event: x", kind::events},
                           row{"id: 1", kind::events},
                           row{"retry: 9", kind::events},
                           row{": PROCESSING", kind::events},
                           row{"error: {}", kind::events},
                           row{"\xef\xbb\xbf"
                               "data: x",
                               kind::events},
                           row{"\n\n\r\n data: x", kind::events},
                           row{"{\"a\":1}", kind::json},
                           row{"\n\n[", kind::json},
                           row{"\xef\xbb\xbf{", kind::json},
                           row{"\n\xef\xbb\xbf\n{", kind::json},
                           row{"<html>", kind::other},
                           row{"database", kind::other},
                           row{"dat", kind::unknown},
                           row{"datum:", kind::other},
                           row{"", kind::unknown},
                           row{" \r\n\t", kind::unknown},
                           row{"\xef\xbb", kind::unknown},
                           row{"\xef\xbb\xbd", kind::other},
                           row{"eventful:", kind::other},
                           row{"Data: x", kind::other}}) {
        CAPTURE(one.text);
        for (std::size_t cut = 0; cut <= one.text.size(); ++cut) {
            body_beginning whole, bytes;
            static_cast<void>(whole.read(one.text.substr(0, cut)));
            CHECK(whole.read(one.text.substr(cut)) == one.is);
            for (const char c : one.text) static_cast<void>(bytes.read({&c, 1}));
            CHECK(bytes.is() == one.is);
        }
    }
}

TEST_CASE("B8: an answer that says nothing, and none that says why or says anything") {
    for (
        const char* nothing : {
            R"({"choices":[{"finish_reason":"stop","message":{"role":"assistant","content":""}}]})",
            R"({"choices": [ {"finish_reason": "stop", "message": {"content" : null, "tool_calls": []}} ]})",
            R"({"choices":[{"finish_reason":"stop","message":{"content":"","reasoning_content":"","refusal":null}}]})",
            R"({"choices":[{"finish_reason":"stop","text":""}]})",
            R"({"object":"chat.completion","choices":[],"usage":{"total_tokens":3}})",
            R"({"type":"message","content":[],"stop_reason":"end_turn"})",
            R"({"type":"message","content":[{"type":"text","text":""}],"stop_reason":"end_turn"})",
            R"({"object":"response","status":"completed","output":[]})",
            R"({"object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text",)"
            R"("text":""}]}]})",
            R"({"candidates":[{"finishReason":"STOP","content":{"role":"model"}}],"usageMetadata":{}})",
            R"({"candidates":[{"finishReason":"STOP","content":{"parts":[{"text":""}]}}]})",
            R"({"candidates":[]})",
            R"({"model":"m","message":{"content":""},"done":true,"done_reason":"stop"})",
        }) {
        CAPTURE(nothing);
        CHECK(says_nothing(nothing));
    }
    for (const char* something : {
             R"({"choices":[{"finish_reason":"stop","message":{"content":"a"}}]})",
             R"({"choices":[{"finish_reason":"stop","message":{"content": "a"}}]})",
             R"({"choices":[{"finish_reason":"stop","message":{"content":" "}}]})",
             R"({"choices":[{"finish_reason":"stop","message":{"content":[{"type":"text","text":"a"}]}}]})",
             R"({"choices":[{"finish_reason":"stop","message":{"content":null,"refusal":"no"}}]})",
             R"({"choices":[{"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"id":"c"}]}}]})",
             R"({"choices":[{"finish_reason":"stop","message":{"content":"","reasoning_content":"hm"}}]})",
             R"({"choices":[{"finish_reason":"stop","message":{"content":"","something_new":7}}]})",
             R"({"choices":[{"finish_reason":"length","message":{"content":""}}]})",
             R"({"choices":[{"finish_reason":"content_filter","message":{"content":""}}]})",
             R"({"choices":[{"finish_reason":"stop","text":""},{"finish_reason":"stop","text":"a"}]})",
             R"({"type":"message","content":[{"type":"tool_use","id":"t"}],"stop_reason":"tool_use"})",
             R"({"type":"message","content":[],"stop_reason":"max_tokens"})",
             R"({"type":"message","content":[],"stop_reason":"refusal"})",
             R"({"object":"response","status":"completed","output":[{"type":"function_call","name":"f"}]})",
             R"({"object":"response","status":"incomplete","output":[]})",
             R"({"object":"response","status":"queued","output":[]})",
             R"({"candidates":[{"finishReason":"SAFETY"}]})",
             R"({"promptFeedback":{"blockReason":"SAFETY"},"candidates":[]})",
             R"({"model":"m","response":"","done":true,"done_reason":"load"})",
             R"({"object":"list","data":[{"embedding":[0.1]}]})",
             R"({"results":[]})",
             "{}",
             "[]",
             "",
             "x",
         }) {
        CAPTURE(something);
        CHECK_FALSE(says_nothing(something));
    }
}

} // namespace evenkeel::test::lenient_json_test

#include "proxy/wire/one_event_stream.hpp"
#include "proxy/wire/stream_reader.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace evenkeel::test::one_event_stream_test {

using namespace evenkeel::wire;
namespace json = boost::json;

namespace {
// The data of each event, as JSON; [DONE] as a string.
std::vector<json::value> data_of(const std::string& stream) {
    std::vector<json::value> out;
    for (std::size_t at = 0; at < stream.size();) {
        const auto end = stream.find("\n\n", at);
        REQUIRE(end != std::string::npos);
        const std::string event = stream.substr(at, end - at);
        const auto data = event.find("data: ");
        REQUIRE(data != std::string::npos);
        const std::string text = event.substr(data + 6);
        CHECK(text.find('\n') == std::string::npos);
        out.push_back(text == "[DONE]" ? json::value("[DONE]") : json::parse(text));
        if (data > 0) CHECK(event.substr(0, data) == "event: " + std::string(out.back().at("type").as_string()) + "\n");
        at = end + 2;
    }
    return out;
}
std::string streamed(dialect which, const std::string& body) {
    const auto out = one_event_stream(which, body);
    REQUIRE(out);
    return *out;
}
} // namespace

TEST_CASE("each shape becomes a stream that its reader takes for whole and meaningful") {
    struct row {
        const char* name;
        dialect which;
        std::string body;
        dialect spoken;
    };
    for (const row& r :
         {row{"chat", dialect::openai,
              R"({"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,)"
              R"("message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"total_tokens":3}})",
              dialect::openai},
          row{"chat, bare", dialect::generic, R"({"choices":[{"message":{"content":"hi"}}]})", dialect::openai},
          row{"chat, pretty", dialect::openai,
              "{\n  \"choices\": [\n    {\"message\": {\"content\": \"a\\nb\"}}\n  ]\n}\n", dialect::openai},
          row{"completion", dialect::openai,
              R"({"id":"c","object":"text_completion","choices":[{"text":"hi","index":0}]})", dialect::openai},
          row{"response", dialect::openai,
              R"({"id":"r","object":"response","status":"completed","output":[{"type":"message","id":"i",)"
              R"("role":"assistant","content":[{"type":"output_text","text":"hi","annotations":[]}]}]})",
              dialect::openai},
          row{"message", dialect::anthropic,
              R"({"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"hi"}],)"
              R"("stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":2}})",
              dialect::anthropic},
          row{"message with a tool", dialect::anthropic,
              R"({"type":"message","content":[{"type":"tool_use","id":"t","name":"f","input":{"a":1}}],)"
              R"("stop_reason":"tool_use"})",
              dialect::anthropic},
          row{"generateContent", dialect::gemini,
              R"({"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}]})", dialect::gemini},
          row{"anything, OpenAI", dialect::openai, R"({"say":"hi"})", dialect::openai},
          row{"anything, Anthropic", dialect::anthropic, R"({"say":"hi"})", dialect::anthropic}}) {
        CAPTURE(r.name);
        const std::string stream = streamed(r.which, r.body);
        CHECK(!data_of(stream).empty());
        stream_reader reader(stream_format::sse, r.spoken, false);
        static_cast<void>(reader.read(stream));
        CHECK(reader.has_terminal());
        CHECK(reader.has_meaning());
        CHECK(!reader.has_error());
        CHECK(reader.between_events());
    }
}

TEST_CASE("a chat completion is one chunk with everything in it, then [DONE]") {
    const auto events = data_of(
        streamed(dialect::openai,
                 R"({"id":"c","object":"chat.completion","created":7,"model":"m","system_fingerprint":"f","choices":[)"
                 R"({"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function",)"
                 R"("function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"},)"
                 R"({"message":{"content":"b"}}],"usage":{"total_tokens":1}})"));
    REQUIRE(events.size() == 2);
    CHECK(
        events[0] ==
        json::parse(
            R"({"id":"c","object":"chat.completion.chunk","created":7,"model":"m","system_fingerprint":"f","choices":[)"
            R"({"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"t",)"
            R"("type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"},)"
            R"({"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]})"));
    CHECK(events[1] == json::value("[DONE]"));
}

TEST_CASE("a message is told block by block") {
    const auto events = data_of(
        streamed(dialect::anthropic,
                 R"({"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"hi"},)"
                 R"({"type":"tool_use","id":"t","name":"f","input":{"a":1}}],)"
                 R"("stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":2}})"));
    std::vector<std::string> types;
    for (const auto& event : events) types.emplace_back(event.at("type").as_string());
    CHECK(types == std::vector<std::string>{"message_start", "content_block_start", "content_block_delta",
                                            "content_block_stop", "content_block_start", "content_block_delta",
                                            "content_block_stop", "message_delta", "message_stop"});
    CHECK(
        events[0] ==
        json::parse(
            R"({"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"c",)"
            R"("content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":2}}})"));
    CHECK(events[2] ==
          json::parse(R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}})"));
    CHECK(events[5] == json::parse(R"({"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta",)"
                                   R"("partial_json":"{\"a\":1}"}})"));
    CHECK(events[7] == json::parse(R"({"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},)"
                                   R"("usage":{"output_tokens":2}})"));
}

TEST_CASE("a response is told part by part, with numbers in sequence") {
    const std::string body =
        R"({"id":"r","object":"response","status":"completed","output":[{"type":"message","id":"i",)"
        R"("role":"assistant","status":"completed","content":[{"type":"output_text","text":"hi","annotations":[]}]}]})";
    const auto events = data_of(streamed(dialect::openai, body));
    std::vector<std::string> types;
    for (std::size_t i = 0; i < events.size(); ++i) {
        types.emplace_back(events[i].at("type").as_string());
        CHECK(events[i].at("sequence_number").as_int64() == static_cast<std::int64_t>(i));
    }
    CHECK(types == std::vector<std::string>{"response.created", "response.output_item.added",
                                            "response.content_part.added", "response.output_text.delta",
                                            "response.output_text.done", "response.content_part.done",
                                            "response.output_item.done", "response.completed"});
    CHECK(events[0].at("response").at("status") == json::value("in_progress"));
    CHECK(events.back().at("response") == json::parse(body));
}

TEST_CASE("what is no JSON object is no stream") {
    for (const char* body : {"", "sorry", "[1]", "\"a\"", "{\"a\":", "null"})
        CHECK(!one_event_stream(dialect::openai, body));
}

TEST_CASE("shapes with holes are streams all the same") {
    for (const char* body :
         {R"({"choices":[1,null,{"message":3}]})", R"({"choices":[{"message":{"tool_calls":[1]}}, 2]})",
          R"({"choices":[{"text":1},4]})", R"({"object":"response"})",
          R"({"object":"response","output":[1,{"content":[2,{"type":"output_text"}]}]})",
          R"({"type":"message","content":[1,{"type":"text"},{"type":"tool_use"},{}]})",
          R"({"type":"message","content":[],"usage":4})", R"({"choices":[]})", R"({"choices":3})"}) {
        CAPTURE(body);
        CHECK(one_event_stream(dialect::openai, body));
    }
}

} // namespace evenkeel::test::one_event_stream_test

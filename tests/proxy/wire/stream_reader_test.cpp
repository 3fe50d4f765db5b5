#include "proxy/wire/stream_reader.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

namespace evenkeel::test::stream_reader_test {

using namespace evenkeel::wire;

namespace {

std::string_view word(event_meaning meaning) {
    switch (meaning) {
    case event_meaning::nothing: return "nothing";
    case event_meaning::meaningful: return "meaningful";
    case event_meaning::hollow: return "hollow";
    case event_meaning::terminal: return "terminal";
    case event_meaning::error: return "error";
    case event_meaning::malformed: return "malformed";
    }
    return "?";
}

std::string sse(std::string_view json, std::string_view name = {}) {
    return (name.empty() ? std::string{} : "event: " + std::string{name} + "\n") + "data: " + std::string{json} +
           "\n\n";
}
std::string chat(std::string_view choice) {
    return R"({"id":"c","object":"chat.completion.chunk","choices":[{"index":0,)" + std::string{choice} + "}]}";
}

// What a reader knows after a whole stream.
struct knowledge {
    bool terminal, error, between, knows;
    std::uint64_t events;
    dialect spoken;
    bool operator==(const knowledge&) const = default;
};
knowledge known(const stream_reader& reader) {
    return {reader.has_terminal(),   reader.has_error(),         reader.between_events(),
            reader.knows_terminal(), reader.meaningful_events(), reader.spoken()};
}
} // namespace

TEST_CASE("what each event means in its dialect") {
    struct row {
        dialect spoken;
        std::string event;
        event_meaning meaning;
        bool terminal = false;
    };
    using enum dialect;
    using enum event_meaning;
    const std::vector<row> rows{
        {openai, sse(chat(R"("delta":{"role":"assistant","content":""},"finish_reason":null)")), nothing},
        {openai,
         sse(chat(R"("delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null)")),
         nothing},
        {openai, sse(chat(R"("delta":{"role":"assistant"})")), nothing},
        {openai, sse(chat(R"("delta":{})")), nothing},
        {openai, sse(chat(R"("delta":{"content":"a"},"finish_reason":null)")), meaningful},
        {openai, sse(chat(R"("delta":{"content":" "})")), meaningful},
        {openai, sse(chat(R"("delta":{"refusal":"no"})")), meaningful},
        {openai, sse(chat(R"("delta":{"reasoning":"hm"})")), meaningful},
        {openai, sse(chat(R"("delta":{"reasoning_content":"hm"})")), meaningful},
        {openai, sse(chat(R"("delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]})")),
         meaningful},
        {openai, sse(chat(R"("delta":{"function_call":{"name":"f"}})")), meaningful},
        {openai, sse(chat(R"("delta":{"audio":{"id":"a"}})")), meaningful},
        {openai, sse(chat(R"("delta":{"tool_calls":[]})")), nothing},
        {openai, sse(chat(R"("delta":{"something_new":"x"})")), meaningful},
        {openai, sse(chat(R"("delta":{},"finish_reason":"stop")")), hollow, true},
        {openai, sse(chat(R"("delta":{"content":"a"},"finish_reason":"stop")")), meaningful, true},
        {openai, sse(chat(R"("delta":{},"finish_reason":"length")")), meaningful, true},
        {openai, sse(chat(R"("delta":{"content":""},"finish_reason":"error","error":{"code":502})")), error, true},
        {openai, sse(chat(R"("delta":{"content":"\ud83d"})")), meaningful},
        {openai, sse(chat(R"("delta":{"content":"a"},"logprobs":{"token_logprobs":[NaN,-Infinity]})")), meaningful},
        {openai, sse(chat(R"("delta":{"deep":)" + std::string(200, '[') + std::string(200, ']') + "}")), meaningful},
        {openai, sse(chat(R"("delta":{"content":1e999})")), meaningful},
        {openai, "error: {\"code\":500,\"message\":\"m\",\"type\":\"server_error\"}\n\n", error},
        {openai, "\xef\xbb\xbf" + sse(chat(R"("delta":{"content":"a"})")), meaningful},
        {openai, sse(chat(R"("delta":{},"finish_reason":"content_filter")")), meaningful, true},
        {openai, sse(R"({"choices":[],"usage":{"total_tokens":3}})"), nothing},
        {openai, sse(R"({"choices":[],"prompt_filter_results":[{"prompt_index":0}]})"), nothing},
        {openai, sse(R"({"object":"text_completion","choices":[{"text":"","index":0,"finish_reason":null}]})"),
         nothing},
        {openai, sse(R"({"object":"text_completion","choices":[{"text":"a","index":0,"finish_reason":null}]})"),
         meaningful},
        {openai, sse(R"({"object":"text_completion","choices":[{"text":"","index":0,"finish_reason":"length"}]})"),
         meaningful, true},
        {openai, sse("[DONE]"), terminal, true},
        {openai, sse("[DONE] "), terminal, true},
        {openai, "data:[DONE]\n\n", terminal, true},
        {openai, sse("not json"), malformed},
        {openai, sse(R"({"choices":[{"delta":)"), malformed},
        {openai, sse("[1,2]"), malformed},
        {openai, sse("3"), malformed},
        {openai, sse(R"({"error":{"message":"m","code":"server_error"}})"), error},
        {openai, sse(R"({"error":{"message":"m"}})", "error"), error},
        {openai, sse(R"({"object":"error","message":"m","code":400})"), error},
        {openai, sse("boom", "error"), error},
        {openai, sse(R"({"error":null,"choices":[{"delta":{"content":"a"}}]})"), meaningful},
        {openai, sse(R"({"type":"response.created","response":{"error":null}})", "response.created"), nothing},
        {openai, sse(R"({"type":"response.in_progress"})", "response.in_progress"), nothing},
        {openai, sse(R"({"type":"response.queued"})"), nothing},
        {openai, sse(R"({"type":"response.output_item.added","item":{"type":"message","content":[]}})"), nothing},
        {openai, sse(R"({"type":"response.output_item.added","item":{"type":"function_call","name":"f"}})"),
         meaningful},
        {openai, sse(R"({"type":"response.content_part.added","part":{"type":"output_text","text":""}})"), nothing},
        {openai, sse(R"({"type":"response.output_text.delta","delta":"a"})"), meaningful},
        {openai, sse(R"({"type":"response.output_text.delta","delta":""})"), nothing},
        {openai, sse(R"({"type":"response.function_call_arguments.delta","delta":"{"})"), meaningful},
        {openai, sse(R"({"type":"response.output_item.done","item":{}})"), meaningful},
        {openai, sse(R"({"type":"response.completed","response":{"status":"completed"}})", "response.completed"),
         hollow, true},
        {openai,
         sse(R"({"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text",)"
             R"("text":""}]}]}})"),
         hollow, true},
        {openai,
         sse(R"({"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text",)"
             R"("text":"a"}]}]}})"),
         meaningful, true},
        {openai, sse(R"({"type":"response.output_text.done","text":""})"), nothing},
        {openai, sse(R"({"type":"response.content_part.done","part":{"type":"output_text","text":""}})"), nothing},
        {openai, sse(R"({"type":"response.incomplete","response":{}})"), meaningful, true},
        {openai, sse(R"({"type":"response.failed","response":{"error":{"code":"server_error","message":"m"}}})"), error,
         true},
        {openai, sse(R"({"type":"error","code":"rate_limit_exceeded","message":"m"})", "error"), error},
        {openai, sse(R"({"type":"transcript.text.delta","delta":"a"})"), meaningful},
        {anthropic, sse(R"({"type":"ping"})", "ping"), nothing},
        {anthropic, sse(R"({"type": "ping"})"), nothing},
        {anthropic,
         sse(R"({"type":"message_start","message":{"content":[],"usage":{"input_tokens":3}}})", "message_start"),
         nothing},
        {anthropic, sse(R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"),
         nothing},
        {anthropic,
         sse(R"({"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"",)"
             R"("signature":""}})"),
         nothing},
        {anthropic,
         sse(R"({"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f",)"
             R"("input":{}}})"),
         meaningful},
        {anthropic,
         sse(R"({"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}})"),
         meaningful},
        {anthropic, sse(R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}})"),
         meaningful},
        {anthropic, sse(R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}})"),
         nothing},
        {anthropic, sse(R"({"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"a"}})"),
         meaningful},
        {anthropic, sse(R"({"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}})"),
         meaningful},
        {anthropic, sse(R"({"type":"content_block_delta","delta":{"type":"signature_delta","signature":"s"}})"),
         meaningful},
        {anthropic, sse(R"({"type":"content_block_stop","index":0})"), nothing},
        {anthropic, sse(R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}})"), hollow},
        {anthropic, sse(R"({"type":"message_delta","delta":{"stop_reason":"max_tokens"}})"), meaningful},
        {anthropic, sse(R"({"type":"message_delta","delta":{"stop_reason":"refusal"}})"), meaningful},
        {anthropic, sse(R"({"type":"message_delta","delta":{"stop_reason":null}})"), nothing},
        {anthropic, sse(R"({"type":"message_stop"})", "message_stop"), terminal, true},
        {anthropic, sse(R"({"type":"error","error":{"type":"overloaded_error","message":"m"}})", "error"), error},
        {anthropic, sse(R"({"type":"error","error":{"type":"overloaded_error","message":"m"}})"), error},
        {anthropic, sse(R"({"type":"something_new"})"), meaningful},
        {anthropic, sse("{"), malformed},
        {gemini, sse(R"({"candidates":[{"content":{"parts":[{"text":"a"}]}}]})"), meaningful},
        {gemini, sse(R"({"candidates":[{"content":{"parts":[{"text":""}]}}]})"), nothing},
        {gemini, sse(R"({"candidates":[{"content":{"parts":[{"thought":true,"text":""}]}}]})"), nothing},
        {gemini, sse(R"({"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]}}]})"), meaningful},
        {gemini, sse(R"({"candidates":[{"content":{"role":"model"}}]})"), nothing},
        {gemini, sse(R"({"candidates":[{"finishReason":"STOP"}]})"), hollow, true},
        {gemini, sse(R"({"candidates":[{"finishReason":"SAFETY"}]})"), meaningful, true},
        {gemini, sse(R"({"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]})"), meaningful,
         true},
        {gemini, sse(R"({"promptFeedback":{"blockReason":"SAFETY"}})"), meaningful, true},
        {gemini, sse(R"({"usageMetadata":{"promptTokenCount":3}})"), nothing},
        {gemini, sse(R"({"error":{"code":503,"status":"UNAVAILABLE"}})"), error},
        {generic, sse("anything"), meaningful},
        {generic, sse("{}"), meaningful},
        {generic, ": comment\n\n", nothing},
        {generic, "id: 7\nretry: 10\n\n", nothing},
        {generic, "event: x\n\n", nothing},
        {generic, sse(R"({"error":{"message":"m"}})"), error},
        {openai, ": keep-alive\n\n", nothing},
        {openai, "\n\n\n", nothing},
        {openai, "data: {\"choices\":[{\"delta\":\ndata: {\"content\":\"a\"}}]}\n\n", meaningful},
        {openai, "data:\n\n", nothing},
    };
    CHECK(rows.size() >= 80);
    for (const row& one : rows) {
        CAPTURE(one.event);
        stream_reader reader(stream_format::sse, one.spoken, false);
        CHECK(word(reader.read(one.event)) == word(one.meaning));
        CHECK(reader.has_terminal() == one.terminal);
        CHECK(reader.has_error() == (one.meaning == error));
        CHECK(reader.has_meaning() == (one.meaning == meaningful || one.meaning == hollow));
        CHECK(reader.between_events());
    }
    const std::vector<row> lines{
        {ollama, R"({"model":"m","message":{"role":"assistant","content":""},"done":false})", nothing},
        {ollama, R"({"model":"m","message":{"role":"assistant","content":"a"},"done":false})", meaningful},
        {ollama, R"({"model":"m","response":"a","done":false})", meaningful},
        {ollama, R"({"model":"m","message":{"content":"","thinking":"a"},"done":false})", meaningful},
        {ollama, R"({"model":"m","message":{"content":"","tool_calls":[{}]},"done":false})", meaningful},
        {ollama, R"({"model":"m","message":{"content":""},"done":true,"done_reason":"stop"})", hollow, true},
        {ollama, R"({"model":"m","response":"","done":true,"done_reason":"load"})", meaningful, true},
        {ollama, R"({"error":"m"})", error},
        {ollama, "nonsense", malformed},
        {ollama, "", nothing},
    };
    for (const row& one : lines) {
        CAPTURE(one.event);
        stream_reader reader(stream_format::ndjson, one.spoken, false);
        CHECK(word(reader.read(one.event + "\n")) == word(one.meaning));
        CHECK(reader.has_terminal() == one.terminal);
    }
}

TEST_CASE("line ends, comments, byte order mark, blank lines, and where an event may be put in") {
    const std::string event = chat(R"("delta":{"content":"a"})");
    for (const char* end : {"\n", "\r", "\r\n"}) {
        stream_reader reader(stream_format::sse, dialect::openai, false);
        CHECK(reader.between_events());
        CHECK(reader.read("\xef\xbb\xbf: hello" + std::string{end}) == event_meaning::nothing);
        CHECK(reader.read(std::string{end}) == event_meaning::nothing);
        CHECK(reader.between_events());
        CHECK(reader.read(": ping" + std::string{end}) == event_meaning::nothing);
        CHECK(reader.between_events());
        CHECK(reader.read(": half") == event_meaning::nothing);
        CHECK_FALSE(reader.between_events());
        CHECK(reader.read(end) == event_meaning::nothing);
        CHECK(reader.read("data: " + event + end) == event_meaning::nothing);
        CHECK_FALSE(reader.between_events());
        CHECK(reader.read(": in between" + std::string{end}) == event_meaning::nothing);
        CHECK(reader.read(end) == event_meaning::meaningful);
        CHECK(reader.between_events());
        CHECK(reader.meaningful_events() == 1);
    }
}

TEST_CASE("B11: an event too long to be read is a preamble if it says so, whatever else is meaningful") {
    const std::string long_text(stream_reader::max_event + 1000, 'x');
    for (const char* type : {"response.created", "response.in_progress"}) {
        CAPTURE(type);
        for (const bool named : {true, false}) {
            stream_reader reader(stream_format::sse, dialect::openai, false);
            const std::string data =
                R"({"type":")" + std::string{type} + R"(","response":{"instructions":")" + long_text + R"("}})";
            CHECK(reader.read(sse(data, named ? type : "")) == event_meaning::nothing);
            CHECK_FALSE(reader.has_meaning());
        }
    }
    stream_reader reader(stream_format::sse, dialect::openai, false);
    CHECK(reader.read(sse(chat(R"("delta":{"content":")" + long_text + "\"}"))) == event_meaning::meaningful);
}

TEST_CASE("what a model says is no end and no error") {
    for (const char* text : {R"(\"finish_reason\":\"stop\")", "[DONE]", R"(\"error\": {})", "message_stop",
                             "response.completed", R"({\"done\":true})", "finishReason"}) {
        stream_reader reader(stream_format::sse, dialect::openai, false);
        const std::string said =
            sse(chat(R"("delta":{"content":")" + std::string{text} + R"("},"finish_reason":null)"));
        for (int i = 0; i < 3; ++i) static_cast<void>(reader.read(said));
        CAPTURE(text);
        CHECK(reader.meaningful_events() == 3);
        CHECK_FALSE(reader.has_terminal());
        CHECK_FALSE(reader.has_error());
    }
    stream_reader reader(stream_format::sse, dialect::anthropic, false);
    for (int i = 0; i < 3; ++i) {
        static_cast<void>(reader.read(
            sse(R"({"type":"content_block_delta","delta":{"type":"text_delta","text":"\"type\":\"message_stop\""}})")));
    }
    CHECK_FALSE(reader.has_terminal());
    CHECK(reader.read(sse(R"({"type": "ping"})", "ping")) == event_meaning::nothing);
    CHECK(reader.meaningful_events() == 3);
    CHECK(reader.read(sse(R"({"type":"message_stop"})")) == event_meaning::terminal);
}

TEST_CASE("the first error is kept, and one after content is seen") {
    stream_reader reader(stream_format::sse, dialect::openai, false);
    CHECK(reader.read(sse(chat(R"("delta":{"content":"a"})"))) == event_meaning::meaningful);
    CHECK(reader.read(sse(R"({"error":{"message":"first","code":"overloaded_error"}})") +
                      sse(R"({"error":{"message":"second"}})")) == event_meaning::error);
    CHECK(reader.error().message == "first");
    CHECK(reader.error().code == "overloaded_error");
    CHECK(reader.has_error());
    CHECK_FALSE(reader.has_terminal());
}

TEST_CASE("which streams have to say that they are whole") {
    const auto knows = [](stream_format format, dialect which, std::string_view bytes) {
        stream_reader reader(format, which, which == dialect::generic);
        static_cast<void>(reader.read(bytes));
        return reader.knows_terminal();
    };
    CHECK(knows(stream_format::sse, dialect::openai, ": only comments\n\n"));
    CHECK(knows(stream_format::sse, dialect::openai, sse(chat(R"("delta":{"content":"a"})"))));
    CHECK_FALSE(knows(stream_format::sse, dialect::openai, sse(R"({"type":"transcript.text.delta","delta":"a"})")));
    CHECK_FALSE(knows(stream_format::sse, dialect::generic, sse("tick")));
    CHECK(knows(stream_format::sse, dialect::generic, sse(chat(R"("delta":{"content":"a"})"))));
    CHECK_FALSE(knows(stream_format::opaque, dialect::openai, "\x1f\x8b"));
    CHECK(knows(stream_format::json_array, dialect::gemini, "[{}"));
}

TEST_CASE("a generic stream is recognised by its first event") {
    const auto spoken = [](stream_format format, const std::string& bytes) {
        stream_reader reader(format, dialect::generic, true);
        static_cast<void>(reader.read(bytes));
        return reader.spoken();
    };
    CHECK(spoken(stream_format::sse, sse(chat(R"("delta":{"content":"a"})"))) == dialect::openai);
    CHECK(spoken(stream_format::sse, sse(R"({"type":"response.created"})")) == dialect::openai);
    CHECK(spoken(stream_format::sse, sse(R"({"type":"message_start","message":{}})")) == dialect::anthropic);
    CHECK(spoken(stream_format::sse, sse(R"({"type": "ping"})")) == dialect::anthropic);
    CHECK(spoken(stream_format::sse, sse(R"({"candidates":[]})")) == dialect::gemini);
    CHECK(spoken(stream_format::ndjson, "{\"model\":\"m\",\"done\":false}\n") == dialect::ollama);
    CHECK(spoken(stream_format::sse, sse("x")) == dialect::generic);
}

TEST_CASE("a body that ends without the last blank line is judged all the same, as the SDKs do") {
    stream_reader reader(stream_format::sse, dialect::openai, false);
    static_cast<void>(reader.read(sse(chat(R"("delta":{"content":"a"})")) + "data: [DO"));
    static_cast<void>(reader.read("NE]"));
    CHECK_FALSE(reader.has_terminal());
    CHECK(reader.end() == event_meaning::terminal);
    CHECK(reader.has_terminal());
    CHECK(reader.end() == event_meaning::nothing);
    stream_reader lines(stream_format::ndjson, dialect::ollama, false);
    static_cast<void>(lines.read(R"({"model":"m","done":true})"));
    CHECK(lines.end() == event_meaning::hollow);
    CHECK(lines.has_terminal());
}

TEST_CASE("Google's array ends with its bracket, not with one inside a string or an element") {
    stream_reader reader(stream_format::json_array, dialect::gemini, false);
    CHECK(reader.read(" [") == event_meaning::nothing);
    CHECK(reader.read("\n{\"text\": \"]\\\"]") == event_meaning::meaningful);
    CHECK_FALSE(reader.has_terminal());
    static_cast<void>(reader.read("\", \"parts\": []}"));
    CHECK_FALSE(reader.has_terminal());
    static_cast<void>(reader.read("\n]\n"));
    CHECK(reader.has_terminal());
    CHECK(reader.between_events());
    CHECK(reader.read(",") == event_meaning::nothing);
}

TEST_CASE("an event longer than is kept still counts, and its name still ends the stream") {
    stream_reader reader(stream_format::sse, dialect::openai, false);
    const std::string huge(2 * stream_reader::max_event, 'x');
    CHECK(reader.read(sse(R"({"type":"response.output_text.delta","delta":")" + huge + "\"}")) ==
          event_meaning::meaningful);
    CHECK_FALSE(reader.has_terminal());
    const std::string last =
        sse(R"({"type":"response.completed","response":{"text":")" + huge + "\"}}", "response.completed");
    for (std::size_t at = 0; at < last.size(); at += 10000)
        static_cast<void>(reader.read(std::string_view{last}.substr(at, 10000)));
    CHECK(reader.has_terminal());
    CHECK(reader.meaningful_events() == 2);
}

TEST_CASE("error frames, in the shapes that SDKs report with their message") {
    CHECK(error_frame(stream_format::sse, dialect::openai, 502, "stream_truncated", "it \"broke\"") ==
          "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"evenkeel_error\",\"message\":\"it "
          "\\\"broke\\\"\",\"code\":\"stream_truncated\"}}\n\n");
    CHECK(error_frame(stream_format::sse, dialect::anthropic, 502, "c", "m") ==
          error_frame(stream_format::sse, dialect::openai, 502, "c", "m"));
    CHECK(error_frame(stream_format::sse, dialect::gemini, 503, "c", "m") ==
          "data: {\"error\":{\"code\":503,\"message\":\"m\",\"status\":\"UNAVAILABLE\"}}\n\n");
    CHECK(error_frame(stream_format::ndjson, dialect::ollama, 502, "c", "m") == "{\"error\":\"m\"}\n");
    CHECK(error_frame(stream_format::sse, dialect::generic, 502, "c", "m").empty());
    CHECK(error_frame(stream_format::json_array, dialect::gemini, 502, "c", "m").empty());
    CHECK(error_frame(stream_format::opaque, dialect::openai, 502, "c", "m").empty());
}

TEST_CASE("property: 10^5 random splits of streams of every kind change nothing of what is known") {
    struct stream {
        stream_format format;
        dialect which;
        std::string bytes;
    };
    const std::string hello = sse(chat(R"("delta":{"role":"assistant","content":""})")),
                      a = sse(chat(R"("delta":{"content":"gr\u00fc\u00df 😀"},"finish_reason":null)")),
                      stop = sse(chat(R"("delta":{},"finish_reason":"stop")")), done = sse("[DONE]");
    const std::string anthropic_begin = sse(R"({"type":"message_start","message":{}})", "message_start") +
                                        sse(R"({"type":"ping"})", "ping"),
                      text = sse(R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"😀"}})",
                                 "content_block_delta"),
                      over = sse(R"({"type":"message_stop"})", "message_stop");
    const std::vector<stream> streams{
        {stream_format::sse, dialect::openai, hello + a + a + stop + done},
        {stream_format::sse, dialect::openai, ": keep-alive\n\n: keep-alive\n\n" + hello + a + a},
        {stream_format::sse, dialect::openai, hello + a + sse(R"({"error":{"message":"m","code":429}})") + done},
        {stream_format::sse, dialect::openai, hello + sse("{broken") + a + "data: cut in the mid"},
        {stream_format::sse, dialect::openai, "\xef\xbb\xbf" + hello + "\n\n\n" + a + stop},
        {stream_format::sse, dialect::openai,
         "event: response.created\r\ndata: {\"type\":\"response.created\"}\r\n\r\ndata: "
         "{\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\r\n\r\n"},
        {stream_format::sse, dialect::openai, "data: {\"choices\":\rdata: []}\r\r: c\rdata: [DONE]\r\r"},
        {stream_format::sse, dialect::anthropic,
         anthropic_begin + text + sse(R"({"type":"ping"})", "ping") + text + over},
        {stream_format::sse, dialect::anthropic,
         anthropic_begin + text + sse(R"({"type":"error","error":{"type":"overloaded_error"}})", "error")},
        {stream_format::sse, dialect::generic, anthropic_begin + text + over},
        {stream_format::sse, dialect::gemini,
         sse(R"({"candidates":[{"content":{"parts":[{"text":"a"}]}}]})") +
             sse(R"({"candidates":[{"finishReason":"STOP"}]})")},
        {stream_format::ndjson, dialect::ollama,
         "{\"model\":\"m\",\"response\":\"a\",\"done\":false}\n\n{\"model\":\"m\",\"done\":true}\n"},
        {stream_format::json_array, dialect::gemini, "[{\"a\": \"]\\\\\"}\n,\n{\"b\": [1, 2]}]"},
        {stream_format::opaque, dialect::openai, "\x1f\x8b\x08 whatever"},
    };
    std::vector<knowledge> whole;
    for (const stream& one : streams) {
        stream_reader reader(one.format, one.which, one.which == dialect::generic);
        static_cast<void>(reader.read(one.bytes));
        whole.push_back(known(reader));
    }
    for (std::uint32_t seed = 1; seed <= 100000; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const std::size_t which = random() % streams.size();
        const std::string& bytes = streams[which].bytes;
        stream_reader reader(streams[which].format, streams[which].which, streams[which].which == dialect::generic);
        const std::size_t largest = 1 + random() % 80;
        for (std::size_t at = 0; at < bytes.size();) {
            const std::size_t size = std::min(1 + random() % largest, bytes.size() - at);
            static_cast<void>(reader.read(std::string_view{bytes}.substr(at, size)));
            at += size;
        }
        knowledge expected = whole[which];
        // Counts reads.
        if (streams[which].format == stream_format::opaque) expected.events = reader.meaningful_events();
        REQUIRE((known(reader) == expected));
    }
}

} // namespace evenkeel::test::stream_reader_test

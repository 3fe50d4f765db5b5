// What answers tell of their tokens, by dialect: as their documentation shows them, and as nobody should write them.

#include "proxy/wire/usage.hpp"

#include "proxy/wire/stream_reader.hpp"
#include "proxy/wire/usage_request.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test::usage_test {

using namespace wire;

namespace {

using expected = std::vector<std::pair<usage::part, std::uint64_t>>;

usage told(const expected& all) {
    usage out;
    for (const auto& [what, tokens] : all) out.tell(what, tokens);
    return out;
}

struct row {
    std::string name;
    dialect spoken;
    std::string body;
    expected tells;
};

const std::vector<row>& answers() {
    using enum dialect;
    static const std::vector<row> all{
        {"OpenAI chat",
         openai,
         R"({"id":"c","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":19,"completion_tokens":10,)"
         R"("total_tokens":29,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0},)"
         R"("completion_tokens_details":{"reasoning_tokens":4,"audio_tokens":0}},"service_tier":"default"})",
         {{usage::all_input, 19}, {usage::output, 10}, {usage::total, 29}, {usage::cached, 8}, {usage::reasoning, 4}}},
        {"OpenAI responses",
         openai,
         R"({"id":"r","output":[],"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":6},)"
         R"("output_tokens":87,"output_tokens_details":{"reasoning_tokens":7},"total_tokens":123},"user":null,)"
         R"("metadata":{}})",
         {{usage::input, 36}, {usage::cached, 6}, {usage::output, 87}, {usage::reasoning, 7}, {usage::total, 123}}},
        {"OpenAI embeddings",
         openai,
         R"({"data":[{"embedding":[0.1,-0.2]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}})",
         {{usage::all_input, 8}, {usage::total, 8}}},
        {"Mistral: in front of its choices",
         openai,
         R"({"id":"m","usage":{"prompt_tokens":5,"total_tokens":7,"completion_tokens":2},"choices":[{"message":)"
         R"({"content":"a } in it \" and }"}}]})",
         {{usage::all_input, 5}, {usage::total, 7}, {usage::output, 2}}},
        {"DeepSeek",
         openai,
         R"({"choices":[],"usage":{"prompt_tokens":16,"completion_tokens":10,"total_tokens":26,)"
         R"("prompt_cache_hit_tokens":12,"prompt_cache_miss_tokens":4}})",
         {{usage::all_input, 16}, {usage::output, 10}, {usage::total, 26}, {usage::cached, 12}}},
        {"transcription by tokens",
         openai,
         R"({"text":"hm","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,)"
         R"("audio_tokens":14},"output_tokens":45,"total_tokens":59}})",
         {{usage::input, 14}, {usage::output, 45}, {usage::total, 59}}},
        {"transcription by time", openai, R"({"text":"hm","usage":{"type":"duration","seconds":3}})", {}},
        {"Anthropic",
         anthropic,
         R"({"type":"message","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{)"
         R"("input_tokens":3,"cache_creation_input_tokens":100,"cache_read_input_tokens":2000,"cache_creation":{)"
         R"("ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":0},"output_tokens":12,)"
         R"("server_tool_use":{"web_search_requests":1},"service_tier":"standard"}})",
         {{usage::input, 3}, {usage::write_beside, 100}, {usage::read_beside, 2000}, {usage::output, 12}}},
        {"Anthropic: a tool's argument is called usage",
         anthropic,
         R"({"content":[{"type":"tool_use","input":{"usage":{"input_tokens":777}}}],)"
         R"("usage":{"input_tokens":3,"output_tokens":12}})",
         {{usage::input, 3}, {usage::output, 12}}},
        {"... and its own is in front",
         anthropic,
         R"({"usage":{"input_tokens":3,"output_tokens":12},)"
         R"("content":[{"type":"tool_use","input":{"usage":{"input_tokens":777}}}]})",
         {{usage::input, 3}, {usage::output, 12}}},
        {"... and it has none",
         anthropic,
         R"({"content":[{"type":"tool_use","input":{"usage":{"input_tokens":777}}}]})",
         {}},
        {"Bedrock converse",
         generic,
         R"({"metrics":{"latencyMs":1},"output":{},"stopReason":"end_turn","usage":{"inputTokens":30,)"
         R"("outputTokens":628,"totalTokens":658,"cacheReadInputTokens":5,"cacheWriteInputTokens":6}})",
         {{usage::input, 30},
          {usage::output, 628},
          {usage::total, 658},
          {usage::read_beside, 5},
          {usage::write_beside, 6}}},
        {"Gemini",
         gemini,
         "{\n  \"candidates\": [{\"content\": {\"parts\": [{\"text\": \"hi\"}]}}],\n  \"usageMetadata\": {\n"
         "    \"promptTokenCount\": 8,\n    \"candidatesTokenCount\": 10,\n    \"totalTokenCount\": 1050,\n"
         "    \"cachedContentTokenCount\": 2,\n    \"toolUsePromptTokenCount\": 3,\n"
         "    \"promptTokensDetails\": [{\"modality\": \"TEXT\", \"tokenCount\": 8}],\n"
         "    \"thoughtsTokenCount\": 1032\n  },\n  \"modelVersion\": \"g\"\n}\n",
         {{usage::all_input, 8},
          {usage::output, 10},
          {usage::total, 1050},
          {usage::cached, 2},
          {usage::tool_input, 3},
          {usage::thoughts, 1032}}},
        {"Ollama",
         ollama,
         R"({"model":"l","message":{"role":"assistant","content":"\"eval_count\":9"},"done":true,)"
         R"("total_duration":5191566416,"prompt_eval_count":26,"prompt_eval_duration":383809000,"eval_count":298,)"
         R"("eval_duration":4799921000})",
         {{usage::all_input, 26}, {usage::output, 298}}},
        {"Ollama embed",
         ollama,
         R"({"model":"e","embeddings":[[0.01]],"prompt_eval_count":8})",
         {{usage::all_input, 8}}},
        {"Cohere chat",
         generic,
         R"({"finish_reason":"COMPLETE","message":{"content":[]},"usage":{"billed_units":{"input_tokens":17.0,)"
         R"("output_tokens":42},"tokens":{"input_tokens":215,"output_tokens":45}}})",
         {{usage::input, 17}, {usage::output, 42}}},
        {"Cohere embed",
         generic,
         R"({"embeddings":[[1]],"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":9}}})",
         {{usage::input, 9}}},
        {"Cohere rerank", generic, R"({"results":[],"meta":{"billed_units":{"search_units":1}}})", {}},
        {"Jina, Voyage", generic, R"({"results":[],"usage":{"total_tokens":815}})", {{usage::total, 815}}},
        {"llama.cpp",
         generic,
         R"({"content":"x","tokens_predicted":64,"tokens_evaluated":12,"generation_settings":{"tokens_evaluated":1}})",
         {{usage::output, 64}, {usage::all_input, 12}}},

        // What nobody should write.
        {"null", openai, R"({"usage":null})", {}},
        {"a list", openai, R"({"usage":[1,2]})", {}},
        {"a text", openai, R"({"usage":"{\"prompt_tokens\":5}"})", {}},
        {"empty", openai, R"({"usage":{}})", {}},
        {"no body", openai, "", {}},
        {"negative", openai, R"({"usage":{"prompt_tokens":-5,"completion_tokens":3}})", {{usage::output, 3}}},
        {"text in place of a number",
         openai,
         R"({"usage":{"prompt_tokens":"5","completion_tokens":3}})",
         {{usage::output, 3}}},
        {"a fraction", openai, R"({"usage":{"prompt_tokens":5.9}})", {{usage::all_input, 5}}},
        {"more than anybody takes",
         openai,
         R"({"usage":{"prompt_tokens":18446744073709551615,"completion_tokens":1e300,"total_tokens":1000000001}})",
         {}},
        {"more digits than a number has", openai, "{\"usage\":{\"prompt_tokens\":" + std::string(400, '9') + "}}", {}},
        {"just as many as are believed",
         openai,
         R"({"usage":{"prompt_tokens":1000000000}})",
         {{usage::all_input, 1'000'000'000}}},
        {"a power",
         openai,
         R"({"usage":{"prompt_tokens":2e3,"completion_tokens":2e-3,"total_tokens":1E99}})",
         {{usage::all_input, 2000}, {usage::output, 0}}},
        {"nan", openai, R"({"usage":{"prompt_tokens":NaN,"completion_tokens":Infinity}})", {}},
        {"cut in the middle", openai, R"({"choices":[],"usage":{"prompt_tokens":5,"comp)", {}},
        {"cut behind it", openai, R"({"choices":[],"usage":{"prompt_tokens":5})", {}},
        {"twice", openai, R"({"usage":{"prompt_tokens":5},"usage":{"prompt_tokens":6}})", {{usage::all_input, 6}}},
        {"too deep", openai, R"({"a":{"usage":{"prompt_tokens":5}}})", {}},
        {"in a list", openai, R"([{"usage":{"prompt_tokens":5}}])", {}},
        {"said, not told", openai, R"({"choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":5}"}}]})", {}},
        {"a name alone", openai, R"({"a":"usage"})", {}},
    };
    return all;
}

usage of_stream(stream_format format, dialect which, const std::string& text, std::size_t piece = 7) {
    stream_reader reader(format, which, true);
    for (std::size_t at = 0; at < text.size(); at += piece) reader.read(std::string_view{text}.substr(at, piece));
    reader.end();
    return reader.told();
}

} // namespace

TEST_CASE("whole answers tell their tokens by dialect, and nothing else is taken for that") {
    for (const row& one : answers()) {
        CAPTURE(one.name);
        usage found;
        CHECK(read_usage(one.spoken, one.body, found) == !one.tells.empty());
        CHECK(found == told(one.tells));
    }
}

TEST_CASE("the last bytes of an answer tell the same, wherever it was cut into pieces") {
    for (const row& one : answers()) {
        CAPTURE(one.name);
        const std::string padded = one.body.starts_with("{\"") && one.body.size() > 40
                                       ? "{\"padding\":\"" + std::string(9000, 'x') + "\"," + one.body.substr(1)
                                       : one.body;
        for (const std::size_t piece : {1000U, 4096U, 5000U, 100000U}) {
            body_end end;
            for (std::size_t at = 0; at < padded.size(); at += piece)
                end.add(std::string_view{padded}.substr(at, piece));
            usage found;
            read_usage_at_end(one.spoken, end.bytes(), false, found);
            CHECK(found == told(one.tells));
        }
        body_end at_once;
        usage found;
        read_usage_at_end(one.spoken, at_once.with(padded), false, found);
        CHECK(found == told(one.tells));
        CHECK(at_once.bytes().empty()); // no copy of what is here
    }
}

TEST_CASE("streams tell their tokens by dialect") {
    using enum dialect;
    const auto chunk = [](const std::string& rest) {
        return "data: {\"object\":\"chat.completion.chunk\"," + rest + "}\n\n";
    };
    const std::string word = chunk(R"("choices":[{"delta":{"content":"usage"},"finish_reason":null}],"usage":null)");
    const std::string stop = chunk(R"("choices":[{"delta":{},"finish_reason":"stop"}],"usage":null)");
    const std::string counts =
        chunk(R"("choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11})");
    const expected chat{{usage::all_input, 9}, {usage::output, 2}, {usage::total, 11}};
    CHECK(of_stream(stream_format::sse, openai, word + word + stop + counts + "data: [DONE]\n\n") == told(chat));
    CHECK(of_stream(stream_format::sse, generic, word + word + stop + counts + "data: [DONE]\n\n") == told(chat));
    CHECK(of_stream(stream_format::sse, openai, word + word + stop + "data: [DONE]\n\n") == usage{});
    // Groq
    CHECK(of_stream(stream_format::sse, openai,
                    word + chunk(R"("choices":[{"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"r","usage":)"
                                 R"({"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}})")) == told(chat));
    // continuous_usage_stats: the latest
    const auto running = [&](int n) {
        return chunk(R"("choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":9,"completion_tokens":)" +
                     std::to_string(n) + "}");
    };
    CHECK(of_stream(stream_format::sse, openai, running(1) + running(2) + running(3)) ==
          told({{usage::all_input, 9}, {usage::output, 3}}));

    const std::string response =
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n"
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}\n\n"
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[],\"tools\":[{"
        "\"parameters\":{\"properties\":{\"usage\":{\"input_tokens\":5}}}}],\"usage\":{\"input_tokens\":7,"
        "\"input_tokens_details\":{\"cached_tokens\":1},\"output_tokens\":2,\"output_tokens_details\":{"
        "\"reasoning_tokens\":0},\"total_tokens\":9},\"metadata\":{}}}\n\n";
    CHECK(of_stream(stream_format::sse, openai, response) ==
          told({{usage::input, 7}, {usage::cached, 1}, {usage::output, 2}, {usage::reasoning, 0}, {usage::total, 9}}));

    const std::string begun =
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"type\":\"message\",\"usage\":{"
        "\"input_tokens\":25,\"cache_read_input_tokens\":4,\"cache_creation_input_tokens\":0,\"output_tokens\":1}}}\n\n"
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
        "\"text_delta\",\"text\":\"hi\"}}\n\n";
    const std::string over = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
                             "\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n"
                             "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    const expected input{{usage::input, 25}, {usage::read_beside, 4}, {usage::write_beside, 0}};
    CHECK(of_stream(stream_format::sse, anthropic, begun) == told(input)); // the 1 is none: more was written
    usage all = told(input);
    all.tell(usage::output, 15);
    CHECK(of_stream(stream_format::sse, anthropic, begun + over) == all);
    CHECK(of_stream(stream_format::sse, generic, begun + over) == all);

    const auto gemini_event = [](int said) {
        return "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}],\"usageMetadata\":{\"promptTokenCount\":"
               "4,"
               "\"candidatesTokenCount\":" +
               std::to_string(said) + ",\"totalTokenCount\":" + std::to_string(4 + said) + "}}";
    };
    const expected google{{usage::all_input, 4}, {usage::output, 2}, {usage::total, 6}};
    CHECK(of_stream(stream_format::sse, gemini, "data: " + gemini_event(1) + "\n\ndata: " + gemini_event(2) + "\n\n") ==
          told(google));
    for (const char* const end : {"]\n", "", ",\r\n"}) { // of an array, whole or broken between its elements
        usage found;
        CHECK(read_usage_at_end(gemini, "[" + gemini_event(1) + ",\n" + gemini_event(2) + end, true, found));
        CHECK(found == told(google));
    }

    const std::string lines = "{\"model\":\"l\",\"message\":{\"content\":\"hi\"},\"done\":false}\n"
                              "{\"model\":\"l\",\"message\":{\"content\":\"\"},\"done\":true,\"prompt_eval_count\":26,"
                              "\"eval_count\":2}\n";
    CHECK(of_stream(stream_format::ndjson, ollama, lines) == told({{usage::all_input, 26}, {usage::output, 2}}));
    // Cohere
    CHECK(
        of_stream(stream_format::sse, generic,
                  "event: content-delta\ndata: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{"
                  "\"text\":\"x\"}}}}\n\nevent: message-end\ndata: {\"type\":\"message-end\",\"delta\":{"
                  "\"finish_reason\":\"COMPLETE\",\"usage\":{\"billed_units\":{\"input_tokens\":3,\"output_tokens\":9},"
                  "\"tokens\":{\"input_tokens\":70,\"output_tokens\":12}}}}\n\n") ==
        told({{usage::input, 3}, {usage::output, 9}}));
}

TEST_CASE("the text of answers and events is measured as it is spelled") {
    using enum dialect;
    CHECK(text_size(openai, R"({"choices":[{"delta":{"content":"ab\"c"},"finish_reason":null}]})") == 5);
    CHECK(text_size(openai, R"({"choices":[{"delta":{"content":null,"reasoning_content":"abc"}}]})") == 3);
    CHECK(text_size(openai, R"({"choices":[{"delta":{"reasoning":"abcd"}}]})") == 4);
    CHECK(text_size(openai, R"({"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{\"a"}}]}}]})") == 4);
    CHECK(text_size(openai, R"({"choices":[{"text": "abc"}]})") == 3);
    CHECK(text_size(openai, R"({"choices":[{"message":{"content":"abc"}},{"message":{"content":"de"}}]})") == 5);
    CHECK(text_size(openai, R"({"type":"response.output_text.delta","delta":"abc"})") == 3);
    CHECK(text_size(openai, R"({"type":"response.output_text.done","text":"abc"})") == 0);
    CHECK(text_size(openai, R"({"choices":[{"delta":{}}],"content":"abc)") == 3); // cut
    CHECK(text_size(anthropic, R"({"delta":{"type":"text_delta","text":"abc"}})") == 3);
    CHECK(text_size(anthropic, R"({"delta":{"type":"thinking_delta","thinking":"ab"}})") == 2);
    CHECK(text_size(anthropic, R"({"delta":{"type":"input_json_delta","partial_json":"{\"a\""}})") == 6);
    CHECK(text_size(gemini, R"({"candidates":[{"content":{"parts":[{"text": "ab"},{"text":"c"}]}}]})") == 3);
    CHECK(text_size(ollama, R"({"message":{"content":"ab"}})") == 2);
    CHECK(text_size(ollama, R"({"response":"ab","thinking":"c"})") == 3);
    CHECK(text_size(openai, "") == 0);
}

TEST_CASE("counts are read wherever they stand before the end of an answer, and all of them") {
    for (std::size_t between = 0; between < 1000; ++between) {
        CAPTURE(between);
        const std::string pad = "\"pad\":\"" + std::string(between, 'x') + "\"";
        usage parted, before;
        CHECK(read_usage(dialect::ollama, R"({"prompt_eval_count":26,)" + pad + R"(,"eval_count":2})", parted));
        CHECK(parted == told({{usage::all_input, 26}, {usage::output, 2}}));
        const std::string body = R"({"usage":{"prompt_tokens":26,"completion_tokens":2},)" + pad + "}";
        CHECK(read_usage(dialect::openai, body, before));
        CHECK(before == told({{usage::all_input, 26}, {usage::output, 2}}));
    }
}

TEST_CASE("thousands of usages that lie elsewhere cost a few walks over the text, not one each") {
    // 870 KB of them took minutes: each was walked from to the nearer end.
    for (const char* decoy :
         {R"({"usage":{"total_tokens":1}},)", R"({"usage":{"a":[)", R"({"prompt_eval_count":1},)"}) {
        std::string body = R"({"data":[)";
        for (int i = 0; i < 30000; ++i) body += decoy;
        body += R"(0],"x":1})";
        for (const dialect spoken : {dialect::openai, dialect::generic, dialect::ollama}) {
            usage out;
            CHECK_FALSE(read_usage(spoken, body, out));
            CHECK_FALSE(read_event_usage(spoken, "", body, out));
            CHECK_FALSE(read_usage_at_end(spoken, body, false, out));
        }
    }
}

TEST_CASE("no bytes make the reading of usage fail or go beyond them") {
    std::mt19937 random(7);
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
    std::string all;
    for (const row& one : answers()) all += one.body;
    for (int i = 0; i < 20000; ++i) {
        std::string text = answers()[below(answers().size())].body;
        for (std::size_t changes = below(4); changes-- > 0 && !text.empty();) {
            const std::size_t at = below(text.size());
            switch (below(4)) {
            case 0: text[at] = static_cast<char>(random()); break;
            case 1: text.erase(at, below(9)); break;
            case 2: text.insert(at, all.substr(below(all.size()), below(20))); break;
            default: text.resize(at); break;
            }
        }
        // Of its own size, so that the sanitizer sees what is read beyond it.
        const std::vector<char> exact(text.begin(), text.end());
        const std::string_view view{exact.data(), exact.size()};
        const auto spoken = static_cast<dialect>(below(5));
        usage found;
        read_usage(spoken, view, found);
        read_usage_at_end(spoken, view, below(2) == 0, found);
        read_event_usage(spoken, {}, view, found);
        CHECK(text_size(spoken, view) <= 3 * view.size());
        for (std::size_t part = 0; part < usage::part_count; ++part)
            CHECK(found.at(static_cast<usage::part>(part)) <= usage::most_tokens);
    }
}

TEST_CASE("a request that asks for a stream is made to ask for its usage, and nothing else of it changes") {
    const auto asked = [](std::string body) -> std::string {
        const auto edit = ask_for_usage(body);
        return edit ? body.replace(edit->at, edit->size, edit->by) : "-";
    };
    CHECK(asked(R"({"stream":true})") == R"({"stream":true,"stream_options":{"include_usage":true}})");
    CHECK(asked("{ \"stream\" : true ,\n \"n\": 1.50 } ") ==
          "{ \"stream\" : true ,\n \"n\": 1.50,\"stream_options\":{\"include_usage\":true} } ");
    CHECK(asked(R"({"stream":true,"stream_options":null,"a":1})") ==
          R"({"stream":true,"stream_options":{"include_usage":true},"a":1})");
    CHECK(asked(R"({"stream_options":{ },"stream":true})") ==
          R"({"stream_options":{"include_usage":true},"stream":true})");
    CHECK(asked(R"({"stream_options":{"include_obfuscation":false},"stream":true})") ==
          R"({"stream_options":{"include_obfuscation":false,"include_usage":true},"stream":true})");
    CHECK(asked(R"({"stream_options":{"include_usage":false},"stream":true})") ==
          R"({"stream_options":{"include_usage":true},"stream":true})");
    for (const char* const none :
         {R"({"stream":true,"stream_options":{"include_usage":true}})", R"({"stream":false})", "{}", "[]", "",
          R"({"stream":true,"stream":true})", R"({"stream":"true"})", R"({"stream":true,"stream_options":5})",
          R"({"stream":true,"stream_options":{"a":1,"a":1}})", R"({"stream":true)"})
        CHECK(asked(none) == "-");
}

TEST_CASE("what tells usage is taken out of a stream again") {
    const auto rest = [](const std::string& text) -> std::string {
        event_splitter events;
        events.add(text);
        const auto event = events.next();
        REQUIRE(event);
        const auto other = without_usage(*event);
        return other ? *other : "-";
    };
    CHECK(rest("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n").empty());
    CHECK(rest(": hm\r\ndata: {\"choices\": [ ],\"usage\":{\"prompt_tokens\":1}}\r\n\r\n").empty());
    CHECK(rest("data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1},\"x\":1}\n\n") ==
          "data: {\"choices\":[{\"delta\":{}}],\"usage\":null,\"x\":1}\n\n");
    for (const char* const other :
         {"data: {\"choices\":[],\"usage\":null}\n\n", "data: [DONE]\n\n", ": \"usage\"\n\n", "data: {\"usage\":5}\n\n",
          "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{}\"}}]}\n\n", "data: \"usage\"\n\n"})
        CHECK(rest(other) == "-");
}

} // namespace evenkeel::test::usage_test

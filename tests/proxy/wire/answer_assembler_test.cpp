// Answers put together from streams. upcast_corpus.txt holds pairs of a stream and the answer in one piece that the
// same API gives, as the providers document both; `=== dialect: name`, the stream, `--- answer`, the answer.

#include "proxy/wire/answer_assembler.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace evenkeel::test::answer_assembler_test {

using namespace evenkeel::wire;
namespace json = boost::json;

namespace {
struct shape {
    std::string name;
    dialect which;
    std::string stream;
    json::value answer;
};

std::vector<shape> corpus() {
    std::ifstream file(EVENKEEL_UPCAST_CORPUS, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    std::string all = text.str();
    std::vector<shape> out;
    static const std::string begin = "=== ", middle = "\n--- answer\n";
    for (std::size_t at = 0; at < all.size();) {
        const std::size_t line = all.find('\n', at), colon = all.find(": ", at), border = all.find(middle, line),
                          end = all.find('\n', border + middle.size());
        REQUIRE(end != std::string::npos);
        REQUIRE(all.compare(at, begin.size(), begin) == 0);
        out.push_back({all.substr(colon + 2, line - colon - 2),
                       all.compare(at + 4, 6, "openai") == 0 ? dialect::openai : dialect::anthropic,
                       all.substr(line + 1, border - line - 1),
                       json::parse(all.substr(border + middle.size(), end - border - middle.size()))});
        at = end + 1;
    }
    return out;
}

std::optional<std::string> assemble(dialect which, std::string_view stream, std::size_t piece = std::string::npos,
                                    std::string* unknown = nullptr) {
    answer_assembler assembler(which);
    bool good = true;
    while (good && !stream.empty()) {
        good = assembler.add(stream.substr(0, piece));
        stream.remove_prefix(std::min(piece, stream.size()));
    }
    good = good && assembler.end();
    if (unknown != nullptr) *unknown = assembler.unknown();
    return good ? assembler.answer() : std::nullopt;
}

bool is_empty(const json::value& value) { return value.is_null() || (value.is_array() && value.get_array().empty()); }

// Field by field; what is null or an empty list in the provider's answer, and never named in its stream, may be
// missing.
bool same(const json::value& made, const json::value& given, const std::string& path = "$") {
    CAPTURE(path);
    if (made.is_object() && given.is_object()) {
        bool all = true;
        for (const auto& [name, value] : given.get_object()) {
            const json::value* const found = made.get_object().if_contains(name);
            if (found == nullptr ? !is_empty(value) : !same(*found, value, path + '.' + std::string{name})) {
                MESSAGE("differs at " << path << '.' << std::string{name});
                all = false;
            }
        }
        for (const auto& one : made.get_object()) {
            if (!given.get_object().contains(one.key())) {
                MESSAGE("made up: " << path << '.' << std::string{one.key()});
                all = false;
            }
        }
        return all;
    }
    if (made.is_array() && given.is_array()) {
        if (made.get_array().size() != given.get_array().size()) return false;
        for (std::size_t i = 0; i < given.get_array().size(); ++i) {
            if (!same(made.get_array()[i], given.get_array()[i], path + '[' + std::to_string(i) + ']')) return false;
        }
        return true;
    }
    return made == given;
}

std::string chunk(const std::string& choice, const std::string& top = "") {
    return R"(data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[)" + choice + "]" +
           top + "}\n\n";
}
std::string delta(const std::string& members, const std::string& more = "") {
    return chunk(R"({"index":0,"delta":{)" + members + R"(},"finish_reason":null)" + more + "}");
}
const std::string role = delta(R"("role":"assistant","content":"hi")");
const std::string stop = chunk(R"({"index":0,"delta":{},"finish_reason":"stop"})");
const std::string usage = chunk("", R"(,"usage":{"total_tokens":1})");
const std::string done = "data: [DONE]\n\n";

std::string event(const std::string& type, const std::string& more = "") {
    return "data: {\"type\":\"" + type + "\"" + more + "}\n\n";
}
const std::string start =
    event("message_start",
          R"(,"message":{"id":"m","type":"message","role":"assistant","content":[],"model":"c","stop_reason":null,)"
          R"("stop_sequence":null,"usage":{"input_tokens":1}})");
std::string opened(const std::string& block, int index = 0) {
    return event("content_block_start", ",\"index\":" + std::to_string(index) + ",\"content_block\":" + block);
}
std::string told(const std::string& more, int index = 0) {
    return event("content_block_delta", ",\"index\":" + std::to_string(index) + ",\"delta\":" + more);
}
const std::string closed = event("content_block_stop", ",\"index\":0");
const std::string text_block = opened(R"({"type":"text","text":""})");
const std::string tool_block = opened(R"({"type":"tool_use","id":"t","name":"f","input":{}})");
const std::string ending =
    event("message_delta", R"(,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":2})") +
    event("message_stop");
} // namespace

TEST_CASE("what is put together equals the provider's own answer, field by field, on every shape, however it is cut") {
    const auto all = corpus();
    CHECK(all.size() >= 50);
    std::mt19937 random{20261125};
    for (const shape& one : all) {
        CAPTURE(one.name);
        for (const std::size_t piece :
             {std::string::npos, std::size_t{1}, std::size_t{7}, std::size_t{1 + random() % 200}}) {
            CAPTURE(piece);
            std::string unknown;
            const auto made = assemble(one.which, one.stream, piece, &unknown);
            CAPTURE(unknown);
            REQUIRE(made);
            CAPTURE(*made);
            REQUIRE(same(json::parse(*made), one.answer));
        }
    }
}

// The same field put anywhere into any event is refused, or found again in what is copied as it is.
namespace {
std::size_t objects_in(json::value& value, std::size_t wanted, std::size_t seen, const char* put) {
    if (value.is_array()) {
        for (json::value& each : value.get_array()) seen = objects_in(each, wanted, seen, put);
    } else if (value.is_object()) {
        for (auto& each : value.get_object()) seen = objects_in(each.value(), wanted, seen, put);
        if (seen++ == wanted) value.get_object()[put] = "zzz";
    }
    return seen;
}
} // namespace

TEST_CASE("a field that is not known, anywhere in any event, is refused or comes out again: never lost") {
    std::size_t tried = 0;
    for (const shape& one : corpus()) {
        if (one.stream.size() > 8000 || one.stream.find('\r') != std::string::npos || one.name == "data in two lines")
            continue;
        std::size_t at = 0;
        while ((at = one.stream.find("data:", at)) != std::string::npos) {
            at += 5;
            const std::size_t end = std::min(one.stream.find('\n', at), one.stream.size());
            json::error_code wrong;
            const json::value data = json::parse(one.stream.substr(at, end - at), wrong);
            if (wrong || (data.as_object().contains("type") && data.at("type") == "ping")) continue;
            json::value copy = data;
            const std::size_t objects = objects_in(copy, std::string::npos, 0, "");
            for (std::size_t i = 0; i < objects; ++i) {
                copy = data;
                objects_in(copy, i, 0, "zzz");
                std::string changed = one.stream;
                changed.replace(at, end - at, json::serialize(copy));
                const auto made = assemble(one.which, changed);
                CAPTURE(one.name);
                CAPTURE(changed.substr(at, 400));
                // Usage may be told several times: what an earlier one says is not what counts.
                const bool superseded = one.name == "xAI, usage with every chunk" &&
                                        copy.as_object().at("usage").as_object().contains("zzz");
                CHECK((!made || superseded || made->find("zzz") != std::string::npos));
                ++tried;
            }
        }
    }
    CHECK(tried > 500);
}

TEST_CASE("D9: an unknown member that says nothing is no obstacle, and no part of the answer") {
    const std::string end = stop + usage + done;
    const auto plain = assemble(dialect::openai, delta(R"("role":"assistant","content":"")") + end);
    REQUIRE(plain);
    for (const std::string vacant : {"null", "\"\"", "[]", "{}", "[ ]"}) {
        CAPTURE(vacant);
        const std::string told = ",\"prompt_token_ids\":" + vacant;
        CHECK(assemble(dialect::openai,
                       chunk(R"({"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null})", told) +
                           end) == plain);
        CHECK(assemble(dialect::openai, delta(R"("role":"assistant","content":"")" + told) + end) == plain);
        CHECK(assemble(dialect::openai, delta(R"("role":"assistant","content":"")", told) + end) == plain);
        CHECK(
            assemble(dialect::anthropic, start + text_block + closed +
                                             event("message_delta", R"(,"delta":{"stop_reason":"end_turn","new":)" +
                                                                        vacant + R"(},"usage":{},"newer":)" + vacant) +
                                             event("message_stop"))
                .has_value());
    }
}

TEST_CASE("B12: a pair of surrogates that two deltas share is joined as it is spelled") {
    const auto whole = assemble(dialect::openai, role + delta(R"("content":"a\ud83d")") +
                                                     delta(R"("content":"\ude00b")") + stop + usage + done);
    REQUIRE(whole);
    CAPTURE(*whole);
    CHECK(whole->find(R"("content":"hia\ud83d\ude00b")") != std::string::npos);
}

TEST_CASE("what no answer in one piece has, or says otherwise, is refused and named") {
    struct row {
        const char* what;
        std::string stream;
        const char* unknown;
    };
    const std::string end = stop + usage + done;
    CHECK(assemble(dialect::openai, role + end));
    for (const row& one :
         {row{"Groq",
              chunk(R"({"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null})",
                    R"(,"x_groq":{"id":"req_1"})") +
                  end,
              "x_groq"},
          row{"Azure's prompt filter",
              R"(data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[]})"
              "\n\n" +
                  role + end,
              "object"},
          row{"Azure's content filter",
              delta(R"("role":"assistant","content":"x")", R"(,"content_filter_results":{"hate":{}})") + end,
              "content_filter_results"},
          row{"Mistral's padding",
              chunk(R"({"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null})", R"(,"p":"abcd")") +
                  end,
              "p"},
          row{"annotations", role + delta(R"("annotations":[{}])") + end, "annotations"},
          row{"audio", role + delta(R"("audio":{"id":"a"})") + end, "audio"},
          row{"log probabilities", delta(R"("role":"assistant","content":"x")", R"(,"logprobs":{"content":[]})") + end,
              "logprobs"},
          row{"token ids", delta(R"("role":"assistant","content":"x")", R"(,"token_ids":[1])") + end, "token_ids"},
          row{"reasoning details", role + delta(R"("reasoning_details":[{}])") + end, "reasoning_details"},
          row{"another choice", role + chunk(R"({"index":1,"delta":{"content":"x"},"finish_reason":null})") + end,
              "index"},
          row{"two choices",
              role +
                  chunk(R"({"index":0,"delta":{},"finish_reason":null},{"index":1,"delta":{},"finish_reason":null})") +
                  end,
              "choices"},
          row{"a custom tool",
              role + delta(R"("tool_calls":[{"index":0,"id":"c","type":"custom","custom":{"name":"n","input":""}}])") +
                  end,
              "custom"},
          row{"a call without its place",
              role +
                  delta(R"("tool_calls":[{"id":"c","type":"function",)"
                        R"("function":{"name":"n","arguments":""}}])") +
                  end,
              "index"},
          row{"a call out of place",
              role +
                  delta(R"("tool_calls":[{"index":1,"id":"c","type":"function",)"
                        R"("function":{"name":"n","arguments":""}}])") +
                  end,
              "index"},
          row{"a name in two pieces",
              role +
                  delta(R"("tool_calls":[{"index":0,"id":"c","type":"function",)"
                        R"("function":{"name":"n","arguments":""}}])") +
                  delta(R"("tool_calls":[{"index":0,"function":{"name":"m"}}])") + end,
              "name"},
          row{"another id of a call",
              role +
                  delta(R"("tool_calls":[{"index":0,"id":"c","type":"function",)"
                        R"("function":{"name":"n","arguments":""}}])") +
                  delta(R"("tool_calls":[{"index":0,"id":"d"}])") + end,
              "id"},
          row{"another role", role + delta(R"("role":"user")") + end, "role"},
          row{"parts as content", delta(R"("role":"assistant","content":[{"type":"text","text":"x"}])") + end,
              "content"},
          row{"another id",
              role +
                  R"(data: {"id":"other","object":"chat.completion.chunk","created":1,"model":"m","choices":[]})"
                  "\n\n" +
                  end,
              "id"},
          row{"another time",
              role +
                  R"(data: {"id":"c","object":"chat.completion.chunk","created":2,"model":"m","choices":[]})"
                  "\n\n" +
                  end,
              "created"},
          row{"two finish reasons",
              role + stop + chunk(R"({"index":0,"delta":{},"finish_reason":"length"})") + usage + done,
              "finish_reason"},
          row{"a member twice",
              role +
                  R"(data: {"id":"c","id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[]})"
                  "\n\n" +
                  end,
              "[no object]"},
          row{"another kind",
              R"(data: {"id":"c","object":"text_completion","created":1,"model":"m","choices":[]})"
              "\n\n" +
                  end,
              "object"},
          row{"a list", role + "data: []\n\n" + end, "[no object]"},
          row{"no JSON", role + "data: {\n\n" + end, "[no object]"},
          row{"a named event", role + "event: meta\ndata: {}\n\n" + end, "meta"},
          row{"something behind the end", role + end + role, "[behind the end]"}}) {
        CAPTURE(one.what);
        std::string unknown;
        CHECK_FALSE(assemble(dialect::openai, one.stream, std::string::npos, &unknown));
        CHECK(unknown == one.unknown);
    }

    CHECK(assemble(dialect::anthropic, start + text_block + closed + ending));
    for (const row& one :
         {row{"an unknown event", start + event("message_note") + text_block + closed + ending, "message_note"},
          row{"an unknown block",
              start + opened(R"({"type":"mcp_tool_use","id":"t","name":"f","input":{}})") + closed + ending,
              "mcp_tool_use"},
          row{"an unknown delta",
              start + text_block + told(R"({"type":"colour_delta","colour":"red"})") + closed + ending, "colour_delta"},
          row{"text into a tool", start + tool_block + told(R"({"type":"text_delta","text":"x"})") + closed + ending,
              "text_delta"},
          row{"input into a text",
              start + text_block + told(R"({"type":"input_json_delta","partial_json":"{}"})") + closed + ending,
              "input_json_delta"},
          row{"input that is no object",
              start + tool_block + told(R"({"type":"input_json_delta","partial_json":"[1]"})") + closed + ending,
              "partial_json"},
          row{"input cut short",
              start + tool_block + told(R"({"type":"input_json_delta","partial_json":"{\"a\":"})") + closed + ending,
              "partial_json"},
          row{"half a surrogate",
              start + tool_block + told(R"({"type":"input_json_delta","partial_json":"{\"a\":\"\ud83d\"}"})") + closed +
                  ending,
              "partial_json"},
          row{"a block out of place", start + opened(R"({"type":"text","text":""})", 1) + closed + ending, "index"},
          row{"a delta for no block", start + told(R"({"type":"text_delta","text":"x"})") + ending, "index"},
          row{"a block in a block", start + text_block + opened(R"({"type":"text","text":""})", 1) + closed + ending,
              "content_block_start"},
          row{"a context",
              start + text_block + closed +
                  event("message_delta",
                        R"(,"delta":{"stop_reason":"end_turn"},"usage":{},"context_management":{"a":1})") +
                  event("message_stop"),
              "context_management"},
          row{"a container",
              start + text_block + closed +
                  event("message_delta", R"(,"delta":{"stop_reason":"end_turn","container":{"id":"c"}},"usage":{})") +
                  event("message_stop"),
              "container"},
          row{"Bedrock's measurements",
              start + text_block + closed +
                  event("message_delta", R"(,"delta":{"stop_reason":"end_turn"},"usage":{})") +
                  event("message_stop", R"(,"amazon-bedrock-invocationMetrics":{"a":1})"),
              "amazon-bedrock-invocationMetrics"},
          row{"no beginning", text_block + closed + ending, "content_block_start"},
          row{"two beginnings", start + start + ending, "message_start"},
          row{"another name", start + "event: content_block_stop\ndata: {\"type\":\"ping\"}\n\n" + ending,
              "content_block_stop"}}) {
        CAPTURE(one.what);
        std::string unknown;
        CHECK_FALSE(assemble(dialect::anthropic, one.stream, std::string::npos, &unknown));
        CHECK(unknown == one.unknown);
    }
}

TEST_CASE("a stream that does not say all that an answer has is none, at whatever byte it is cut") {
    for (const shape& one : corpus()) {
        if (one.stream.size() > 8000) continue;
        CAPTURE(one.name);
        for (std::size_t cut = 0; cut < one.stream.size(); ++cut) {
            answer_assembler assembler(one.which);
            const auto made =
                assembler.add(std::string_view{one.stream}.substr(0, cut)) ? assembler.answer() : std::nullopt;
            if (made) REQUIRE(same(json::parse(*made), one.answer)); // all is said; only the end is missing
        }
    }
    for (const std::string& stream :
         {role + usage + done, role + stop + done, stop + usage + done, usage + done, done, std::string{}}) {
        CAPTURE(stream);
        CHECK_FALSE(assemble(dialect::openai, stream));
    }
    CHECK_FALSE(assemble(dialect::anthropic, start + text_block + ending));
    CHECK_FALSE(assemble(dialect::anthropic, start + event("message_stop")));
    CHECK_FALSE(assemble(dialect::anthropic, start + text_block + closed));
}

TEST_CASE("what it holds grows with what was said, not with what it was said in") {
    answer_assembler assembler(dialect::openai);
    REQUIRE(assembler.add(role));
    const auto before = assembler.size();
    for (int i = 0; i < 1000; ++i) REQUIRE(assembler.add(delta(R"("content":"1234")")));
    CHECK(assembler.size() == before + 4000);
    REQUIRE(assembler.add("data: {\"id\":\"half an event"));
    CHECK(assembler.size() > before + 4000);
}

} // namespace evenkeel::test::answer_assembler_test

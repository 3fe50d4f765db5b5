#include "proxy/wire/stream_transcript.hpp"

#include "proxy/wire/deterministic.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel::test::stream_transcript_test {

using namespace evenkeel::wire;

namespace {
namespace json = boost::json;
using step = stream_transcript::step;

std::vector<std::string> events_of(std::string_view bytes, std::size_t piece) {
    event_splitter splitter;
    std::vector<std::string> out;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        splitter.add(bytes.substr(at, piece));
        while (const auto one = splitter.next())
            out.push_back(std::string{one->raw} + "|" + std::string{one->name} + "|" + std::string{one->data});
    }
    if (const auto one = splitter.last())
        out.push_back(std::string{one->raw} + "|" + std::string{one->name} + "|" + std::string{one->data});
    return out;
}

// One answer, in two choices, with reasoning and two tools; cut into events at random.
struct answer_parts {
    std::string reasoning = "Let me think about äöü and 漢字.",
                text = "The ship keeps an even keel \"through\" every\nrough sea 👩‍🚀.";
    std::string first = R"({"a":1,"b":"x\"y"})", second = R"({"city":"Zürich"})", other = "Another choice altogether.";
};
struct cutter {
    std::mt19937_64 random;
    std::vector<std::string> pieces(std::string_view text) {
        std::vector<std::string> out;
        while (!text.empty()) {
            std::size_t size = 1 + random() % 9;
            size = std::min(size, text.size());
            while (size < text.size() && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80U) ++size;
            out.emplace_back(text.substr(0, size));
            text.remove_prefix(size);
        }
        return out;
    }
};
std::string quoted(std::string_view text) { return json::serialize(json::string{text.data(), text.size()}); }

std::vector<std::string> openai_stream(const answer_parts& what, std::uint64_t seed) {
    cutter cut{std::mt19937_64{seed}};
    const std::string id = "chatcmpl-" + std::to_string(seed);
    const auto chunk = [&](const std::string& choice) {
        return "data: {\"id\":\"" + id +
               "\",\"object\":\"chat.completion.chunk\",\"created\":" + std::to_string(1000 + seed) +
               ",\"model\":\"m\",\"system_fingerprint\":\"fp\",\"choices\":[" + choice + "],\"usage\":null}\n\n";
    };
    const auto delta = [&](int index, const std::string& inside) {
        return chunk("{\"index\":" + std::to_string(index) + ",\"delta\":{" + inside +
                     "},\"logprobs\":null,\"finish_reason\":null}");
    };
    std::vector<std::string> one{delta(0, R"("role":"assistant","content":"")")},
        two{delta(1, R"("role":"assistant","content":null)")};
    for (const auto& each : cut.pieces(what.reasoning))
        one.push_back(delta(0, "\"reasoning_content\":" + quoted(each)));
    for (const auto& each : cut.pieces(what.text)) one.push_back(delta(0, "\"content\":" + quoted(each)));
    int tool = 0;
    for (const auto& [name, arguments] : {std::pair{"look", what.first}, std::pair{"find", what.second}}) {
        const std::string at = "\"index\":" + std::to_string(tool);
        one.push_back(delta(0, "\"tool_calls\":[{" + at + ",\"id\":\"call_" + std::to_string(seed) +
                                   std::to_string(tool) + "\",\"type\":\"function\",\"function\":{\"name\":\"" + name +
                                   "\",\"arguments\":\"\"}}]"));
        for (const auto& each : cut.pieces(arguments))
            one.push_back(delta(0, "\"tool_calls\":[{" + at + ",\"function\":{\"arguments\":" + quoted(each) + "}}]"));
        ++tool;
    }
    one.push_back(chunk(R"({"index":0,"delta":{},"finish_reason":"tool_calls"})"));
    for (const auto& each : cut.pieces(what.other)) two.push_back(delta(1, "\"content\":" + quoted(each)));
    two.push_back(chunk(R"({"index":1,"delta":{},"finish_reason":"stop"})"));
    // Interleaved at random, as two choices are.
    std::vector<std::string> all;
    std::size_t a = 0, b = 0;
    while (a < one.size() || b < two.size()) {
        if (b == two.size() || (a < one.size() && cut.random() % 2 == 0)) {
            all.push_back(one[a++]);
        } else {
            all.push_back(two[b++]);
        }
        if (cut.random() % 12 == 0) all.emplace_back(": keep-alive\n\n");
    }
    all.push_back("data: {\"id\":\"" + id +
                  "\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{"
                  "\"total_tokens\":" +
                  std::to_string(seed) + "}}\n\n");
    all.emplace_back("data: [DONE]\n\n");
    return all;
}

std::vector<std::string> anthropic_stream(const answer_parts& what, std::uint64_t seed) {
    cutter cut{std::mt19937_64{seed}};
    std::vector<std::string> all;
    const auto add = [&](const std::string& name, const std::string& data) {
        all.push_back("event: " + name + "\ndata: {\"type\":\"" + name + "\"" + data + "}\n\n");
    };
    add("message_start",
        ",\"message\":{\"id\":\"msg_" + std::to_string(seed) +
            "\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"usage\":{\"input_tokens\":3}}");
    add("ping", "");
    const auto block = [&](int index, const std::string& begun, const std::string& type, const std::string& member,
                           const std::string& text) {
        const std::string at = ",\"index\":" + std::to_string(index);
        add("content_block_start", at + ",\"content_block\":" + begun);
        for (const auto& each : cut.pieces(text))
            add("content_block_delta",
                at + ",\"delta\":{\"type\":\"" + type + "\",\"" + member + "\":" + quoted(each) + "}");
        add("content_block_stop", at);
    };
    block(0, R"({"type":"thinking","thinking":"","signature":""})", "thinking_delta", "thinking", what.reasoning);
    block(1, R"({"type":"text","text":""})", "text_delta", "text", what.text);
    block(2, R"({"type":"tool_use","id":"toolu_)" + std::to_string(seed) + R"(","name":"look","input":{}})",
          "input_json_delta", "partial_json", what.first);
    add("message_delta", R"(,"delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":)" +
                             std::to_string(seed) + "}");
    add("message_stop", "");
    return all;
}

stream_event event_in(event_splitter& from, const std::string& bytes) {
    from.clear();
    from.add(bytes);
    const auto one = from.next();
    REQUIRE(one);
    return *one;
}

// What a client has after these events: per field its text, all ids, and how often each word that comes once came.
struct heard {
    std::map<std::string, std::string> texts;
    std::map<std::string, int> words;
    std::vector<std::string> ids;
    bool operator==(const heard&) const = default;
};
void hear(heard& to, const json::value& value, const std::string& path, dialect which) {
    if (const auto* text = value.if_string()) {
        const std::string name = path.substr(path.rfind('.') + 1);
        static const std::vector<std::string_view> grows{"content", "reasoning_content", "arguments", "partial_json",
                                                         "text",    "thinking"};
        if (std::find(grows.begin(), grows.end(), name) != grows.end()) {
            to.texts[path] += std::string_view{text->data(), text->size()};
        } else if (name == "id" && path == ".id") {
            if (to.ids.empty() || to.ids.back() != std::string_view{text->data(), text->size()})
                to.ids.emplace_back(text->data(), text->size());
        } else if (name == "role" || name == "finish_reason" || name == "name" || name == "stop_reason") {
            ++to.words[path + "=" + std::string{text->data(), text->size()}];
        }
    } else if (const auto* object = value.if_object()) {
        const auto* index = object->if_contains("index");
        const std::string at = index != nullptr ? path + json::serialize(*index) : path;
        for (const auto& [key, each] : *object) hear(to, each, at + "." + std::string{key.data(), key.size()}, which);
    } else if (const auto* array = value.if_array()) {
        for (const auto& each : *array) hear(to, each, path, which);
    }
}
heard hear(const std::string& bytes, dialect which) {
    heard out;
    event_splitter splitter;
    splitter.add(bytes);
    while (const auto one = splitter.next()) {
        if (one->data.empty()) continue;
        if (one->data == "[DONE]") {
            ++out.words["done"];
            continue;
        }
        hear(out, json::parse({one->data.data(), one->data.size()}), "", which);
        if (!one->name.empty() && one->name != "content_block_delta" && one->name != "ping")
            ++out.words[std::string{one->data}.substr(0, 60).substr(0, one->data.find("\"id\""))];
    }
    return out;
}

// Sends the first `broken` events of one, then replays other; all that the client gets, or nothing where they differ.
std::optional<std::string> resumed(const std::vector<std::string>& one, std::size_t broken,
                                   const std::vector<std::string>& other, dialect which) {
    stream_transcript transcript(which);
    event_splitter splitter;
    std::string client;
    for (std::size_t i = 0; i < broken; ++i) {
        CHECK(transcript.said(event_in(splitter, one[i])) == stream_transcript::kind::ordinary);
        client += one[i];
    }
    if (!transcript.can_replay()) return std::nullopt;
    transcript.begin_replay();
    for (const std::string& each : other) {
        const step how = transcript.replayed(event_in(splitter, each));
        if (how == step::differs || how == step::error) return std::nullopt;
        if (how == step::fresh) client += transcript.text();
    }
    if (!transcript.caught_up()) return std::nullopt;
    return client;
}
} // namespace

TEST_CASE("events are taken apart in the same way however their bytes are cut") {
    const std::string bytes = "\xef\xbb\xbf: hello\r\nevent: a\r\ndata: 1\r\ndata:2\r\n\r\n:\n\ndata: x\n\nid: "
                              "7\n\rdata: y\r\revent:b\ndata\n\n: tail\ndata: unfinished\n";
    const auto whole = events_of(bytes, bytes.size());
    REQUIRE(whole.size() == 7);
    CHECK(whole[0].ends_with("|a|1\n2"));
    CHECK(whole[1] == ":\n\n||");
    CHECK(whole[2].ends_with("||x"));
    CHECK(whole[4].ends_with("||y"));
    CHECK(whole[6].ends_with("||unfinished"));
    for (std::size_t piece = 1; piece < bytes.size(); ++piece) CHECK(events_of(bytes, piece) == whole);
    std::string joined;
    for (const auto& each : whole) joined += each.substr(0, each.find('|'));
    CHECK(joined == bytes);
}

TEST_CASE("a second stream that says the same is joined at every place, however both are cut into events") {
    const answer_parts what;
    for (const dialect which : {dialect::openai, dialect::anthropic}) {
        const auto make = which == dialect::openai ? openai_stream : anthropic_stream;
        for (std::uint64_t seed = 1; seed <= 20; ++seed) {
            const auto one = make(what, seed), other = make(what, seed + 1000);
            std::string all;
            for (const auto& each : one) all += each;
            const heard wanted = hear(all, which);
            for (std::size_t broken = 2; broken <= one.size(); ++broken) {
                CAPTURE(which);
                CAPTURE(seed);
                CAPTURE(broken);
                const auto client = resumed(one, broken, other, which);
                REQUIRE(client);
                const heard got = hear(*client, which);
                CHECK(got.texts == wanted.texts);
                CHECK(got.words == wanted.words);
                CHECK(got.ids == wanted.ids); // one id from the beginning to the end
            }
        }
    }
}

TEST_CASE("a second stream that differs in one byte of what was said is found out, wherever it is") {
    const answer_parts what;
    for (const dialect which : {dialect::openai, dialect::anthropic}) {
        const auto make = which == dialect::openai ? openai_stream : anthropic_stream;
        const auto one = make(what, 1);
        using text_member = std::string answer_parts::*;
        for (const text_member member : {&answer_parts::reasoning, &answer_parts::text, &answer_parts::first}) {
            for (std::size_t at = 0; at < (what.*member).size(); ++at) {
                if (static_cast<unsigned char>((what.*member)[at]) >= 0x80) continue;
                answer_parts deviating = what;
                (deviating.*member)[at] = (what.*member)[at] == 'q' ? 'r' : 'q';
                CAPTURE(at);
                CHECK(!resumed(one, one.size() - 2, make(deviating, 2), which));
                answer_parts shorter = what;
                (shorter.*member).resize(at);
                if (member != &answer_parts::reasoning || at > 0)
                    CHECK(!resumed(one, one.size() - 2, make(shorter, 3), which));
            }
        }
    }
}

TEST_CASE("what was not said yet may differ: nobody can tell") {
    const answer_parts what;
    answer_parts longer = what;
    longer.text += " And more.";
    const auto one = anthropic_stream(what, 1);
    CHECK(resumed(one, 8, anthropic_stream(longer, 2), dialect::anthropic));
}

TEST_CASE("fields nobody here knows, another finish reason, another tool, errors") {
    const auto chunk = [](const std::string& choice) {
        return "data: {\"id\":\"a\",\"choices\":[" + choice + "]}\n\n";
    };
    const std::string hello = chunk(R"({"index":0,"delta":{"content":"hello"}})"),
                      stop = chunk(R"({"index":0,"delta":{},"finish_reason":"stop"})");
    const std::string length = chunk(R"({"index":0,"delta":{},"finish_reason":"length"})");
    const std::string strange = chunk(R"({"index":0,"delta":{"content":"x","mood":"good"}})");
    const std::string call =
        chunk(R"({"index":0,"delta":{"tool_calls":[{"index":0,"id":"1","type":"function","function":{"name":"a",)"
              R"("arguments":""}}]}})");
    const std::string other_call =
        chunk(R"({"index":0,"delta":{"tool_calls":[{"index":0,"id":"2","type":"function","function":{"name":"b",)"
              R"("arguments":""}}]}})");
    using list = std::vector<std::string>;
    CHECK(resumed(list{hello}, 1, list{hello, stop}, dialect::openai) == hello + stop);
    CHECK(!resumed(list{strange}, 1, list{strange, stop}, dialect::openai));
    CHECK(!resumed(list{hello}, 1, list{strange, stop}, dialect::openai));
    CHECK(resumed(list{hello}, 1, list{hello, strange, stop}, dialect::openai)); // behind what was said it is passed on
    CHECK(!resumed(list{hello, stop}, 2, list{hello, length}, dialect::openai));
    CHECK(resumed(list{hello, call}, 2, list{hello, call, stop}, dialect::openai) == hello + call + stop);
    CHECK(!resumed(list{hello, call}, 2, list{hello, other_call, stop}, dialect::openai));
    CHECK(!resumed(list{hello}, 1, list{"data: {\"error\":{\"message\":\"m\"}}\n\n"}, dialect::openai));
    CHECK(!resumed(list{hello}, 1, list{"event: error\ndata: oops\n\n"}, dialect::openai));
    CHECK(!resumed(list{hello}, 1, list{"data: no json\n\n"}, dialect::openai));
    CHECK(!resumed(list{"data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n"}, 1, list{},
                   dialect::openai));
    stream_transcript transcript(dialect::openai);
    event_splitter splitter;
    CHECK(transcript.said(event_in(splitter, "event: error\ndata: {}\n\n")) == stream_transcript::kind::error);
    CHECK(!transcript.can_replay());
    CHECK(!stream_transcript::knows(dialect::gemini));
}

TEST_CASE("B15: what goes on after a replay is byte for byte what came, but for what was said and who says it") {
    using list = std::vector<std::string>;
    const std::string numbers =
        R"("system_fingerprint":"f","usage":{"total":18446744073709551617,"cost":1.0,"e":1E+2})";
    const auto says = [&](const std::string& id, const std::string& text, const std::string& rest = "") {
        return R"(data: {"id":")" + id + R"(","choices":[ {"index":0,"delta":{"role":"assistant","content":")" + text +
               R"("},"finish_reason":null} ],)" + numbers + rest + "}\n\n";
    };
    // All of an event is new: only who says it changes.
    CHECK(resumed(list{says("a", "hello")}, 1, list{says("b", "hello"), says("b", " world")}, dialect::openai) ==
          says("a", "hello") +
              R"(data: {"id":"a","choices":[ {"index":0,"delta":{"content":" world"},)"
              R"("finish_reason":null} ],)" +
              numbers + "}\n\n");
    // A part of it is.
    CHECK(resumed(list{says("a", "hello")}, 1, list{says("b", "hello world")}, dialect::openai) ==
          says("a", "hello") +
              R"(data: {"id":"a","choices":[ {"index":0,"delta":{"content":" world"},)"
              R"("finish_reason":null} ],)" +
              numbers + "}\n\n");
    // Nothing of it has to be touched.
    const std::string same = R"(data: {"choices":[{"index":0,"delta":{"content":"!"}}],"usage": {"n":1e0}})"
                             "\n\n";
    CHECK(resumed(list{says("a", "hello")}, 1, list{says("a", "hello"), ": ping\n\n", same}, dialect::openai) ==
          says("a", "hello") + ": ping\n\n" + same);
}

TEST_CASE("B12: halves of a pair are compared as what they are, however they are cut and spelled") {
    using list = std::vector<std::string>;
    const auto says = [&](const std::string& text) {
        return R"(data: {"id":"a","choices":[{"index":0,"delta":{"content":")" + text +
               R"("}}]})"
               "\n\n";
    };
    const list halves{says(R"(a\ud83d)"), says(R"(\ude00b)")};
    CHECK(resumed(halves, 2, list{says("a\xf0\x9f\x98\x80"), says("bc")}, dialect::openai) ==
          halves[0] + halves[1] + says("c"));
    // What is new may begin within a pair.
    CHECK(resumed(halves, 1, list{says("a\xf0\x9f\x98\x80")}, dialect::openai) == halves[0] + says(R"(\ude00)"));
    CHECK(resumed(halves, 1, list{says(R"(a\ud83d\ude00)")}, dialect::openai) == halves[0] + says(R"(\ude00)"));
    CHECK(!resumed(halves, 2, list{says(R"(a\ud83d\ude01b)")}, dialect::openai));
    CHECK(resumed(list{says(R"(\u00e9\n\/)")}, 1, list{says("\xc3\xa9\\u000A/x")}, dialect::openai) ==
          says(R"(\u00e9\n\/)") + says("x"));
}

TEST_CASE("requests for the answer a model would give every time") {
    for (const char* yes : {R"({"temperature":0})", R"({"temperature":0.0,"top_p":1})", R"({"temperature":-0e5})",
                            R"({"seed":7,"temperature":1})", R"({"seed":0})"}) {
        CAPTURE(yes);
        CHECK(is_deterministic(yes));
    }
    for (const char* no :
         {R"({"temperature":0.1})", R"({"temperature":1e-9})", R"({"temperature":"0"})", R"({"seed":null})",
          R"({"seed":"7"})", "{}", "", "[0]", R"({"temperature":0,"temperature":1})",
          R"({"options":{"temperature":0}})", R"({"temperature":0)"}) {
        CAPTURE(no);
        CHECK(!is_deterministic(no));
    }
}

} // namespace evenkeel::test::stream_transcript_test

// Whole answers of both providers, in both dialects, and whatever may be less than that.

#include "proxy/model/answer_text.hpp"
#include "proxy/model/judge.hpp"
#include "proxy/provider/answers.hpp"
#include "proxy/provider/blocking_client.hpp"
#include "proxy/provider/simulated_provider.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

namespace evenkeel::test::answer_judge_test {

using namespace evenkeel::model;

namespace {
constexpr std::string_view nonce = "0000000017";
constexpr std::size_t at_once = 1'000'000;

// What is behind the head, framing removed.
std::string body_of(const std::string& message) {
    const auto head = message.find("\r\n\r\n") + 4;
    if (message.find("chunked") == std::string::npos) return message.substr(head);
    std::string out;
    for (auto at = head; at < message.size();) {
        const auto line = message.find("\r\n", at);
        const auto size = std::stoul(message.substr(at, line - at), nullptr, 16);
        out += message.substr(line + 2, size);
        at = line + 2 + size + 2;
    }
    return out;
}

struct whole_answer {
    std::string name;
    api speaks;
    std::string stream, json; // bodies
};

std::string_view path_of(api speaks) { return speaks == api::openai_chat ? "/v1/chat/completions" : "/v1/messages"; }
std::string question(bool stream) {
    return std::string{R"({"model":"sim-1","max_tokens":512,"stream":)"} + (stream ? "true" : "false") +
           R"(,"messages":[{"role":"user","content":"nonce:0000000017"}]})";
}
whole_answer of_provider(std::string name, api speaks) {
    whole_answer out{std::move(name), speaks, {}, {}};
    const auto script = provider::script_choice{"events=10"}.pick(0);
    const std::string asked = question(true), asked_buffered = question(false);
    for (const auto& event : provider::make_answer({"POST", path_of(speaks), asked}, script).events)
        out.stream += event.text;
    out.json = provider::make_answer({"POST", path_of(speaks), asked_buffered}, script).body;
    return out;
}
const std::vector<whole_answer>& whole_answers() {
    static const std::vector<whole_answer> all = [] {
        const answer_texts texts;
        std::string stream, json;
        texts.stream_head(stream);
        for (int piece = 0; piece < answer_pieces; ++piece) texts.stream_piece(stream, 17, piece);
        texts.buffered(json, 17);
        return std::vector<whole_answer>{{"model", api::openai_chat, body_of(stream), body_of(json)},
                                         of_provider("openai", api::openai_chat),
                                         of_provider("anthropic", api::anthropic_messages)};
    }();
    return all;
}

verdict judged(api speaks, bool stream, std::string_view body, std::size_t cut_every = at_once) {
    answer_judge judge(speaks, stream);
    for (; !body.empty(); body.remove_prefix(std::min(cut_every, body.size())))
        static_cast<void>(judge.take(body.substr(0, cut_every)));
    return judge.judge({.status = 200, .whole = true}, nonce);
}

std::string replaced(std::string text, const std::string& part, const std::string& by) {
    const auto at = text.find(part);
    REQUIRE(at != std::string::npos);
    return text.replace(at, part.size(), by);
}
// The event that says this.
std::string event_with(const std::string& stream, const std::string& part) {
    const auto at = stream.find(part);
    REQUIRE(at != std::string::npos);
    const auto before = stream.rfind("\n\n", at);
    const auto begin = before == std::string::npos ? 0 : before + 2;
    return stream.substr(begin, stream.find("\n\n", at) + 2 - begin);
}
std::string without(const std::string& stream, const std::string& part) {
    return replaced(stream, event_with(stream, part), "");
}
std::string with_crlf(const std::string& stream) {
    std::string out;
    for (const char c : stream) out += c == '\n' ? "\r\n" : std::string{c};
    return out;
}
std::string marker_of(const whole_answer& of) { return of.speaks == api::openai_chat ? "[DONE]" : R"("message_stop")"; }
std::string reason_of(const whole_answer& of) { return of.speaks == api::openai_chat ? R"("stop")" : R"("end_turn")"; }

struct row {
    std::string name;
    bool stream;
    std::function<std::string(const whole_answer&)> made;
    verdict how;
};
const std::vector<row>& rows() {
    using enum verdict;
    using of = const whole_answer&;
    static const std::vector<row> all{
        {"whole", true, [](of a) { return a.stream; }, success},
        {"a comment before it", true, [](of a) { return ":\n\n" + a.stream; }, success},
        {"a comment behind it", true, [](of a) { return a.stream + ": alive\n\n"; }, success},
        {"a comment within", true, [](of a) { return replaced(a.stream, "\n\n", "\n\n:\n\n"); }, success},
        {"lines that end in CRLF", true, [](of a) { return with_crlf(a.stream); }, success},
        {"nothing", true, [](of) { return std::string{}; }, broken},
        {"no marker", true, [](of a) { return without(a.stream, marker_of(a)); }, broken},
        {"no reason", true, [](of a) { return without(a.stream, reason_of(a)); }, broken},
        {"another reason", true, [](of a) { return replaced(a.stream, reason_of(a), R"("length")"); }, broken},
        {"no first piece", true, [](of a) { return without(a.stream, "17:0]"); }, broken},
        {"a piece less", true, [](of a) { return without(a.stream, "17:4]"); }, broken},
        {"no last piece", true, [](of a) { return without(a.stream, "17:9]"); }, broken},
        {"a piece twice", true,
         [](of a) {
             const auto piece = event_with(a.stream, "17:4]");
             return replaced(a.stream, piece, piece + piece);
         },
         broken},
        {"two pieces crossed", true,
         [](of a) {
             const auto one = event_with(a.stream, "17:4]"), other = event_with(a.stream, "17:5]");
             return replaced(a.stream, one + other, other + one);
         },
         broken},
        {"another's piece", true, [](of a) { return replaced(a.stream, "17:4]", "18:4]"); }, broken},
        {"a piece behind the end", true, [](of a) { return a.stream + event_with(a.stream, "17:9]"); }, broken},
        {"the marker twice", true, [](of a) { return a.stream + event_with(a.stream, marker_of(a)); }, broken},
        {"an error first", true, [](of a) { return "data: {\"error\":{}}\n\n" + a.stream; }, broken},
        {"an error within", true, [](of a) { return replaced(a.stream, "\n\n", "\n\nevent: error\ndata: {}\n\n"); },
         broken},
        {"an error that is a type", true,
         [](of a) { return replaced(a.stream, "\n\n", "\n\ndata: {\"type\":\"error\"}\n\n"); }, broken},
        {"an error behind the end", true, [](of a) { return a.stream + "event: error\ndata: {}\n\n"; }, broken},
        {"no JSON", true, [](of a) { return replaced(a.stream, "\n\n", "\n\ndata: {\"choices\":[\n\n"); }, broken},
        {"an event without data", true, [](of a) { return "data:\n\n" + a.stream; }, broken},
        {"a piece that is no JSON", true, [](of a) { return replaced(a.stream, "}\n\n", "\n\n"); }, broken},
        {"a line of another kind", true, [](of a) { return "<html>\n\n" + a.stream; }, broken},
        {"the last event not ended", true, [](of a) { return a.stream.substr(0, a.stream.size() - 1); }, broken},
        {"a JSON answer for a stream", true, [](of a) { return a.json; }, broken},
        {"whole", false, [](of a) { return a.json; }, success},
        {"a blank line behind it", false, [](of a) { return a.json + "\r\n"; }, success},
        {"other white space", false, [](of a) { return replaced(a.json, R"("role":)", R"("role" : )"); }, success},
        {"nothing", false, [](of) { return std::string{}; }, broken},
        {"an error", false, [](of) { return std::string{R"({"error":{"message":"no"}})"}; }, broken},
        {"an error besides", false, [](of a) { return replaced(a.json, "{", R"({"error":{},)"); }, broken},
        {"no first piece", false, [](of a) { return replaced(a.json, "[0000000017:0]", ""); }, broken},
        {"a piece less", false, [](of a) { return replaced(a.json, "[0000000017:4]", ""); }, broken},
        {"another's piece", false, [](of a) { return replaced(a.json, "17:4]", "18:4]"); }, broken},
        {"another reason", false, [](of a) { return replaced(a.json, reason_of(a), R"("length")"); }, broken},
        {"a stream for a JSON answer", false, [](of a) { return a.stream; }, broken},
        {"something behind it", false, [](of a) { return a.json + "{}"; }, broken},
    };
    return all;
}
} // namespace

TEST_CASE("the whole text is every piece, in order, once") {
    std::string whole;
    for (int i = 0; i < 10; ++i) whole += "[N:" + std::to_string(i) + "] word ";
    CHECK(is_whole_text(whole, "N"));
    CHECK(!is_whole_text("", "N"));
    CHECK(!is_whole_text(whole, "M"));
    CHECK(!is_whole_text(whole + "[N:9] word ", "N"));
    CHECK(!is_whole_text(whole.substr(0, whole.find("[N:9]")), "N"));
    CHECK(!is_whole_text(replaced(whole, "[N:3]", "[M:3]"), "N"));
}

TEST_CASE("a whole answer is a success, with comments too, however it is cut; anything less is broken") {
    for (const whole_answer& answer : whole_answers()) {
        for (const row& each : rows()) {
            const std::string body = each.made(answer);
            for (const std::size_t cut_every : {std::size_t{1}, std::size_t{7}, at_once}) {
                CAPTURE(answer.name);
                CAPTURE(each.name);
                CAPTURE(each.stream);
                CAPTURE(cut_every);
                CHECK(judged(answer.speaks, each.stream, body, cut_every) == each.how);
            }
        }
        for (std::size_t cut = 0; cut + 1 < answer.stream.size(); cut += 7)
            CHECK(judged(answer.speaks, true, answer.stream.substr(0, cut)) == verdict::broken);
        for (std::size_t cut = 0; cut < answer.json.size(); cut += 7)
            CHECK(judged(answer.speaks, false, answer.json.substr(0, cut)) == verdict::broken);
        const api other = answer.speaks == api::openai_chat ? api::anthropic_messages : api::openai_chat;
        CHECK(judged(other, true, answer.stream) == verdict::broken);
        CHECK(judged(other, false, answer.json) == verdict::broken);
    }
}

TEST_CASE("status, framing and label come before the text") {
    const std::string whole = whole_answers().front().json;
    const auto judged_as = [](const received_answer& answer, std::string_view body, std::string_view of = nonce) {
        answer_judge judge;
        CHECK(!judge.take(body));
        return judge.judge(answer, of);
    };
    CHECK(judged_as({.status = 0}, {}) == verdict::broken);
    CHECK(judged_as({.status = 503, .whole = true}, whole) == verdict::error);
    CHECK(judged_as({.status = 200, .whole = false}, whole) == verdict::broken);
    CHECK(judged_as({.status = 200, .whole = true, .degraded = true}, "{}") == verdict::degraded);
    CHECK(judged_as({.status = 200, .whole = true}, whole, "0000000018") == verdict::broken);
}

TEST_CASE("one judge judges one answer after another") {
    answer_judge judge;
    for (const whole_answer& answer : whole_answers()) {
        judge.begin(answer.speaks, true);
        static_cast<void>(judge.take(answer.stream.substr(0, answer.stream.size() / 2)));
        CHECK(judge.judge({.status = 200, .whole = true}, nonce) == verdict::broken);
        judge.begin(answer.speaks, true);
        CHECK(judge.take(answer.stream));
        CHECK(judge.judge({.status = 200, .whole = true}, nonce) == verdict::success);
        judge.begin(answer.speaks, false);
        CHECK(!judge.take(answer.json));
        CHECK(judge.judge({.status = 200, .whole = true}, nonce) == verdict::success);
    }
}

TEST_CASE("the first token is the first event with text") {
    for (const whole_answer& answer : whole_answers()) {
        CAPTURE(answer.name);
        answer_judge judge(answer.speaks, true);
        const auto first = answer.stream.find(event_with(answer.stream, "17:0]"));
        CHECK(!judge.take(answer.stream.substr(0, first)));
        CHECK(judge.take(event_with(answer.stream, "17:0]")));
    }
}

TEST_CASE("over sockets, only a complete, correct, unlabelled answer is a success") {
    struct fault {
        std::string script;
        verdict buffered, stream;
    };
    using enum verdict;
    const std::vector<fault> faults{
        {"events=10", success, success},
        {"events=10; header=x-evenkeel-route:llm", success, success},
        {"events=10; keepalives=2", error, error}, // not a setting: the provider says 400
        {"events=10; keepalive=2@1ms; keepalive_form=ping", success, success},
        {"events=10; merge", success, success},
        {"status=503", error, error},
        {"status=529", error, error},
        {"status=201; events=10", error, error},
        {"events=9", broken, broken},
        {"events=11", broken, broken},
        {"events=10; header=x-evenkeel-degraded:canned", degraded, degraded},
        {"events=10; close_after=5", broken, broken},
        {"events=10; reset_after=5", broken, broken},
        {"events=10; end_after=5", broken, broken},
        {"reset_after=request", broken, broken},
        {"close_after=head", broken, broken},
        {"body=html", broken, broken},
        {"body=empty", broken, broken},
        {"events=10; error_after=5", success, broken},
        {"events=10; error_after=5; error_then=continue", success, broken},
        {"events=10; malformed_after=5", success, broken},
        {"events=10; bad_chunk_after=5", success, broken},
        {"events=10; terminal=finish", success, broken},
        {"events=10; terminal=none", success, broken},
    };
    const provider::simulated_provider upstream;
    const auto ask = [&](api speaks, bool stream, const std::string& script) {
        provider::blocking_client client({.port = upstream.port()});
        client.send_request("POST", path_of(speaks), {{"x-sim", script}}, question(stream));
        const auto head = client.read_head("POST");
        answer_judge judge(speaks, stream);
        for (auto piece = client.read_body_some(); !piece.empty(); piece = client.read_body_some())
            static_cast<void>(judge.take(piece));
        return judge.judge({.status = head.status,
                            .whole = client.ended() == provider::message_end::complete,
                            .degraded = head.header_count("x-evenkeel-degraded") > 0},
                           nonce);
    };
    for (const api speaks : {api::openai_chat, api::anthropic_messages}) {
        for (const auto& fault : faults) {
            CAPTURE(fault.script);
            CAPTURE(static_cast<int>(speaks));
            CHECK(ask(speaks, false, fault.script) == fault.buffered);
            CHECK(ask(speaks, true, fault.script) == fault.stream);
        }
    }
    CHECK(ask(api::openai_chat, true, "events=10; terminal=done") == broken); // no finish reason
}

} // namespace evenkeel::test::answer_judge_test

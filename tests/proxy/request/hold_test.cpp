// What an attempt keeps back: pieces of an answer in, a verdict out.

#include "proxy/attempt/hold.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace evenkeel::test::hold_test {

using namespace evenkeel::request;
using wire::body_kind;

namespace {
constexpr steady_time start{std::chrono::seconds{100}};

// An answer, what is to be done with it, and how its body ends.
enum class ending { whole, cut, silent };
struct row {
    std::string_view name;
    hold_order order;
    int status = 200;
    std::string_view type{};
    std::string body{};
    ending ends = ending::whole;
    std::string verdict{};
    body_kind framed = body_kind::chunked;
};

wire::response_head head_of(const row& of) {
    wire::response_head head;
    head.status = of.status;
    head.fields.push_back({"content-type", of.type, wire::field_id::content_type});
    head.body = {of.framed, of.framed == body_kind::length ? of.body.size() : 0};
    return head;
}

std::string word(const held_verdict& verdict) {
    if (std::holds_alternative<held::more>(verdict)) return "more";
    if (std::holds_alternative<held::progress>(verdict)) return "progress";
    if (std::holds_alternative<held::head>(verdict)) return "head";
    if (std::holds_alternative<held::meaningful>(verdict)) return "meaningful";
    if (std::holds_alternative<held::complete>(verdict)) return "complete";
    if (const auto* plain = std::get_if<held::ask_plainly>(&verdict))
        return "plainly: " + std::string{to_string(plain->why)} + (plain->what.empty() ? "" : " ") +
               std::string{plain->what};
    const auto& failed = std::get<held::failed>(verdict);
    return "failed: " + std::string{to_string(failed.outcome.what.kind)} +
           (failed.outcome.has_answer ? ", answered" : "") + (failed.token.empty() ? "" : ", ") +
           std::string{failed.token};
}

// As an attempt does it: every read overwrites the one before.
struct told {
    std::string verdict{};
    int progress = 0;
    std::string kept;
};
told ask(const row& of, const std::vector<std::size_t>& cuts, memory_bound& memory) {
    const wire::response_head head = head_of(of);
    hold held(of.order, head, memory);
    told found;
    held_verdict verdict = held.begin();
    std::string read;
    read.reserve(of.body.size());
    std::size_t begin = 0;
    steady_time now = start;
    const auto open = [&] {
        if (std::holds_alternative<held::progress>(verdict)) ++found.progress;
        return std::holds_alternative<held::more>(verdict) || std::holds_alternative<held::progress>(verdict);
    };
    for (std::size_t i = 0; i <= cuts.size() && open(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : of.body.size();
        if (end == begin) continue;
        if (!held.settle()) {
            verdict = held::meaningful{};
            break;
        }
        std::fill(read.begin(), read.end(), '#');
        read.assign(of.body, begin, end - begin);
        verdict = held.add(read, now += std::chrono::milliseconds{1}, wall_time{});
        begin = end;
    }
    if (open()) {
        verdict =
            of.ends == ending::whole ? held.end(wall_time{}) : held.broken(of.ends == ending::silent, wall_time{});
    }
    found.verdict = word(verdict);
    found.kept = held.kept();
    return found;
}

hold_order answers() {
    hold_order order{.what = holding::answers, .hold_buffer = 4096};
    order.rules.dialect = wire::dialect::openai;
    order.rules.wants_content = true;
    order.rules.wants_stream = true;
    return order;
}
hold_order judging_empty() {
    hold_order order = answers();
    order.rules.judges_empty = true;
    return order;
}
hold_order no_stream() {
    hold_order order = answers();
    order.rules.wants_stream = false;
    return order;
}
hold_order with(holding what) {
    hold_order order = answers();
    order.what = what;
    return order;
}
hold_order judging_empty_to_end() {
    hold_order order = judging_empty();
    order.streams_whole = true;
    return order;
}
hold_order to_end(std::uint64_t at_most = 4096) {
    hold_order order = answers();
    order.streams_whole = true;
    order.hold_buffer = at_most;
    return order;
}
hold_order upcast(std::uint64_t at_most = 4096) {
    hold_order order = answers();
    order.upcast = true;
    order.hold_buffer = at_most;
    return order;
}

std::string chunk_of(const std::string& choice, const std::string& more = "") {
    return R"(data: {"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[)" + choice + "]" +
           more + "}\n\n";
}
std::string text(const std::string& what) {
    return chunk_of(R"({"index":0,"delta":{"role":"assistant","content":")" + what + "\"},\"finish_reason\":null}");
}
const std::string role = text("");
const std::string finish = chunk_of(R"({"index":0,"delta":{},"finish_reason":"stop"})");
const std::string tokens = chunk_of("", R"(,"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3})");
const std::string done = "data: [DONE]\n\n";
const std::string error_event = "data: {\"error\":{\"message\":\"broken\",\"type\":\"server_error\"}}\n\n";
const std::string answer =
    R"({"id":"c","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,)"
    R"("message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,)"
    R"("completion_tokens":2,"total_tokens":3}})";
constexpr std::string_view json = "application/json", sse = "text/event-stream", lines = "application/x-ndjson";
const std::string lost = ", http_response_incomplete", mute = ", connection_read_timeout";

std::vector<row> rows() {
    const std::string refusal = R"({"error":{"message":"stream is not supported","type":"invalid_request_error"}})";
    const std::string plain_error = R"({"error":{"message":"broken","type":"server_error"}})";
    using enum ending;
    return {
        {"nothing is held", with(holding::nothing), 500, json, "{}", whole, "head"},
        {"only errors are", with(holding::errors), 200, sse, role, whole, "head"},
        {"... and what cannot be an answer", with(holding::errors), 200, "text/html", "<p>", whole,
         "failed: protocol_error" + lost},

        {"an error", answers(), 500, json, plain_error, whole, "failed: server_error, answered"},
        {"... of the caller's", answers(), 400, json, "{}", whole, "failed: caller_error, answered"},
        {"... that is a stream", answers(), 500, sse, text("x"), whole, "failed: server_error, answered"},
        {"... that breaks", with(holding::errors), 500, json, "{", cut, "failed: server_error" + lost},
        {"... that goes silent", answers(), 429, json, "", silent, "failed: rate_limited" + mute},

        {"an answer in one piece", answers(), 200, json, answer, whole, "complete"},
        {"... that breaks", answers(), 200, json, answer, cut, "failed: reset" + lost},
        {"... that is none", answers(), 200, json, " \n", whole, "failed: protocol_error" + lost},
        {"... that is cut within", answers(), 200, json, R"({"id":"c",)", whole, "failed: protocol_error" + lost},
        {"... that is an error", answers(), 200, json, plain_error, whole, "failed: server_error, answered"},
        {"... longer than is held", to_end(8), 200, json, answer, whole, "meaningful"},
        {"... whose length says so", to_end(8), 200, json, answer, whole, "head", body_kind::length},

        {"B9: an error in the place of its first choice", answers(), 200, json,
         R"({"choices":[{"finish_reason":"error","error":{"code":502,"message":"m"}}]})", whole,
         "failed: server_error, answered"},
        {"B8: it says nothing", judging_empty(), 200, json,
         R"({"choices":[{"finish_reason":"stop","message":{"content":""}}]})", whole,
         "failed: protocol_error, answered"},
        {"... where that is not asked", answers(), 200, json,
         R"({"choices":[{"finish_reason":"stop","message":{"content":""}}]})", whole, "complete"},
        {"... in a stream", judging_empty(), 200, sse, role + finish + done, whole, "failed: protocol_error, answered"},
        {"... in a stream to its end", judging_empty_to_end(), 200, sse, role + finish + done, whole,
         "failed: protocol_error, answered"},
        {"... where it is not asked", answers(), 200, sse, role + finish + done, whole, "meaningful"},
        {"it says something", judging_empty(), 200, json, answer, whole, "complete"},
        {"B14: behind a byte order mark", answers(), 200, json, "\xef\xbb\xbf" + answer, whole, "complete"},
        {"... an error", answers(), 200, json, "\xef\xbb\xbf" + plain_error, whole, "failed: server_error, answered"},
        {"JSON that is called a page", answers(), 200, "text/html", answer, whole, "complete"},
        {"a page", answers(), 200, "text/html", "<p>", whole, "failed: protocol_error" + lost},

        {"B5: events that are called JSON", answers(), 200, json, role + text("Hello"), whole, "meaningful"},
        {"... or nothing", answers(), 200, "", "\n\n" + role + text("Hello"), whole, "meaningful"},
        {"... of which the first is an error", answers(), 200, "text/plain", error_event, whole,
         "failed: server_error, answered"},
        {"... behind comments and a mark", answers(), 200, json, "\xef\xbb\xbf: PROCESSING\n\n" + error_event, whole,
         "failed: server_error, answered"},
        {"... to their end", to_end(), 200, json, role + text("Hello"), whole, "failed: reset" + lost},
        {"... and to be put together", upcast(), 200, json, text("Hel") + text("lo") + finish + tokens + done, whole,
         "complete"},
        {"... where no stream was asked for: a text may begin so", no_stream(), 200, "text/plain", "data: x", whole,
         "complete"},
        {"an error that is called a stream", answers(), 200, sse, plain_error, whole, "failed: server_error, answered"},
        {"an answer that is called a stream", answers(), 200, sse, answer, whole, "complete"},
        {"... where a stream is to be put together", upcast(), 200, sse, answer, whole,
         "plainly: unknown_field [no events]"},

        {"B13: half a pair", answers(), 200, sse, text("\\ud83d"), whole, "meaningful"},
        {"B12: ... in two deltas that are put together", upcast(), 200, sse,
         text("\\ud83d") + text("\\ude00") + finish + tokens + done, whole, "complete"},
        {"Python's numbers in what is put together", upcast(), 200, sse,
         text("Hello") + chunk_of("", R"(,"score":NaN)") + finish + tokens + done, whole,
         "plainly: unknown_field [no object]"},
        {"B10: an error as a field", answers(), 200, sse, role + "error: {\"code\":500,\"message\":\"m\"}\n\n", whole,
         "failed: server_error, answered"},

        {"a stream speaks", answers(), 200, sse, role + text("Hello") + error_event, whole, "meaningful"},
        {"... is done without a word", answers(), 200, sse, role + done, whole, "failed: protocol_error" + lost},
        {"... ends without a word", answers(), 200, sse, ": ping\n\n" + role, whole, "failed: protocol_error" + lost},
        {"... fails", answers(), 200, sse, role + error_event, whole, "failed: server_error, answered"},
        {"... fails with its last word", answers(), 200, sse, error_event.substr(0, error_event.size() - 1), whole,
         "failed: server_error, answered"},
        {"... is no JSON", answers(), 200, sse, "data: {oops\n\n", whole,
         "failed: protocol_error, http_protocol_error"},
        {"... breaks", answers(), 200, sse, role, cut, "failed: reset" + lost},
        {"... goes silent", answers(), 200, sse, role, silent, "failed: timeout" + mute},

        {"a stream to its end", to_end(), 200, sse, role + text("Hello") + done, whole, "complete"},
        {"... that never says so", to_end(), 200, sse, role + text("Hello"), whole, "failed: reset" + lost},
        {"... that says so, and whose connection breaks", to_end(), 200, sse, text("Hello") + done, cut, "complete"},
        {"... within a length that was told", to_end(), 200, sse, text("Hello") + done, cut, "failed: reset" + lost,
         body_kind::length},
        {"... that fails after all", to_end(), 200, sse, text("Hello") + error_event, whole,
         "failed: server_error, answered"},
        {"... that goes silent", to_end(), 200, sse, text("Hello"), silent, "failed: timeout" + mute},
        {"... longer than is held", to_end(8), 200, sse, text("Hello") + text("!"), whole, "meaningful"},

        {"a stream that becomes an answer", upcast(), 200, sse, text("Hel") + text("lo") + finish + tokens + done,
         whole, "complete"},
        {"... whose connection breaks behind it", upcast(), 200, sse, text("Hello") + finish + tokens + done, silent,
         "complete"},
        {"... that breaks before", upcast(), 200, sse, text("Hello") + finish, cut, "failed: reset" + lost},
        {"... that fails", upcast(), 200, sse, text("Hello") + error_event, whole, "failed: server_error, answered"},
        {"... that lacks its bill", upcast(), 200, sse, text("Hello") + done, whole, "plainly: incomplete"},
        {"... with what nobody knows", upcast(), 200, sse, text("Hello") + chunk_of("", R"(,"new":1)"), whole,
         "plainly: unknown_field new"},
        {"... longer than is held", upcast(8), 200, sse, text("Hello") + finish + tokens + done, whole,
         "plainly: too_large"},
        {"... of another kind", upcast(), 200, lines, "{}\n", whole, "plainly: unknown_field [no readable events]"},
        {"it is not streamed", upcast(), 200, json, answer, whole, "complete"},
        {"it may not be streamed", upcast(), 400, json, refusal, whole, "plainly: refused"},
        {"it is refused for another reason", upcast(), 400, json, "{}", whole, "failed: caller_error, answered"},
    };
}
} // namespace

TEST_CASE("what an answer comes to, whole and cut anywhere") {
    memory_bound memory;
    std::mt19937_64 dice{20261129};
    for (const row& one : rows()) {
        CAPTURE(one.name);
        const told uncut = ask(one, {}, memory);
        CHECK(uncut.verdict == one.verdict);

        std::vector<std::size_t> each;
        for (std::size_t cut = 1; cut < one.body.size(); ++cut) {
            each.push_back(cut);
            CAPTURE(cut);
            CHECK(ask(one, {cut}, memory).verdict == one.verdict);
        }
        CHECK(ask(one, each, memory).verdict == one.verdict);
        for (int round = 0; round < 20; ++round) {
            std::vector<std::size_t> some;
            std::sample(each.begin(), each.end(), std::back_inserter(some), 3, dice);
            const told found = ask(one, some, memory);
            CAPTURE(round);
            CHECK(found.verdict == one.verdict);
            if (found.verdict == "complete") CHECK(found.kept == uncut.kept);
        }
        CHECK(memory.used() == 0);
    }
}

TEST_CASE("what is complete is kept byte for byte, and what was put together is the answer") {
    memory_bound memory;
    const std::vector<std::size_t> cuts{1, 30, 31, 100};
    const row plain{"", answers(), 200, json, answer};
    CHECK(ask(plain, cuts, memory).kept == answer);
    const row stream{"", to_end(), 200, sse, text("Hello") + done};
    CHECK(ask(stream, cuts, memory).kept == stream.body);
    const row together{"", upcast(), 200, sse, text("Hel") + text("lo") + finish + tokens + done};
    CHECK(ask(together, cuts, memory).kept == answer);
}

TEST_CASE("a stream that is held to its end tells of its first meaningful event once, and of when") {
    memory_bound memory;
    for (const hold_order& order : {to_end(), upcast()}) {
        const wire::response_head head = head_of({"", order, 200, sse});
        hold held(order, head, memory);
        CHECK(word(held.begin()) == "more");
        CHECK(word(held.add(role, start, {})) == "more");
        CHECK(held.meant_at() == steady_time{});
        const std::string first = text("Hel"), second = text("lo");
        CHECK(held.settle());
        CHECK(word(held.add(first, start + std::chrono::seconds{1}, {})) == "progress");
        CHECK(held.settle());
        CHECK(word(held.add(second, start + std::chrono::seconds{2}, {})) == "more");
        CHECK(held.settle());
        CHECK(word(held.add(": ping\n\n", start + std::chrono::seconds{3}, {})) == "more");
        CHECK(held.meant_at() == start + std::chrono::seconds{2});
        CHECK_FALSE(held.says_whole());
        CHECK(held.settle());
        CHECK(word(held.add(done, start + std::chrono::seconds{4}, {})) == "more");
        CHECK(held.says_whole());
    }
}

TEST_CASE("a preamble without meaning, and an error without end, are held up to a bound") {
    memory_bound memory;
    std::string ping = ":" + std::string(1021, '.') + "\n\n";
    const wire::response_head head = head_of({"", answers(), 200, sse});
    hold stream(answers(), head, memory);
    for (int i = 0; i < 4; ++i) REQUIRE(word(stream.add(ping, start, {})) == "more"); // stream.hold_buffer
    CHECK(word(stream.add(ping, start, {})) == "meaningful");

    const wire::response_head bad = head_of({"", answers(), 500, json});
    hold error(answers(), bad, memory);
    const std::string most(wire::max_error_body - 1, ' ');
    CHECK(word(error.add(most, start, {})) == "more");
    CHECK(word(error.add(" ", start, {})) == "failed: server_error, answered");
}

TEST_CASE("the first piece stays where it is; a second one is room that is taken from the bound, and given back") {
    memory_bound memory;
    memory.set_limit(1000);
    const std::string piece(300, 'x');
    const wire::response_head head = head_of({"", answers(), 200, json});
    {
        hold held(answers(), head, memory);
        CHECK(word(held.add(piece, start, {})) == "more");
        CHECK(held.kept().data() == piece.data());
        CHECK(memory.used() == 0);
        CHECK(held.settle());
        CHECK(held.kept().data() != piece.data());
        CHECK(memory.used() >= 300);
        CHECK(word(held.add(piece, start, {})) == "more");
        CHECK(word(held.add(piece, start, {})) == "meaningful"); // no room: it goes out with the rest
        CHECK(held.kept() == piece + piece + piece);
        held.let_go();
        CHECK(memory.used() == 0);
        CHECK(held.kept().empty());
    }
    // Where the length is known, there has to be room for all of it.
    wire::response_head announced = head;
    announced.body = {body_kind::length, 1200};
    hold held(answers(), announced, memory);
    CHECK(word(held.add(piece, start, {})) == "more");
    CHECK_FALSE(held.settle());
    CHECK(held.kept() == piece);
}

} // namespace evenkeel::test::hold_test

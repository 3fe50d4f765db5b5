#include "proxy/demo/judge.hpp"
#include "proxy/provider/simulated_provider.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace evenkeel::test::judge_test {

using namespace evenkeel::demo;
using namespace evenkeel::provider;

namespace {
verdict ask(const simulated_provider& upstream, api speaks, bool stream, const std::string& script) {
    const planned_request request{.number = 1, .due = 0, .speaks = speaks, .stream = stream};
    blocking_client client({.port = upstream.port()});
    client.send_request("POST", path_of(request), {{"x-sim", script}}, body_of(request, "N"));
    if (!stream) return judge_buffered(speaks, "N", client.read_response("POST"));
    stream_judge judge{speaks, "N"};
    const auto head = client.read_head("POST");
    if (head.status == 200)
        while (const auto event = client.next_event()) static_cast<void>(judge.take(*event));
    return judge.judge(head, client.ended());
}
} // namespace

TEST_CASE("only a complete, correct, unlabelled answer is a success") {
    struct row {
        std::string script;
        verdict buffered, stream;
    };
    using enum verdict;
    const std::vector<row> rows{
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
    const simulated_provider upstream;
    for (const api speaks : {api::openai_chat, api::anthropic_messages}) {
        for (const auto& row : rows) {
            CAPTURE(row.script);
            CAPTURE(static_cast<int>(speaks));
            CHECK(ask(upstream, speaks, false, row.script) == row.buffered);
            CHECK(ask(upstream, speaks, true, row.script) == row.stream);
        }
    }
    CHECK(ask(upstream, api::openai_chat, true, "events=10; terminal=done") == broken); // no finish reason
}

TEST_CASE("the first token is the first event with text") {
    stream_judge openai{api::openai_chat, "N"};
    const auto event = [](std::string data) {
        return sse_event{.event = {}, .data = std::move(data), .id = {}, .raw = {}};
    };
    CHECK(!openai.take(event(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})")));
    CHECK(openai.take(event(R"({"choices":[{"delta":{"content":"[N:0]"}}]})")));
    stream_judge anthropic{api::anthropic_messages, "N"};
    CHECK(!anthropic.take(event(R"({"type":"message_start","message":{"content":[]}})")));
    CHECK(anthropic.take(event(R"({"type":"content_block_delta","delta":{"type":"text_delta","text":"[N:0]"}})")));
}

} // namespace evenkeel::test::judge_test

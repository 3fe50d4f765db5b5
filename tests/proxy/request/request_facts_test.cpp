#include "proxy/message/block.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/wire/gate.hpp"
#include "tests/proxy/request/flow_fixture.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <string>

namespace evenkeel::test::request_facts_test {

namespace {
// A request as the gate reads it, whose body is here; `fact` is asked while it lives.
struct asked {
    fixture f;
    std::string text;
    wire::request_head head;
    std::unique_ptr<request::client_request> request;

    const request::request_facts& of(const std::string& path, const std::string& fields, const std::string& body,
                                     config::dialect_setting speaks = config::dialect_setting::automatic) {
        text = "POST " + path + " HTTP/1.1\r\nHost: h\r\n" + fields + "Content-Length: " + std::to_string(body.size()) +
               "\r\n\r\n";
        std::size_t scanned = 0;
        REQUIRE(wire::read_request_head(text, {.max_head_bytes = text.size()}, scanned, head).is ==
                wire::head_result::state::complete);
        auto upstream = std::make_shared<config::upstream>(*f.route->upstreams.front());
        upstream->dialect = speaks;
        auto route = std::make_shared<config::route>(*f.route);
        route->upstreams = {upstream};
        request = std::make_unique<request::client_request>(request::incoming{.settings = f.settings, .head = &head},
                                                            f.loop, f.services.buffers);
        request->route = route;
        request->body.begin_whole(head.body, request::copy_to_block(f.services.buffers, body));
        return request->facts;
    }
};

constexpr const char* chat = "/v1/chat/completions";
} // namespace

TEST_CASE("whether a stream is wanted is one fact: of the answer, of its latency, of its client's patience") {
    const std::string filler(40'000, 'x');
    const std::string messages = R"("messages":[{"role":"user","content":")" + filler + R"("}])";
    struct row {
        const char* why;
        std::string path, fields, body;
        bool stream, events;
        config::dialect_setting speaks = config::dialect_setting::automatic;
    };
    const row rows[] = {
        {"not asked for", chat, "", R"({"model":"m"})", false, false},
        {"asked for", chat, "", R"({"model":"m","stream":true})", true, true},
        {"asked not to", chat, "", R"({"model":"m","stream":false})", false, false},
        {"the last one counts", chat, "", R"({"stream":true,"stream":false})", false, false},
        {"the last one counts, too", chat, "", R"({"stream":false,"stream":true})", true, true},
        {"another member's", chat, "", R"({"tools":[{"stream":true}]})", false, false},
        {"of a string", chat, "", R"({"a":"\"stream\":true"})", false, false},
        {"blanks in front of colons", chat, "", R"({ "model" : "m", "stream" : true })", true, true},
        {"... of some", chat, "", R"({"model":"m", "stream" : true, "a":"{\"b\":1}"})", true, true},
        {"a member without a word of it", chat, "", R"({"stream":null})", false, false},
        {"... behind one with", chat, "", R"({"stream":true,"stream":1})", false, false},
        {"a text", chat, "", R"({"a":["stream", true],"stream" : true})", true, true},
        {"Accept", chat, "Accept: text/event-stream\r\n", "{}", true, true},
        {"by name", "/v1beta/models/m:streamGenerateContent", "", "{}", true, false},
        {"by name, as events", "/v1beta/models/m:streamGenerateContent?alt=sse", "", "{}", true, true},
        {"Ollama streams unless told not to", "/api/chat", "", R"({"model":"m"})", true, false},
        {"... and is told", "/api/chat", "", R"({"model":"m","stream":false})", false, false},
        {"... by its own member", "/api/chat", "", R"({"options":{"stream":false}})", true, false},
        {"taken back for another", chat, "", R"({"stream":true,"options":{"stream":false}})", true, true},
        {"its other calls do not", "/api/embed", "", R"({"model":"m"})", false, false},
        {"... none of them", "/api/show", "", R"({"model":"m"})", false, false},
        {"nor what it speaks for others", chat, "", R"({"model":"m"})", false, false, config::dialect_setting::ollama},
        {"... unless asked", chat, "", R"({"stream":true})", true, false, config::dialect_setting::ollama},
        {"a dialect that is configured", "/any", "", R"({"model":"m"})", true, false, config::dialect_setting::ollama},
        {"far behind", chat, "", "{" + messages + R"(,"stream":true})", true, true},
        {"between long texts", chat, "", "{" + messages + R"(,"stream":true,)" + messages + "}", true, true},
        {"nowhere in a long body", chat, "", "{" + messages + "}", false, false},
        {"another member's, far behind", chat, "", "{" + messages + R"(,"tools":[{"stream":true}]})", false, false},
        {"... in front", chat, "", R"({"tools":[{"stream":true}],)" + messages + "}", false, false},
        {"... in between", chat, "", "{" + messages + R"(,"tools":[{"stream":true}],)" + messages + "}", false, false},
        {"taken back far behind", chat, "", R"({"stream":true,)" + messages + R"(,"stream":false})", false, false},
    };
    asked made;
    for (const row& one : rows) {
        CAPTURE(one.why);
        const request::request_facts& facts = made.of(one.path, one.fields, one.body, one.speaks);
        CHECK(facts.wants_stream() == one.stream);
        CHECK(facts.shape().stream == one.stream);
        CHECK(facts.wants_events() == one.events);
    }
}

TEST_CASE("what is seen from the ends of a body is what parsing it says") {
    std::mt19937 random(14);
    const auto draw = [&](std::size_t below) { return static_cast<std::size_t>(random() % below); };
    const std::string long_text(6'000, 'y');
    int sure = 0;
    for (int round = 0; round < 20'000; ++round) {
        CAPTURE(round);
        const auto member = [&](auto&& self, int depth) -> std::string {
            static constexpr const char* names[] = {"stream", "a", "stream_options", "\\\"stream\\\""};
            static constexpr const char* values[] = {"true", "false",       "null",
                                                     "1",    R"("stream")", R"("\"stream\":true")"};
            std::string value = values[draw(6)];
            if (const auto what = draw(depth > 3 ? 6 : 9); what == 6) {
                value = "[" + std::string{values[draw(6)]} + ",{" + self(self, depth + 1) + "}]";
            } else if (what == 7) {
                value = "{" + self(self, depth + 1) + "," + self(self, depth + 1) + "}";
            } else if (what == 8) {
                value = "\"" + long_text + "\"";
            }
            const char* const blanks[] = {"", " ", "\n\t"};
            return "\"" + std::string{names[draw(4)]} + "\"" + blanks[draw(3)] + ":" + blanks[draw(3)] + value;
        };
        std::string body = "{" + member(member, 0);
        for (std::size_t more = draw(5); more > 0; --more) body += "," + member(member, 0);
        body += "}";
        const wire::json_members parsed = wire::find_members(body);
        REQUIRE(parsed.is_object);
        const request::stream_member seen = request::find_stream(body);
        if (!seen.sure) continue;
        ++sure;
        REQUIRE(seen.says == parsed.stream);
    }
    CHECK(sure > 15'000);
}

TEST_CASE("what stands in a body that is still coming is read again when more of it is here") {
    struct row {
        const char* path;
        const char* body;
        bool stream;
    };
    for (const row& one :
         {row{chat, R"({"model":"m","stream":true})", true}, row{"/api/chat", R"({"model":"m","stream":false})", false},
          row{"/api/chat", R"({"model":"m"})", true}}) {
        CAPTURE(one.body);
        asked made;
        static_cast<void>(made.of(one.path, "", ""));
        scripted_client client{made.f.loop};
        const auto stream = client.connect();
        request::io_buffer input(made.f.services.buffers);
        made.text = std::string{"POST "} + one.path +
                    " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(std::string_view{one.body}.size()) +
                    "\r\n\r\n";
        std::size_t scanned = 0;
        REQUIRE(wire::read_request_head(made.text, {.max_head_bytes = 999}, scanned, made.head).is ==
                wire::head_result::state::complete);
        request::client_request request({.settings = made.f.settings, .head = &made.head}, made.f.loop, *stream, input,
                                        made.f.services.buffers);
        request.route = made.f.route;
        request.body.begin(made.head.body, {.max_body = 1000, .max_held = 1000}, false);
        CHECK_FALSE(request.facts.wants_stream()); // nobody knows yet
        CHECK_FALSE(request.facts.members().is_object);
        client.send(one.body);
        made.f.loop.nursery().spawn([](request::client_request& of) -> net::task<void> {
            static_cast<void>(co_await of.body.read_whole(1000));
        }(request));
        made.f.loop.run_virtual(made.f.loop.now());
        REQUIRE(request.body.whole());
        CHECK(request.facts.wants_stream() == one.stream);
        CHECK(request.facts.shape().stream == one.stream);
        CHECK(request.facts.members().model == "m");
        request.body.let_go();
        CHECK(request.facts.wants_stream() == one.stream); // it stands, whether the body is there or not
        CHECK(request.facts.members().model == "m");
    }
}

} // namespace evenkeel::test::request_facts_test

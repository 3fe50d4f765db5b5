// Buffered requests that go upstream as streams (stream.upcast), on the whole path of a request in virtual time.

#include "tests/proxy/request/flow_fixture.hpp"

#include <boost/json.hpp>

#include <string>
#include <vector>

namespace evenkeel::test::upcast_flow_test {

using telemetry::upcast_result;
namespace json = boost::json;

namespace {
const std::string asked = R"({"model":"m","messages":[]})";
const std::string asked_as_stream =
    R"({"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}})";
const std::string plain =
    R"({"id":"plain","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",)"
    R"("content":"plain"},"finish_reason":"stop"}]})";
const std::string last = "0\r\n\r\n";

std::string chunk_of(const std::string& choice, const std::string& more = "") {
    return R"(data: {"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[)" + choice + "]" +
           more + "}\n\n";
}
std::string text(const std::string& what, const std::string& more = "") {
    return chunk_of(R"({"index":0,"delta":{"role":"assistant","content":")" + what + "\"},\"finish_reason\":null}",
                    more);
}
const std::string finish = chunk_of(R"({"index":0,"delta":{},"finish_reason":"stop"})");
const std::string tokens = chunk_of("", R"(,"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3})");
const std::string ending = finish + tokens + "data: [DONE]\n\n";
const std::string sse_head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: "
                             "no-cache\r\nX-Accel-Buffering: no\r\n"
                             "X-Request-Id: req_1\r\nOpenAI-Processing-Ms: 12\r\nTransfer-Encoding: chunked\r\n\r\n";
std::string whole(const std::string& events) { return sse_head + chunk(events) + last; }
std::string json_answer(const std::string& body = plain) {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}
const std::string answer =
    R"({"id":"c","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,)"
    R"("message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,)"
    R"("completion_tokens":2,"total_tokens":3}})";

struct counting : telemetry::observer {
    std::vector<upcast_result> ended;
    std::vector<std::string> excluded;
    std::vector<telemetry::attempt_kind> kinds;
    std::vector<attempt_result> attempts;
    std::vector<bool> upcast, streams;
    void attempt_finished(const telemetry::attempt_record& record) noexcept override {
        kinds.push_back(record.kind);
        attempts.push_back(record.result);
    }
    void request_finished(const telemetry::request_account& record) noexcept override {
        upcast.push_back(record.upcast);
        streams.push_back(record.stream);
    }
    void request_event(const telemetry::event_origin&, const telemetry::any_happening& what) noexcept override {
        if (const auto* ended_upcast = std::get_if<telemetry::happened::upcast>(&what))
            ended.push_back(ended_upcast->how);
    }
    void endpoint_changed(const telemetry::event_origin& of,
                          const telemetry::any_endpoint_change& what) noexcept override {
        if (const auto* model = std::get_if<telemetry::upcast_excluded>(&what))
            excluded.push_back(of.upstream->name + ' ' + std::string{to_string(model->why)} + ' ' +
                               std::string{model->what});
    }
};

struct upcasting : fixture {
    counting told;
    request::worker_services listened{loop, upstream, told, memory, [] { return std::string{"{}"}; }};
    request::connection_context listening{.services = listened, .settings = {}, .policies = {}, .id_seed = 1};
    std::vector<std::unique_ptr<scripted_client>> clients;
    request::virtual_end listened_end{listened};

    upcasting() {
        route->retry.max_retries = 2;
        route->retry.backoff = {.initial = 1s, .max = 4s, .base = 2, .jitter = jitter::none};
        route->stream.upcast = true;
        route->timeout.stream_idle = 20s;
        route->timeout.total = 200s;
    }
    void use() { listening.use(settings, registry.prepare(*settings)); }
    void play(std::vector<play_step> steps, const std::string& wanted = asked_as_stream) {
        exchange_script script{.steps = {play::request{wanted.size()}}};
        for (auto& step : steps) script.steps.push_back(std::move(step));
        upstream.next(std::move(script));
    }
    scripted_client& ask(const std::string& body = asked, const std::string& fields = "",
                         const std::string& path = "/v1/chat/completions") {
        if (!listening.settings) use();
        scripted_client& one = *clients.emplace_back(std::make_unique<scripted_client>(loop));
        loop.nursery().spawn(
            request::client_connection::run(std::make_unique<request::client_connection>(listening, one.connect())));
        one.send("POST " + path + " HTTP/1.1\r\nHost: h\r\n" + fields +
                 "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
        loop.run_virtual(loop.now());
        return one;
    }
    std::string sent(std::size_t at) { // the body of a request as the upstream got it
        const std::string& all = upstream.exchanges().at(at)->written;
        return all.substr(all.find("\r\n\r\n") + 4);
    }
    void over() {
        for (auto& one : clients) one->leave();
        pass(everything_over);
        CHECK(loop.nursery().size() == 0);
        CHECK(loop.timers().armed() == 0);
        CHECK(upstream.open_now() == 0);
        CHECK(memory.used() == 0);
        expect_no_policy_holds();
    }
};

std::string body_of(const scripted_client& client) {
    const std::string& all = client.received();
    const std::size_t at = all.find("\r\n\r\n");
    return at == std::string::npos ? std::string{} : all.substr(at + 4);
}
bool gives(const scripted_client& client, const std::string& body) {
    return has(client.received(), "HTTP/1.1 200 ") && has(client.received(), "ontent-") && body_of(client) == body;
}
} // namespace

TEST_CASE(
    "upcast: asked for as a stream, put together, and given as JSON of known length with the provider's own fields") {
    upcasting f;
    f.play({play::send{sse_head + chunk(text("Hel"))}, play::pause{3s}, play::send{chunk(text("lo"))}, play::pause{3s},
            play::send{chunk(ending) + last}});
    scripted_client& client = f.ask(asked, "Accept: application/json\r\nAccept-Encoding: gzip\r\nX-Kept: yes\r\n");
    f.pass(5s);
    CHECK(client.received().empty());
    f.pass(2s);
    CHECK(f.sent(0) == asked_as_stream);
    const std::string& head = f.upstream.exchanges()[0]->written;
    CHECK(has(head, "accept-encoding: identity\r\n"));
    CHECK(!has(head, "gzip"));
    CHECK(has(head, "X-Kept: yes\r\n"));
    CHECK(body_of(client) == answer);
    CHECK(has(client.received(), "content-type: application/json\r\n"));
    CHECK(has(client.received(), "content-length: " + std::to_string(answer.size()) + "\r\n"));
    CHECK(has(client.received(), "X-Request-Id: req_1\r\n"));
    CHECK(has(client.received(), "OpenAI-Processing-Ms: 12\r\n"));
    for (const char* gone : {"event-stream", "Cache-Control", "Accel", "chunked"}) CHECK(!has(client.received(), gone));
    CHECK(has(client.received(), "x-evenkeel-attempts: 1\r\n"));
    CHECK(has(client.received(), "x-evenkeel-outcome: ok\r\n"));
    CHECK(f.told.ended == std::vector{upcast_result::assembled});
    CHECK(f.told.upcast == std::vector{true});
    CHECK(f.told.streams == std::vector{false});
    CHECK(f.told.attempts == std::vector{attempt_result::success});
    f.over();
}

TEST_CASE("upcast: Anthropic's messages") {
    upcasting f;
    const std::string wanted = R"({"model":"m","max_tokens":9,"messages":[],"stream":true})";
    const auto event = [](const std::string& type, const std::string& more) {
        return "event: " + type + "\ndata: {\"type\":\"" + type + "\"" + more + "}\n\n";
    };
    f.play({play::send{
               whole(event("message_start",
                           R"(,"message":{"id":"msg","type":"message","role":"assistant","content":[],"model":"c",)"
                           R"("stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":1}})") +
                     event("content_block_start", R"(,"index":0,"content_block":{"type":"text","text":""})") +
                     event("ping", "") +
                     event("content_block_delta", R"(,"index":0,"delta":{"type":"text_delta","text":"Hi"})") +
                     event("content_block_stop", R"(,"index":0)") +
                     event("message_delta",
                           R"(,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5})") +
                     event("message_stop", ""))}},
           wanted);
    const scripted_client& client = f.ask(R"({"model":"m","max_tokens":9,"messages":[]})", "", "/v1/messages");
    CHECK(f.sent(0) == wanted);
    CHECK(json::parse(body_of(client)) ==
          json::parse(
              R"({"id":"msg","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"Hi"}],)"
              R"("stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":3,"output_tokens":5}})"));
    f.over();
}

TEST_CASE("upcast: a field that is not known falls back unseen, and the model's next request goes as it is") {
    for (const std::string& first :
         {text("Hel", R"(,"x_groq":{"id":"r"})"), text("Hel") + text("lo", R"(,"x_groq":{"id":"r"})")}) {
        upcasting g;
        g.play({play::send{sse_head + chunk(first)}, play::silence{}});
        g.play({play::pause{30s}, play::send{json_answer()}}, asked);
        const scripted_client& client = g.ask();
        g.pass(40s);
        CHECK(gives(client, plain));
        CHECK(has(client.received(), "x-evenkeel-attempts: 2\r\n")); // requests made, as with a stale connection
        CHECK(has(client.received(), "x-evenkeel-outcome: ok\r\n"));
        CHECK(g.upstream.exchanges().size() == 2);
        CHECK(g.sent(1) == asked);
        CHECK(g.told.ended == std::vector{upcast_result::unknown_field});
        CHECK(g.told.excluded == std::vector<std::string>{"provider unknown_field x_groq"});
        CHECK(g.told.kinds == std::vector{telemetry::attempt_kind::first, telemetry::attempt_kind::plain_retry});
        CHECK(g.told.attempts == std::vector{attempt_result::cancelled, attempt_result::success});
        CHECK(g.told.upcast == std::vector{false});

        g.play({play::send{json_answer()}}, asked);
        CHECK(gives(g.ask(), plain));
        CHECK(g.upstream.exchanges().size() == 3);
        CHECK(g.sent(2) == asked);

        const std::string other =
            R"({"model":"other","messages":[],"stream":true,"stream_options":{"include_usage":true}})";
        g.play({play::send{whole(text("Hello") + ending)}}, other);
        CHECK(gives(g.ask(R"({"model":"other","messages":[]})"), answer));

        g.pass(request::upcast_memory::remembered); // forgotten
        g.play({play::send{whole(text("Hello") + ending)}});
        CHECK(gives(g.ask(), answer));
        g.over();
    }
}

TEST_CASE("upcast: a reload forgets which models are excluded") {
    upcasting f;
    f.play({play::send{whole(text("x", R"(,"x_groq":{"id":"r"})"))}});
    f.play({play::send{json_answer()}}, asked);
    CHECK(gives(f.ask(), plain));
    f.use();
    f.play({play::send{whole(text("Hello") + ending)}});
    CHECK(gives(f.ask(), answer));
    f.over();
}

TEST_CASE("upcast: the repetition is no extra attempt: it needs neither max_retries nor the budget, and may fail and "
          "be retried itself") {
    upcasting f;
    f.route->retry.max_retries = 1;
    f.play({play::send{whole(text("x", R"(,"x_groq":{"id":"r"})"))}});
    f.play({play::send{status_answer(500)}}, asked);
    f.play({play::send{json_answer()}}, asked);
    const scripted_client& client = f.ask();
    f.pass(5s);
    CHECK(gives(client, plain));
    CHECK(has(client.received(), "x-evenkeel-attempts: 3\r\n"));
    CHECK(has(client.received(), "x-evenkeel-outcome: retried\r\n"));
    f.over();

    upcasting g; // the last attempt that may be made
    g.route->retry.max_retries = 1;
    g.play({play::send{status_answer(500)}});
    g.play({play::send{whole(text("x", R"(,"x_groq":{"id":"r"})"))}});
    g.play({play::send{json_answer()}}, asked);
    const scripted_client& other = g.ask();
    g.pass(5s);
    CHECK(gives(other, plain));
    g.over();
}

TEST_CASE("upcast: what breaks behind content is retried unseen: cut, reset, silence, error, no end") {
    struct row {
        const char* what;
        std::vector<play_step> steps;
        attempt_result result;
    };
    const std::string half = sse_head + chunk(text("Hel"));
    for (const row& one :
         {row{"FIN", {play::send{half}, play::end{}}, attempt_result::reset},
          row{"reset", {play::send{half}, play::pause{1s}, play::reset{}}, attempt_result::reset},
          row{"silence", {play::send{half}, play::silence{}}, attempt_result::timeout},
          row{"an error in the stream", {play::send{half + chunk(error_event) + last}}, attempt_result::stream_error},
          row{"an end without a finish reason", {play::send{half + last}}, attempt_result::reset},
          row{"cut in front of the usage", {play::send{half + chunk(finish)}, play::end{}}, attempt_result::reset},
          row{"silent in front of the usage",
              {play::send{half + chunk(finish)}, play::silence{}},
              attempt_result::timeout},
          row{"bad framing", {play::send{half + "zz\r\n"}}, attempt_result::protocol_error}}) {
        CAPTURE(one.what);
        upcasting f;
        f.play(one.steps);
        f.play({play::send{whole(text("Hello") + ending)}});
        const scripted_client& client = f.ask();
        f.pass(30s);
        CHECK(gives(client, answer));
        CHECK(has(client.received(), "x-evenkeel-attempts: 2\r\n"));
        CHECK(has(client.received(), "x-evenkeel-outcome: retried\r\n"));
        REQUIRE(f.told.attempts.size() == 2);
        CHECK(f.told.attempts[0] == one.result);
        CHECK(f.told.excluded.empty());
        f.over();
    }
}

TEST_CASE("upcast: the last attempt is held as well: a broken one is an error, never half an answer") {
    upcasting f;
    f.route->retry.max_retries = 1;
    for (int i = 0; i < 2; ++i) f.play({play::send{sse_head + chunk(text("Hel"))}, play::reset{}});
    const scripted_client& client = f.ask();
    f.pass(10s);
    CHECK(client.received().starts_with("HTTP/1.1 502 "));
    CHECK(has(client.received(), "upstream_connection_lost"));
    CHECK(!has(client.received(), "Hel\""));
    f.over();
}

TEST_CASE(
    "upcast: everything said and only the connection's end bad is an answer; one that never ends is not waited for") {
    for (const play_step& end : {play_step{play::reset{}}, play_step{play::silence{}}}) {
        upcasting f;
        f.play({play::send{sse_head + chunk(text("Hello") + ending)}, end});
        const scripted_client& client = f.ask();
        f.pass(3s);
        CHECK(gives(client, answer));
        CHECK(f.told.attempts == std::vector{attempt_result::success});
        f.over();
    }
}

TEST_CASE("upcast: a hedge goes by the first token: a silent one is hedged, one that speaks is left to its end") {
    for (const bool speaks : {false, true}) {
        CAPTURE(speaks);
        upcasting f;
        f.route->hedge.on = true;
        f.route->hedge.delay = hedge_options::delay_kind::fixed;
        f.route->hedge.fixed = 2s;
        f.route->hedge.max_hedges = 1;
        f.route->hedge.target = hedge_target::any;
        if (speaks) {
            f.play({play::send{sse_head}, play::pause{1s}, play::send{chunk(text("Hel"))}, play::pause{15s},
                    play::send{chunk(text("lo") + ending) + last}});
        } else {
            f.play({play::send{sse_head}, play::silence{}});
            f.play({play::send{sse_head}, play::pause{500ms}, play::send{chunk(text("Hel"))}, play::pause{10s},
                    play::send{chunk(text("lo") + ending) + last}});
        }
        const scripted_client& client = f.ask();
        f.pass(1900ms);
        CHECK(f.upstream.exchanges().size() == 1);
        f.pass(1s); // 2.9 s; the whole answer takes longer than 12 s in either case
        CHECK(f.upstream.exchanges().size() == (speaks ? 1 : 2));
        CHECK(f.upstream.exchanges()[0]->closed == !speaks);
        f.pass(20s);
        CHECK(gives(client, answer));
        CHECK(has(client.received(), speaks ? "x-evenkeel-outcome: ok\r\n" : "x-evenkeel-outcome: hedged\r\n"));
        f.over();
    }
}

TEST_CASE("upcast: an attempt timeout is over with the first token") {
    upcasting f;
    f.route->timeout.attempt = 5s;
    f.play(
        {play::send{sse_head + chunk(text("Hel"))}, play::pause{15s}, play::send{chunk(text("lo") + ending) + last}});
    const scripted_client& client = f.ask();
    f.pass(20s);
    CHECK(gives(client, answer));
    CHECK(f.upstream.exchanges().size() == 1);
    f.over();
}

TEST_CASE("upcast: errors pass as they are, but for those that speak of the stream") {
    upcasting f;
    const std::string bad = status_answer(400, "", R"({"error":{"message":"unknown model"}})");
    f.play({play::send{bad}});
    const scripted_client& client = f.ask();
    CHECK(client.received().starts_with("HTTP/1.1 400 "));
    CHECK(has(client.received(), "unknown model"));
    CHECK(f.upstream.exchanges().size() == 1);
    CHECK(f.told.ended.empty());

    for (const char* refusal :
         {R"({"error":{"message":"Your organization must be verified to stream this model.","param":"stream"}})",
          R"({"detail":"extra field: stream_options"})"}) {
        upcasting g;
        g.play({play::send{status_answer(400, "", refusal)}});
        g.play({play::send{json_answer()}}, asked);
        CHECK(gives(g.ask(), plain));
        CHECK(g.told.ended == std::vector{upcast_result::refused});
        CHECK(g.told.excluded.size() == 1);
        CHECK(g.told.attempts == std::vector{attempt_result::caller_error, attempt_result::success});
        g.over();
    }
    f.over();
}

TEST_CASE("upcast: an answer in one piece passes as it is") {
    upcasting f;
    f.play({play::send{json_answer()}});
    const scripted_client& client = f.ask();
    CHECK(gives(client, plain));
    CHECK(f.told.ended == std::vector{upcast_result::not_streamed});
    CHECK(f.told.upcast == std::vector{false});
    f.over();
}

TEST_CASE("upcast: more than may be held is asked for again as it is, and excludes nothing") {
    for (const bool by_memory : {false, true}) {
        CAPTURE(by_memory);
        upcasting f;
        if (!by_memory) f.route->stream.hold_buffer = 1024;
        std::string much;
        for (int i = 0; i < 300; ++i) much += text("word ");
        f.play(
            {play::send{sse_head + chunk(text("Hello"))}, play::pause{1s}, play::send{chunk(much)}, play::silence{}});
        f.play({play::send{json_answer()}}, asked);
        const scripted_client& client = f.ask();
        if (by_memory) f.memory.set_limit(f.memory.used() + 100);
        f.pass(2s);
        CHECK(gives(client, plain));
        CHECK(f.told.ended == std::vector{upcast_result::too_large});
        CHECK(f.told.excluded.empty());
        f.memory.set_limit(UINT64_MAX);
        f.play({play::send{whole(text("Hello") + ending)}});
        CHECK(gives(f.ask(), answer));
        f.over();
    }
}

TEST_CASE("upcast: an answer that is short is held although its events are many times as long") {
    upcasting f;
    f.route->stream.hold_buffer = 4096;
    std::string events, said;
    for (int i = 0; i < 500; ++i) {
        events += text("ab");
        said += "ab";
    }
    f.play({play::send{whole(events + ending)}});
    const scripted_client& client = f.ask();
    REQUIRE(events.size() > 10 * f.route->stream.hold_buffer);
    CHECK(has(body_of(client), "\"content\":\"" + said + '"'));
    f.over();
}

TEST_CASE("B12, D9: halves of a pair and vacant members are no obstacle; Python's numbers cost one plain repetition") {
    upcasting f;
    f.play({play::send{whole(text("a\\ud83d", R"(,"prompt_token_ids":null)") + text("\\ude00b") + ending)}});
    const scripted_client& client = f.ask();
    CHECK(has(body_of(client), R"("content":"a\ud83d\ude00b")"));
    CHECK(!has(body_of(client), "prompt_token_ids"));
    CHECK(f.told.ended == std::vector{upcast_result::assembled});
    CHECK(f.told.excluded.empty());
    f.play({play::send{whole(text("x", R"(,"score":NaN)") + ending)}});
    f.play({play::send{json_answer()}}, asked);
    CHECK(gives(f.ask(), plain));
    CHECK(f.upstream.exchanges().size() == 3);
    f.over();
}

TEST_CASE("upcast: a stream compressed in an unknown way, or one without usage, is asked for again as it is") {
    struct row {
        std::string answer;
        upcast_result how;
    };
    for (const row& one : {row{"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: "
                               "br\r\nTransfer-Encoding: chunked\r\n\r\n" +
                                   chunk("xyz") + last,
                               upcast_result::unknown_field},
                           row{whole(text("Hello") + finish + "data: [DONE]\n\n"), upcast_result::incomplete}}) {
        upcasting f;
        f.play({play::send{one.answer}});
        f.play({play::send{json_answer()}}, asked);
        CHECK(gives(f.ask(), plain));
        CHECK(f.told.ended == std::vector{one.how});
        CHECK(f.told.excluded.size() == 1);
        f.over();
    }
}

TEST_CASE("upcast: a request goes as it is where its stream would not say the same, where it may not be repeated, and "
          "for streams") {
    struct row {
        const char* what;
        std::string body, fields, path;
    };
    const std::string chat = "/v1/chat/completions";
    for (const row& one : {row{"two answers", R"({"model":"m","n":2})", "", chat},
                           row{"log probabilities", R"({"model":"m","logprobs":true})", "", chat},
                           row{"a stream", R"({"model":"m","stream":true})", "", chat},
                           row{"events accepted", R"({"model":"m"})", "Accept: text/event-stream\r\n", chat},
                           row{"embeddings", R"({"model":"m"})", "", "/v1/embeddings"},
                           row{"a key of its own", R"({"model":"m"})", "Idempotency-Key: k\r\n", chat}}) {
        CAPTURE(one.what);
        upcasting f;
        f.play({play::send{json_answer()}}, one.body);
        CHECK(gives(f.ask(one.body, one.fields, one.path), plain));
        CHECK(f.sent(0) == one.body);
        CHECK(f.told.ended.empty());
        f.over();
    }
}

TEST_CASE("upcast: a renamed model is renamed in the stream, and in the repetition") {
    upcasting f;
    f.provider->models = {{"m", "big-model"}};
    const std::string renamed =
        R"({"model":"big-model","messages":[],"stream":true,"stream_options":{"include_usage":true}})";
    f.play({play::send{whole(text("Hello") + ending)}}, renamed);
    CHECK(gives(f.ask(), answer));
    CHECK(f.sent(0) == renamed);
    f.play({play::send{whole(text("x", R"(,"x_groq":{"id":"r"})"))}}, renamed);
    f.play({play::send{json_answer()}}, R"({"model":"big-model","messages":[]})");
    CHECK(gives(f.ask(), plain));
    CHECK(f.sent(2) == R"({"model":"big-model","messages":[]})");
    f.over();
}

TEST_CASE("upcast: a body that takes a while to send is not lost when the answer comes first") {
    upcasting f;
    const std::string big =
        R"({"model":"m","messages":[{"role":"user","content":")" + std::string(200 * 1024, 'x') + "\"}]}";
    exchange_script stalled{
        .steps = {play::send{sse_head + chunk(text("x", R"(,"x_groq":{"id":"r"})"))}, play::silence{}}};
    stalled.writes_stall = true;
    f.upstream.next(std::move(stalled));
    f.play({play::send{json_answer()}}, big);
    CHECK(gives(f.ask(big), plain));
    CHECK(f.sent(1) == big);
    f.over();
}

TEST_CASE("upcast: a client that leaves ends it at once") {
    upcasting f;
    f.play({play::send{sse_head + chunk(text("Hel"))}, play::silence{}});
    f.ask();
    f.pass(1s);
    f.clients[0]->leave();
    f.pass(100ms);
    CHECK(f.upstream.open_now() == 0);
    f.over();
}

TEST_CASE("upcast: excluded models are bounded in number, and the longest excluded makes room") {
    request::upcast_memory memory;
    CHECK_FALSE(memory.excludes("u", "m", start));
    CHECK(memory.exclude("u", "m", start));
    CHECK_FALSE(memory.exclude("u", "m", start + 1s));
    CHECK(memory.excludes("u", "m", start + 1s + request::upcast_memory::remembered - 1ns));
    CHECK_FALSE(memory.excludes("u", "m", start + 1s + request::upcast_memory::remembered));
    CHECK_FALSE(memory.excludes("v", "m", start));
    for (std::size_t i = 0; i < request::upcast_memory::most; ++i) memory.exclude("u", std::to_string(i), start + 2s);
    CHECK_FALSE(memory.excludes("u", "m", start + 3s));
    CHECK(memory.excludes("u", "1", start + 3s));
}

} // namespace evenkeel::test::upcast_flow_test

// Fan-out routes in virtual time: two phases of an analysis, each on a route and an upstream of its own, and one
// request for both.

#include "tests/proxy/request/flow_fixture.hpp"

#include <deque>
#include <map>
#include <memory>
#include <random>

namespace evenkeel::test::fan_out_test {

namespace {

const std::string canary = "sk-canary-5d1f";

std::string asking(const std::string& body, const std::string& fields = "") {
    return "POST /analyze/complete?k=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + canary + "\r\n" +
           fields + "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           body;
}
const std::string accept_events = "Accept: text/event-stream\r\n";

std::string json_answer(const std::string& body, const std::string& type = "application/json") {
    return "HTTP/1.1 200 OK\r\nContent-Type: " + type + "\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
}
exchange_script after(duration length, std::string bytes, std::size_t body = 2) {
    return {.steps = {play::request{body}, play::pause{length}, play::send{std::move(bytes)}}};
}
exchange_script silent(std::size_t body = 2) { return {.steps = {play::request{body}, play::silence{}}}; }

struct fan : fixture {
    std::shared_ptr<config::upstream> one = std::make_shared<config::upstream>(*provider);
    std::shared_ptr<config::upstream> two = std::make_shared<config::upstream>(*provider);
    std::shared_ptr<config::route> phase1, phase2, complete = std::make_shared<config::route>();
    std::map<std::string, std::deque<exchange_script>, std::less<>> scripts; // by upstream; none left: refused

    fan() {
        one->name = "one";
        two->name = "two";
        phase1 = part("phase1", one);
        phase2 = part("phase2", two);
        complete->name = "complete";
        complete->match.path = "/analyze/complete";
        complete->serves = config::route_serves::fan_out;
        complete->fan_out.parts = {"phase1", "phase2"};
        settings->routes = {phase1, phase2, complete};
        settings->upstreams = {one, two};
        upstream.choose([this](const config::upstream& to, std::size_t) {
            auto& queue = scripts[to.name];
            if (queue.empty()) {
                return exchange_script{
                    .connect_failure = net::transport_error{
                        net::transport_error::kind::refused, "connection_refused", 502, {}, "refused"}};
            }
            auto next = std::move(queue.front());
            queue.pop_front();
            return next;
        });
    }
    std::shared_ptr<config::route> part(const std::string& name, const std::shared_ptr<config::upstream>& at) {
        auto made = std::make_shared<config::route>();
        made->name = name;
        made->match.path = "/analyze/" + name;
        made->upstreams = {at};
        made->rewrite = {config::path_rewrite::kind::whole, "/v1/chat/completions"};
        made->retry.max_retries = 0;
        return made;
    }
    void script(const std::string& name, exchange_script play) { scripts[name].push_back(std::move(play)); }
    const exchange_log& to(const std::string& name) {
        for (const auto& each : upstream.exchanges()) {
            if (each->upstream == name) return *each;
        }
        throw std::runtime_error("nothing was opened to " + name);
    }
    void ask(const std::string& body = "{}", const std::string& fields = "") {
        connect();
        send(asking(body, fields));
    }
    std::string body() { return client.received().substr(client.received().find("\r\n\r\n") + 4); }
    // The events of a chunked answer, without its chunks.
    std::string events() {
        std::string out;
        const std::string all = body();
        for (std::size_t at = 0; at < all.size();) {
            const std::size_t size = std::stoul(all.substr(at), nullptr, 16);
            at = all.find("\r\n", at) + 2;
            out += all.substr(at, size);
            at += size + 2;
        }
        return out;
    }
    bool whole() { return body().ends_with("0\r\n\r\n"); }
    const listener::seen_request& record_of(const std::string& name) {
        for (const auto& each : seen.requests) {
            if (each.route == name) return each;
        }
        throw std::runtime_error("no record of " + name);
    }
};

} // namespace

TEST_CASE_FIXTURE(fan,
                  "what a part's head says is kept while its body comes, whoever uses the head's memory meanwhile") {
    const std::string text(40'000, 't');
    const std::string all = json_answer(text, "text/x-kept");
    script("one", {.steps = {play::request{2}, play::send{all.substr(0, 10'000)}, play::pause{1s},
                             play::send{all.substr(10'000, 20'000)}, play::pause{1s}, play::send{all.substr(30'000)}}});
    script("two", after(1s, json_answer(R"({"b":2})")));
    ask();
    std::vector<request::shared_bytes> others;
    for (int n = 0; n < 30; ++n) {
        pass(100ms);
        for (int i = 0; i < 8; ++i)
            others.push_back(request::copy_to_block(services.buffers, std::string(16'000, 'Z')));
    }
    CHECK(has(body(), R"("content_type":"text/x-kept")"));
    CHECK(has(body(), text));
    CHECK(record_of("phase1").status == 200);
    others.clear();
    expect_nothing_left();
}

TEST_CASE_FIXTURE(fan, "a fan-out asks its parts at the same time and takes as long as the slower one") {
    script("one", after(2s, json_answer(R"({"a":1})")));
    script("two", after(5s, json_answer(R"({"b": [2]})")));
    ask();

    CHECK(upstream.exchanges().size() == 2);
    pass(5s - 1ms);
    CHECK(client.received().empty());
    pass(1ms);
    CHECK(client.received().starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(body() == R"({"status":"complete","parts":{"phase1":{"status":200,"source":"live","body":{"a":1}},)"
                    R"("phase2":{"status":200,"source":"live","body":{"b": [2]}}},"missing":[]})");
    CHECK(has(client.received(), "x-evenkeel-route: complete\r\n"));
    CHECK(has(client.received(), "x-evenkeel-outcome: ok\r\n"));
    CHECK(has(client.received(), "x-evenkeel-attempts: 2\r\n"));
    CHECK_FALSE(has(client.received(), "x-evenkeel-degraded"));
    expect_nothing_left();
    CHECK(record_of("complete").attempts == 2);
    CHECK(record_of("complete").outcome == request_outcome::ok);
    CHECK(record_of("complete").parts ==
          R"({"phase1":{"status":200,"outcome":"ok","source":"live","attempts":1,"upstream":"one",)"
          R"("duration_s":2.000000},)"
          R"("phase2":{"status":200,"outcome":"ok","source":"live","attempts":1,"upstream":"two",)"
          R"("duration_s":5.000000}})");
    CHECK(record_of("phase1").part);
    CHECK(record_of("phase1").status == 200);
    CHECK_FALSE(record_of("complete").part);
}

TEST_CASE_FIXTURE(fan,
                  "each part is sent as a client of its own route would have sent it, with the caller's credential") {
    script("one", answering(json_answer("1")));
    script("two", answering(json_answer("2")));
    phase2->rewrite = {};
    phase2->headers.set = {{"x-phase", "two"}};
    ask("{}", "Accept-Encoding: gzip\r\nIdempotency-Key: abc\r\nX-Evenkeel-Timeout: 30\r\nX-Mine: yes\r\n");

    CHECK(to("one").written == "POST /v1/chat/completions?k=1 HTTP/1.1\r\nhost: api.example\r\nAuthorization: Bearer " +
                                   canary +
                                   "\r\nAccept-Encoding: identity\r\nIdempotency-Key: abc-phase1\r\nX-Mine: "
                                   "yes\r\nContent-Type: application/json\r\n"
                                   "content-length: 2\r\n\r\n{}");
    CHECK(has(to("two").written, "POST /analyze/phase2?k=1 HTTP/1.1\r\n"));
    CHECK(has(to("two").written, "Idempotency-Key: abc-phase2\r\n"));
    CHECK(has(to("two").written, "x-phase: two\r\n"));
    CHECK_FALSE(has(client.received(), canary));
    expect_nothing_left();
}

TEST_CASE("the body is split among the parts where it is an object of exactly them, and goes to each whole otherwise") {
    struct row {
        const char* name;
        config::fan_out_body how;
        std::string body, first, second; // empty: refused
    };
    using how = config::fan_out_body;
    const std::string members = R"({"phase1": {"x":1 , "n":1.0e2}, "phase2":[ "\u0041" ]})";
    const std::string twice = R"({"phase1":1,"phase1":2})";
    for (const row& each :
         {row{"one body for both", how::automatic, R"({"model":"m","messages":[]})", R"({"model":"m","messages":[]})",
              R"({"model":"m","messages":[]})"},
          row{"one member each, byte for byte", how::automatic, members, R"({"x":1 , "n":1.0e2})", R"([ "\u0041" ])"},
          row{"in any order", how::automatic, R"({"phase2":2,"phase1":1})", "1", "2"},
          row{"escaped names", how::automatic, R"({"ph\u0061se1":1,"phase2":"b"})", "1", R"("b")"},
          row{"a part is missing", how::automatic, R"({"phase1":1})", R"({"phase1":1})", R"({"phase1":1})"},
          row{"one too many", how::automatic, R"({"phase1":1,"phase2":2,"x":3})", R"({"phase1":1,"phase2":2,"x":3})",
              R"({"phase1":1,"phase2":2,"x":3})"},
          row{"one twice", how::automatic, twice, twice, twice},
          row{"no JSON", how::automatic, R"({"phase1":1,"phase2":2)", R"({"phase1":1,"phase2":2)",
              R"({"phase1":1,"phase2":2)"},
          row{"an array", how::automatic, "[1]", "[1]", "[1]"},
          row{"never split", how::same, members, members, members},
          row{"always split", how::split, members, R"({"x":1 , "n":1.0e2})", R"([ "\u0041" ])"},
          row{"always split, and cannot be", how::split, "{}", "", ""}}) {
        CAPTURE(each.name);
        fan f;
        f.complete->fan_out.body = each.how;
        f.script("one", answering(json_answer("1"), each.first.size()));
        f.script("two", answering(json_answer("2"), each.second.size()));
        f.ask(each.body);

        if (each.first.empty()) {
            CHECK(f.client.received().starts_with("HTTP/1.1 400 "));
            CHECK(has(f.client.received(), "body_not_split"));
            CHECK(f.upstream.exchanges().empty());
        } else {
            CHECK(f.to("one").written.ends_with("\r\n\r\n" + each.first));
            CHECK(has(f.to("one").written, "content-length: " + std::to_string(each.first.size()) + "\r\n"));
            CHECK(f.to("two").written.ends_with("\r\n\r\n" + each.second));
            CHECK(has(f.client.received(), R"("status":"complete")"));
        }
        f.expect_nothing_left();
    }
}

TEST_CASE_FIXTURE(fan, "with one phase dead the other's answer comes, labelled partial") {
    script("one", after(1s, json_answer(R"({"a":1})")));
    script("two", answering(status_answer(503)));
    ask();
    pass(1s);

    CHECK(client.received().starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(body() ==
          R"({"status":"partial","parts":{"phase1":{"status":200,"source":"live","body":{"a":1}},)"
          R"("phase2":{"status":503,"source":"live","body":{"error":{"message":"m"}}}},"missing":["phase2"]})");
    CHECK(has(client.received(), "x-evenkeel-degraded: partial; missing=phase2\r\n"));
    CHECK(has(client.received(), "x-evenkeel-outcome: degraded\r\n"));
    expect_nothing_left();
    CHECK(record_of("complete").service == telemetry::request_service::degraded);
    CHECK(record_of("complete").outcome == request_outcome::ok);
    CHECK(record_of("phase2").outcome == request_outcome::upstream_error);
}

TEST_CASE_FIXTURE(fan, "with both phases dead the whole is a 502 that says what each of them said") {
    script("one", answering(status_answer(500)));
    ask();

    CHECK(client.received().starts_with("HTTP/1.1 502 Bad Gateway\r\n"));
    CHECK(body().starts_with(
        R"({"status":"failed","parts":{"phase1":{"status":500,"source":"live","body":{"error":{"message":"m"}}},)"
        R"("phase2":{"status":502,)"));
    CHECK(body().ends_with(R"("missing":["phase1","phase2"]})"));
    CHECK(has(client.received(),
              "proxy-status: evenkeel; error=connection_refused; details=\"without an answer: phase1,phase2\"\r\n"));
    CHECK(has(client.received(), "x-evenkeel-outcome: proxy_error\r\n"));
    CHECK_FALSE(has(client.received(), "x-evenkeel-degraded"));
    CHECK_FALSE(has(client.received(), canary));
    expect_nothing_left();
    CHECK(record_of("complete").reason == "parts_failed");
    CHECK(record_of("complete").outcome == request_outcome::proxy_error);
}

TEST_CASE_FIXTURE(fan, "min_success says how many parts make a success") {
    complete->fan_out.min_success = 2;
    script("one", answering(json_answer("1")));
    script("two", answering(status_answer(500)));
    ask();

    CHECK(client.received().starts_with("HTTP/1.1 502 "));
    CHECK(body().starts_with(R"({"status":"failed","parts":{"phase1":{"status":200,"source":"live","body":1},)"));
    CHECK(body().ends_with(R"("missing":["phase2"]})"));
    expect_nothing_left();
}

TEST_CASE_FIXTURE(fan,
                  "a client that accepts events has each phase the moment it is over, and hears from us in between") {
    complete->stream.heartbeat = 2s;
    script("one", after(3s, json_answer("{\n  \"a\": 1\r\n}")));
    script("two", after(8500ms, json_answer("[2]")));
    ask("{}", accept_events + "Accept-Encoding: br\r\nX-Stainless-Read-Timeout: 5\r\n");

    CHECK(client.received().starts_with(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"));
    CHECK(has(client.received(), "x-evenkeel-route: complete\r\n"));
    CHECK_FALSE(has(client.received(), "x-evenkeel-outcome"));
    CHECK(has(to("one").written, "Accept: application/json\r\n"));
    CHECK_FALSE(has(to("one").written, "event-stream"));
    CHECK(events().empty());
    pass(3s - 1ms);
    CHECK(events() == ":\n");
    pass(1ms);
    const std::string first =
        ":\nevent: part\ndata: {\"part\":\"phase1\",\"status\":200,\"source\":\"live\",\"body\":{   \"a\": 1  }}\n\n";
    CHECK(events() == first);
    CHECK_FALSE(whole());
    pass(5500ms - 1ms);
    CHECK(events() == first + ":\n:\n");
    pass(1ms);
    CHECK(events() ==
          first + ":\n:\nevent: part\ndata: {\"part\":\"phase2\",\"status\":200,\"source\":\"live\",\"body\":[2]}\n\n"
                  "event: complete\ndata: {\"status\":\"complete\",\"missing\":[]}\n\n");
    CHECK(whole());
    CHECK(client.closed_by_proxy() == false);
    expect_nothing_left();
    CHECK(record_of("complete").parts != "");
    CHECK(record_of("complete").service == telemetry::request_service::ok);
}

TEST_CASE_FIXTURE(fan, "a progressive answer tells of a phase that failed, and how the whole went") {
    for (const bool both : {false, true}) {
        CAPTURE(both);
        fan f;
        f.script("one", after(1s, both ? status_answer(500) : json_answer("1")));
        f.script("two", after(2s, status_answer(503)));
        f.ask("{}", accept_events);
        f.pass(2s);

        CHECK(f.client.received().starts_with("HTTP/1.1 200 OK\r\n"));
        CHECK(has(
            f.events(),
            "data: "
            "{\"part\":\"phase2\",\"status\":503,\"source\":\"live\",\"body\":{\"error\":{\"message\":\"m\"}}}\n\n"));
        CHECK(f.events().ends_with(
            both ? "event: complete\ndata: {\"status\":\"failed\",\"missing\":[\"phase1\",\"phase2\"]}\n\n"
                 : "event: complete\ndata: {\"status\":\"partial\",\"missing\":[\"phase2\"]}\n\n"));
        CHECK(f.whole());
        f.expect_nothing_left();
        CHECK(f.record_of("complete").service ==
              (both ? telemetry::request_service::error : telemetry::request_service::degraded));
        CHECK(f.record_of("complete").outcome == (both ? request_outcome::proxy_error : request_outcome::ok));
        CHECK(f.record_of("complete").status == 200);
    }
}

TEST_CASE_FIXTURE(fan, "a progressive answer ends on the connection's end for a client that knows no chunks") {
    script("one", answering(json_answer("1")));
    script("two", answering(json_answer("2")));
    connect();
    send("POST /analyze/complete HTTP/1.0\r\nHost: h\r\nAccept: text/event-stream\r\nContent-Length: 2\r\n\r\n{}");

    CHECK(body().ends_with("event: complete\ndata: {\"status\":\"complete\",\"missing\":[]}\n\n"));
    CHECK(client.closed_by_proxy());
    expect_nothing_left();
}

TEST_CASE("a client that leaves ends all parts at once") {
    for (const std::string& fields : {std::string{}, accept_events}) {
        CAPTURE(fields);
        for (const duration when : {duration{0ms}, duration{500ms}, duration{1500ms}}) {
            CAPTURE(when.count());
            fan f;
            f.script("one", after(1s, json_answer("1")));
            f.script("two", silent());
            f.ask("{}", fields);
            f.pass(when);
            f.client.leave();
            f.pass(100ms);

            CHECK(f.upstream.open_now() == 0);
            CHECK(f.loop.nursery().size() == 0);
            CHECK(f.memory.used() == 0);
            f.expect_nothing_left();
            CHECK(f.record_of("complete").outcome == request_outcome::client_cancelled);
            CHECK(f.record_of("phase2").outcome == request_outcome::client_cancelled);
        }
    }
}

TEST_CASE("the caller's time bounds all parts, and what has come by then is told") {
    struct row {
        const char* name;
        duration total, part_total;
        std::string fields;
        duration expected, most;
    };
    for (const row& each :
         {row{"its own total", 10s, 600s, "", 10s, 10s + 30ms}, row{"a part's total", 10s, 4s, "", 4s, 4s},
          row{"told", 10s, 600s, "X-Evenkeel-Timeout: 5\r\n", 4750ms, 4800ms},
          row{"told silence", 10s, 600s, "X-Stainless-Read-Timeout: 5\r\n", 4750ms, 4800ms}}) {
        CAPTURE(each.name);
        fan f;
        f.complete->timeout.total = each.total;
        f.phase2->timeout.total = each.part_total;
        f.script("one", after(1s, json_answer("1")));
        f.script("two", silent());
        f.ask("{}", each.fields);

        f.pass(each.expected - 1ms);
        CHECK(f.client.received().empty());
        f.pass(each.most - each.expected + 1ms);
        CHECK(has(f.client.received(),
                  R"({"status":"partial","parts":{"phase1":{"status":200,"source":"live","body":1},)"
                  R"("phase2":{"status":504,)"));
        CHECK(has(f.client.received(), "deadline_exceeded"));
        f.expect_nothing_left();
        CHECK(f.seen.attempts == std::vector<attempt_result>{attempt_result::success, attempt_result::timeout});
    }
}

TEST_CASE_FIXTURE(fan, "a stream that is still coming when the time is over counts as missing") {
    complete->timeout.total = 5s;
    script("one", answering(json_answer("1")));
    script("two", {.steps = {play::request{2}, play::send{stream_head + chunk(hello) + chunk(word)}, play::silence{}}});
    ask();
    pass(5s + 30ms);

    CHECK(has(body(), R"("phase2":{"status":504,)"));
    CHECK(body().ends_with(R"("missing":["phase2"]})"));
    expect_nothing_left();
    CHECK(record_of("phase2").reason == "deadline_exceeded");
}

TEST_CASE_FIXTURE(fan, "a time that is none is refused before anything is sent") {
    ask("{}", "X-Evenkeel-Timeout: soon\r\n");

    CHECK(client.received().starts_with("HTTP/1.1 400 "));
    CHECK(has(client.received(), "bad_timeout"));
    CHECK(upstream.exchanges().empty());
    expect_nothing_left();
}

TEST_CASE("what a part's answer may be") {
    struct row {
        const char* name;
        std::string bytes;
        std::string shows; // of phase2
        bool good = true;
    };
    const std::string large(2048, 'x');
    const std::string head = "HTTP/1.1 200 OK\r\n";
    for (const row& each :
         {row{"text", json_answer("a \"b\"\n", "text/plain"),
              R"({"status":200,"source":"live","content_type":"text/plain","body":"a \"b\"\n"})"},
          row{"JSON of another type", json_answer("[1,\n2]", "application/x-any"),
              "{\"status\":200,\"source\":\"live\",\"body\":[1,\n2]}"},
          row{"nothing", head + "Content-Length: 0\r\n\r\n", R"({"status":200,"source":"live","body":null})"},
          row{"204", "HTTP/1.1 204 No\r\n\r\n", R"({"status":204,"source":"live","body":null})"},
          row{"redirect", "HTTP/1.1 302 No\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
              R"({"status":302,"source":"live","body":null})", false},
          row{"not UTF-8", json_answer("\xff\xfe", "text/plain"), R"({"status":502,"source":"live","body":{"error":)",
              false},
          row{"too large", json_answer(large, "text/plain"), "part_too_large", false},
          row{"cut", head + "Content-Type: text/plain\r\nContent-Length: 9\r\n\r\nabc", R"({"status":502,)", false},
          row{"an HTML page of an error", "HTTP/1.1 503 No\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>",
              R"({"status":503,"source":"live","content_type":"text/html","body":"<p>"})", false}}) {
        CAPTURE(each.name);
        fan f;
        f.complete->stream.hold_buffer = 1024;
        f.script("one", answering(json_answer("1")));
        auto script = answering(each.bytes);
        script.steps.push_back(play::end{});
        f.script("two", std::move(script));
        f.ask();
        f.pass(1s);

        const std::string body = f.body();
        CAPTURE(body);
        CHECK(has(body, each.shows));
        CHECK(body.ends_with(each.good ? R"("missing":[]})" : R"("missing":["phase2"]})"));
        CHECK(has(body, each.good ? R"({"status":"complete")" : R"({"status":"partial")"));
        f.expect_nothing_left();
    }
}

TEST_CASE("a part that answers with a stream is shown as its text when it is whole, and not at all when it is not") {
    for (const bool cut : {false, true}) {
        CAPTURE(cut);
        fan f;
        f.script("one", answering(json_answer("1")));
        auto script = answering(cut ? stream_head + chunk(hello) + chunk(word) : good_stream, stream_body);
        if (cut) script.steps.push_back(play::end{});
        f.scripts["one"].front().steps.front() = play::request{stream_body};
        f.script("two", std::move(script));
        f.ask(R"({"stream":true})");
        f.pass(1s);

        if (cut) {
            CHECK(has(f.body(), "part_truncated"));
            CHECK_FALSE(has(f.body(), "\\\"hi\\\""));
            CHECK(f.body().ends_with(R"("missing":["phase2"]})"));
        } else {
            CHECK(has(f.body(), R"("phase2":{"status":200,"source":"live","content_type":"text/event-stream",)"
                                R"("body":"data: {\"choices\":)"));
            CHECK(has(f.body(), R"(data: [DONE]\n\n"}},"missing":[]})"));
        }
        f.expect_nothing_left();
        if (cut) CHECK(f.record_of("phase2").outcome == request_outcome::truncated);
    }
}

TEST_CASE_FIXTURE(fan, "each part has the policies of its own route: one retries, the other does not") {
    phase1->retry.max_retries = 2;
    script("one", answering(status_answer(500)));
    script("one", answering(json_answer(R"({"a":1})")));
    script("two", answering(status_answer(500)));
    script("two", answering(json_answer(R"({"b":2})")));
    ask();
    pass(20s);

    CHECK(has(body(), R"("phase1":{"status":200,"source":"live","body":{"a":1}},"phase2":{"status":500,)"));
    expect_nothing_left();
    CHECK(record_of("phase1").attempts == 2);
    CHECK(record_of("phase1").service == telemetry::request_service::retried);
    CHECK(record_of("phase2").attempts == 1);
    CHECK(record_of("complete").attempts == 3);
}

TEST_CASE_FIXTURE(fan, "when every failed part says when to come back, so does the whole") {
    script("one", answering(status_answer(429, "Retry-After: 7\r\n")));
    script("two", answering(status_answer(429, "Retry-After: 3\r\n")));
    ask();
    CHECK(has(client.received(), "retry-after: 7\r\n"));
    expect_nothing_left();

    fan f;
    f.script("one", answering(status_answer(429, "Retry-After: 7\r\n")));
    f.script("two", answering(status_answer(500)));
    f.ask();
    CHECK_FALSE(has(f.client.received(), "retry-after"));
    f.expect_nothing_left();
}

TEST_CASE_FIXTURE(
    fan, "without memory for the body nothing is sent, and without memory for an answer that part is missing") {
    memory.set_limit(100'000);
    script("one", answering(json_answer("1")));
    script("two", answering(json_answer('"' + std::string(150'000, 'x') + '"')));
    ask();
    CHECK(has(body(), R"("phase1":{"status":200,)"));
    CHECK(has(body(), R"("code":"memory")"));
    CHECK(body().ends_with(R"("missing":["phase2"]})"));
    expect_nothing_left();

    fan f;
    f.memory.set_limit(1);
    f.ask();
    CHECK(f.client.received().starts_with("HTTP/1.1 503 "));
    CHECK(has(f.client.received(), "retry-after: 1\r\n"));
    CHECK(f.upstream.exchanges().empty());
    f.expect_nothing_left();
}

TEST_CASE_FIXTURE(fan, "a chunked body is read whole first, and one that is larger than may be held is refused") {
    script("one", answering(json_answer("1"), 7));
    script("two", answering(json_answer("2"), 7));
    connect();
    send("POST /analyze/complete HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n");
    CHECK(upstream.exchanges().empty());
    send("4\r\n\":1}\r\n0\r\n\r\n");
    CHECK(to("two").written.ends_with("content-length: 7\r\n\r\n{\"a\":1}"));
    CHECK(has(client.received(), R"("status":"complete")"));
    expect_nothing_left();

    struct pieces {
        const char *first, *second;
    };
    for (const pieces& each : {pieces{"Transfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n", "0\r\n\r\n"},
                               pieces{"Content-Length: 7\r\n\r\n{\"a", "\":1}"}}) {
        CAPTURE(each.first);
        fan f;
        f.settings->replay_buffer = f.complete->retry.replay_buffer = 4;
        f.connect();
        f.send(std::string{"POST /analyze/complete HTTP/1.1\r\nHost: h\r\n"} + each.first);
        f.send(each.second);
        CHECK(f.client.received().starts_with("HTTP/1.1 413 "));
        CHECK(f.upstream.exchanges().empty());
        f.expect_nothing_left();
    }
}

TEST_CASE_FIXTURE(fan, "the next request on the connection finds everything as it was") {
    for (int n = 0; n < 3; ++n) {
        script("one", answering(json_answer("1")));
        script("two", answering(json_answer("2")));
    }
    connect();
    send(asking("{}") + asking("{}", accept_events) + asking("{}"));

    CHECK(upstream.exchanges().size() == 6);
    const std::string& all = client.received();
    const std::string end = R"("body":2}},"missing":[]})";
    const std::size_t first = all.find(end);
    REQUIRE(first != std::string::npos);
    CHECK(all.find("event: complete", first) != std::string::npos);
    CHECK(all.ends_with(end));
    expect_nothing_left();
}

TEST_CASE("parts that end in any order, clients that leave at any time: nothing remains") {
    for (unsigned seed = 1; seed <= 3000; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        const auto draw = [&](int from, int to) { return std::uniform_int_distribution<int>(from, to)(random); };
        fan f;
        f.complete->timeout.total = 3s;
        f.complete->stream.heartbeat = 200ms;
        f.phase1->retry.max_retries = draw(0, 1);
        for (const char* name : {"one", "two"}) {
            for (int tries = 0; tries < 2; ++tries) {
                const duration when = std::chrono::milliseconds{draw(0, 4000)};
                switch (draw(0, 4)) {
                case 0: f.script(name, after(when, json_answer("{}"))); break;
                case 1: f.script(name, after(when, status_answer(500))); break;
                case 2: f.script(name, silent()); break;
                case 3: f.script(name, {.steps = {play::request{2}, play::pause{when}, play::reset{}}}); break;
                case 4:
                    f.script(name, {.steps = {play::request{2}, play::send{stream_head + chunk(word)},
                                              play::pause{when}, play::send{chunk(done) + "0\r\n\r\n"}}});
                    break;
                }
            }
        }
        f.ask("{}", draw(0, 1) == 0 ? "" : accept_events);
        f.pass(std::chrono::milliseconds{draw(0, 3200)});
        const bool answered = has(f.client.received(), "\"missing\":[");
        f.client.leave();
        f.pass(100ms);
        CHECK(f.upstream.open_now() == 0);
        CHECK(f.loop.nursery().size() == 0);
        f.expect_nothing_left();
        REQUIRE(f.seen.requests.size() == 3);
        if (answered) CHECK(f.record_of("complete").outcome != request_outcome::client_cancelled);
    }
}

} // namespace evenkeel::test::fan_out_test

// Shared flights over the whole path of a request, in virtual time.

#include "proxy/fallback/last_good_store.hpp"
#include "tests/proxy/request/coalesce_fixture.hpp"

namespace evenkeel::test::coalesce_flow_test {

using telemetry::coalesce_detachment;
using telemetry::coalesce_role;

namespace {
const std::string seeded = R"({"seed":7,"messages":[]})";
const std::string streamed = R"({"seed":7,"stream":true})";

std::string chat(const std::string& body = seeded, const std::string& fields = "",
                 const std::string& credential = "a") {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + credential + "\r\n" + fields +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
exchange_script after(duration pause, std::string bytes, std::size_t body = seeded.size()) {
    return {.steps = {play::request{body}, play::pause{pause}, play::send{std::move(bytes)}}};
}
std::string event_of(const std::string& text) {
    return "data: {\"choices\":[{\"delta\":{\"content\":\"" + text + "\"},\"finish_reason\":null}]}\n\n";
}
exchange_script events(int count, duration gap, std::size_t size = 2, bool whole = true) {
    exchange_script script{.steps = {play::request{streamed.size()}, play::send{stream_head}}};
    for (int i = 0; i < count; ++i) {
        script.steps.push_back(play::send{chunk(event_of(std::string(size, static_cast<char>('a' + i % 26))))});
        script.steps.push_back(play::pause{gap});
    }
    if (whole) {
        script.steps.push_back(play::send{chunk(stop) + chunk(done) + "0\r\n\r\n"});
    } else {
        script.steps.push_back(play::end{});
    }
    return script;
}
std::string text_of(int count, std::size_t size = 2) {
    std::string out;
    for (int i = 0; i < count; ++i) out += event_of(std::string(size, static_cast<char>('a' + i % 26)));
    return out + stop + done;
}
} // namespace

TEST_CASE("a hundred identical requests are one upstream; followers say so, the leader does not") {
    crowd f;
    f.upstream.always(after(50ms, ok_json));
    for (int i = 0; i < 100; ++i) f.join(chat());
    f.pass(1s);

    CHECK(f.upstream.exchanges().size() == 1);
    CHECK(f.seen.attempts == std::vector{attempt_result::success});
    int collapsed = 0;
    for (const auto& one : f.clients) {
        const auto got = read_response(one.received());
        CHECK(got.status == 200);
        CHECK(got.whole);
        CHECK(got.body == "{\"a\":1}");
        CHECK(has(got.head, "x-evenkeel-upstream: provider\r\n"));
        CHECK(has(got.head, "x-evenkeel-attempts: 1\r\n"));
        collapsed += has(got.head, "cache-status: evenkeel; fwd=miss; collapsed\r\n");
    }
    CHECK(collapsed == 99);
    CHECK_FALSE(has(f.clients.front().received(), "cache-status"));
    CHECK(f.counted.leaders == 1);
    CHECK(f.counted.followers == 99);
    CHECK(std::count(f.counted.roles.begin(), f.counted.roles.end(), coalesce_role::follower) == 99);
    CHECK(std::count(f.counted.roles.begin(), f.counted.roles.end(), coalesce_role::leader) == 1);
    f.expect_nothing_shared_left();
}

TEST_CASE("no two credentials share a flight") {
    crowd f;
    f.upstream.always(after(50ms, ok_json));
    for (int i = 0; i < 100; ++i) f.join(chat(seeded, "", std::to_string(i)));
    f.pass(1s);
    CHECK(f.upstream.exchanges().size() == 100);
    CHECK(f.counted.followers == 0);
    f.expect_nothing_shared_left();
}

TEST_CASE("a flight that is over is no cache: the next request starts another") {
    crowd f;
    f.upstream.always(after(10ms, ok_json));
    f.join(chat());
    f.pass(1s);
    CHECK(f.flights.size() == 0);
    f.join(chat());
    f.pass(1s);
    CHECK(f.upstream.exchanges().size() == 2);
    CHECK(f.counted.leaders == 2);
    f.expect_nothing_shared_left();
}

TEST_CASE("deterministic: what says it wants the same answer every time shares, what does not does not") {
    struct row {
        const char* path;
        const char* body;
        bool shares;
    };
    const row rows[] = {
        {"/v1/chat/completions", R"({"temperature":0})", true},
        {"/v1/chat/completions", R"({"temperature":0.0})", true},
        {"/v1/chat/completions", R"({"temperature":0.7,"seed":1})", true},
        {"/v1/chat/completions", R"({"temperature":0.7})", false},
        {"/v1/chat/completions", R"({"temperature":1e-9})", false},
        {"/v1/chat/completions", R"({"temperature":"0"})", false},
        {"/v1/chat/completions", R"({"temperature":null,"seed":null})", false},
        {"/v1/chat/completions", R"({"options":{"temperature":0}})", false},
        {"/v1/chat/completions", "{}", false},
        {"/v1/chat/completions", R"({"temperature":0)", false}, // no JSON
        {"/v1/embeddings", R"({"input":"x"})", true},
        {"/v1/models/m:generateContent", R"({"generationConfig":{"temperature":0}})", true},
        {"/v1/models/m:generateContent", R"({"generationConfig":{"seed":3}})", true},
        {"/v1/models/m:generateContent", R"({"temperature":0})", false},
        {"/v1/models/m:embedContent", R"({"content":{}})", true},
        {"/v1/api/chat", R"({"stream":false,"options":{"temperature":0}})", true},
        {"/v1/api/chat", R"({"stream":false,"temperature":0})", false},
        {"/v1/files", R"({"seed":1})", false}, // may not be sent twice, so not for two either
    };
    for (const auto& row : rows) {
        CAPTURE(row.path);
        CAPTURE(row.body);
        crowd f;
        f.route->coalesce = coalesce_mode::deterministic;
        const std::string body = row.body;
        f.upstream.always(after(20ms, ok_json, body.size()));
        const std::string request = std::string("POST ") + row.path +
                                    " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
                                    "\r\n\r\n" + body;
        f.join(request);
        f.join(request);
        f.pass(1s);
        CHECK(f.upstream.exchanges().size() == (row.shares ? 1 : 2));
        f.expect_nothing_shared_left();
    }
}

TEST_CASE("GET shares, HEAD and PUT do not") {
    for (const std::string method : {"GET", "HEAD", "PUT"}) {
        CAPTURE(method);
        crowd f;
        f.upstream.always(after(20ms, "HTTP/1.1 204 No Content\r\n\r\n", 0));
        const std::string request = method + " /v1/models HTTP/1.1\r\nHost: h\r\n\r\n";
        f.join(request);
        f.join(request);
        f.pass(1s);
        CHECK(f.upstream.exchanges().size() == (method == "GET" ? 1 : 2));
        f.expect_nothing_shared_left();
    }
}

TEST_CASE("a late joiner replays a stream from its first byte, then follows it") {
    crowd f;
    f.upstream.always(events(10, 100ms));
    f.join(chat(streamed));
    f.pass(450ms);
    const std::size_t so_far = f.clients[0].received().size();
    REQUIRE(so_far > 0);
    f.join(chat(streamed));
    CHECK(read_response(f.clients[1].received()).body == read_response(f.clients[0].received()).body); // at once
    f.pass(5s);
    for (const auto& one : f.clients) {
        const auto got = read_response(one.received());
        CHECK(got.whole);
        CHECK(got.body == text_of(10));
    }
    CHECK(f.upstream.exchanges().size() == 1);
    f.expect_nothing_shared_left();
}

TEST_CASE("the leader's client leaves: the others get everything; the last one leaves: the upstream is cancelled "
          "within 100 ms") {
    crowd f;
    f.upstream.always(events(10, 100ms));
    for (int i = 0; i < 3; ++i) f.join(chat(streamed));
    f.pass(250ms);
    f.clients[0].leave();
    f.pass(3s);
    for (int i : {1, 2}) {
        const auto got = read_response(f.clients[static_cast<std::size_t>(i)].received());
        CHECK(got.whole);
        CHECK(got.body == text_of(10));
    }
    CHECK(f.upstream.exchanges().size() == 1);

    for (int i = 0; i < 3; ++i) f.join(chat(streamed));
    f.pass(250ms);
    REQUIRE(f.upstream.exchanges().size() == 2);
    for (std::size_t i = 3; i < 6; ++i) {
        CHECK_FALSE(f.upstream.exchanges()[1]->closed);
        f.clients[i].leave();
        f.pass(10ms);
    }
    f.pass(80ms);
    CHECK(f.upstream.exchanges()[1]->closed);
    CHECK(f.flights.size() == 0);
    f.expect_nothing_shared_left();
}

TEST_CASE("all leave before there is an answer: the upstream is cancelled, and the next request is sent anew") {
    crowd f;
    f.upstream.next({.steps = {play::request{seeded.size()}, play::silence{}}});
    f.upstream.always(after(10ms, ok_json));
    f.join(chat());
    f.join(chat());
    f.pass(1s);
    f.clients[0].leave();
    f.clients[1].leave();
    f.pass(90ms);
    CHECK(f.upstream.exchanges()[0]->closed);
    f.join(chat());
    f.pass(1s);
    CHECK(read_response(f.clients[2].received()).body == "{\"a\":1}");
    f.expect_nothing_shared_left();
}

TEST_CASE("a stream that breaks is broken for all of them in the same way, and whole for none") {
    crowd f;
    f.upstream.always(events(5, 50ms, 2, false));
    f.join(chat(streamed));
    f.join(chat(streamed));
    f.pass(120ms);
    f.join(chat(streamed));
    f.pass(1s);
    for (const auto& one : f.clients) {
        const auto got = read_response(one.received());
        CHECK(got.status == 200);
        CHECK_FALSE(got.whole);
        CHECK(has(got.body, "event: error"));
        CHECK(has(got.body, "stream_truncated"));
        CHECK(got.body == read_response(f.clients.front().received()).body);
        CHECK(one.closed_by_proxy());
    }
    CHECK(f.upstream.exchanges().size() == 1);
    CHECK(std::all_of(f.seen.requests.begin(), f.seen.requests.end(),
                      [](const auto& one) { return one.outcome == request_outcome::truncated; }));
    f.expect_nothing_shared_left();
}

TEST_CASE("a buffered body that is cut is cut for all") {
    crowd f;
    f.route->stream.hold_buffer = 8; // passes on as it comes
    f.upstream.always(
        {.steps = {
             play::request{seeded.size()},
             play::send{"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"a\":"},
             play::pause{50ms}, play::end{}}});
    f.join(chat());
    f.join(chat());
    f.pass(1s);
    for (const auto& one : f.clients) {
        const auto got = read_response(one.received());
        CHECK_FALSE(got.whole);
        CHECK(one.closed_by_proxy());
    }
    CHECK(f.seen.requests.size() == 2);
    for (const auto& one : f.seen.requests) CHECK(one.outcome == request_outcome::truncated);
    f.expect_nothing_shared_left();
}

TEST_CASE(
    "retries happen once, inside the flight; what it ends with is handed to all who wait, and nobody starts again") {
    crowd f;
    f.route->retry.max_retries = 2;
    f.route->retry.budget.burst = 100;
    f.upstream.always(after(30ms, status_answer(500)));
    for (int i = 0; i < 20; ++i) f.join(chat());
    f.pass(1min);
    CHECK(f.upstream.exchanges().size() == 3);
    for (const auto& one : f.clients) {
        const auto got = read_response(one.received());
        CHECK(got.status == 500);
        CHECK(got.whole);
        CHECK(has(got.head, "x-evenkeel-attempts: 3\r\n"));
        CHECK(has(got.head, "x-should-retry: false\r\n"));
    }
    f.expect_nothing_shared_left();
}

TEST_CASE("one flight takes one permit of the bulkhead, and its refusal is everybody's") {
    crowd f;
    f.route->bulkhead = {.on = true, .max_concurrent = 1, .max_queue = 1, .queue_timeout = 500ms};
    f.upstream.always(after(2s, ok_json));
    for (int i = 0; i < 10; ++i) f.join(chat());
    for (int i = 0; i < 10; ++i) f.join(chat(R"({"seed":8,"messages":[]})")); // another flight: it waits
    CHECK(f.registry.report(*f.settings, f.loop.now()).routes.front().bulkhead->in_use == 1);
    CHECK(f.registry.report(*f.settings, f.loop.now()).routes.front().bulkhead->queued == 1);
    f.pass(5s);
    for (std::size_t i = 0; i < 20; ++i) {
        const auto got = read_response(f.clients[i].received());
        CHECK(got.status == (i < 10 ? 200 : 503));
        if (i >= 10) CHECK(has(got.body, "bulkhead_timeout"));
        if (i >= 10) CHECK(has(got.head, "retry-after: "));
    }
    CHECK(f.upstream.exchanges().size() == 1);
    f.expect_nothing_shared_left();
}

TEST_CASE("a reader that lags more than the bound is detached with an error frame; the others do not wait for it") {
    crowd f;
    f.route->stream.hold_buffer = 4096;
    f.upstream.always(events(40, 10ms, 500));
    f.join(chat(streamed));
    auto& slow = f.join(chat(streamed));
    f.pass(35ms); // it has read something
    slow.stop_reading();
    f.pass(2s);
    const auto whole = read_response(f.clients[0].received());
    CHECK(whole.whole);
    CHECK(whole.body == text_of(40, 500));
    CHECK(f.counted.detached.empty()); // it does not know yet: a write of its own stands still
    // ... and nothing is held for it but its connection's own block.
    CHECK(f.memory.used() == request::buffer_pool::block_bytes);

    slow.read_again();
    f.pass(1s);
    const auto got = read_response(slow.received());
    CHECK_FALSE(got.whole);
    CHECK(has(got.body, "stream_reader_detached"));
    CHECK(has(got.body, "event: error"));
    CHECK(text_of(40, 500).starts_with(got.body.substr(0, got.body.find("event: error"))));
    CHECK(f.counted.detached == std::vector{coalesce_detachment::slow});
    CHECK(f.upstream.exchanges().size() == 1);
    f.expect_nothing_shared_left();
}

TEST_CASE("a lone reader is never detached: the flight goes at its pace, and holds no more than it must") {
    crowd f;
    f.route->stream.hold_buffer = 1024;
    f.upstream.always(events(100, 1ms, 500));
    auto& only = f.join(chat(streamed));
    f.pass(5ms);
    only.stop_reading();
    f.pass(1s);
    CHECK(f.memory.used() < 64 * 1024);
    CHECK_FALSE(f.upstream.exchanges()[0]->closed);
    only.read_again();
    f.pass(2s);
    CHECK(read_response(only.received()).body == text_of(100, 500));
    CHECK(read_response(only.received()).whole);
    CHECK(f.counted.detached.empty());
    f.expect_nothing_shared_left();
}

TEST_CASE("once the beginning is no longer held a new request starts a flight of its own") {
    crowd f;
    f.route->stream.hold_buffer = 2048;
    f.upstream.always(events(20, 10ms, 200));
    f.join(chat(streamed));
    f.pass(30ms);
    f.join(chat(streamed)); // within the bound
    f.pass(100ms);          // beyond it
    f.join(chat(streamed));
    f.pass(30ms);
    f.join(chat(streamed)); // of the second flight
    f.pass(3s);
    CHECK(f.upstream.exchanges().size() == 2);
    CHECK(f.counted.leaders == 2);
    CHECK(f.counted.followers == 2);
    for (const auto& one : f.clients) {
        CHECK(read_response(one.received()).whole);
        CHECK(read_response(one.received()).body == text_of(20, 200));
    }
    f.expect_nothing_shared_left();
}

TEST_CASE("without room in limits.memory nothing is shared, and every request is served") {
    crowd f;
    f.memory.set_limit(16);
    f.upstream.always(after(10ms, ok_json));
    for (int i = 0; i < 3; ++i) f.join(chat());
    f.pass(1s);
    CHECK(f.upstream.exchanges().size() == 3);
    CHECK(f.counted.leaders == 0);
    for (const auto& one : f.clients) CHECK(read_response(one.received()).body == "{\"a\":1}");
    f.expect_nothing_shared_left();
}

TEST_CASE("each client waits under its own deadline, and the flight under the latest of them") {
    crowd f;
    f.route->timeout.total = 10s;
    f.upstream.always(after(4s, ok_json));
    f.join(chat(seeded, "x-evenkeel-timeout: 2\r\n")); // the leader is the least patient
    f.pass(500ms);
    f.join(chat(seeded, "x-evenkeel-timeout: 1\r\n"));
    f.join(chat(seeded, "x-evenkeel-timeout: 9\r\n"));
    f.join(chat(seeded));
    f.pass(949ms); // 5 % less than what it told
    CHECK(f.clients[1].received().empty());
    f.pass(10ms);
    CHECK(read_response(f.clients[1].received()).status == 504);
    CHECK(has(f.clients[1].received(), "deadline_exceeded"));
    CHECK(has(f.clients[1].received(), "the time this client waits"));
    f.pass(440ms); // 1.899 s
    CHECK(f.clients[0].received().empty());
    f.pass(10ms);
    CHECK(read_response(f.clients[0].received()).status == 504);
    f.pass(5s);
    for (std::size_t i : {2U, 3U}) CHECK(read_response(f.clients[i].received()).body == "{\"a\":1}");
    CHECK(f.upstream.exchanges().size() == 1);
    CHECK(f.seen.attempts == std::vector{attempt_result::success});
    f.expect_nothing_shared_left();
}

TEST_CASE("when the last deadline is over the flight says what was tried, like any other") {
    crowd f;
    f.route->timeout.total = 3s;
    f.upstream.always({.steps = {play::request{seeded.size()}, play::silence{}}});
    f.join(chat());
    f.join(chat());
    f.pass(2999ms);
    CHECK(f.clients[0].received().empty());
    f.pass(10ms);
    for (const auto& one : f.clients) {
        const auto got = read_response(one.received());
        CHECK(got.status == 504);
        CHECK(has(got.body, "upstream 'provider' sent no answer within timeout.total"));
        CHECK(has(got.head, "x-evenkeel-attempts: 1\r\n"));
    }
    CHECK(f.upstream.exchanges()[0]->closed);
    f.expect_nothing_shared_left();
}

TEST_CASE("a body in one piece that comes slowly ends at each reader's deadline, and at no other's") {
    crowd f;
    f.route->stream.hold_buffer = 1024; // longer ones pass as they come
    f.route->timeout.total = 20s;
    exchange_script script{
        .steps = {play::request{seeded.size()},
                  play::send{"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2002\r\n\r\n{"}}};
    for (int i = 0; i < 10; ++i) {
        script.steps.push_back(play::send{std::string(200, ' ')});
        script.steps.push_back(play::pause{1s});
    }
    script.steps.push_back(play::send{"}"});
    f.upstream.always(script);
    f.join(chat(seeded, "x-evenkeel-timeout: 3\r\n"));
    f.pass(1s);
    f.join(chat(seeded, "x-evenkeel-timeout: 15\r\n")); // it has begun: the deadline of what is being read moves
    f.pass(2500ms);
    CHECK(f.clients[0].closed_by_proxy());
    CHECK_FALSE(read_response(f.clients[0].received()).whole);
    f.pass(20s);
    const auto got = read_response(f.clients[1].received());
    CHECK(got.whole);
    CHECK(got.body.size() == 2002);
    CHECK(f.upstream.exchanges().size() == 1);
    f.expect_nothing_shared_left();
}

TEST_CASE("a stream is asked for without compression; one that comes compressed all the same is shared as it came") {
    for (const char* coding : {"br", "zstd", "compress", "x-unknown", "gzip, br"}) {
        for (const bool breaks : {false, true}) {
            CAPTURE(coding);
            CAPTURE(breaks);
            crowd f;
            const std::string head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: " + std::string{coding} +
                "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n";
            f.upstream.always(
                {.steps = {play::request{streamed.size()}, play::pause{50ms}, play::send{head}, play::pause{100ms},
                           play::send{breaks ? "5\r\nfg" : "2\r\nfg\r\n0\r\n\r\n"}, play::end{}}});
            for (int i = 0; i < 2; ++i) f.join(chat(streamed, "Accept-Encoding: gzip, br\r\n"));
            f.pass(100ms);
            f.join(chat(streamed, "Accept-Encoding: gzip, br\r\n")); // it has begun
            f.pass(1s);
            CHECK(f.upstream.exchanges().size() == 1);
            CHECK(has(f.upstream.exchanges()[0]->written, "accept-encoding: identity\r\n"));
            CHECK(f.counted.detached.empty());
            for (const auto& one : f.clients) {
                const auto got = read_response(one.received());
                CHECK(got.body == "abcdefg");
                CHECK(got.whole == !breaks);
                CHECK(has(one.received(), "Content-Encoding: " + std::string{coding} + "\r\n"));
                CHECK(!has(one.received(), "event: error"));
            }
            CHECK(has(f.clients[1].received(), "cache-status: evenkeel; fwd=miss; collapsed\r\n"));
            f.expect_nothing_shared_left();
        }
    }
}

TEST_CASE("a follower that waits long is given its head and heartbeats like any other") {
    crowd f;
    f.route->stream.head_hold = 2s;
    f.route->stream.heartbeat = 1s;
    exchange_script script = events(3, 10ms);
    script.steps.insert(script.steps.begin() + 1, play::pause{6s});
    f.upstream.always(script);
    f.join(chat(streamed));
    f.pass(1s);
    f.join(chat(streamed));
    f.pass(30s);
    for (const auto& one : f.clients) {
        const auto got = read_response(one.received());
        CHECK(got.whole);
        CHECK(got.body.starts_with(":\n:\n"));
        CHECK(got.body.ends_with(text_of(3)));
    }
    CHECK(f.upstream.exchanges().size() == 1);
    f.expect_nothing_shared_left();
}

TEST_CASE("a stream that is resumed goes on for all its readers") {
    crowd f;
    f.route->retry.max_retries = 3;
    f.route->retry.budget.burst = 100;
    f.route->stream.resume = config::stream_resume::verified_replay;
    f.upstream.next(events(3, 100ms, 2, false));
    f.upstream.always(events(6, 100ms));
    f.join(chat(streamed));
    f.pass(150ms);
    f.join(chat(streamed));
    f.pass(10s);
    for (const auto& one : f.clients) {
        const auto got = read_response(one.received());
        CHECK(got.whole);
        CHECK(has(got.body, event_of("ff")));
        CHECK(has(got.body, "[DONE]"));
    }
    CHECK(f.upstream.exchanges().size() == 2);
    f.expect_nothing_shared_left();
}

TEST_CASE("a fallback is asked once as well, and each client climbs its ladder with the shared failure") {
    crowd f;
    auto other = std::make_shared<config::route>();
    other->name = "other";
    auto backup = std::make_shared<config::upstream>();
    backup->name = "backup";
    backup->address.authority = "b.example";
    other->match.path_prefix = "/nowhere";
    other->upstreams = {backup};
    other->retry.max_retries = 0;
    f.settings->routes.push_back(other);
    f.settings->upstreams.push_back(backup);
    f.route->fallback = {{.is = fallback_kind::route, .route = 1}};
    f.upstream.choose([](const config::upstream& to, std::size_t) {
        return after(20ms, to.name == "backup" ? ok_json : status_answer(503));
    });
    for (int i = 0; i < 10; ++i) f.join(chat());
    f.pass(10s);
    CHECK(f.upstream.opened_to("provider") == 1);
    CHECK(f.upstream.opened_to("backup") == 1);
    for (const auto& one : f.clients) {
        CHECK(read_response(one.received()).body == "{\"a\":1}");
        CHECK(has(one.received(), "x-evenkeel-degraded: route; name=other\r\n"));
    }
    f.expect_nothing_shared_left();
}

TEST_CASE("the parts of two identical fan-outs are asked once, each where it belongs") {
    crowd f;
    f.route->name = "one";
    f.route->match = {};
    f.route->match.path = "/v1/one";
    f.route->rewrite = {config::path_rewrite::kind::whole, "/v1/chat/completions"};
    auto two = std::make_shared<config::route>(*f.route);
    two->name = "two";
    two->match.path = "/v1/two";
    two->rewrite.value = "/v1/embeddings";
    auto both = std::make_shared<config::route>();
    both->name = "both";
    both->match.path = "/v1/both";
    both->serves = config::route_serves::fan_out;
    both->fan_out.parts = {"one", "two"};
    f.settings->routes = {f.route, two, both};
    f.upstream.always(after(50ms, ok_json));
    const std::string request =
        "POST /v1/both HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(seeded.size()) + "\r\n\r\n" + seeded;
    for (int i = 0; i < 3; ++i) f.join(request);
    f.pass(1s);
    REQUIRE(f.upstream.exchanges().size() == 2);
    CHECK(has(f.upstream.exchanges()[0]->written, "POST /v1/chat/completions HTTP/1.1\r\n"));
    CHECK(has(f.upstream.exchanges()[1]->written, "POST /v1/embeddings HTTP/1.1\r\n"));
    for (const auto& one : f.clients) {
        const auto got = read_response(one.received());
        CHECK(got.status == 200);
        CHECK(has(got.body, "\"status\":\"complete\""));
    }
    f.expect_nothing_shared_left();
}

TEST_CASE("last good answers are kept by the leader, once, and given to all who wait when the next call fails") {
    crowd f;
    request::last_good_store store(1024 * 1024);
    f.shared_services.last_good = &store;
    f.route->fallback = {{.is = fallback_kind::last_good}};
    f.upstream.next(after(50ms, ok_json));
    f.upstream.always(after(50ms, status_answer(500)));
    for (int i = 0; i < 5; ++i) f.join(chat());
    f.pass(1s);
    CHECK(store.report().kept == 1);
    for (int i = 0; i < 5; ++i) f.join(chat());
    f.pass(1s);
    CHECK(f.upstream.exchanges().size() == 2);
    for (const auto& one : f.clients) CHECK(read_response(one.received()).body == "{\"a\":1}");
    CHECK(has(f.clients[9].received(), "x-evenkeel-degraded: last_good"));
    CHECK_FALSE(has(f.clients[9].received(), "collapsed")); // what it got is no answer of the flight
    f.expect_nothing_shared_left();
}

TEST_CASE("a request that cannot be told how long it may take is refused by itself") {
    crowd f;
    f.upstream.always(after(20ms, ok_json));
    f.join(chat(seeded, "x-evenkeel-timeout: soon\r\n"));
    f.join(chat(seeded));
    f.pass(1s);
    CHECK(read_response(f.clients[0].received()).status == 400);
    CHECK(read_response(f.clients[1].received()).status == 200);
    CHECK(f.counted.leaders == 1);
    f.expect_nothing_shared_left();
}

TEST_CASE("a reload starts new flights: the same request may be sent elsewhere by then") {
    crowd f;
    f.upstream.always(after(100ms, ok_json));
    f.join(chat());
    f.settings = std::make_shared<config::settings>(*f.settings);
    auto changed = std::make_shared<config::route>(*f.route);
    f.settings->routes = {changed};
    f.prepare();
    f.join(chat());
    f.pass(1s);
    CHECK(f.upstream.exchanges().size() == 2);
    for (const auto& one : f.clients) CHECK(read_response(one.received()).body == "{\"a\":1}");
    f.expect_nothing_shared_left();
}

TEST_CASE("what was asked for together is let go of once the answer has begun") {
    crowd f;
    const std::string content = R"({"messages":[")" + std::string(400'000, 'x') + R"("]})";
    const std::string begun = stream_head + chunk("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n");
    f.upstream.next({.steps = {play::request{content.size()}, play::send{begun}, play::silence{}}});
    for (int i = 0; i < 3; ++i) f.join(chat(content));
    f.pass(1s);
    CHECK(f.counted.followers == 2);
    for (const auto& one : f.clients) CHECK(has(one.received(), "\"content\":\"a\""));
    CHECK(f.memory.used() <= 8 * request::buffer_pool::block_bytes);
    f.expect_nothing_shared_left();
}

} // namespace evenkeel::test::coalesce_flow_test

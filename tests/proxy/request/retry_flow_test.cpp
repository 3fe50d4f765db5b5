// Retries, failover, held answers and heads given ahead, on the whole path of a request in virtual time.

#include "tests/proxy/request/flow_fixture.hpp"

#include <algorithm>
#include <random>
#include <utility>

namespace evenkeel::test::retry_flow_test {

TEST_CASE("a failed attempt is followed by another after its pause, unseen by the client") {
    retrying f;
    f.upstream.next(answering(status_answer(500)));
    f.upstream.next(answering(status_answer(503)));
    f.upstream.next(answering(ok_json));
    f.connect();
    f.send(post);
    CHECK(f.client.received().empty());
    f.pass(1s + 1ms);
    CHECK(f.upstream.exchanges().size() == 2);
    f.pass(2s + 1ms);
    CHECK(has(f.client.received(), "HTTP/1.1 200 OK"));
    CHECK(has(f.client.received(), "x-evenkeel-attempts: 3\r\n"));
    CHECK(has(f.client.received(), "x-evenkeel-outcome: retried\r\n"));
    CHECK(f.client.received().ends_with("{\"a\":1}"));
    CHECK(f.seen.attempts ==
          std::vector{attempt_result::server_error, attempt_result::server_error, attempt_result::success});
    f.expect_nothing_left();
}

TEST_CASE("an attempt that has failed teaches no latency, however long its flight goes on") {
    retrying f;
    f.upstream.next(answering(status_answer(500)));
    f.upstream.next({.steps = {play::request{2}, play::pause{8s}, play::send{ok_json}}});
    f.connect();
    f.send(post);
    f.pass(10s);
    CHECK(has(f.client.received(), "200 OK"));

    const auto seen = f.registry.report(*f.settings, f.loop.now()).routes.at(0).endpoints.at(0).latency;

    CHECK(seen.samples == 1); // of the answer
    f.expect_nothing_left();
}

TEST_CASE("another upstream is asked at once, with its own host, credential and model name") {
    retrying f(true);
    f.backup->own_credential = true;
    f.backup->headers.set = {{"authorization", "Bearer backup"}};
    f.backup->models = {{"m", "other"}};
    const std::string body = R"({"model":"m"})";
    f.upstream.next({.steps = {play::request{body.size()}, play::reset{}}});
    f.upstream.next(answering(ok_json, 0));
    f.connect();
    f.send(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer client\r\nContent-Length: 13\r\n\r\n" +
        body);
    REQUIRE(f.upstream.exchanges().size() == 2);
    CHECK(has(f.upstream.exchanges()[0]->written, "host: api.example\r\n"));
    CHECK(has(f.upstream.exchanges()[0]->written, "Bearer client"));
    CHECK(f.upstream.exchanges()[0]->written.ends_with(body));
    CHECK(has(f.upstream.exchanges()[1]->written, "host: backup.example\r\n"));
    CHECK(has(f.upstream.exchanges()[1]->written, "Bearer backup"));
    CHECK(!has(f.upstream.exchanges()[1]->written, "Bearer client"));
    CHECK(f.upstream.exchanges()[1]->written.ends_with(R"({"model":"other"})"));
    CHECK(has(f.client.received(), "x-evenkeel-upstream: backup\r\n"));
    CHECK(has(f.client.received(), "x-evenkeel-outcome: failed_over\r\n"));
    f.expect_nothing_left();
}

TEST_CASE("the last upstream's answer arrives verbatim, and tells SDKs not to multiply our attempts") {
    retrying f;
    f.route->retry.max_retries = 1;
    f.upstream.next(answering(status_answer(500)));
    const std::string body = R"({"error":{"message":"the last one"}})";
    f.upstream.next(answering(status_answer(502, "x-request-id: up-2\r\n", body)));
    f.connect();
    f.send(post);
    f.pass(1s + 1ms);
    CHECK(has(f.client.received(), "HTTP/1.1 502 No\r\n"));
    CHECK(has(f.client.received(), "x-request-id: up-2\r\n"));
    CHECK(has(f.client.received(), "x-evenkeel-outcome: upstream_error\r\n"));
    CHECK(has(f.client.received(), "x-should-retry: false\r\n"));
    CHECK(f.client.received().ends_with(body));
    CHECK(f.seen.requests.at(0).outcome == request_outcome::upstream_error);
    f.expect_nothing_left();
}

TEST_CASE(
    "x-should-retry: never on a throttled answer with a hint, never over the upstream's own, never with retry off") {
    struct row {
        int max_retries;
        std::string answer;
        bool said;
    };
    for (const row& one :
         {row{1, status_answer(429, "retry-after: 90\r\n"), false}, row{1, status_answer(400), true},
          row{1, status_answer(402), true}, row{1, status_answer(500, "x-should-retry: true\r\n"), false},
          row{0, status_answer(500), false}, row{0, status_answer(400), false}, row{1, status_answer(500), true}}) {
        retrying f;
        f.route->retry.max_retries = one.max_retries;
        f.upstream.always(answering(one.answer));
        f.connect();
        f.send(post);
        f.pass(3s);
        CAPTURE(one.answer);
        CHECK(has(f.client.received(), "x-should-retry: false") == one.said);
        f.expect_nothing_left();
    }
}

TEST_CASE("Retry-After is waited for when it fits, handed on when it does not") {
    retrying f;
    f.upstream.next(answering(status_answer(429, "retry-after: 5\r\n")));
    f.upstream.next(answering(ok_json));
    f.connect();
    f.send(post);
    f.pass(5s - 1ms);
    CHECK(f.upstream.exchanges().size() == 1);
    f.pass(1s + 2ms);
    CHECK(has(f.client.received(), "200 OK"));
    f.client.forget_received();
    f.upstream.next(answering(status_answer(429, "retry-after: 61\r\n")));
    f.send(post);
    CHECK(has(f.client.received(), "HTTP/1.1 429"));
    CHECK(has(f.client.received(), "retry-after: 61\r\n"));
    f.expect_nothing_left();
}

TEST_CASE("P3.3: what may have had an effect is sent once; what never arrived is sent again") {
    const std::string files = "POST /v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";
    retrying f;
    f.upstream.next({.steps = {play::request{2}, play::reset{}}});
    f.connect();
    f.send(files);
    f.pass(10s);
    CHECK(f.upstream.exchanges().size() == 1);
    CHECK(has(f.client.received(), "502"));
    retrying g;
    net::transport_error refused;
    refused.is = net::transport_error::kind::refused;
    refused.token = "connection_refused";
    g.upstream.next({.connect_failure = refused});
    g.upstream.next(answering(ok_json));
    g.connect();
    g.send(files);
    g.pass(2s);
    CHECK(has(g.client.received(), "200 OK"));
    f.expect_nothing_left();
    g.expect_nothing_left();
}

TEST_CASE("an error inside a stream, before anything was said, is retried") {
    for (const std::string& bad : {stream_head + chunk(hello) + chunk(error_event) + "0\r\n\r\n",
                                   stream_head + chunk(": keep-alive\n\n") + chunk("data: {broken\n\n"),
                                   stream_head + chunk(hello) + "0\r\n\r\n", stream_head + chunk(done) + "0\r\n\r\n",
                                   stream_head + "0\r\n\r\n"}) {
        retrying f;
        f.upstream.next(streaming({play::send{bad}}));
        f.upstream.next(streaming({play::send{good_stream}}));
        f.connect();
        f.send(post_stream());
        CAPTURE(bad);
        CHECK(f.client.received().empty());
        f.pass(1s + 1ms);
        CHECK(has(f.client.received(), "x-evenkeel-attempts: 2\r\n"));
        CHECK(f.client.received().ends_with("0\r\n\r\n"));
        CHECK(!has(f.client.received(), "overloaded"));
        f.expect_nothing_left();
    }
}

TEST_CASE("nothing of a stream is sent before its first meaningful event, and then all of it, byte for byte") {
    retrying f;
    f.upstream.next(streaming({play::send{stream_head}, play::pause{1s}, play::send{chunk(": keep-alive\n\n")},
                               play::pause{1s}, play::send{chunk(hello)}, play::pause{1s}, play::send{chunk(word)},
                               play::pause{1s}, play::send{chunk(stop) + chunk(done) + "0\r\n\r\n"}}));
    f.connect();
    f.send(post_stream());
    f.pass(2900ms);
    CHECK(f.client.received().empty());
    f.pass(200ms);
    CHECK(f.client.received().ends_with(chunk(": keep-alive\n\n" + hello + word)));
    f.pass(2s);
    CHECK(f.client.received().ends_with(chunk(stop + done).substr(0, chunk(stop + done).size() - 2) + "\r\n0\r\n\r\n"));
    f.expect_nothing_left();
}

TEST_CASE(
    "after content a broken stream ends in the dialect's error frame, without [DONE] and without the last chunk") {
    for (const play_step& breaking : {play_step{play::reset{}}, play_step{play::end{}},
                                      play_step{play::send{"0\r\n\r\n"}}, play_step{play::send{"xyz\r\n"}}}) {
        retrying f;
        f.upstream.next(streaming({play::send{stream_head + chunk(word)}, breaking}));
        f.connect();
        f.send(post_stream());
        f.pass(1s);
        CHECK(has(f.client.received(), word));
        CHECK(has(f.client.received(), "event: error\ndata: {\"type\":\"error\",\"error\":{"));
        CHECK(has(f.client.received(), "stream_truncated"));
        CHECK(!has(f.client.received(), "[DONE]"));
        CHECK(!has(f.client.received(), "\r\n0\r\n\r\n"));
        CHECK(f.client.closed_by_proxy());
        CHECK(f.upstream.exchanges().size() == 1);
        CHECK(f.seen.requests.at(0).outcome == request_outcome::truncated);
        f.expect_nothing_left();
    }
}

TEST_CASE("an error frame is not put into the middle of an event, nor behind the upstream's own") {
    retrying f;
    f.upstream.next(streaming({play::send{stream_head + chunk(word + "data: {\"choi")}, play::reset{}}));
    f.connect();
    f.send(post_stream());
    f.pass(1s);
    CHECK(f.client.received().ends_with("data: {\"choi\r\n"));
    CHECK(f.client.closed_by_proxy());
    retrying g;
    g.upstream.next(streaming({play::send{stream_head + chunk(word) + chunk(error_event) + "0\r\n\r\n"}}));
    g.connect();
    g.send(post_stream());
    g.pass(1s);
    CHECK(has(g.client.received(), "busy"));
    CHECK(!has(g.client.received(), "evenkeel_error"));
    CHECK(!has(g.client.received(), "\r\n0\r\n\r\n"));
    f.expect_nothing_left();
    g.expect_nothing_left();
}

TEST_CASE("a connection that breaks after the terminal marker has broken nothing") {
    retrying f;
    f.upstream.next(streaming({play::send{stream_head + chunk(word) + chunk(stop) + chunk(done)}, play::reset{}}));
    f.connect();
    f.send(post_stream());
    f.pass(1s);
    CHECK(f.client.received().ends_with("0\r\n\r\n"));
    CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
    f.expect_nothing_left();
}

TEST_CASE("a stream that only pings is cut by content_idle") {
    retrying f;
    f.route->timeout.content_idle = 30s;
    exchange_script script = streaming({play::send{stream_head + chunk(word)}});
    for (int i = 0; i < 10; ++i) {
        script.steps.push_back(play::pause{7s});
        script.steps.push_back(play::send{chunk(": ping\n\n")});
    }
    f.upstream.next(std::move(script));
    f.connect();
    f.send(post_stream());
    f.pass(29s);
    CHECK(!f.client.closed_by_proxy());
    f.pass(2s);
    CHECK(has(f.client.received(), "stream_idle_timeout"));
    CHECK(f.client.closed_by_proxy());
    f.expect_nothing_left();
}

TEST_CASE("a buffered answer is held whole: a cut and an error inside a 200 are retried, a long one passes") {
    const std::string cut = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"a\":";
    const std::string inside = status_answer(200, "", R"({"error":{"message":"busy","code":"overloaded_error"}})");
    const std::string clean_cut = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: "
                                  "chunked\r\n\r\n5\r\n{\"a\":\r\n0\r\n\r\n";
    for (const std::string& bad : {cut, inside, clean_cut}) {
        retrying f;
        f.upstream.next({.steps = {play::request{2}, play::send{bad}, play::end{}}});
        f.upstream.next(answering(ok_json));
        f.connect();
        f.send(post);
        f.pass(1s + 1ms);
        CAPTURE(bad);
        CHECK(has(f.client.received(), "x-evenkeel-attempts: 2\r\n"));
        CHECK(f.client.received().ends_with("{\"a\":1}"));
        f.expect_nothing_left();
    }
    retrying f;
    f.route->stream.hold_buffer = 1000;
    const std::string beginning = "{\"a\":\"" + std::string(3000, 'x');
    f.upstream.next(
        {.steps = {
             play::request{2},
             play::send{"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" +
                        chunk(beginning)},
             play::pause{1s}, play::send{chunk("\"}") + "0\r\n\r\n"}}});
    f.connect();
    f.send(post);
    CHECK(has(f.client.received(), beginning));
    f.pass(1s + 1ms);
    CHECK(f.client.received().ends_with("0\r\n\r\n"));
    f.expect_nothing_left();
}

TEST_CASE("the head of a slow stream is given ahead, with heartbeats, and retries go on behind it") {
    retrying f;
    f.route->stream.head_hold = 10s;
    f.route->stream.heartbeat = 4s;
    f.route->timeout.rescue.on = false;
    f.upstream.next(streaming({play::pause{15s}, play::reset{}}));
    f.upstream.next(streaming({play::pause{5s}, play::send{good_stream}}));
    f.connect();
    f.send(post_stream("X-Request-Id: mine\r\n"));
    f.pass(10s - 1ms);
    CHECK(f.client.received().empty());
    f.pass(2ms);
    CHECK(has(f.client.received(), "HTTP/1.1 200 OK\r\n"));
    CHECK(has(f.client.received(), "content-type: text/event-stream\r\n"));
    CHECK(has(f.client.received(), "cache-control: no-cache\r\n"));
    CHECK(has(f.client.received(), "x-request-id: mine\r\n"));
    CHECK(has(f.client.received(), "x-evenkeel-route: all\r\n"));
    CHECK(f.client.received().ends_with("transfer-encoding: chunked\r\n\r\n"));
    f.client.forget_received();
    f.pass(4s);
    CHECK(f.client.received() == "2\r\n:\n\r\n");
    f.pass(4s);
    CHECK(f.client.received() == "2\r\n:\n\r\n2\r\n:\n\r\n");
    f.pass(4s); // 22 s: the second attempt answered at 15 + 1 + 5
    CHECK(f.upstream.exchanges().size() == 2);
    CHECK(has(f.client.received(), hello + word));
    CHECK(f.client.received().ends_with("0\r\n\r\n"));
    CHECK(!has(f.client.received(), "HTTP/1.1"));
    CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
    f.expect_nothing_left();
}

TEST_CASE("every request of a connection gets its heartbeats, whenever the one before it was answered") {
    retrying f;
    f.route->stream.head_hold = 10s;
    f.route->stream.heartbeat = 4s;
    f.connect();
    for (int i = 0; i < 3; ++i) {
        f.upstream.next(streaming({play::pause{i == 0 ? 10s : 20s}, play::send{good_stream}}));
        f.client.forget_received();
        f.send(post_stream());
        f.pass(30s);
        CHECK(f.client.received().ends_with("0\r\n\r\n"));
        CHECK(has(f.client.received(), "2\r\n:\n\r\n2\r\n:\n\r\n") == (i > 0));
    }
    f.expect_nothing_left();
}

TEST_CASE("behind a head given ahead an error becomes an event, and the stream ends unfinished") {
    struct row {
        exchange_script script;
        const char* says;
    };
    for (const row& one :
         {row{streaming({play::pause{12s}, play::send{status_answer(
                                               400, "", R"({"error":{"message":"bad tool","code":"invalid_tool"}})")}}),
              "bad tool"},
          row{streaming({play::silence{}}), "sent no answer"}}) {
        retrying f;
        f.route->retry.max_retries = 1;
        f.route->timeout.total = 30s;
        f.route->stream.head_hold = 10s;
        f.upstream.next(one.script);
        f.connect();
        f.send(post_stream());
        f.pass(31s);
        CAPTURE(one.says);
        CHECK(has(f.client.received(), "event: error\ndata: "));
        CHECK(has(f.client.received(), one.says));
        CHECK(!has(f.client.received(), "\r\n0\r\n\r\n"));
        CHECK(f.client.closed_by_proxy());
        CHECK(f.seen.requests.at(0).status == 200);
        f.expect_nothing_left();
    }
}

TEST_CASE("who gets no head ahead: JSON, HTTP/1.0, a dialect without an error frame, head_hold off") {
    for (int which = 0; which < 4; ++which) {
        retrying f;
        f.route->stream.head_hold = 1s;
        f.route->timeout.total = 60s;
        f.route->retry.max_retries = 1;
        if (which == 2) f.provider->dialect = config::dialect_setting::generic;
        if (which == 3) f.route->stream.hold_head = false;
        f.upstream.next({.steps = {play::silence{}}});
        f.connect();
        std::string request = which == 0 ? post : post_stream();
        if (which == 1) request.replace(request.find("HTTP/1.1"), 8, "HTTP/1.0");
        f.send(request);
        f.pass(59s);
        CAPTURE(which);
        CHECK(f.client.received().empty());
        f.pass(2s);
        CHECK(has(f.client.received(), " 504 "));
        f.expect_nothing_left();
    }
}

TEST_CASE("the client's told timeout bounds the request, a little before it gives up, and halves the head's hold") {
    retrying f;
    f.upstream.always({.steps = {play::silence{}}});
    f.connect();
    f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nx-stainless-timeout: 4\r\nContent-Length: 2\r\n\r\n{}");
    f.pass(3790ms);
    CHECK(f.client.received().empty());
    f.pass(20ms); // 4 s less 5 %
    CHECK(has(f.client.received(), "HTTP/1.1 504"));
    CHECK(has(f.client.received(), "the time this client waits"));
    f.client.forget_received();
    f.send(post_stream("x-stainless-timeout: 20\r\n"));
    f.pass(10s - 2ms);
    CHECK(f.client.received().empty());
    f.pass(5ms);
    CHECK(has(f.client.received(), "text/event-stream"));
    f.expect_nothing_left();
}

TEST_CASE("x-evenkeel-timeout that is no number is refused, with what to write") {
    retrying f;
    f.connect();
    f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nx-evenkeel-timeout: soon\r\nContent-Length: 2\r\n\r\n{}");
    CHECK(has(f.client.received(), "HTTP/1.1 400"));
    CHECK(has(f.client.received(), "positive number of seconds"));
    CHECK(f.upstream.exchanges().empty());
    f.expect_nothing_left();
}

TEST_CASE("an empty budget stops retries, successes fill it again, a client's own repetitions do not") {
    retrying f(true);
    f.route->retry.budget = {.extra_work = 0.1, .burst = 0.2, .min_per_second = 0};
    auto other = std::make_shared<config::route>(*f.route); // shares the backup, and so its budget
    other->name = "other";
    other->match.path_prefix = "/v2";
    other->upstreams = {f.backup};
    f.settings->routes.push_back(other);
    f.upstream.always(answering(status_answer(500)));
    f.connect();
    for (int i = 0; i < 4; ++i) f.send(post);
    CHECK(f.upstream.exchanges().size() == 4 + 2); // a failover costs 0.1
    CHECK(f.seen.requests.at(3).status == 500);
    const auto repeat = [&](const char* count) { // a success, told to be the client's first try or a repetition
        f.upstream.next(answering(ok_json));
        f.send("POST /v2/chat/completions HTTP/1.1\r\nHost: h\r\nx-stainless-retry-count: " + std::string{count} +
               "\r\nContent-Length: 2\r\n\r\n{}");
    };
    const auto attempts_of_a_failure = [&] {
        const auto before = f.upstream.exchanges().size();
        f.send(post);
        return f.upstream.exchanges().size() - before;
    };
    repeat("1");
    CHECK(attempts_of_a_failure() == 1);
    repeat("0");
    CHECK(attempts_of_a_failure() == 2);
    f.expect_nothing_left();
}

TEST_CASE("every event carries on where an upstream answers early while the upload goes on") {
    retrying f(true);
    f.upstream.next({.steps = {play::request{0}, play::send{status_answer(503)}}});
    f.upstream.next(answering(ok_json, 100000));
    f.connect();
    f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + std::string(70000, 'x'));
    CHECK(f.upstream.exchanges().size() == 2);
    f.send(std::string(30000, 'y'));
    CHECK(has(f.client.received(), "x-evenkeel-outcome: failed_over\r\n"));
    CHECK(f.upstream.exchanges().at(1)->written.ends_with(std::string(30000, 'y')));
    f.expect_nothing_left();
}

namespace {
// The data of the chunks of one answer, and whether its last chunk came.
std::pair<std::string, bool> decoded(const std::string& received) {
    std::string data;
    std::size_t at = received.find("\r\n\r\n");
    REQUIRE(at != std::string::npos);
    for (at += 4; at < received.size();) {
        const std::size_t size = std::stoul(received.substr(at, 8), nullptr, 16);
        at = received.find("\r\n", at) + 2;
        if (size == 0) return {data, true};
        data += received.substr(at, size);
        at += size + 2;
    }
    return {data, false};
}
} // namespace

TEST_CASE("property: streams arrive byte for byte, however they are split on the way") {
#ifdef NDEBUG
    constexpr std::uint32_t cases = 100000;
#else
    constexpr std::uint32_t cases = 3000;
#endif
    const std::string pieces[] = {
        hello,
        word,
        ": keep-alive\n\n",
        "\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"}}]}\r\n\r\n",
        "event: x\nid: 7\ndata: {\"choices\":[],\ndata: \"usage\":{}}\n\n",
        "data: {\"unknown\":\"shape\"}\n\n",
        "retry: 10\n\n"};
    retrying f;
    f.connect();
    for (std::uint32_t seed = 1; seed <= cases; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        std::string stream = word;
        for (auto n = random() % 6; n > 0; --n) stream += pieces[random() % std::size(pieces)];
        for (auto n = random() % 3; n > 0; --n) stream.insert(0, pieces[random() % 3]); // before anything was said
        const bool whole = random() % 4 != 0;
        if (whole) stream += stop + (random() % 2 ? done : "");
        // Chunks as the upstream likes, and reads as the network likes.
        std::string wire = stream_head;
        for (std::size_t at = 0; at < stream.size();) {
            const std::size_t size = std::min<std::size_t>(1 + random() % 90, stream.size() - at);
            wire += chunk(stream.substr(at, size));
            at += size;
        }
        wire += "0\r\n\r\n";
        std::vector<play_step> steps;
        const auto largest = 1 + random() % 300;
        for (std::size_t at = 0; at < wire.size();) {
            const std::size_t size = std::min<std::size_t>(1 + random() % largest, wire.size() - at);
            steps.push_back(play::send{wire.substr(at, size)});
            at += size;
        }
        if (f.client.closed_by_proxy()) { // a cut closes the connection
            f.client = scripted_client(f.loop);
            f.connect();
        }
        f.client.forget_received();
        f.upstream.next(streaming(std::move(steps)));
        f.send(post_stream());
        f.pass(1ms);
        const auto [data, last] = decoded(f.client.received());
        REQUIRE(last == whole);
        const std::string ours = data.size() > stream.size() ? data.substr(stream.size()) : std::string{};
        REQUIRE(data.substr(0, stream.size()) == stream);
        REQUIRE((whole ? ours.empty() : ours.starts_with("event: error\ndata: {\"type\":\"error\"")));
    }
    f.expect_nothing_left();
}

} // namespace evenkeel::test::retry_flow_test

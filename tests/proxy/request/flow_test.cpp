#include "tests/proxy/request/flow_fixture.hpp"

namespace evenkeel::test::flow_test {

TEST_CASE("a JSON call: one write upstream, one write back, both connections stay") {
    fixture f;
    f.upstream.next(answering(ok_json));
    f.connect();
    f.send(post);

    REQUIRE(f.upstream.exchanges().size() == 1);
    CHECK(f.upstream.exchanges()[0]->written ==
          "POST /v1/chat/completions HTTP/1.1\r\nhost: api.example\r\ncontent-length: 2\r\n\r\n{}");
    CHECK(f.upstream.exchanges()[0]->recycled);
    CHECK(has(f.client.received(), "HTTP/1.1 200 OK\r\n"));
    CHECK(has(f.client.received(), "x-evenkeel-route: all\r\n"));
    CHECK(f.client.received().ends_with("content-length: 7\r\n\r\n{\"a\":1}"));
    CHECK(f.client.writes() == 1);
    CHECK(!f.client.closed_by_proxy());
    CHECK(f.seen.requests.at(0).outcome == request_outcome::ok);
    f.expect_nothing_left();
}

TEST_CASE("pipelined requests are answered in order, one at a time") {
    fixture f;
    f.upstream.next(answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"));
    f.upstream.next(answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"));
    f.connect();
    f.send(post + "\r\n" + post);

    const auto& got = f.client.received();
    CHECK(got.find("one") < got.find("two"));
    CHECK(got.ends_with("two"));
    CHECK(f.seen.requests.size() == 2);
    f.expect_nothing_left();
}

TEST_CASE("a chunked request is decoded and chunked anew, and what follows it is the next request") {
    fixture f;
    f.upstream.next(answering(ok_json, 0));
    f.upstream.next(answering(ok_json));
    f.connect();
    f.send("POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
           "chunked\r\n\r\n1;ext=1\r\na\r\n2\r\nbc\r\n0\r\nX-Trailer: 1\r\n\r\n" +
           post);

    CHECK(f.upstream.exchanges().at(0)->written.ends_with("transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"));
    CHECK(f.seen.requests.size() == 2);
    f.expect_nothing_left();
}

TEST_CASE("a stream is passed on event by event and ends with the last chunk") {
    fixture f;
    f.upstream.next(
        {.steps = {
             play::request{2},
             play::send{"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"},
             play::pause{1s}, play::send{"8\r\ndata: a\n\r\n"}, play::pause{1s},
             play::send{"1\r\n\n\r\n8\r\ndata: b\n\r\n"}, play::pause{1s}, play::send{"0\r\n\r\n"}}});
    f.connect();
    f.send(post);
    CHECK(f.client.received().ends_with("transfer-encoding: chunked\r\n\r\n"));
    f.client.forget_received();
    f.pass(1s);
    CHECK(f.client.received() == "8\r\ndata: a\n\r\n");
    f.client.forget_received();
    f.pass(1s);
    CHECK(f.client.received() == "9\r\n\ndata: b\n\r\n"); // what came together goes out together
    f.client.forget_received();
    f.pass(1s);
    CHECK(f.client.received() == "0\r\n\r\n");
    CHECK(f.upstream.exchanges().at(0)->recycled);
    f.expect_nothing_left();
}

TEST_CASE("a cut stream reaches the client without its last chunk") {
    fixture f;
    f.upstream.next(
        {.steps = {play::request{2},
                   play::send{"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "8\r\ndata: a\n\r\n"},
                   play::end{}}});
    f.connect();
    f.send(post);
    CHECK(has(f.client.received(), "8\r\ndata: a\n\r\n"));
    CHECK(!has(f.client.received(), "0\r\n\r\n"));
    CHECK(f.client.closed_by_proxy());
    CHECK(f.seen.requests.at(0).outcome == request_outcome::truncated);
    CHECK(f.seen.attempts.at(0) == attempt_result::truncated);
    f.expect_nothing_left();
}

TEST_CASE("a body cut short of its length closes the client's connection too") {
    fixture f;
    f.upstream.next(
        {.steps = {play::request{2}, play::send{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"}, play::end{}}});
    f.connect();
    f.send(post);
    CHECK(f.client.received().ends_with("content-length: 10\r\n\r\nabc"));
    CHECK(f.client.closed_by_proxy());
    CHECK(f.seen.requests.at(0).outcome == request_outcome::truncated);
    f.expect_nothing_left();
}

TEST_CASE("only a clean end ends a body that has no length: TLS without close_notify is truncation") {
    for (const bool clean : {true, false}) {
        CAPTURE(clean);
        fixture f;
        exchange_script script{.steps = {play::request{2}, play::send{"HTTP/1.1 200 OK\r\n\r\nabc"}}};
        script.steps.push_back(clean ? play_step{play::end{}} : play_step{play::truncate_tls{}});
        f.upstream.next(std::move(script));
        f.connect();
        f.send(post);
        CHECK(has(f.client.received(), "3\r\nabc\r\n"));
        CHECK(f.client.received().ends_with("0\r\n\r\n") == clean);
        CHECK(f.client.closed_by_proxy() == !clean);
        f.expect_nothing_left();
    }
}

TEST_CASE("an HTTP/1.0 client gets no chunks; a broken answer reaches it as a reset") {
    for (const bool clean : {true, false}) {
        CAPTURE(clean);
        fixture f;
        exchange_script script{
            .steps = {play::request{0},
                      play::send{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"}}};
        script.steps.push_back(clean ? play_step{play::send{"0\r\n\r\n"}} : play_step{play::end{}});
        f.upstream.next(std::move(script));
        f.connect();
        f.send("GET /v1/models HTTP/1.0\r\nHost: h\r\n\r\n");
        CHECK(f.client.received().ends_with("connection: close\r\n\r\nabc"));
        CHECK(f.client.closed_by_proxy());
        CHECK(f.client.reset_by_proxy() == !clean);
        f.expect_nothing_left();
    }
}

TEST_CASE("interim answers are swallowed, seventeen of them are too many") {
    const std::string interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    for (const int count : {16, 17}) {
        CAPTURE(count);
        fixture f;
        std::string bytes;
        for (int i = 0; i < count; ++i) bytes += interim;
        f.upstream.next(answering(bytes + ok_json));
        f.connect();
        f.send(post);
        CHECK(has(f.client.received(), count == 16 ? "200 OK" : "502 Bad Gateway"));
        CHECK(!has(f.client.received(), "103"));
        f.expect_nothing_left();
    }
}

TEST_CASE("a malformed answer is a 502 and its connection is not used again") {
    for (const char* bytes :
         {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "ICY 200 OK\r\n\r\n",
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"}) {
        CAPTURE(bytes);
        fixture f;
        f.upstream.next(answering(bytes));
        f.connect();
        f.send(post);
        CHECK(has(f.client.received(), "HTTP/1.1 502 "));
        CHECK(has(f.client.received(), "proxy-status: evenkeel; error=http_protocol_error; next-hop=\"provider\""));
        CHECK(!f.upstream.exchanges().at(0)->recycled);
        CHECK(f.seen.attempts.at(0) == attempt_result::protocol_error);
        f.expect_nothing_left();
    }
}

TEST_CASE("bytes behind the answer poison the connection") {
    fixture f;
    f.upstream.next(answering(ok_json + "HTTP/1.1 200 OK\r\n"));
    f.connect();
    f.send(post);
    CHECK(f.client.received().ends_with("{\"a\":1}"));
    CHECK(!f.upstream.exchanges().at(0)->recycled);
    f.expect_nothing_left();
}

TEST_CASE("a stale connection is replaced once, silently") {
    fixture f;
    f.upstream.next({.steps = {play::request{2}, play::reset{}}, .reused = true});
    f.upstream.next(answering(ok_json));
    f.connect();
    f.send(post);
    CHECK(has(f.client.received(), "200 OK"));
    REQUIRE(f.upstream.exchanges().size() == 2);
    CHECK(f.upstream.exchanges()[1]->fresh_asked);
    CHECK(f.seen.attempts == std::vector{attempt_result::reset, attempt_result::success});
    f.expect_nothing_left();
}

TEST_CASE("with retry_stale off, on a fresh connection, or after a first byte, nothing is sent twice") {
    for (const int variant : {0, 1, 2}) {
        CAPTURE(variant);
        fixture f;
        f.provider->connections.retry_stale = variant != 0;
        exchange_script script{.steps = {play::request{2}, play::reset{}}, .reused = variant != 1};
        if (variant == 2) script.steps.insert(script.steps.begin() + 1, play::send{"HTTP/1.1 2"});
        f.upstream.next(script);
        f.connect();
        f.send(post);
        CHECK(has(f.client.received(), "HTTP/1.1 502 "));
        CHECK(f.upstream.exchanges().size() == 1);
        f.expect_nothing_left();
    }
}

TEST_CASE("what must not be sent twice goes out on a fresh connection") {
    fixture f;
    f.upstream.next(answering(ok_json));
    f.connect();
    f.send("POST /v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
    CHECK(f.upstream.exchanges().at(0)->fresh_asked);
    f.expect_nothing_left();
}

TEST_CASE("the deadline ends a silent attempt with a 504") {
    fixture f;
    f.route->timeout.total = 30s;
    f.upstream.next({.steps = {play::request{2}, play::silence{}}});
    f.connect();
    f.send(post);
    f.pass(30s - 1ms);
    CHECK(f.client.received().empty());
    f.pass(2ms);
    CHECK(has(f.client.received(), "HTTP/1.1 504 "));
    CHECK(has(f.client.received(), "deadline_exceeded"));
    CHECK(f.seen.attempts.at(0) == attempt_result::timeout);
    CHECK(f.upstream.exchanges().at(0)->closed);
    f.expect_nothing_left();
}

TEST_CASE("the attempt timeout ends it earlier, and the connect timeout earlier still") {
    fixture f;
    f.route->timeout.attempt = 10s;
    f.upstream.next({.steps = {play::request{2}, play::silence{}}});
    f.connect();
    f.send(post);
    f.pass(10s + 1ms);
    CHECK(has(f.client.received(), "attempt_timeout"));

    f.client.forget_received();
    f.upstream.next({.connect_after = 1h});
    f.send(post);
    f.pass(5s + 1ms);
    CHECK(has(f.client.received(), "HTTP/1.1 504 "));
    CHECK(has(f.client.received(), "connection_timeout"));
    CHECK(f.seen.attempts.back() == attempt_result::connect_failure);
    f.expect_nothing_left();
}

TEST_CASE("silence in a stream ends it, comments keep it alive, and the total does not count after its beginning") {
    fixture f;
    f.route->timeout.total = 20s;
    f.route->timeout.stream_idle = 15s;
    exchange_script script{
        .steps = {
            play::request{2},
            play::send{"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"}}};
    for (int i = 0; i < 10; ++i) {
        script.steps.push_back(play::pause{14s});
        script.steps.push_back(play::send{"2\r\n:\n\r\n"});
    }
    script.steps.push_back(play::silence{});
    f.upstream.next(std::move(script));
    f.connect();
    f.send(post);
    f.pass(140s);
    CHECK(!f.client.closed_by_proxy());
    f.pass(15s + 2ms);
    CHECK(f.client.closed_by_proxy());
    CHECK(!has(f.client.received(), "0\r\n\r\n"));
    CHECK(f.seen.attempts.at(0) == attempt_result::timeout);
    f.expect_nothing_left();
}

TEST_CASE("a buffered answer that stalls ends at the total") {
    fixture f;
    f.route->timeout.total = 20s;
    f.upstream.next(
        {.steps = {play::request{2}, play::send{"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"}, play::silence{}}});
    f.connect();
    f.send(post);
    f.pass(19s);
    CHECK(!f.client.closed_by_proxy());
    f.pass(1s + 2ms);
    CHECK(f.client.closed_by_proxy());
    CHECK(f.seen.attempts.at(0) == attempt_result::timeout);
    f.expect_nothing_left();
}

TEST_CASE("refused requests are answered, counted and close the connection") {
    const struct {
        const char* bytes;
        const char* status;
        const char* reason;
    } rows[] = {
        {"GET /v1/x HTTP/1.1\r\n\r\n", "400", "missing_host"},
        {"GET /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400",
         "length_and_transfer_encoding"},
        {"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", "405", "method_not_allowed"},
        {"GET /v1/x HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "426",
         "upgrade_not_supported"},
        {"GET /v1/x HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", "417", "bad_expect"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.bytes);
        fixture f;
        f.connect();
        f.send(row.bytes);
        f.pass(2s);
        CHECK(f.client.received().starts_with(std::string{"HTTP/1.1 "} + row.status));
        const bool upgrades = std::string_view{row.status} == "426";
        CHECK(has(f.client.received(), upgrades ? "connection: close, upgrade\r\n" : "connection: close\r\n"));
        CHECK(has(f.client.received(), "upgrade: HTTP/1.1\r\n") == upgrades);
        CHECK(f.client.closed_by_proxy());
        CHECK(f.seen.requests.at(0).outcome == request_outcome::rejected);
        if (*row.reason != '\0') CHECK(f.seen.requests.at(0).reason == row.reason);
        f.expect_nothing_left();
    }
}

TEST_CASE("no route is a 404 and the connection goes on") {
    fixture f;
    f.connect();
    f.send("POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
    CHECK(has(f.client.received(), "HTTP/1.1 404 "));
    CHECK(has(f.client.received(), "no_route"));
    CHECK(!f.client.closed_by_proxy());
    CHECK(f.upstream.exchanges().empty());
    f.expect_nothing_left();
}

TEST_CASE("a head that does not come within its time is a 408; drops of bytes do not extend it") {
    fixture f;
    f.connect();
    f.send("GET /v1/x HTTP/1.1\r\n");
    for (int i = 0; i < 9; ++i) {
        f.pass(1s);
        f.send("X-" + std::to_string(i) + ": a\r\n");
    }
    CHECK(f.client.received().empty());
    f.pass(1s + 1ms);
    CHECK(f.client.received().starts_with("HTTP/1.1 408 "));
    f.pass(2s);
    CHECK(f.client.closed_by_proxy());
    f.expect_nothing_left();
}

TEST_CASE("an idle connection is closed without a word") {
    fixture f;
    f.connect();
    f.pass(74s);
    CHECK(!f.client.closed_by_proxy());
    f.pass(1s + 2ms);
    CHECK(f.client.closed_by_proxy());
    CHECK(f.client.received().empty());
    f.expect_nothing_left();
}

TEST_CASE("a parked connection wakes with its next request") {
    fixture f;
    f.upstream.always(answering(ok_json));
    f.connect();
    f.pass(30s);
    f.send(post);
    CHECK(has(f.client.received(), "200 OK"));
    f.client.forget_received();
    f.pass(30s);
    f.send(post.substr(0, 10));
    f.pass(1s);
    f.send(post.substr(10));
    CHECK(has(f.client.received(), "200 OK"));
    f.expect_nothing_left();
}

TEST_CASE("a body that is too long is refused by its length, and by its chunks when they have come") {
    fixture f;
    f.settings->limits.max_body = 10;
    f.connect();
    f.send("POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n");
    CHECK(has(f.client.received(), "HTTP/1.1 413 "));
    f.expect_nothing_left();

    fixture g;
    g.settings->limits.max_body = 10;
    g.connect();
    g.send("POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n8\r\n12345678\r\n");
    CHECK(has(g.client.received(), "HTTP/1.1 413 "));
    CHECK(g.upstream.exchanges().empty());
    g.expect_nothing_left();
}

TEST_CASE("a body that stops coming is a 408 and is never sent") {
    fixture f;
    f.connect();
    f.send("POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    f.pass(31s);
    CHECK(has(f.client.received(), "HTTP/1.1 408 "));
    CHECK(f.upstream.exchanges().empty());
    f.expect_nothing_left();
}

TEST_CASE("Expect: 100-continue is answered when the body is wanted, not for a refusal") {
    fixture f;
    f.upstream.next(answering(ok_json));
    f.connect();
    f.send("POST /v1/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    CHECK(f.client.received() == "HTTP/1.1 100 Continue\r\n\r\n");
    f.send("{}");
    CHECK(has(f.client.received(), "200 OK"));
    CHECK(!has(f.upstream.exchanges().at(0)->written, "xpect"));
    f.expect_nothing_left();

    fixture g;
    g.connect();
    g.send("POST /other HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    g.pass(2s);
    CHECK(g.client.received().starts_with("HTTP/1.1 404 "));
    CHECK(has(g.client.received(), "connection: close\r\n"));
    g.expect_nothing_left();
}

TEST_CASE("a large body starts at once, and an early answer ends both connections") {
    fixture f;
    f.upstream.next({.steps = {play::request{0}, play::send{"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"}}});
    f.connect();
    f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + std::string(1000, 'x'));
    CHECK(f.client.received().starts_with("HTTP/1.1 413 "));
    CHECK(has(f.client.received(), "connection: close\r\n"));
    CHECK(f.client.received().ends_with("no"));
    f.pass(2s);
    CHECK(f.client.closed_by_proxy());
    CHECK(!f.upstream.exchanges().at(0)->recycled);
    f.expect_nothing_left();
}

TEST_CASE("a large body arrives whole, and again on a fresh connection when the first was stale") {
    fixture f;
    const std::string body(300000, 'y');
    f.upstream.next({.steps = {play::request{100000}, play::reset{}}, .reused = true});
    f.upstream.next(answering(ok_json, body.size()));
    f.connect();
    f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + body);
    CHECK(has(f.client.received(), "200 OK"));
    REQUIRE(f.upstream.exchanges().size() == 2);
    CHECK(f.upstream.exchanges()[1]->written.ends_with("\r\n\r\n" + body));
    f.expect_nothing_left();
}

TEST_CASE("a body beyond the replay buffer is streamed without being held") {
    fixture f;
    f.settings->replay_buffer = 70000;
    f.route->retry.replay_buffer = 70000;
    const std::string body(500000, 'z');
    f.upstream.next(answering(ok_json, body.size()));
    f.connect();
    f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n" + body);
    CHECK(has(f.client.received(), "200 OK"));
    CHECK(f.upstream.exchanges().at(0)->written.ends_with("\r\n\r\n" + body));
    CHECK(f.upstream.exchanges().at(0)->fresh_asked); // it could not be sent again where the connection was stale
    CHECK(f.upstream.exchanges().at(0)->recycled);
    f.expect_nothing_left();
}

TEST_CASE("an upstream that refuses a large body may not have read it: its connection is used no more") {
    for (const auto& [status, size, kept] : {std::tuple{400, std::size_t{200'000}, false},
                                             {400, std::size_t{1000}, true},
                                             {200, std::size_t{200'000}, true}}) {
        CAPTURE(status);
        CAPTURE(size);
        fixture f;
        f.upstream.next(answering(status_answer(status), size));
        f.connect();
        f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n" +
               std::string(size, 'z'));
        f.pass(10ms);
        CHECK(has(f.client.received(), "HTTP/1.1 " + std::to_string(status)));
        CHECK(f.upstream.exchanges().at(0)->recycled == kept);
        f.expect_nothing_left();
    }
}

TEST_CASE("with no memory left a body still goes through, byte for byte") {
    for (const bool chunked : {false, true}) {
        CAPTURE(chunked);
        fixture f;
        f.memory.set_limit(0);
        const std::string body(150000, 'q');
        f.upstream.next(answering(ok_json, body.size()));
        f.connect();
        if (chunked) {
            f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n249f0\r\n" +
                   body + "\r\n0\r\n\r\n");
            CHECK(f.upstream.exchanges().at(0)->written.ends_with("0\r\n\r\n"));
        } else {
            f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 150000\r\n\r\n" + body);
            CHECK(f.upstream.exchanges().at(0)->written.ends_with(body));
        }
        CHECK(has(f.client.received(), "200 OK"));
        f.expect_nothing_left();
    }
}

TEST_CASE("a client that leaves during its upload takes the attempt with it") {
    fixture f;
    f.upstream.next({.steps = {play::request{200000}, play::send{ok_json}}});
    f.connect();
    f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + std::string(70000, 'x'));
    f.client.leave();
    f.pass(10ms);
    CHECK(f.upstream.exchanges().at(0)->closed);
    CHECK(f.seen.requests.at(0).outcome == request_outcome::client_cancelled);
    f.expect_nothing_left();
}

TEST_CASE("a model is renamed in the body, and nothing else of it") {
    fixture f;
    f.provider->models = {{"deepseek-chat", "gpt-4o-mini"}};
    f.upstream.next(answering(ok_json, 0));
    f.connect();
    const std::string body = R"({ "model" : "deepseek-chat", "n":1.0 })";
    f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body);
    const std::string renamed = R"({ "model" : "gpt-4o-mini", "n":1.0 })";
    CHECK(f.upstream.exchanges().at(0)->written.ends_with("content-length: " + std::to_string(renamed.size()) +
                                                          "\r\n\r\n" + renamed));
    f.expect_nothing_left();
}

TEST_CASE("HEAD has no body, and the length it would have is passed on") {
    fixture f;
    f.upstream.next(answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 0));
    f.connect();
    f.send("HEAD /v1/models HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(f.client.received().ends_with("\r\n\r\n"));
    CHECK(has(f.client.received(), "content-length: 100\r\n"));
    CHECK(f.upstream.exchanges().at(0)->recycled);
    f.expect_nothing_left();
}

TEST_CASE("draining: an idle connection ends at once, a busy one after its answer") {
    fixture f;
    f.upstream.next({.steps = {play::request{2}, play::pause{5s}, play::send{ok_json}}});
    f.connect();
    f.send(post);
    f.context.draining = true;
    static_cast<request::client_connection&>(f.context.open.front()).drain();
    f.pass(6s);
    CHECK(has(f.client.received(), "connection: close\r\n"));
    CHECK(f.client.received().ends_with("{\"a\":1}"));
    CHECK(f.client.closed_by_proxy());
    f.expect_nothing_left();

    fixture g;
    g.connect();
    g.pass(100ms);
    static_cast<request::client_connection&>(g.context.open.front()).drain();
    g.pass(1ms);
    CHECK(g.client.closed_by_proxy());
    g.expect_nothing_left();
}

TEST_CASE("a client that reads nothing is given up after the write timeout") {
    fixture f;
    f.upstream.next(answering(ok_json));
    f.client.stop_reading();
    f.connect();
    f.send(post);
    f.pass(59s);
    CHECK(!f.client.closed_by_proxy());
    f.pass(2s);
    CHECK(f.client.closed_by_proxy());
    CHECK(f.seen.requests.at(0).outcome == request_outcome::client_cancelled);
    f.expect_nothing_left();
}

} // namespace evenkeel::test::flow_test

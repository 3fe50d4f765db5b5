// How long a client is borne with: while it is still sending what was refused, and while it does not read.

#include "tests/proxy/request/flow_fixture.hpp"

namespace evenkeel::test::bounds_flow_test {

namespace {
const std::string refused_post = "POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n";
const std::string piece(64 * 1024, 'x');
} // namespace

TEST_CASE("a client that goes on sending what was refused is read for half a minute") {
    fixture f;
    f.connect();
    f.send(refused_post);
    CHECK(has(f.client.received(), "HTTP/1.1 404"));
    CHECK(f.client.ended_by_proxy());
    CHECK_FALSE(f.client.closed());
    for (int second = 1; second < 30; ++second) {
        CAPTURE(second);
        f.send(piece);
        f.pass(1s);
        CHECK_FALSE(f.client.closed());
        CHECK(f.client.unread() == 0);
    }
    f.send(piece);
    f.pass(1s);
    CHECK(f.client.closed());
    f.expect_nothing_left();
}

TEST_CASE("a client that stops sending what was refused is left after two seconds") {
    fixture f;
    f.connect();
    f.send(refused_post);
    f.pass(1900ms);
    CHECK_FALSE(f.client.closed());
    f.send(piece);
    f.pass(1900ms);
    CHECK_FALSE(f.client.closed());
    f.pass(200ms);
    CHECK(f.client.closed());
    f.expect_nothing_left();
}

TEST_CASE("a client that leaves after a refusal is not waited for") {
    fixture f;
    f.connect();
    f.send(refused_post);
    f.pass(100ms);
    f.client.leave();
    f.pass(10ms);
    CHECK(f.client.closed());
    f.expect_nothing_left();
}

TEST_CASE("a slow reader is served for as long as anything moves, and no longer than write_timeout after that") {
    for (const bool heads_up : {false, true}) { // the answer itself, and a heartbeat ahead of it
        CAPTURE(heads_up);
        fixture f;
        f.settings->limits.write_timeout = 8s;
        f.route->stream.head_hold = 1s;
        f.route->stream.heartbeat = 1s;
        f.route->timeout.total = 10min;
        f.route->timeout.attempt = 10min;
        if (heads_up) {
            f.upstream.next(streaming({play::silence{}}));
        } else {
            f.upstream.next(answering(ok_json));
        }
        f.connect();
        f.client.stop_reading();
        f.send(heads_up ? post_stream() : post);
        for (int n = 0; n < 20; ++n) {
            f.pass(6s); // less than the timeout, together much more
            f.client.take_a_little();
            CHECK_FALSE(f.client.closed());
        }
        f.pass(7900ms);
        CHECK_FALSE(f.client.closed());
        f.pass(2200ms); // a quarter of the timeout, and a moment
        CHECK(f.client.closed());
        f.expect_nothing_left();
    }
}

namespace {
std::string post_of(std::size_t bytes) {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(bytes) + "\r\n\r\n";
}
} // namespace

TEST_CASE("an upload that is never silent and never comes to anything is refused, held or passed on") {
    // Read whole first; passed on as it comes.
    for (const std::size_t size : {std::size_t{50'000}, std::size_t{500'000}}) {
        CAPTURE(size);
        fixture f;
        f.route->timeout.total = 10min;
        f.route->timeout.attempt = 10min;
        f.upstream.next({.steps = {play::request{size}, play::silence{}}});
        f.connect();
        f.send(post_of(size));
        for (int second = 1; second < 20; ++second) {
            f.pass(1s);
            f.send(std::string(1000, 'x')); // 1 KiB would do
            CHECK(f.client.received().empty());
        }
        f.pass(1s);
        f.send(std::string(1000, 'x'));
        CHECK(has(f.client.received(), "HTTP/1.1 408"));
        CHECK(has(f.client.received(), "body_too_slow"));
        CHECK(f.seen.requests.at(0).reason == "body_too_slow");
        f.expect_nothing_left();
    }
}

TEST_CASE("an upload at the least rate is served, and where there is none a slower one too") {
    for (const bool bounded : {true, false}) {
        CAPTURE(bounded);
        fixture f;
        f.route->timeout.total = 10min;
        f.route->timeout.attempt = 10min;
        f.settings->limits.body_min_rate = bounded ? 1024 : 0;
        const std::size_t each = bounded ? 1024 : 10;
        f.upstream.next(answering(ok_json, 100 * each));
        f.connect();
        f.send(post_of(100 * each));
        for (int second = 1; second <= 100; ++second) {
            f.pass(1s);
            f.send(std::string(each, 'x'));
        }
        CHECK(has(f.client.received(), "HTTP/1.1 200"));
        f.expect_nothing_left();
    }
}

TEST_CASE("timeout.total ends a request whose body is still coming") {
    for (const std::size_t size : {std::size_t{50'000}, std::size_t{500'000}}) {
        for (const bool must_see : {false, true}) {
            CAPTURE(size);
            CAPTURE(must_see);
            fixture f;
            f.route->timeout.total = 5s;
            if (must_see) f.provider->models = {{"a", "b"}};
            f.upstream.next({.steps = {play::request{size}, play::silence{}}});
            f.connect();
            f.send(post_of(size));
            for (int n = 0; n < 9; ++n) {
                f.pass(500ms);
                f.send(std::string(2000, 'x'));
                CHECK(f.client.received().empty());
            }
            f.pass(499ms);
            CHECK(f.client.received().empty());
            f.pass(2ms);
            const bool begun = size > 64 * 1024 && !must_see;
            CHECK(has(f.client.received(), begun ? "HTTP/1.1 504" : "HTTP/1.1 408"));
            f.expect_nothing_left();
        }
    }
}

TEST_CASE("timeout.total also ends the reading that choosing a route needs") {
    fixture f;
    f.route->match.models = {"m"};
    f.route->timeout.total = 5s;
    f.connect();
    f.send(post_of(50'000));
    for (int n = 0; n < 5; ++n) {
        f.pass(990ms);
        f.send(std::string(2000, 'x'));
        CHECK(f.client.received().empty());
    }
    f.pass(60ms);
    CHECK(has(f.client.received(), "HTTP/1.1 408"));
    f.expect_nothing_left();
}

TEST_CASE("a body that must be seen: too large is 413, no memory is 503 with Retry-After") {
    const std::string body(200'000, 'x');
    for (const bool full : {false, true}) {
        CAPTURE(full);
        fixture f;
        f.provider->models = {{"a", "b"}};
        if (full) {
            f.memory.set_limit(64 * 1024);
        } else {
            f.route->retry.replay_buffer = 64 * 1024;
        }
        f.connect();
        f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(body) +
               "0\r\n\r\n");
        f.pass(10ms);
        CHECK(has(f.client.received(), full ? "HTTP/1.1 503" : "HTTP/1.1 413"));
        CHECK(has(f.client.received(), "retry-after: 1\r\n") == full);
        CHECK(f.seen.requests.at(0).reason == (full ? "memory" : "body_too_large_to_inspect"));
        CHECK(f.seen.requests.at(0).outcome == request_outcome::rejected);
        f.expect_nothing_left();
    }
}

TEST_CASE(
    "whoever fills the memory decides nothing for others: a small body is held, repeated and searched all the same") {
    for (const bool full : {false, true}) {
        CAPTURE(full);
        fixture f;
        f.route->hides_some = true;
        f.route->retry.max_retries = 2;
        f.provider->caller_credentials = config::caller_credentials::drop;
        f.provider->models = {{"a", "b"}};
        if (full) f.memory.set_limit(1);
        const std::string front = R"({"messages":[],"model":"a",)", back = R"("api_key":"CANARY"})";
        const std::string sent = R"({"messages":[],"model":"b"})";
        f.upstream.next(answering(status_answer(503), sent.size()));
        f.upstream.next(answering(ok_json, sent.size()));
        f.connect();
        f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: " +
               std::to_string(front.size() + back.size()) + "\r\n\r\n");
        f.send(front);
        f.send(back);
        f.pass(10s);
        CHECK(has(f.client.received(), "HTTP/1.1 200"));
        REQUIRE(f.upstream.exchanges().size() == 2);
        for (const auto& one : f.upstream.exchanges()) {
            CHECK(one->written.ends_with("\r\n\r\n" + sent));
        }
        f.expect_nothing_left();
    }
}

TEST_CASE("a body that there is no room to search for credentials goes to nobody who must not see them") {
    for (const bool full : {false, true}) {
        CAPTURE(full);
        fixture f;
        f.route->hides_some = true;
        f.provider->caller_credentials = config::caller_credentials::drop;
        if (full) f.memory.set_limit(1);
        const std::string content = R"({"messages":[")" + std::string(100'000, 'x') + R"("],"api_key":"CANARY"})";
        f.upstream.always(answering(ok_json, 50'000));
        f.connect();
        f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
               "Transfer-Encoding: chunked\r\n\r\n" +
               chunk(content) + "0\r\n\r\n");
        f.pass(1s);
        CHECK(has(f.client.received(), full ? "HTTP/1.1 503" : "HTTP/1.1 200"));
        CHECK(has(f.client.received(), "retry-after: 1\r\n") == full);
        CHECK(f.upstream.exchanges().size() == (full ? 0 : 1));
        for (const auto& one : f.upstream.exchanges()) CHECK_FALSE(has(one->written, "CANARY"));
        f.expect_nothing_left();
    }
}

namespace {
constexpr std::size_t large = 500'000;
const std::string large_json =
    R"({"model":"a","api_key":"secret","messages":[")" + std::string(large - 48, 'x') + R"("]})";
const std::string large_post = "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
                               "Content-Length: " +
                               std::to_string(large_json.size()) + "\r\n\r\n" + large_json;
const exchange_script never_ending{
    .steps = {play::request{large - 100},
              play::send{"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
                         chunk("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n")}}};
} // namespace

TEST_CASE("a body is held until its answer is chosen, and not for as long as its client takes to read or to leave") {
    const std::string content(500'000, 'x');
    SUBCASE("an answer that goes on, to a body as it came or another in its place") {
        for (const bool renamed : {false, true}) {
            for (const bool hidden : {false, true}) {
                CAPTURE(renamed);
                CAPTURE(hidden);
                fixture f;
                if (renamed) f.provider->models = {{"a", "b"}};
                if (hidden) {
                    f.route->hides_some = true;
                    f.provider->caller_credentials = config::caller_credentials::drop;
                }
                f.upstream.always(never_ending);
                f.connect();
                f.send(large_post);
                f.pass(1s);
                CHECK(has(f.client.received(), "HTTP/1.1 200"));
                CHECK(has(f.upstream.exchanges().at(0)->written, "secret") == !hidden);
                CHECK(has(f.upstream.exchanges().at(0)->written, R"("model":"b")") == renamed);
                CHECK(f.memory.used() <= 4 * request::buffer_pool::block_bytes);
                f.expect_nothing_left();
            }
        }
    }
    SUBCASE("an error that nobody reads") {
        fixture f;
        f.upstream.always(answering(status_answer(400, "", std::string(100'000, 'e')), large_json.size()));
        f.connect();
        f.client.stop_reading();
        f.send(large_post);
        f.pass(1s);
        CHECK(f.memory.used() <= 200'000);
        f.expect_nothing_left();
    }
    SUBCASE("a client that goes on sending what was refused") {
        fixture f;
        f.route->retry.replay_buffer = 300'000;
        f.provider->models = {{"a", "b"}};
        f.connect();
        f.send("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(content) +
               "100000\r\n");
        f.pass(1s);
        CHECK(has(f.client.received(), "HTTP/1.1 413"));
        CHECK_FALSE(f.client.closed());
        CHECK(f.memory.used() <= 4 * request::buffer_pool::block_bytes);
        f.expect_nothing_left();
    }
}

TEST_CASE(
    "what goes out in a body's place is owned by who sends it: an early error is passed on while it still waits") {
    for (const std::string is : {"renamed", "hidden", "upcast"}) {
        CAPTURE(is);
        fixture f;
        if (is == "renamed") f.provider->models = {{"a", "b"}};
        if (is == "upcast") f.route->stream.upcast = true;
        if (is == "hidden") {
            f.route->hides_some = true;
            f.provider->caller_credentials = config::caller_credentials::drop;
        }
        f.route->retry.max_retries = 1;
        const std::string error(100'000, 'e');
        f.upstream.next({.steps = {play::request{0}, play::send{status_answer(400, "", error).substr(0, 50'000)},
                                   play::pause{10s}, play::send{status_answer(400, "", error).substr(50'000)}},
                         .takes = {{.after = 1s, .most = 100'000}, {.after = 1s}}});
        f.connect();
        f.send(large_post);
        f.pass(1500ms);
        CHECK(has(f.client.received(), "HTTP/1.1 400"));
        // Others' bytes go where memory is free.
        std::vector<request::shared_bytes> others;
        for (int i = 0; i < 8; ++i)
            others.push_back(request::copy_to_block(f.services.buffers, std::string(large, 'Z')));
        f.pass(5s);
        const std::string& sent = f.upstream.exchanges().at(0)->written;
        CHECK_FALSE(has(sent, "ZZZZ"));
        CHECK(sent.size() > large / 2);
        others.clear();
        f.expect_nothing_left();
    }
}

TEST_CASE("an answer of known length that there is no room to hold is passed on as it comes") {
    for (const bool with_head : {true, false}) { // its first byte comes with its head
        CAPTURE(with_head);
        fixture f;
        f.route->retry.max_retries = 1;
        f.memory.set_limit(1'000'000);
        REQUIRE(f.memory.take(500'000)); // somebody else's
        const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n";
        const std::string rest = std::string(899'998, ' ') + "}";
        f.upstream.next({.steps = {play::request{2}, play::send{with_head ? head + "{" : head}, play::pause{10ms},
                                   play::send{with_head ? " " : "{ "}, play::pause{1s}, play::send{rest.substr(1)}}});
        f.connect();
        f.send(post);
        f.pass(100ms);
        CHECK(has(f.client.received(), "HTTP/1.1 200"));
        CHECK(f.client.received().ends_with("\r\n\r\n{ "));
        f.pass(2s);
        CHECK(f.client.received().ends_with("\r\n\r\n{" + rest));
        f.memory.give(500'000);
        f.expect_nothing_left();
    }
}

} // namespace evenkeel::test::bounds_flow_test

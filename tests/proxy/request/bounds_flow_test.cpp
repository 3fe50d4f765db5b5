// How long a client is borne with: while it is still sending what was refused, and while it does not read.

#include "tests/proxy/request/flow_fixture.hpp"

using namespace evenkeel;
using namespace evenkeel::test;

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

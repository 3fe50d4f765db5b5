// A client that says it sends no more, against one that has left: in virtual time.

#include "tests/proxy/request/flow_fixture.hpp"

#include "proxy/client/half_close.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

namespace evenkeel::test::half_close_test {

using namespace std::chrono_literals;

namespace {

net::peer_end kernel_says = net::peer_end::unknown;

// A client on another machine: of a pair of sockets the kernel is not asked.
struct far_client {
    far_client() { REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0); }
    ~far_client() {
        for (const int one : ends) ::close(one);
    }
    std::string received() {
        std::string out(4096, '\0');
        const ssize_t got = ::recv(ends[1], out.data(), out.size(), 0);
        out.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        return out;
    }
    std::array<int, 2> ends{-1, -1};
};

class far_stream final : public net::client_stream {
public:
    explicit far_stream(int descriptor) : descriptor_(descriptor) {}
    void start_read(boost::asio::mutable_buffer, net::completion<net::io_result>) override {}
    void start_write(std::span<const boost::asio::const_buffer>, net::completion<net::io_result>) override {}
    void start_wait_readable(net::completion<net::io_result>) override {}
    void cancel_read() noexcept override {}
    void shutdown_send() noexcept override {}
    void close() noexcept override { descriptor_ = -1; }
    void reset() noexcept override {}
    int descriptor() const noexcept override { return descriptor_; }
    std::string_view peer() const noexcept override { return ""; }
    net::io_result write_now(std::span<boost::asio::const_buffer>& from) noexcept override {
        const auto sent = ::send(descriptor_, from.front().data(), from.front().size(), MSG_NOSIGNAL);
        from = {};
        return {{}, static_cast<std::size_t>(sent)};
    }

private:
    int descriptor_;
};

const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";

} // namespace

TEST_CASE("a peer that the kernel does not know is asked with an interim answer, less and less often") {
    net::loop loop{steady_time{1000s}};
    far_client client;
    far_stream stream(client.ends[0]);
    int gone = 0;
    bool may = true;
    kernel_says = net::peer_end::unknown;
    request::half_close watched(
        loop, stream,
        {.gone = [&] { ++gone; }, .takes_interim = [&] { return may; }, .kernel = [](int) { return kernel_says; }});

    std::vector<int> seconds;
    watched.look();
    for (int second = 0; second < 70; ++second) {
        if (client.received() == interim) seconds.push_back(second);
        loop.run_virtual(loop.now() + 1s);
    }
    CHECK(seconds == std::vector<int>{0, 1, 3, 7, 15, 31, 63});
    CHECK(gone == 0);

    may = false; // the answer has begun
    loop.run_virtual(loop.now() + 100s);
    CHECK(client.received().empty());
    kernel_says = net::peer_end::gone;
    loop.run_virtual(loop.now() + 1s);
    CHECK(gone == 1);
    CHECK(loop.timers().armed() == 0);
}

TEST_CASE("a peer of this machine is sent nothing, and bytes under way keep a question back") {
    net::loop loop{steady_time{1000s}};
    far_client client;
    far_stream stream(client.ends[0]);
    request::half_close watched(
        loop, stream, {.gone = [] {}, .takes_interim = [] { return true; }, .kernel = [](int) { return kernel_says; }});
    kernel_says = net::peer_end::reads;
    watched.look();
    loop.run_virtual(loop.now() + 10s);
    CHECK(client.received().empty());

    kernel_says = net::peer_end::unknown;
    REQUIRE(::send(client.ends[0], "x", 1, 0) == 1);
    loop.run_virtual(loop.now() + 10s);
    CHECK(client.received() == "x");
    loop.run_virtual(loop.now() + 1s);
    CHECK(client.received() == interim);

    watched.stop();
    CHECK(loop.timers().armed() == 0);
    stream.close();
    watched.look();
    CHECK(loop.timers().armed() == 0);
}

TEST_CASE(
    "a client that half-closes after its request gets its answer, also if it did so before the request was read") {
    for (const bool before : {false, true}) {
        CAPTURE(before);
        fixture f;
        f.upstream.next({.steps = {play::request{2}, play::pause{5s}, play::send{ok_json}}});
        f.connect();
        if (before) f.client.half_close();
        f.send(post);
        if (!before) f.client.half_close();
        f.pass(4s);
        CHECK(f.upstream.open_now() == 1);
        f.pass(2s);
        CHECK(has(f.client.received(), "HTTP/1.1 200 OK\r\n"));
        CHECK(has(f.client.received(), "{\"a\":1}"));
        CHECK(f.client.received().find("100 Continue") == std::string::npos);
        CHECK(f.client.closed_by_proxy());
        REQUIRE(f.seen.requests.size() == 1);
        CHECK(f.seen.requests[0].outcome == telemetry::request_outcome::ok);
        f.expect_nothing_left();
    }
}

TEST_CASE("a client that half-closes and then leaves is noticed, while it waits and in its stream") {
    for (const bool stream : {false, true}) {
        CAPTURE(stream);
        fixture f;
        if (stream)
            f.upstream.next(streaming({play::send{stream_head + chunk(hello) + chunk(word)}, play::pause{100s}}));
        else
            f.upstream.next({.steps = {play::request{2}, play::pause{100s}}});
        f.connect();
        f.send(stream ? post_stream() : post);
        f.client.half_close();
        f.pass(5s);
        CHECK(f.upstream.open_now() == 1);
        f.client.leave();
        f.pass(1ms);
        CHECK(f.upstream.open_now() == 0);
        f.expect_nothing_left();
        CHECK(f.seen.requests[0].outcome == telemetry::request_outcome::client_cancelled);
    }
}

TEST_CASE("a client that half-closes in the middle of its upload has sent no request") {
    fixture f;
    f.upstream.next({.steps = {play::request{100}, play::pause{100s}}});
    f.connect();
    f.send("POST /v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n{}");
    f.client.half_close();
    f.pass(1s);
    CHECK(f.upstream.open_now() == 0);
    CHECK(f.client.closed_by_proxy());
    f.expect_nothing_left();
}

} // namespace evenkeel::test::half_close_test

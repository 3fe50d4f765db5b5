// Ways that are dead, made by a filter on the peer's socket that drops every packet: no router and no root is needed.

#include "tests/proxy/net/net_bench.hpp"

#include "proxy/net/way_watch.hpp"
#include "tests/support/deaf_server.hpp"

#include <boost/asio/error.hpp>
#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace evenkeel::test::way_watch_test {

using namespace std::chrono_literals;

namespace {
constexpr duration interval = net::way_watch::usual_interval;

// By then a kernel has acknowledged what nobody reads (real time; the looks are in virtual time).
constexpr auto acknowledged = 500ms;

const std::string request = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

using outcome = std::optional<net::io_result>;
net::task<void> read_into(net::exchange& on, boost::asio::mutable_buffer what, outcome& out) {
    out = co_await on.read_some(what);
}
net::task<void> write_from(net::exchange& on, std::span<const boost::asio::const_buffer> what, outcome& out) {
    out = co_await on.write(what);
}

// An exchange over a connection that has carried one before.
struct reused {
    reused() : peer(net_bench_peer()) {
        auto first = bench.open(peer);
        REQUIRE(first.exchange);
        CHECK(bench.ask(*first.exchange, "/") == "ok");
        first.exchange->recycle(0s);
        first.exchange.reset();
        bench.advance(0s);
        second = bench.open(peer).exchange;
        REQUIRE(second);
        REQUIRE(second->reused());
    }
    std::shared_ptr<config::upstream> net_bench_peer() { return upstream_at(server.port()); }
    // So many looks of the watch.
    void looks(int count) {
        for (int i = 0; i < count; ++i) {
            bench.advance(interval);
            bench.settle(5ms);
        }
    }
    deaf_server server;
    net_bench bench;
    std::shared_ptr<config::upstream> peer;
    std::unique_ptr<net::exchange> second;
};
} // namespace

TEST_CASE("A8: bytes that nobody acknowledges end a connection after ten seconds, and what lies idle with it") {
    reused of;
    auto other = of.bench.open(of.peer);
    REQUIRE(other.exchange);
    CHECK(of.bench.ask(*other.exchange, "/") == "ok");
    other.exchange->recycle(0s);
    other.exchange.reset();
    of.bench.advance(0s);
    REQUIRE(of.bench.pool->idle() == 1);
    of.server.turn_deaf();
    CHECK(of.bench.write(*of.second, {request}).ok());
    outcome ended;
    char room[100];
    of.bench.worker.nursery().spawn(read_into(*of.second, boost::asio::buffer(room), ended));
    of.looks(5);
    CHECK_FALSE(ended);
    of.looks(2);
    REQUIRE(ended);
    CHECK(ended->error == boost::asio::error::operation_aborted);
    CHECK(of.bench.pool->idle() == 0);
    CHECK(of.bench.pool->size() == 0);
    CHECK(of.bench.seen.closed == 2);
}

TEST_CASE("A8: an answer that takes its time is waited for, and so is a reader that does not read") {
    reused of;
    of.server.say_nothing();
    // More than all buffers of both ends hold.
    const std::string upload(32 * 1024 * 1024, 'x');
    const std::string head =
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: " + std::to_string(upload.size()) + "\r\n\r\n";
    const std::array<boost::asio::const_buffer, 2> from{boost::asio::buffer(head), boost::asio::buffer(upload)};
    outcome written;
    of.bench.worker.nursery().spawn(write_from(*of.second, from, written));
    of.bench.settle(acknowledged);
    of.looks(30);
    CHECK_FALSE(written); // its window is closed
    of.second->close();
    of.bench.settle();

    reused slow;
    slow.server.say_nothing();
    CHECK(slow.bench.write(*slow.second, {request}).ok());
    outcome ended;
    char room[100];
    slow.bench.worker.nursery().spawn(read_into(*slow.second, boost::asio::buffer(room), ended));
    slow.bench.settle(acknowledged);
    slow.looks(30);
    CHECK_FALSE(ended);
    slow.second->close();
    slow.bench.settle();
    CHECK(ended);
}

TEST_CASE("A8: a way that comes back in time costs nothing") {
    reused of;
    of.server.turn_deaf();
    CHECK(of.bench.write(*of.second, {request}).ok());
    of.looks(5);
    of.server.hear_again();
    REQUIRE(of.bench.pump([&] { return of.server.heard() == 2; })); // the kernel says it once more
    of.looks(30);
    CHECK(of.bench.answer(*of.second) == "ok");
}

TEST_CASE("A8: the watch has a timer while a connection is in use, and none while all lie idle") {
    reused of;
    CHECK(of.bench.worker.timers().armed() == 1);
    of.second->close();
    CHECK(of.bench.worker.timers().armed() == 0);
}

} // namespace evenkeel::test::way_watch_test

#include "tests/proxy/net/loopback.hpp"

#include <boost/asio/error.hpp>
#include <doctest/doctest.h>

#include <condition_variable>
#include <poll.h>
#include <sys/socket.h>

namespace evenkeel::test::pool_test {

using namespace std::chrono_literals;
using kind = net::transport_error::kind;

namespace {
// Lets a script on a server thread wait for the test.
class signal_flag {
public:
    void raise() {
        const std::scoped_lock lock(mutex_);
        raised_ = true;
        changed_.notify_all();
    }
    void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, 10s, [&] { return raised_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool raised_ = false;
};

void recycle(net_bench& in, net::open_result& opened, duration keep_alive = duration::zero()) {
    opened.exchange->recycle(keep_alive);
    opened.exchange.reset();
    in.advance(0s);
}
} // namespace

TEST_CASE("a recycled connection carries the next exchange, the newest one first") {
    loopback_server server([](int fd, int number) {
        while (!read_line(fd).empty()) write_text(fd, std::to_string(number) + "\n");
    });
    net_bench bench;
    const auto up = upstream_at(server.port());

    auto first = bench.open(up);
    REQUIRE(first.exchange);
    CHECK(!first.exchange->reused());
    const std::string first_number = bench.ping(*first.exchange);
    auto second = bench.open(up);
    REQUIRE(second.exchange);
    const std::string second_number = bench.ping(*second.exchange);
    CHECK(first_number != second_number);
    recycle(bench, first);
    CHECK(bench.seen.idle == 1);
    recycle(bench, second);
    CHECK(bench.pool->idle() == 2);

    auto again = bench.open(up);
    REQUIRE(again.exchange);
    CHECK(again.exchange->reused());
    CHECK(again.exchange->connect_time() == 0s);
    CHECK(bench.ping(*again.exchange) == second_number);
    CHECK(bench.seen.opened == 2);
    CHECK(bench.seen.idle == 1);
    CHECK(bench.pool->size() == 2);

    const auto taken = bench.pool->reuse(up); // without waiting
    REQUIRE(taken);
    CHECK(taken->reused());
    CHECK(bench.ping(*taken) == first_number);
    CHECK(!bench.pool->reuse(up));
}

TEST_CASE("a recycled connection spends one turn of the loop before it can be taken") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    const auto up = upstream_at(server.port());
    auto opened = bench.open(up);
    CHECK(bench.ping(*opened.exchange) == "ping\n");

    opened.exchange->recycle(0s);
    CHECK(bench.pool->idle() == 0);
    bench.advance(0s);
    CHECK(bench.pool->idle() == 1);
}

TEST_CASE("fresh passes over what is idle") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    const auto up = upstream_at(server.port());
    auto opened = bench.open(up);
    recycle(bench, opened);

    auto fresh = bench.open(up, true);
    REQUIRE(fresh.exchange);
    CHECK(!fresh.exchange->reused());
    CHECK(bench.pool->size() == 2);
}

TEST_CASE("an exchange that is not recycled closes its connection") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    const auto up = upstream_at(server.port());

    bench.open(up).exchange.reset();
    auto closed = bench.open(up);
    closed.exchange->close();
    CHECK(bench.pool->size() == 0);
    closed.exchange->recycle(0s); // too late
    bench.advance(0s);

    CHECK(bench.pool->size() == 0);
    CHECK(bench.pool->idle() == 0);
    CHECK(bench.seen.opened == 2);
    CHECK(bench.seen.closed == 2);
}

TEST_CASE("an idle connection lives until the idle limit and not a millisecond longer") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    auto up = upstream_at(server.port());
    up->connections.idle_timeout = 30s;

    auto opened = bench.open(up);
    recycle(bench, opened);
    bench.advance(29999ms);
    CHECK(bench.pool->idle() == 1);
    bench.advance(1ms);

    CHECK(bench.pool->idle() == 0);
    CHECK(bench.pool->size() == 0);
    CHECK(bench.seen.idle == 0);
    CHECK(bench.seen.closed == 1);
    CHECK(bench.worker.timers().armed() == 0);
}

TEST_CASE("age is counted from the opening, never ends an exchange, and ends idleness") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    auto up = upstream_at(server.port());
    up->connections.idle_timeout = 60s;
    up->connections.max_age = 100s;

    auto opened = bench.open(up);
    bench.advance(50s);
    recycle(bench, opened);
    bench.advance(49s);
    CHECK(bench.pool->idle() == 1); // 99 s old
    bench.advance(1s);
    CHECK(bench.pool->idle() == 0);

    auto longer = bench.open(up);
    bench.advance(1h);
    CHECK(bench.ping(*longer.exchange) == "ping\n");
    recycle(bench, longer);
    CHECK(bench.pool->size() == 0);
}

TEST_CASE("a learned keep-alive timeout ends idleness a second early") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    const auto up = upstream_at(server.port());

    auto opened = bench.open(up);
    recycle(bench, opened, 5s);
    bench.advance(3999ms);
    CHECK(bench.pool->idle() == 1);
    bench.advance(1ms);
    CHECK(bench.pool->idle() == 0);

    auto hasty = bench.open(up);
    recycle(bench, hasty, 1s); // nothing is left after the margin
    CHECK(bench.pool->size() == 0);
}

TEST_CASE("an idle connection closes at the server's end, at a stray byte and at a reset") {
    const auto ends = std::vector<std::pair<const char*, std::function<void(int)>>>{
        {"end", [](int fd) { ::shutdown(fd, SHUT_WR); }},
        {"stray byte", [](int fd) { write_text(fd, "H"); }},
        {"reset", [](int fd) { reset_connection(fd); }},
    };
    for (const auto& [name, how] : ends) {
        CAPTURE(name);
        signal_flag go;
        loopback_server server([&, act = how](int fd, int) {
            write_text(fd, read_line(fd));
            go.wait();
            act(fd);
            if (std::string_view(name) != "reset") read_until_end(fd);
        });
        net_bench bench;
        const auto up = upstream_at(server.port());
        auto opened = bench.open(up);
        CHECK(bench.ping(*opened.exchange) == "ping\n");
        recycle(bench, opened);
        CHECK(bench.pool->idle() == 1);

        go.raise();

        CHECK(bench.pump([&] { return bench.pool->size() == 0; }));
        CHECK(bench.seen.idle == 0);
        CHECK(bench.seen.closed == 1);
        CHECK(bench.worker.timers().armed() == 0);
    }
}

TEST_CASE("stray bytes that are there on release never reach the pool") {
    loopback_server server([](int fd, int) {
        read_line(fd);
        write_text(fd, "ping\nHTTP/1.1 200 OK\r\n"); // the second answer, for whoever comes next
        read_until_end(fd);
    });
    net_bench bench;
    const auto up = upstream_at(server.port());
    auto opened = bench.open(up);
    CHECK(bench.write(*opened.exchange, {"ping\n"}).ok());
    std::string answer;
    CHECK(bench.read(*opened.exchange, answer, 5).ok());
    CHECK(answer == "ping\n");
    recycle(bench, opened);

    CHECK(bench.pool->size() == 0);
    CHECK(bench.seen.closed == 1);
}

TEST_CASE("a connection whose request is still being written is not pooled") {
    loopback_server server([](int fd, int) { // answers early and reads nothing
        write_text(fd, "HTTP/1.1 413 ");
        pollfd end{fd, POLLRDHUP, 0};
        ::poll(&end, 1, 10'000);
    });
    net_bench bench;
    auto opened = bench.open(upstream_at(server.port()));
    const std::string much(64 * 1024 * 1024, 'x');
    std::array<boost::asio::const_buffer, 1> from{boost::asio::buffer(much)};
    std::optional<net::io_result> wrote;
    bench.worker.nursery().spawn([](net::exchange& on, std::span<const boost::asio::const_buffer> what,
                                    std::optional<net::io_result>& out) -> net::task<void> {
        out = co_await on.write(what);
    }(*opened.exchange, from, wrote));
    std::string early;
    CHECK(bench.read(*opened.exchange, early).ok());
    CHECK(!wrote);

    opened.exchange->recycle(0s);

    CHECK(bench.pump([&] { return wrote.has_value(); }));
    CHECK(wrote->error == boost::asio::error::operation_aborted);
    CHECK(bench.pool->size() == 0);
}

TEST_CASE("stray bytes that arrive between release and take are found without a turn of the loop") {
    signal_flag go, done;
    loopback_server server([&](int fd, int number) {
        write_text(fd, read_line(fd));
        if (number == 0) {
            go.wait();
            write_text(fd, "stray");
            done.raise();
        }
        echo_lines(fd);
    });
    net_bench bench;
    const auto up = upstream_at(server.port());
    auto opened = bench.open(up);
    CHECK(bench.ping(*opened.exchange) == "ping\n");
    recycle(bench, opened);
    REQUIRE(bench.pool->idle() == 1);
    go.raise();
    done.wait(); // the byte is in our socket's buffer; the loop has not looked

    auto next = bench.open(up);

    REQUIRE(next.exchange);
    CHECK(!next.exchange->reused());
    CHECK(bench.ping(*next.exchange) == "ping\n");
    CHECK(bench.seen.closed == 1);
}

TEST_CASE("at the limit opens wait in order and take over what comes back") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    auto up = upstream_at(server.port());
    up->connections.max = 1;

    auto holder = bench.open(up);
    CHECK(bench.ping(*holder.exchange) == "ping\n");
    const auto second = bench.begin_open(up);
    const auto third = bench.begin_open(up);
    const auto fourth = bench.begin_open(up, true);
    bench.settle();
    CHECK(!second->result);

    recycle(bench, holder);
    CHECK(bench.pump([&] { return second->result.has_value(); }));
    REQUIRE(second->result->exchange);
    CHECK(second->result->exchange->reused());
    CHECK(bench.ping(*second->result->exchange) == "ping\n");
    CHECK(!third->result);

    second->result->exchange->close(); // a slot instead of a connection
    CHECK(bench.pump([&] { return third->result.has_value(); }));
    REQUIRE(third->result->exchange);
    CHECK(!third->result->exchange->reused());
    CHECK(!fourth->result);

    recycle(bench, *third->result); // a fresh one gets the slot, not the connection
    CHECK(bench.pump([&] { return fourth->result.has_value(); }));
    REQUIRE(fourth->result->exchange);
    CHECK(!fourth->result->exchange->reused());
    CHECK(bench.pool->size() == 1);
    CHECK(bench.seen.opened == 3);
}

TEST_CASE("a fresh open at the limit displaces the oldest idle connection") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    auto up = upstream_at(server.port());
    up->connections.max = 2;
    auto one = bench.open(up);
    auto two = bench.open(up);
    recycle(bench, one);
    recycle(bench, two);

    auto fresh = bench.open(up, true);

    REQUIRE(fresh.exchange);
    CHECK(!fresh.exchange->reused());
    CHECK(bench.pool->size() == 2);
    CHECK(bench.pool->idle() == 1);
}

TEST_CASE("waiting for a connection ends with the deadline or with the caller, and passes on what it was given") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    auto up = upstream_at(server.port());
    up->connections.max = 1;
    auto holder = bench.open(up);

    const auto late = bench.begin_open(up, false, 2s);
    const auto cancelled = bench.begin_open(up, false, 60s);
    const auto last = bench.begin_open(up, false, 60s);
    bench.advance(1999ms);
    CHECK(!late->result);
    bench.advance(1ms);
    REQUIRE(late->result);
    CHECK(!late->result->exchange);
    CHECK(late->result->error.is == kind::limit);
    CHECK(late->result->error.token == "connection_limit_reached");
    CHECK(late->result->error.status == 503);

    // Given and cancelled in the same turn.
    holder.exchange->close();
    cancelled->cancel.request();
    CHECK(bench.pump([&] { return last->result.has_value(); }));
    REQUIRE(cancelled->result);
    CHECK(cancelled->result->error.is == kind::cancelled);
    REQUIRE(last->result->exchange);
    CHECK(bench.ping(*last->result->exchange) == "ping\n");
    CHECK(bench.pool->size() == 1);
}

TEST_CASE("a connection given to somebody who left in the same turn goes to the next one") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    auto up = upstream_at(server.port());
    up->connections.max = 1;
    auto holder = bench.open(up);
    const auto leaving = bench.begin_open(up, false, 60s);
    const auto staying = bench.begin_open(up, false, 60s);
    bench.settle(2ms);

    holder.exchange->recycle(0s);
    // The recycled connection is placed by the next turn; the cancel comes in that same turn, right behind it.
    boost::asio::post(bench.worker.executor(), [&] { leaving->cancel.request(); });

    CHECK(bench.pump([&] { return staying->result.has_value(); }));
    REQUIRE(leaving->result);
    CHECK(leaving->result->error.is == kind::cancelled);
    REQUIRE(staying->result->exchange);
    CHECK(staying->result->exchange->reused());
    CHECK(bench.seen.opened == 1);
}

TEST_CASE("an open that is cancelled before it begins connects nowhere") {
    net_bench bench;
    const auto under_way = std::make_shared<net_bench::pending>();
    net::cancel_source cancel;
    cancel.request();
    std::optional<net::open_result> out;
    const auto up = upstream_at(closed_port());
    bench.worker.nursery().spawn([](net_bench& in, std::shared_ptr<const config::upstream> to, net::cancel_source& stop,
                                    std::optional<net::open_result>& result) -> net::task<void> {
        result = co_await in.pool->open(to, false, in.worker.now() + 5s, stop);
    }(bench, up, cancel, out));
    bench.advance(0s);
    REQUIRE(out);
    CHECK(out->error.is == kind::cancelled);
    CHECK(bench.pool->size() == 0);
}

TEST_CASE("a reload keeps the connections of equal settings and retires the rest") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    const auto same = upstream_at(server.port());
    auto changed = upstream_at(server.port());
    changed->name = "other";
    auto idle_same = bench.open(same);
    auto idle_changed = bench.open(changed);
    auto busy_changed = bench.open(changed);
    recycle(bench, idle_same);
    recycle(bench, idle_changed);
    CHECK(bench.pool->idle() == 2);

    const auto same_again = std::make_shared<config::upstream>(*same);
    same_again->connections.idle_timeout = 10s;
    auto changed_again = std::make_shared<config::upstream>(*changed);
    changed_again->tls.server_name = "elsewhere";
    const std::vector<std::shared_ptr<const config::upstream>> next{same_again, changed_again};
    bench.pool->keep_only(next);

    CHECK(bench.pool->idle() == 1);
    CHECK(bench.ping(*busy_changed.exchange) == "ping\n"); // undisturbed
    recycle(bench, busy_changed);
    CHECK(bench.pool->size() == 1);
    auto reused = bench.open(same_again);
    CHECK(reused.exchange->reused());
    recycle(bench, reused);
    bench.advance(10s); // the new limit holds
    CHECK(bench.pool->size() == 0);

    // A request that began under the old settings is served, and its connection is not kept.
    auto old = bench.open(changed);
    REQUIRE(old.exchange);
    recycle(bench, old);
    CHECK(bench.pool->size() == 0);
}

TEST_CASE("drain closes what is idle and keeps nothing any more") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    const auto up = upstream_at(server.port());
    auto idle = bench.open(up);
    auto busy = bench.open(up);
    recycle(bench, idle);

    bench.pool->drain();

    CHECK(bench.pool->idle() == 0);
    CHECK(bench.ping(*busy.exchange) == "ping\n");
    recycle(bench, busy);
    CHECK(bench.pool->size() == 0);
    CHECK(bench.seen.closed == 2);
}

TEST_CASE("exchanges outlive their pool") {
    loopback_server server([](int fd, int) { echo_lines(fd); });
    net_bench bench;
    auto opened = bench.open(upstream_at(server.port()));
    bench.pool.reset();

    CHECK(bench.ping(*opened.exchange) == "ping\n");
    opened.exchange->recycle(0s);
    bench.advance(0s);
}

TEST_CASE("closing an exchange ends the read and the write under way") {
    loopback_server server([](int fd, int) { // reads nothing, so that the writer fills the buffers
        pollfd end{fd, POLLRDHUP, 0};
        ::poll(&end, 1, 10'000);
    });
    net_bench bench;
    auto opened = bench.open(upstream_at(server.port()));
    const std::string much(64 * 1024 * 1024, 'x');
    std::array<boost::asio::const_buffer, 1> from{boost::asio::buffer(much)};
    char into[16];
    std::optional<net::io_result> wrote, got;
    bench.worker.nursery().spawn([](net::exchange& on, std::span<const boost::asio::const_buffer> what,
                                    std::optional<net::io_result>& out) -> net::task<void> {
        out = co_await on.write(what);
    }(*opened.exchange, from, wrote));
    bench.worker.nursery().spawn(
        [](net::exchange& on, boost::asio::mutable_buffer what, std::optional<net::io_result>& out) -> net::task<void> {
            out = co_await on.read_some(what);
        }(*opened.exchange, boost::asio::buffer(into), got));
    bench.settle();
    CHECK(!wrote);
    CHECK(!got);

    opened.exchange->close();

    CHECK(bench.pump([&] { return wrote && got; }));
    CHECK(wrote->error == boost::asio::error::operation_aborted);
    CHECK(got->error == boost::asio::error::operation_aborted);
}

TEST_CASE("bytes of many buffers arrive in order, and an end of the server is an eof") {
    std::string seen;
    loopback_server server([&](int fd, int) {
        seen = read_line(fd);
        write_text(fd, "bye");
    });
    net_bench bench;
    auto opened = bench.open(upstream_at(server.port()));
    std::vector<std::string> parts;
    std::string whole;
    for (int i = 0; i < 40; ++i) parts.push_back(std::to_string(i) + ",");
    parts.push_back("\n");
    for (const auto& part : parts) whole += part;

    const auto sent = bench.write(*opened.exchange, parts);
    CHECK(sent.bytes == whole.size());
    std::string got;
    CHECK(bench.read(*opened.exchange, got).ok());
    CHECK(got == "bye");
    CHECK(bench.read(*opened.exchange, got).error == boost::asio::error::eof);
    CHECK(seen == whole);
}

} // namespace evenkeel::test::pool_test

#include "tests/proxy/net/net_bench.hpp"

#include <boost/asio/error.hpp>
#include <doctest/doctest.h>

#include <array>

namespace evenkeel::test::pool_test {

using namespace std::chrono_literals;
using kind = net::transport_error::kind;

namespace {
// The provider has written its answers and waits for requests.
void at_rest(const simulated_provider& there) {
    REQUIRE(there.wait_for([](const provider::provider_counters& of) { return of.in_flight == 0; }));
}

// So much that it cannot leave before it is read.
struct upload {
    std::string body = std::string(64 * 1024 * 1024, 'x');
    std::string head =
        "POST /upload HTTP/1.1\r\nhost: up\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n";
    std::array<boost::asio::const_buffer, 2> from{boost::asio::buffer(head), boost::asio::buffer(body)};
};

void recycle(net_bench& in, net::open_result& opened, duration keep_alive = duration::zero()) {
    opened.exchange->recycle(keep_alive);
    opened.exchange.reset();
    in.advance(0s);
}
} // namespace

TEST_CASE("a recycled connection carries the next exchange, the newest one first") {
    simulated_provider server;
    net_bench bench;
    const auto number_of = [&](net::exchange& on) {
        CHECK(bench.ask(on) == "abcd");
        return server.records().back().connection;
    };
    const auto up = upstream_at(server.port());

    auto first = bench.open(up);
    REQUIRE(first.exchange);
    CHECK(!first.exchange->reused());
    const auto first_number = number_of(*first.exchange);
    auto second = bench.open(up);
    REQUIRE(second.exchange);
    const auto second_number = number_of(*second.exchange);
    CHECK(first_number != second_number);
    recycle(bench, first);
    CHECK(bench.seen.idle == 1);
    recycle(bench, second);
    CHECK(bench.pool->idle() == 2);

    auto again = bench.open(up);
    REQUIRE(again.exchange);
    CHECK(again.exchange->reused());
    CHECK(again.exchange->connect_time() == 0s);
    CHECK(number_of(*again.exchange) == second_number);
    CHECK(bench.seen.opened == 2);
    CHECK(bench.seen.idle == 1);
    CHECK(bench.pool->size() == 2);

    const auto taken = bench.pool->reuse(up); // without waiting
    REQUIRE(taken);
    CHECK(taken->reused());
    CHECK(number_of(*taken) == first_number);
    CHECK(!bench.pool->reuse(up));
}

TEST_CASE("a recycled connection spends one turn of the loop before it can be taken") {
    simulated_provider server;
    net_bench bench;
    const auto up = upstream_at(server.port());
    auto opened = bench.open(up);
    CHECK(bench.ask(*opened.exchange) == "abcd");

    opened.exchange->recycle(0s);
    CHECK(bench.pool->idle() == 0);
    bench.advance(0s);
    CHECK(bench.pool->idle() == 1);
}

TEST_CASE("fresh passes over what is idle") {
    simulated_provider server;
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
    simulated_provider server;
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
    simulated_provider server;
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
    simulated_provider server;
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
    CHECK(bench.ask(*longer.exchange) == "abcd");
    recycle(bench, longer);
    CHECK(bench.pool->size() == 0);
}

TEST_CASE("a learned keep-alive timeout ends idleness a second early") {
    simulated_provider server;
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
    const std::vector<std::pair<const char*, void (*)(simulated_provider&)>> ends{
        {"end", [](simulated_provider& of) { of.drop_idle(); }},
        {"stray byte", [](simulated_provider& of) { of.say_to_idle("H"); }},
        {"reset", [](simulated_provider& of) { of.drop_idle(true); }},
    };
    for (const auto& [name, how] : ends) {
        CAPTURE(name);
        simulated_provider server;
        net_bench bench;
        const auto up = upstream_at(server.port());
        auto opened = bench.open(up);
        CHECK(bench.ask(*opened.exchange) == "abcd");
        recycle(bench, opened);
        CHECK(bench.pool->idle() == 1);

        at_rest(server);
        how(server);

        CHECK(bench.pump([&] { return bench.pool->size() == 0; }));
        CHECK(bench.seen.idle == 0);
        CHECK(bench.seen.closed == 1);
        CHECK(bench.worker.timers().armed() == 0);
    }
}

TEST_CASE("stray bytes that are there on release never reach the pool") {
    const std::string whole = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd";
    simulated_provider server; // the second answer is for whoever comes next
    server.play("raw=HTTP/1.1 200 OK\\r\\ncontent-length: 4\\r\\n\\r\\nabcdHTTP/1.1 200 OK\\r\\n");
    net_bench bench;
    const auto up = upstream_at(server.port());
    auto opened = bench.open(up);
    CHECK(bench.write(*opened.exchange, {"GET / HTTP/1.1\r\nhost: up\r\n\r\n"}).ok());
    std::string answer;
    CHECK(bench.read(*opened.exchange, answer, whole.size()).ok());
    CHECK(answer == whole);
    recycle(bench, opened);

    CHECK(bench.pool->size() == 0);
    CHECK(bench.seen.closed == 1);
}

TEST_CASE("a connection whose request is still being written is not pooled") {
    simulated_provider server;
    server.play("early; status=413; stall_after=head");
    net_bench bench;
    auto opened = bench.open(upstream_at(server.port()));
    upload much;
    std::optional<net::io_result> wrote;
    bench.worker.nursery().spawn([](net::exchange& on, std::span<const boost::asio::const_buffer> what,
                                    std::optional<net::io_result>& out) -> net::task<void> {
        out = co_await on.write(what);
    }(*opened.exchange, much.from, wrote));
    std::string early;
    CHECK(bench.read(*opened.exchange, early).ok());
    CHECK(!wrote);

    opened.exchange->recycle(0s);

    CHECK(bench.pump([&] { return wrote.has_value(); }));
    CHECK(wrote->error == boost::asio::error::operation_aborted);
    CHECK(bench.pool->size() == 0);
}

TEST_CASE("stray bytes that arrive between release and take are found without a turn of the loop") {
    simulated_provider server;
    net_bench bench;
    const auto up = upstream_at(server.port());
    auto opened = bench.open(up);
    CHECK(bench.ask(*opened.exchange) == "abcd");
    recycle(bench, opened);
    REQUIRE(bench.pool->idle() == 1);
    at_rest(server);
    server.say_to_idle("stray"); // the byte is in our socket's buffer; the loop has not looked

    auto next = bench.open(up);

    REQUIRE(next.exchange);
    CHECK(!next.exchange->reused());
    CHECK(bench.ask(*next.exchange) == "abcd");
    CHECK(bench.seen.closed == 1);
}

TEST_CASE("at the limit opens wait in order and take over what comes back") {
    simulated_provider server;
    net_bench bench;
    auto up = upstream_at(server.port());
    up->connections.max = 1;

    auto holder = bench.open(up);
    CHECK(bench.ask(*holder.exchange) == "abcd");
    const auto second = bench.begin_open(up);
    const auto third = bench.begin_open(up);
    const auto fourth = bench.begin_open(up, true);
    bench.settle();
    CHECK(!second->result);
    CHECK(second->cancel.queued()); // it is we who keep it

    recycle(bench, holder);
    CHECK(bench.pump([&] { return second->result.has_value(); }));
    REQUIRE(second->result->exchange);
    CHECK_FALSE(second->cancel.queued());
    CHECK(second->result->exchange->reused());
    CHECK(bench.ask(*second->result->exchange) == "abcd");
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
    simulated_provider server;
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
    simulated_provider server;
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
    CHECK(bench.ask(*last->result->exchange) == "abcd");
    CHECK(bench.pool->size() == 1);
}

TEST_CASE("a connection given to somebody who left in the same turn goes to the next one") {
    simulated_provider server;
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
    simulated_provider server;
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
    CHECK(bench.ask(*busy_changed.exchange) == "abcd"); // undisturbed
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
    simulated_provider server;
    net_bench bench;
    const auto up = upstream_at(server.port());
    auto idle = bench.open(up);
    auto busy = bench.open(up);
    recycle(bench, idle);

    bench.pool->drain();

    CHECK(bench.pool->idle() == 0);
    CHECK(bench.ask(*busy.exchange) == "abcd");
    recycle(bench, busy);
    CHECK(bench.pool->size() == 0);
    CHECK(bench.seen.closed == 2);
}

TEST_CASE("exchanges outlive their pool") {
    simulated_provider server;
    net_bench bench;
    auto opened = bench.open(upstream_at(server.port()));
    bench.pool.reset();

    CHECK(bench.ask(*opened.exchange) == "abcd");
    opened.exchange->recycle(0s);
    bench.advance(0s);
}

TEST_CASE("closing an exchange ends the read and the write under way") {
    simulated_provider server;
    server.play("reads=1@3600s");
    net_bench bench;
    auto opened = bench.open(upstream_at(server.port()));
    upload much;
    char into[16];
    std::optional<net::io_result> wrote, got;
    bench.worker.nursery().spawn([](net::exchange& on, std::span<const boost::asio::const_buffer> what,
                                    std::optional<net::io_result>& out) -> net::task<void> {
        out = co_await on.write(what);
    }(*opened.exchange, much.from, wrote));
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
    simulated_provider server({.script = "body=text:bye; connection=close", .record_body_bytes = 1000});
    net_bench bench;
    auto opened = bench.open(upstream_at(server.port()));
    std::vector<std::string> parts;
    std::string whole;
    for (int i = 0; i < 40; ++i) parts.push_back(std::to_string(i) + ",");
    for (const auto& part : parts) whole += part;
    const std::string head =
        "POST /echo HTTP/1.1\r\nhost: up\r\ncontent-length: " + std::to_string(whole.size()) + "\r\n\r\n";
    parts.insert(parts.begin(), head);

    const auto sent = bench.write(*opened.exchange, parts);
    CHECK(sent.bytes == head.size() + whole.size());
    CHECK(bench.answer(*opened.exchange) == "bye");
    std::string got;
    CHECK(bench.read(*opened.exchange, got).error == boost::asio::error::eof);
    CHECK(server.records().at(0).body == whole);
}

} // namespace evenkeel::test::pool_test

#include "tests/proxy/net/net_bench.hpp"

#include <boost/asio/error.hpp>
#include <doctest/doctest.h>

#include <condition_variable>
#include <mutex>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace evenkeel::test::dial_test {

using namespace std::chrono_literals;
using kind = net::transport_error::kind;

namespace {
net::resolver::lookup_function always(std::initializer_list<const char*> literals) {
    net::resolved out;
    for (const char* one : literals) out.addresses.push_back(boost::asio::ip::make_address(one));
    return [out](const std::string&) { return out; };
}

// Listens with a full queue: the kernel drops further SYNs, so that connecting neither succeeds nor fails.
class silent_listener {
public:
    silent_listener() {
        fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ::bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at);
        ::listen(fd_, 0);
        socklen_t size = sizeof at;
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
        port_ = ntohs(at.sin_port);
        for (int& one : fillers_) {
            one = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
            ::connect(one, reinterpret_cast<const sockaddr*>(&at), sizeof at);
        }
        ::usleep(20000);
    }
    ~silent_listener() {
        for (const int one : fillers_) ::close(one);
        ::close(fd_);
    }
    silent_listener(const silent_listener&) = delete;
    silent_listener& operator=(const silent_listener&) = delete;
    [[nodiscard]] std::uint16_t port() const { return port_; }

private:
    int fd_ = -1;
    std::uint16_t port_ = 0;
    int fillers_[4]{};
};

std::shared_ptr<config::upstream> through(std::uint16_t proxy_port, const std::string& host, std::uint16_t port) {
    auto up = upstream_at(port, host);
    up->proxy.emplace();
    up->proxy->host = "127.0.0.1";
    up->proxy->port = proxy_port;
    return up;
}
} // namespace

TEST_CASE("connection refused, unreachable and unresolvable are told apart") {
    net_bench bench([](const std::string&) { return net::resolved{boost::asio::error::host_not_found, true, {}}; });

    const auto refused = bench.open(upstream_at(closed_port()));
    CHECK(!refused.exchange);
    CHECK(refused.error.is == kind::refused);
    CHECK(refused.error.token == "connection_refused");
    CHECK(refused.error.status == 502);
    CHECK(refused.error.detail.find("Connection refused") != std::string::npos);

    const auto unreachable = bench.open(upstream_at(9, "255.255.255.255"));
    CHECK(unreachable.error.is == kind::unreachable);
    CHECK(unreachable.error.token == "destination_ip_unroutable");

    const auto nowhere = bench.open(upstream_at(9, "nowhere.example"));
    CHECK(nowhere.error.is == kind::dns);
    CHECK(nowhere.error.token == "dns_error");
    CHECK(nowhere.error.detail.find("nowhere.example") != std::string::npos);
    CHECK(bench.pool->size() == 0);
    CHECK(bench.seen.opened == 0);
}

TEST_CASE("IPv6 works, as a literal and as a name's address") {
    std::unique_ptr<simulated_provider> server;
    try {
        server = std::make_unique<simulated_provider>(provider::provider_options{.host = "::1"});
    } catch (const std::runtime_error&) {
        MESSAGE("skipped: no IPv6 loopback on this machine");
        return;
    }
    net_bench bench(always({"::1"}));
    auto literal = bench.open(upstream_at(server->port(), "::1"));
    REQUIRE(literal.exchange);
    CHECK(bench.ask(*literal.exchange) == "abcd");
    auto named = bench.open(upstream_at(server->port(), "six.example"));
    REQUIRE(named.exchange);
    CHECK(bench.ask(*named.exchange) == "abcd");
}

TEST_CASE("a dead first address is passed over at once and tried last from then on") {
    simulated_provider server({.host = "127.0.0.2"});
    net_bench bench(always({"127.0.0.1", "127.0.0.2"}));
    const auto up = upstream_at(server.port(), "two.example");

    auto first = bench.open(up); // no time passes: the refusal starts the next address
    REQUIRE(first.exchange);
    CHECK(bench.ask(*first.exchange) == "abcd");

    net::event wake(bench.worker.executor());
    const net::resolver::query after(bench.names, "two.example", bench.worker.now(), bench.worker, wake, nullptr);
    REQUIRE(after.ready());
    CHECK(after.answer().addresses.front().to_string() == "127.0.0.2");
}

TEST_CASE("all addresses refused: one error that names them all") {
    net_bench bench(always({"127.0.0.1", "127.0.0.2", "127.0.0.3"}));
    const auto result = bench.open(upstream_at(closed_port(), "three.example"));
    CHECK(result.error.is == kind::refused);
    for (const char* one : {"127.0.0.1", "127.0.0.2", "127.0.0.3"})
        CHECK(result.error.detail.find(one) != std::string::npos);
}

TEST_CASE("an address that says nothing is joined by the next one after 250 ms") {
    const silent_listener silent;
    simulated_provider server({.host = "127.0.0.2", .port = silent.port()});
    net_bench bench(always({"127.0.0.1", "127.0.0.2"}));

    const auto under_way = bench.begin_open(upstream_at(silent.port(), "slow.example"));
    bench.settle();
    bench.advance(249ms);
    bench.settle();
    CHECK(!under_way->result);
    bench.advance(1ms);

    CHECK(bench.pump([&] { return under_way->result.has_value(); }));
    REQUIRE(under_way->result->exchange);
    CHECK(bench.ask(*under_way->result->exchange) == "abcd");
}

TEST_CASE("connecting ends with the deadline, and with the caller") {
    const silent_listener silent;
    net_bench bench;
    const auto late = bench.begin_open(upstream_at(silent.port()), false, 2s);
    const auto cancelled = bench.begin_open(upstream_at(silent.port()), false, 60s);
    bench.settle();
    bench.advance(1999ms);
    CHECK(!late->result);
    bench.advance(1ms);
    REQUIRE(late->result);
    CHECK(late->result->error.is == kind::connect_timeout);
    CHECK(late->result->error.token == "connection_timeout");
    CHECK(late->result->error.status == 504);

    cancelled->cancel.request();
    bench.advance(0s);
    REQUIRE(cancelled->result);
    CHECK(cancelled->result->error.is == kind::cancelled);
    CHECK(bench.pool->size() == 0);
    CHECK(bench.worker.timers().armed() == 0);
}

TEST_CASE("a lookup that hangs ends with the deadline, and with the caller") {
    struct gate {
        std::mutex mutex;
        std::condition_variable changed;
        bool open = false;
    };
    const auto held = std::make_shared<gate>();
    {
        net_bench bench([held](const std::string&) {
            std::unique_lock lock(held->mutex);
            held->changed.wait_for(lock, 20s, [&] { return held->open; });
            return net::resolved{};
        });
        const auto late = bench.begin_open(upstream_at(80, "hang.example"), false, 2s);
        const auto cancelled = bench.begin_open(upstream_at(80, "hang.example"), false, 60s);
        bench.settle();
        bench.advance(2s);
        REQUIRE(late->result);
        CHECK(late->result->error.is == kind::connect_timeout);
        CHECK(late->result->error.token == "dns_timeout");
        CHECK(late->result->error.status == 504);
        cancelled->cancel.request();
        bench.advance(0s);
        REQUIRE(cancelled->result);
        CHECK(cancelled->result->error.is == kind::cancelled);
    }
    const std::scoped_lock lock(held->mutex);
    held->open = true;
    held->changed.notify_all();
}

TEST_CASE("without descriptors opening fails as a limit, and works again later") {
    simulated_provider server;
    net_bench bench;
    // Asio has what descriptors it needs itself; held, so that the server closes none at the wrong moment.
    auto held = bench.open(upstream_at(server.port()));
    CHECK(bench.ask(*held.exchange) == "abcd");
    net::open_result refused;
    {
        const no_descriptors none;
        refused = bench.open(upstream_at(server.port()));
    }

    CHECK(!refused.exchange);
    CHECK(refused.error.is == kind::limit);
    CHECK(refused.error.status == 503);
    CHECK(bench.ask(*bench.open(upstream_at(server.port())).exchange) == "abcd");
}

TEST_CASE("an egress proxy tunnels to the upstream by name") {
    simulated_provider proxy;
    proxy.play("accept=tunnel");
    net_bench bench(always({"192.0.2.1"})); // the proxy resolves the upstream, not we

    auto opened = bench.open(through(proxy.port(), "api.example", 8080));

    REQUIRE(opened.exchange);
    CHECK(bench.ask(*opened.exchange) == "abcd");
    const auto asked = proxy.records().at(0);
    CHECK(asked.method == "CONNECT");
    CHECK(asked.target == "api.example:8080");
    CHECK(asked.minor_version == 1);
    CHECK(asked.headers == std::vector<std::pair<std::string, std::string>>{{"Host", "api.example:8080"}});
}

TEST_CASE("what an egress proxy can do instead of tunnelling") {
    struct row {
        const char* name;
        std::string answer;
        const char* detail;
    };
    const std::vector<row> rows{
        {"refusal", R"(HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n)",
         "407 Proxy Authentication Required"},
        {"no HTTP", R"(SSH-2.0-OpenSSH\r\n\r\n)", "SSH-2.0"},
        {"control bytes", R"(HTTP/1.1 500 a\x1b[31m\r\n\r\n)", "500 a?[31m"},
        {"early bytes", R"(HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n)", "ahead of the tunnel"},
        {"endless head", R"(HTTP/1.1 200 OK\r\n)" + std::string(9000, 'a'), "longer than 8 KiB"},
        {"end", "", "closed the connection"},
    };
    for (const row& one : rows) {
        CAPTURE(one.name);
        simulated_provider proxy;
        proxy.play("raw=" + one.answer + "; connection=close");
        net_bench bench;
        const auto result = bench.open(through(proxy.port(), "api.example", 443));
        CHECK(!result.exchange);
        CHECK(result.error.is == kind::proxy_refused);
        CHECK(result.error.detail.find(one.detail) != std::string::npos);
        CAPTURE(result.error.detail);
        CHECK(bench.pool->size() == 0);
    }
}

TEST_CASE("a silent egress proxy ends with the deadline") {
    simulated_provider proxy;
    proxy.play("accept=silence");
    net_bench bench;
    const auto under_way = bench.begin_open(through(proxy.port(), "api.example", 443), false, 2s);
    CHECK(bench.pump([&] { return proxy.counters().connections == 1; }));
    bench.settle();
    bench.advance(2s);
    bench.settle(5ms);
    REQUIRE(under_way->result);
    CHECK(under_way->result->error.is == kind::connect_timeout);
    CHECK(under_way->result->error.detail.find("egress proxy") != std::string::npos);
}

} // namespace evenkeel::test::dial_test

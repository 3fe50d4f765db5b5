#include "tests/proxy/net/net_bench.hpp"
#include "tests/support/certificates.hpp"

#include "proxy/net/listener.hpp"
#include "proxy/net/peer_end.hpp"
#include "proxy/provider/blocking_client.hpp"

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <doctest/doctest.h>

#include <future>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

namespace evenkeel::test::listener_test {

using namespace std::chrono_literals;

namespace {
config::listener tcp_at(std::uint16_t port = 0, const std::string& host = "127.0.0.1") {
    config::listener out;
    out.host = host;
    out.port = port;
    return out;
}
config::listener unix_at(const std::string& path) {
    config::listener out;
    out.unix = config::unix_path{path};
    return out;
}

// A blocking client socket.
class client {
public:
    explicit client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
    }
    explicit client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        sockaddr_un to{};
        to.sun_family = AF_UNIX;
        path.copy(to.sun_path, sizeof to.sun_path - 1);
        connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
    }
    client(client&& other) noexcept : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_) {}
    client& operator=(client&&) = delete;
    ~client() { close(); }
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] bool connected() const { return connected_; }

private:
    int fd_;
    bool connected_ = false;
};

// Up to and with '\n'; empty at the end of the connection.
std::string read_line(int fd) {
    std::string out;
    char c = 0;
    while (!out.ends_with('\n') && ::recv(fd, &c, 1, 0) == 1) out += c;
    return out;
}
void write_text(int fd, std::string_view text) { CHECK(::send(fd, text.data(), text.size(), MSG_NOSIGNAL) > 0); }
void reset_at_close(int fd) {
    const linger at_once{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

struct listener_bench : net_bench {
    net::listener& listen(net::bound_socket socket, net::listener_options options = {},
                          std::shared_ptr<const net::tls_server_context> context = nullptr) {
        listeners.push_back(
            std::make_unique<net::listener>(worker, std::move(socket), std::move(context), options, seen));
        listeners.back()->start(
            [this](std::unique_ptr<net::client_stream> stream) { streams.push_back(std::move(stream)); });
        return *listeners.back();
    }
    ~listener_bench() {
        listeners.clear();
        streams.clear();
    }
    bool accepted(std::size_t count) {
        return pump([&] { return streams.size() == count; });
    }
    net::io_result finish(net::task<net::io_result> what) {
        std::optional<net::io_result> out;
        start(std::move(what), out);
        REQUIRE(pump([&] { return out.has_value(); }));
        return *out;
    }
    void start(net::task<net::io_result> what, std::optional<net::io_result>& out) {
        worker.nursery().spawn(keep(std::move(what), out));
    }
    static net::task<void> keep(net::task<net::io_result> what, std::optional<net::io_result>& out) {
        out = co_await std::move(what);
    }
    std::string read(net::client_stream& from) {
        char into[256];
        const net::io_result got = finish(from.read_some(boost::asio::buffer(into)));
        return got.ok() ? std::string(into, got.bytes) : got.error.message();
    }
    void write(net::client_stream& to, const std::string& text) {
        const std::array<boost::asio::const_buffer, 1> from{boost::asio::buffer(text)};
        CHECK(finish(to.write(from)).ok());
    }

    std::vector<std::unique_ptr<net::listener>> listeners;
    std::vector<std::unique_ptr<net::client_stream>> streams;
};

net::bound_socket bound(const config::listener& where) { return std::move(net::bind_listener(where, 1).front()); }

double cpu_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}
} // namespace

TEST_CASE("port 0 becomes a real port; clients are accepted and bytes come and go") {
    listener_bench bench;
    auto& listener = bench.listen(bound(tcp_at()));
    CHECK(listener.port() != 0);
    CHECK(listener.address() == "127.0.0.1:" + std::to_string(listener.port()));

    client one(listener.port());
    REQUIRE(bench.accepted(1));
    CHECK(bench.streams[0]->peer() == "127.0.0.1");
    write_text(one.fd(), "hello\n");
    CHECK(bench.read(*bench.streams[0]) == "hello\n");
    bench.write(*bench.streams[0], "hi\n");
    CHECK(read_line(one.fd()) == "hi\n");
    CHECK(listener.connections() == 1);
    CHECK(bench.seen.clients_opened == 1);

    bench.streams.clear();
    CHECK(listener.connections() == 0);
    CHECK(bench.seen.clients_closed == 1);
    CHECK(read_line(one.fd()).empty());
}

TEST_CASE("a taken port and a name instead of an address are errors that say where") {
    const auto first = bound(tcp_at());
    for (const unsigned workers : {1U, 2U}) { // SO_REUSEPORT must not let us join somebody else's port
        try {
            static_cast<void>(net::bind_listener(tcp_at(first.port()), workers));
            FAIL("bound twice");
        } catch (const boost::system::system_error& error) {
            CHECK(std::string(error.what()).find(first.address()) != std::string::npos);
            CHECK(error.code() == boost::asio::error::address_in_use);
        }
    }
    CHECK_THROWS_AS(static_cast<void>(net::bind_listener(tcp_at(0, "localhost"), 1)), boost::system::system_error);
    // A shared port is as taken as any other.
    const auto shared = net::bind_listener(tcp_at(), 2);
    CHECK_THROWS_AS(static_cast<void>(net::bind_listener(tcp_at(shared.front().port()), 2)),
                    boost::system::system_error);
}

TEST_CASE("two workers share a port") {
    auto sockets = net::bind_listener(tcp_at(), 2);
    REQUIRE(sockets.size() == 2);
    CHECK(sockets[0].port() == sockets[1].port());
    listener_bench one, two;
    auto& first = one.listen(std::move(sockets[0]));
    two.listen(std::move(sockets[1]));

    std::vector<client> clients;
    for (int i = 0; i < 64; ++i) clients.emplace_back(first.port());
    CHECK(one.pump([&] {
        two.worker.run_virtual(two.worker.now());
        return one.streams.size() + two.streams.size() == 64;
    }));
    CHECK(one.streams.size() > 0); // by the kernel's hash: all 64 on one side has odds of 2^-63
    CHECK(two.streams.size() > 0);
}

TEST_CASE("a unix socket: one file for all workers, a mode, and no file afterwards") {
    const temporary_directory files;
    const std::string path = files.path("listen.sock");
    auto sockets = net::bind_listener(unix_at(path), 2);
    struct stat found {};
    REQUIRE(::stat(path.c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0660);
    {
        listener_bench one, two;
        one.listen(std::move(sockets[0]));
        two.listen(std::move(sockets[1]));
        CHECK(one.listeners[0]->address() == "unix:" + path);
        client visitor(path);
        REQUIRE(visitor.connected());
        CHECK(one.pump([&] {
            two.worker.run_virtual(two.worker.now());
            return one.streams.size() + two.streams.size() == 1;
        }));
        auto& side = one.streams.empty() ? two : one;
        CHECK(side.streams[0]->peer() == "unix");
        write_text(visitor.fd(), "x");
        CHECK(side.read(*side.streams[0]) == "x");

        one.listeners[0]->stop();
        CHECK(::stat(path.c_str(), &found) == 0); // the other worker still listens
    }
    CHECK(::stat(path.c_str(), &found) != 0);
}

TEST_CASE("the file of a unix socket has the mode that was asked for, whatever the umask, and never a wider one") {
    const temporary_directory files;
    const std::string path = files.path("mode.sock");
    for (const mode_t mask : {0022, 0, 0777}) {
        for (const unsigned mode : {0600U, 0660U, 0666U}) {
            config::listener where = unix_at(path);
            where.unix->mode = mode;
            const mode_t before = ::umask(mask);
            const auto listening = bound(where);
            ::umask(before);
            struct stat found {};
            REQUIRE(::stat(path.c_str(), &found) == 0);
            CHECK((found.st_mode & 0777) == mode);
        }
    }
}

TEST_CASE("the kernel tells a peer that only sends no more from one that is gone") {
    const temporary_directory files;
    const auto judge = [](net::client_stream& stream) { return net::look_at_peer(stream.descriptor()); };
    struct row {
        const char* name;
        config::listener where;
        int family;
    };
    for (const auto& [name, where, family] : {row{"IPv4", tcp_at(), AF_INET}, row{"IPv6", tcp_at(0, "::1"), AF_INET6},
                                              row{"IPv4 on an IPv6 listener", tcp_at(0, "::"), AF_INET},
                                              row{"unix", unix_at(files.path("peer.sock")), AF_UNIX}}) {
        CAPTURE(name);
        listener_bench bench;
        auto& listener = bench.listen(bound(where));
        const auto connect = [&] {
            const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
            sockaddr_storage to{};
            to.ss_family = static_cast<sa_family_t>(family);
            if (family == AF_INET) {
                auto& in = reinterpret_cast<sockaddr_in&>(to);
                in.sin_port = htons(listener.port());
                in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            } else if (family == AF_INET6) {
                auto& in = reinterpret_cast<sockaddr_in6&>(to);
                in.sin6_port = htons(listener.port());
                in.sin6_addr = in6addr_loopback;
            } else {
                auto& un = reinterpret_cast<sockaddr_un&>(to);
                where.unix->path.copy(un.sun_path, sizeof un.sun_path - 1);
            }
            const socklen_t size = family == AF_INET    ? sizeof(sockaddr_in)
                                   : family == AF_INET6 ? sizeof(sockaddr_in6)
                                                        : sizeof(sockaddr_un);
            REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&to), size) == 0);
            return fd;
        };
        const int stays = connect(), ends = connect(), leaves = connect();
        REQUIRE(bench.accepted(3));
        for (auto& one : bench.streams) CHECK(judge(*one) == net::peer_end::reads);

        ::shutdown(ends, SHUT_WR);
        ::close(leaves); // at once: no moment in which it looks half-closed
        CHECK(judge(*bench.streams[2]) == net::peer_end::gone);
        CHECK(judge(*bench.streams[1]) == net::peer_end::reads);
        std::this_thread::sleep_for(50ms); // the acknowledgement of a FIN may make it another kind of socket
        CHECK(judge(*bench.streams[2]) == net::peer_end::gone);
        CHECK(judge(*bench.streams[1]) == net::peer_end::reads);
        CHECK(judge(*bench.streams[0]) == net::peer_end::reads);
        ::close(ends); // which sends nothing
        CHECK(judge(*bench.streams[1]) == net::peer_end::gone);
        ::close(stays);
    }
    CHECK(net::look_at_peer(-1) == net::peer_end::unknown);
}

TEST_CASE("a stale socket file is replaced; a live one, another file and a successor's are left alone") {
    const temporary_directory files;
    const std::string path = files.path("listen.sock");
    {
        sockaddr_un name{};
        name.sun_family = AF_UNIX;
        path.copy(name.sun_path, sizeof name.sun_path - 1);
        const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
        REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
        ::close(fd); // as after a crash
    }
    std::optional<net::bound_socket> live(bound(unix_at(path)));
    CHECK(client(path).connected());

    CHECK_THROWS_AS(static_cast<void>(net::bind_listener(unix_at(path), 1)), boost::system::system_error);
    CHECK_THROWS_AS(static_cast<void>(net::bind_listener(unix_at(files.write("notes.txt", "mine")), 1)),
                    boost::system::system_error);
    CHECK_THROWS_AS(static_cast<void>(net::bind_listener(unix_at(files.path(std::string(200, 'x'))), 1)),
                    boost::system::system_error);

    ::unlink(path.c_str());
    const auto successor = bound(unix_at(path));
    live.reset();
    CHECK(client(path).connected());
}

TEST_CASE("at max_connections clients wait until one leaves") {
    listener_bench bench;
    auto& listener = bench.listen(bound(tcp_at()), {.max_connections = 2});
    client one(listener.port()), two(listener.port()), three(listener.port());
    CHECK(bench.accepted(2));
    bench.settle();
    CHECK(bench.streams.size() == 2);
    CHECK(bench.seen.max_connections == 1);

    bench.streams.erase(bench.streams.begin());
    CHECK(bench.accepted(2));
    CHECK(listener.connections() == 2);
}

TEST_CASE("stop accepts who already queues, and nobody else") {
    listener_bench bench;
    auto& listener = bench.listen(bound(tcp_at()));
    client queued(listener.port());
    REQUIRE(queued.connected());
    listener.stop();
    CHECK(bench.streams.size() == 1);
    CHECK(!client(listener.port()).connected());
    write_text(queued.fd(), "x");
    CHECK(bench.read(*bench.streams[0]) == "x");
    listener.stop(); // again: nothing
}

TEST_CASE("out of descriptors: no spin, and the waiting client is accepted once there is one") {
    listener_bench bench;
    auto& listener = bench.listen(bound(tcp_at()));
    client waiting(listener.port());
    std::optional<no_descriptors> none(std::in_place);

    const double cpu = cpu_seconds();
    bench.settle(200ms);
    bench.advance(1s);
    const double spent = cpu_seconds() - cpu;
    const int tries = bench.seen.no_fds;
    CHECK(bench.streams.empty());
    CHECK(tries >= 5);
    CHECK(tries <= 12); // ten a second
    CHECK(spent < 0.15);

    none.reset();
    bench.advance(100ms);
    CHECK(bench.accepted(1));
}

TEST_CASE("a wait completes at the first byte and at the end; a cancelled one leaves the stream usable") {
    listener_bench bench;
    auto& listener = bench.listen(bound(tcp_at()));
    client one(listener.port());
    CHECK(bench.accepted(1));
    net::client_stream& stream = *bench.streams[0];

    std::optional<net::io_result> waited;
    bench.start(stream.wait_readable(), waited);
    bench.settle();
    CHECK(!waited);
    write_text(one.fd(), "a");
    CHECK(bench.pump([&] { return waited.has_value(); }));
    CHECK(waited->ok());
    CHECK(bench.read(stream) == "a");

    waited.reset();
    bench.start(stream.wait_readable(), waited);
    bench.settle(2ms);
    stream.cancel_read();
    CHECK(!waited); // through the loop
    CHECK(bench.pump([&] { return waited.has_value(); }));
    CHECK(waited->error == boost::asio::error::operation_aborted);
    bench.write(stream, "still here\n");
    CHECK(read_line(one.fd()) == "still here\n");
    write_text(one.fd(), "b");
    CHECK(bench.read(stream) == "b");

    waited.reset();
    bench.start(stream.wait_readable(), waited);
    bench.settle(2ms);
    one.close();
    CHECK(bench.pump([&] { return waited.has_value(); }));
    CHECK(waited->ok());
    CHECK(bench.read(stream) == net::error_code(boost::asio::error::eof).message());
}

TEST_CASE("a cancelled read leaves the stream usable, with and without an older wait behind it") {
    for (const bool after_wait : {false, true}) {
        CAPTURE(after_wait);
        listener_bench bench;
        auto& listener = bench.listen(bound(tcp_at()));
        client one(listener.port());
        CHECK(bench.accepted(1));
        net::client_stream& stream = *bench.streams[0];
        std::optional<net::io_result> result;
        if (after_wait) {
            bench.start(stream.wait_readable(), result);
            bench.settle(2ms);
            stream.cancel_read();
            CHECK(bench.pump([&] { return result.has_value(); }));
            result.reset();
        }
        char into[8];
        bench.start(stream.read_some(boost::asio::buffer(into)), result);
        bench.settle(2ms);
        CHECK(!result);
        stream.cancel_read();
        CHECK(bench.pump([&] { return result.has_value(); }));
        CHECK(result->error == boost::asio::error::operation_aborted);
        write_text(one.fd(), "c");
        CHECK(bench.read(stream) == "c");
    }
}

TEST_CASE("write_now sends what the kernel takes at once, says what is left, and waits for nothing") {
    listener_bench bench;
    auto& listener = bench.listen(bound(tcp_at()));
    client one(listener.port());
    CHECK(bench.accepted(1));
    net::client_stream& stream = *bench.streams[0];

    std::array parts{boost::asio::const_buffer("head:", 5), boost::asio::const_buffer("", 0),
                     boost::asio::const_buffer("body\n", 5)};
    std::span<boost::asio::const_buffer> left = parts;
    const net::io_result sent = stream.write_now(left);
    CHECK(sent.ok());
    CHECK(sent.bytes == 10);
    CHECK(left.empty());
    CHECK(read_line(one.fd()) == "head:body\n");

    // More than the kernel takes while nobody reads: the rest is what write() goes on with.
    const int little = 16 * 1024;
    CHECK(::setsockopt(stream.descriptor(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little) == 0);
    CHECK(::setsockopt(one.fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little) == 0);
    const std::string first(10'000, 'a'), second(500'000, 'b');
    std::array large{boost::asio::buffer(first), boost::asio::buffer(second), boost::asio::const_buffer("\n", 1)};
    left = large;
    std::size_t taken = 0;
    for (net::io_result more = stream.write_now(left); more.bytes > 0; more = stream.write_now(left))
        taken += more.bytes;
    REQUIRE(!left.empty());
    std::string got;
    std::thread reader([&] { got = read_line(one.fd()); });
    const net::io_result rest = bench.finish(stream.write(left));
    reader.join();
    CHECK(rest.ok());
    CHECK(taken + rest.bytes == 510'001);
    CHECK(got == first + second + "\n");

    reset_at_close(one.fd());
    one.close();
    CHECK(bench.pump([&] {
        pollfd end{stream.descriptor(), POLLRDHUP, 0};
        return ::poll(&end, 1, 0) > 0;
    }));
    std::array again{boost::asio::const_buffer("x", 1)};
    left = again;
    CHECK(!stream.write_now(left).ok());
    stream.close();
    CHECK(stream.descriptor() == -1);
    CHECK(stream.write_now(left).error == boost::asio::error::operation_aborted);
}

TEST_CASE("shutdown_send ends our side only; reset resets") {
    listener_bench bench;
    auto& listener = bench.listen(bound(tcp_at()));
    client one(listener.port()), two(listener.port());
    CHECK(bench.accepted(2));
    bench.streams[0]->shutdown_send();
    CHECK(read_line(one.fd()).empty());
    write_text(one.fd(), "rest");
    CHECK(bench.read(*bench.streams[0]) == "rest");

    bench.streams[1]->reset();
    char byte = 0;
    CHECK(::recv(two.fd(), &byte, 1, 0) == -1);
    CHECK(errno == ECONNRESET);
}

TEST_CASE("closing a stream ends the operations under way; a stream may outlive its listener") {
    listener_bench bench;
    auto& listener = bench.listen(bound(tcp_at()));
    client one(listener.port()), two(listener.port());
    CHECK(bench.accepted(2));
    bench.listeners.clear();
    std::optional<net::io_result> read, waited;
    char into[8];
    bench.start(bench.streams[0]->read_some(boost::asio::buffer(into)), read);
    bench.start(bench.streams[1]->wait_readable(), waited);
    bench.settle(2ms);
    bench.streams[0]->close();
    bench.streams[1]->close();
    CHECK(bench.pump([&] { return read && waited; }));
    CHECK(read->error == boost::asio::error::operation_aborted);
    CHECK(waited->error == boost::asio::error::operation_aborted);
    bench.streams.clear();
    CHECK(bench.seen.clients_closed == 2);
}

TEST_CASE("a TLS listener hands out secured streams only") {
    const temporary_directory files;
    const certificate_authority ca;
    certificate_request what;
    what.dns = {"proxy.example"};
    const certificate own = ca.issue(what);
    const auto context = std::make_shared<const net::tls_server_context>(
        config::server_tls{files.write("own.pem", own.pem), files.write("own.key", own.key)});
    listener_bench bench;
    auto& listener = bench.listen(bound(tcp_at()), {.handshake_timeout = 5s}, context);

    std::string answer;
    auto visitor = std::async(std::launch::async, [&, port = listener.port()] {
        provider::blocking_client one({.port = port, .tls = {{files.write("ca.pem", ca.pem()), "proxy.example"}}});
        one.send("hello\n");
        const auto end = one.wait_closed(10s);
        answer = one.stray();
        return end;
    });
    REQUIRE(bench.accepted(1));
    net::client_stream& stream = *bench.streams[0];
    CHECK(bench.finish(stream.wait_readable()).ok());
    CHECK(bench.read(stream) == "hello\n");
    std::optional<net::io_result> waited;
    bench.start(stream.wait_readable(), waited);
    bench.settle(2ms);
    stream.cancel_read();
    bench.settle(2ms);
    REQUIRE(waited);
    CHECK(waited->error == boost::asio::error::operation_aborted);
    bench.write(stream, "welcome\n");
    stream.shutdown_send();
    CHECK(visitor.get() == provider::message_end::complete); // close_notify came
    CHECK(answer == "welcome\n");

    // Silence and plain text never become streams.
    client silent(listener.port()), plain(listener.port());
    write_text(plain.fd(), "GET / HTTP/1.1\r\n\r\n");
    bench.settle();
    CHECK(listener.connections() == 2);
    bench.advance(5s);
    bench.settle(5ms);
    CHECK(listener.connections() == 1);
    CHECK(bench.streams.size() == 1);
    CHECK(bench.worker.nursery().size() == 0);
}

TEST_CASE("a handshake that finishes after its listener has gone ends quietly") {
    const temporary_directory files;
    const certificate own = self_signed({});
    const auto context = std::make_shared<const net::tls_server_context>(
        config::server_tls{files.write("own.pem", own.pem), files.write("own.key", own.key)});
    listener_bench bench;
    auto& listener = bench.listen(bound(tcp_at()), {}, context);
    client one(listener.port());
    CHECK(bench.pump([&] { return bench.seen.clients_opened == 1; }));
    bench.listeners.clear();
    CHECK(bench.worker.nursery().size() == 1);
    one.close();
    CHECK(bench.pump([&] { return bench.worker.nursery().size() == 0; }));
    CHECK(bench.seen.clients_closed == 1);
}

} // namespace evenkeel::test::listener_test

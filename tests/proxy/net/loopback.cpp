#include "tests/proxy/net/loopback.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <poll.h>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace evenkeel::test {

namespace {
using boost::asio::ip::tcp;

std::uint16_t port_of(int fd) {
    tcp::endpoint out;
    auto size = static_cast<socklen_t>(out.capacity());
    ::getsockname(fd, static_cast<sockaddr*>(out.data()), &size);
    out.resize(size);
    return out.port();
}

int bound(const std::string& address, std::uint16_t port) {
    const tcp::endpoint to(boost::asio::ip::make_address(address), port);
    const int fd = ::socket(to.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(fd, static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())) != 0) {
        ::close(fd);
        throw std::runtime_error("cannot bind " + address);
    }
    return fd;
}

net::task<void> open_into(net_bench& in, std::shared_ptr<net_bench::pending> out,
                          std::shared_ptr<const config::upstream> to, bool fresh, duration limit) {
    out->result = co_await in.pool->open(to, fresh, in.worker.now() + limit, out->cancel);
}
net::task<void> read_into(net::exchange& from, boost::asio::mutable_buffer into, std::optional<net::io_result>& out) {
    out = co_await from.read_some(into);
}
net::task<void> write_from(net::exchange& to, std::span<const boost::asio::const_buffer> from,
                           std::optional<net::io_result>& out) {
    out = co_await to.write(from);
}
} // namespace

loopback_server::loopback_server(function serve, const std::string& address, std::uint16_t port)
    : serve_(std::move(serve)), fd_(bound(address, port)), port_(port_of(fd_)) {
    ::listen(fd_, 64);
    acceptor_ = std::thread([this] { accept_all(); });
}

loopback_server::~loopback_server() {
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
        for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    ::shutdown(fd_, SHUT_RDWR); // wakes accept
    acceptor_.join();
    for (auto& one : threads_) one.join();
    ::close(fd_);
}

void loopback_server::accept_all() {
    for (;;) {
        const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
        const std::scoped_lock lock(mutex_);
        if (stopping_) {
            if (fd >= 0) ::close(fd);
            return;
        }
        if (fd < 0) continue; // a test has taken the descriptors away; it gives them back
        open_.push_back(fd);
        threads_.emplace_back([this, fd, number = accepted_++] {
            serve_(fd, number);
            const std::scoped_lock inner(mutex_);
            std::erase(open_, fd);
            ::close(fd);
        });
    }
}

std::string read_line(int fd) {
    std::string out;
    char c = 0;
    while (::recv(fd, &c, 1, 0) == 1) {
        out += c;
        if (c == '\n') break;
    }
    return out;
}

std::string read_until_end(int fd) {
    std::string out;
    char block[4096];
    for (ssize_t got = 0; (got = ::recv(fd, block, sizeof block, 0)) > 0;)
        out.append(block, static_cast<std::size_t>(got));
    return out;
}

void write_text(int fd, const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
        const ssize_t sent = ::send(fd, text.data() + at, text.size() - at, MSG_NOSIGNAL);
        if (sent <= 0) return;
        at += static_cast<std::size_t>(sent);
    }
}

void reset_connection(int fd) {
    const linger at_once{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    // The server closes the descriptor when the script returns; that close sends the reset.
}

void echo_lines(int fd) {
    for (std::string line = read_line(fd); !line.empty(); line = read_line(fd)) write_text(fd, line);
}

std::uint16_t closed_port() {
    const int fd = bound("127.0.0.1", 0);
    const std::uint16_t port = port_of(fd);
    ::close(fd);
    return port;
}

no_descriptors::no_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    before_ = limit.rlim_cur;
    const int next = ::dup(0); // the lowest free one
    ::close(next);
    limit.rlim_cur = static_cast<rlim_t>(next);
    ::setrlimit(RLIMIT_NOFILE, &limit);
}
no_descriptors::~no_descriptors() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = before_;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::shared_ptr<config::upstream> upstream_at(std::uint16_t port, const std::string& host) {
    auto out = std::make_shared<config::upstream>();
    out->name = "up";
    out->address.host = host;
    out->address.port = port;
    out->address.authority = host + ":" + std::to_string(port);
    return out;
}

net_bench::net_bench(net::resolver::lookup_function lookup)
    : names(std::move(lookup)), pool(std::make_unique<net::connection_pool>(worker, names, tls, seen)) {}

net_bench::~net_bench() {
    pool.reset();
    settle(std::chrono::milliseconds{1}); // aborted operations report
}

bool net_bench::pump(const std::function<bool()>& done) {
    for (const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{10};;) {
        worker.run_virtual(worker.now());
        if (done()) return true;
        if (std::chrono::steady_clock::now() > until) return false;
        ::poll(nullptr, 0, 1);
    }
}

void net_bench::settle(std::chrono::milliseconds real) {
    const auto until = std::chrono::steady_clock::now() + real;
    pump([&] { return std::chrono::steady_clock::now() >= until; });
}

void net_bench::advance(duration by) { worker.run_virtual(worker.now() + by); }

std::shared_ptr<net_bench::pending> net_bench::begin_open(std::shared_ptr<const config::upstream> to, bool fresh,
                                                          duration limit) {
    auto out = std::make_shared<pending>();
    worker.nursery().spawn(open_into(*this, out, std::move(to), fresh, limit));
    return out;
}

net::open_result net_bench::open(std::shared_ptr<const config::upstream> to, bool fresh, duration limit) {
    const auto under_way = begin_open(std::move(to), fresh, limit);
    if (!pump([&] { return under_way->result.has_value(); })) throw std::runtime_error("open() hangs");
    return std::move(*under_way->result);
}

net::io_result net_bench::read(net::exchange& from, std::string& into, std::size_t most) {
    into.assign(most, '\0');
    std::optional<net::io_result> out;
    worker.nursery().spawn(read_into(from, boost::asio::buffer(into), out));
    finish("read", from, out);
    into.resize(out->bytes);
    return *out;
}

net::io_result net_bench::write(net::exchange& to, std::vector<std::string> parts) {
    std::vector<boost::asio::const_buffer> buffers;
    for (const auto& part : parts) buffers.emplace_back(part.data(), part.size());
    std::optional<net::io_result> out;
    worker.nursery().spawn(write_from(to, buffers, out));
    finish("write", to, out);
    return *out;
}

// The operation under way writes into the caller's stack, which is there until it is over.
void net_bench::finish(const char* what, net::exchange& on, const std::optional<net::io_result>& out) {
    if (pump([&] { return out.has_value(); })) return;
    on.close();
    if (!pump([&] { return out.has_value(); })) std::abort();
    throw std::runtime_error(std::string{what} + " hangs");
}

std::string net_bench::ping(net::exchange& on) {
    const net::io_result sent = write(on, {"pi", "ng\n"});
    if (!sent.ok()) return sent.error.message();
    std::string all;
    while (!all.ends_with('\n')) {
        std::string part;
        const net::io_result got = read(on, part);
        if (!got.ok()) return got.error.message();
        all += part;
    }
    return all;
}

std::string net_bench::ping(std::uint16_t port) {
    net::open_result opened = open(upstream_at(port));
    if (!opened.exchange) return opened.error.detail;
    return ping(*opened.exchange);
}

} // namespace evenkeel::test

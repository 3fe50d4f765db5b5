#include "proxy/net/listener.hpp"

#include "proxy/events/observer.hpp"
#include "proxy/net/byte_stream.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/tls_context.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/basic_descriptor.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/system/system_error.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <utility>

namespace evenkeel::net {

namespace {
constexpr int backlog = 4096;                                    // the kernel caps it at net.core.somaxconn
constexpr duration retry_after = std::chrono::milliseconds{100}; // chosen: short against any client's timeout
constexpr int accepts_per_turn = 32;                             // then others have the loop

[[noreturn]] void fail(int error, const std::string& address) {
    throw boost::system::system_error(error_code(error, boost::system::system_category()),
                                      "cannot listen on " + address);
}

class descriptor {
public:
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

private:
    int fd_;
};

void enable(int fd, int level, int name) {
    const int on = 1;
    ::setsockopt(fd, level, name, &on, sizeof on);
}

int bind_tcp(const boost::asio::ip::tcp::endpoint& to, bool share, const std::string& address) {
    descriptor socket(::socket(to.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket.get() < 0) fail(errno, address);
    enable(socket.get(), SOL_SOCKET, SO_REUSEADDR);
    if (share) enable(socket.get(), SOL_SOCKET, SO_REUSEPORT);
    if (::bind(socket.get(), static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())) != 0)
        fail(errno, address);
    if (::listen(socket.get(), backlog) != 0) fail(errno, address);
    return socket.release();
}

boost::asio::ip::tcp::endpoint local_endpoint(int fd) {
    boost::asio::ip::tcp::endpoint out;
    auto size = static_cast<socklen_t>(out.capacity());
    ::getsockname(fd, static_cast<sockaddr*>(out.data()), &size);
    out.resize(size);
    return out;
}

int bind_unix(const std::string& path, mode_t mode, const std::string& address) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    if (path.size() >= sizeof name.sun_path) fail(ENAMETOOLONG, address);
    std::memcpy(name.sun_path, path.data(), path.size());
    const auto* const as_any = reinterpret_cast<const sockaddr*>(&name);

    // A socket file outlives a crash. It is stale if nobody answers there; anything else at that path is not ours to
    // remove.
    struct stat found {};
    if (::lstat(path.c_str(), &found) == 0) {
        if (!S_ISSOCK(found.st_mode)) fail(EEXIST, address);
        const descriptor visitor(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (::connect(visitor.get(), as_any, sizeof name) == 0 || errno != ECONNREFUSED) fail(EADDRINUSE, address);
        ::unlink(path.c_str());
    }
    descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket.get() < 0) fail(errno, address);
    // The file is made with the mode of its descriptor less the umask, so at no time wider than wanted; then it gets
    // the very mode, still before listen(): until then nobody can connect.
    if (::fchmod(socket.get(), mode) != 0 || ::bind(socket.get(), as_any, sizeof name) != 0) fail(errno, address);
    if (::chmod(path.c_str(), mode) != 0 || ::listen(socket.get(), backlog) != 0) {
        const int error = errno;
        ::unlink(path.c_str());
        fail(error, address);
    }
    return socket.release();
}

bool out_of_resources(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}
} // namespace

// Removes the file with the last duplicate, unless somebody has put another one in its place meanwhile.
struct bound_socket::socket_file {
    explicit socket_file(std::string at) : path(std::move(at)) { ::lstat(path.c_str(), &made); }
    socket_file(const socket_file&) = delete;
    socket_file& operator=(const socket_file&) = delete;
    ~socket_file() {
        struct stat now {};
        if (!left && ::lstat(path.c_str(), &now) == 0 && now.st_ino == made.st_ino && now.st_dev == made.st_dev)
            ::unlink(path.c_str());
    }
    std::string path;
    struct stat made {};
    std::atomic<bool> left{false};
};

bound_socket::bound_socket(bound_socket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), port_(other.port_), address_(std::move(other.address_)),
      file_(std::move(other.file_)) {}

bound_socket::~bound_socket() {
    file_.reset(); // the file goes before the socket, so that it never names a dead one
    if (fd_ >= 0) ::close(fd_);
}

bound_socket bound_socket::duplicate() const {
    bound_socket other;
    other.port_ = port_;
    other.address_ = address_;
    other.fd_ = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    if (other.fd_ < 0) fail(errno, address_);
    other.file_ = file_;
    return other;
}

std::function<void()> bound_socket::file_to_leave() const {
    return [file = file_] {
        if (file) file->left = true;
    };
}

void bound_socket::own_file(const std::string& path) { file_ = std::make_shared<socket_file>(path); }

std::vector<bound_socket> bind_listener(const config::listener& where, unsigned workers) {
    std::vector<bound_socket> out;
    if (where.unix) {
        const std::string& path = where.unix->path;
        bound_socket first;
        first.address_ = "unix:" + path;
        first.fd_ = bind_unix(path, static_cast<mode_t>(where.unix->mode), first.address_);
        first.own_file(path);
        out.push_back(std::move(first));
        for (unsigned i = 1; i < workers; ++i) out.push_back(out.front().duplicate());
        return out;
    }

    const bool six = where.host.find(':') != std::string::npos;
    const std::string host = six ? "[" + where.host + "]" : where.host;
    const std::string wanted = host + ":" + std::to_string(where.port);
    error_code not_literal;
    boost::asio::ip::tcp::endpoint to(boost::asio::ip::make_address(where.host, not_literal), where.port);
    if (not_literal) fail(EINVAL, wanted);
    // SO_REUSEPORT would also let another process of the same user take a share of our clients unnoticed. So the first
    // bind is an exclusive one, which fails if anybody listens there; with several workers it is then done again,
    // shared.
    descriptor exclusive(bind_tcp(to, false, wanted));
    to = local_endpoint(exclusive.get()); // port 0 has become a real one
    if (workers > 1) ::close(exclusive.release());
    for (unsigned i = 0; i < workers; ++i) {
        bound_socket one;
        one.port_ = to.port();
        one.address_ = host + ":" + std::to_string(to.port());
        one.fd_ = workers > 1 ? bind_tcp(to, true, one.address_) : exclusive.release();
        out.push_back(std::move(one));
    }
    return out;
}

// Shared by the listener, the streams it handed out and the handshakes under way.
struct listener::state : timer_entry, std::enable_shared_from_this<state> {
    state(loop& in, bound_socket bound, std::shared_ptr<const tls_server_context> context, listener_options given,
          telemetry::observer& to)
        : worker(in), socket(std::move(bound)), address(socket->address()), port(socket->port()),
          tls(std::move(context)), options(given), observer(to), acceptor(in.executor()) {}

    void start();
    void stop() noexcept;
    void wait();
    void accept_some(int most);
    void deliver(std::unique_ptr<client_stream> stream);
    void closed() noexcept; // one connection
    void on_timer() override { wait(); }

    loop& worker;
    std::optional<bound_socket> socket; // empty once stopped
    std::string address;
    std::uint16_t port;
    std::shared_ptr<const tls_server_context> tls;
    listener_options options;
    telemetry::observer& observer;
    boost::asio::posix::basic_stream_descriptor<executor> acceptor; // for waiting only; accept4 does the rest
    on_connection handler;
    std::size_t open = 0;
    bool full = false; // max_connections reached: not waiting for clients
};

namespace {
// What makes a stream count. Shared ownership of the listener's state, so that a stream may outlive the listener.
class counted {
public:
    explicit counted(std::function<void()> on_close) : on_close_(std::move(on_close)) {}
    counted(counted&& other) noexcept : on_close_(std::exchange(other.on_close_, nullptr)) {}
    counted& operator=(counted&&) = delete;
    ~counted() { close(); }
    void close() noexcept {
        if (const auto tell = std::exchange(on_close_, nullptr)) tell();
    }

private:
    std::function<void()> on_close_;
};

class socket_client_stream final : public client_stream {
public:
    socket_client_stream(std::shared_ptr<byte_stream> stream, std::string peer, counted count)
        : stream_(std::move(stream)), peer_(std::move(peer)), counted_(std::move(count)) {}
    ~socket_client_stream() override { stream_->close(); }

    void start_read(boost::asio::mutable_buffer into, completion<io_result> done) override {
        stream_->start_read(into, std::move(done));
    }
    [[nodiscard]] io_result write_now(std::span<boost::asio::const_buffer>& from) noexcept override {
        return stream_->write_now(from);
    }
    void start_write(std::span<const boost::asio::const_buffer> from, completion<io_result> done) override {
        stream_->start_write(from, std::move(done));
    }
    void start_wait_readable(completion<io_result> done) override { stream_->start_wait_readable(std::move(done)); }
    void cancel_read() noexcept override { stream_->cancel_read(); }
    [[nodiscard]] std::uint64_t moved() const noexcept override { return stream_->moved(); }
    void shutdown_send() noexcept override { stream_->shutdown_send(); }
    void close() noexcept override {
        stream_->close();
        counted_.close();
    }
    void reset() noexcept override {
        stream_->reset();
        counted_.close();
    }
    [[nodiscard]] int descriptor() const noexcept override { return stream_->native_handle(); }
    [[nodiscard]] std::string_view peer() const noexcept override { return peer_; }

private:
    std::shared_ptr<byte_stream> stream_;
    std::string peer_;
    counted counted_;
};

// Ends a handshake that takes too long.
class handshake_limit : private timer_entry {
public:
    handshake_limit(loop& in, duration length, byte_stream& stream) : stream_(stream) {
        in.timers().arm(*this, in.now() + length);
    }
    ~handshake_limit() override = default;

private:
    void on_timer() override { stream_.close(); }
    byte_stream& stream_;
};

// `to` is what the listener does with a ready stream; it is harmless after the listener has gone.
task<void> secure(loop& in, duration limit, std::shared_ptr<byte_stream> stream, std::string peer, counted count,
                  std::function<void(std::unique_ptr<client_stream>)> to) {
    const handshake_limit limited(in, limit, *stream);
    byte_stream& securing = *stream;
    const io_result result = co_await await_completion<io_result>(
        [&securing](completion<io_result> done) { securing.start_handshake(std::move(done)); });
    if (result.ok()) to(std::make_unique<socket_client_stream>(std::move(stream), std::move(peer), std::move(count)));
}
} // namespace

void listener::state::start() {
    // Asio closes what it is given, so it gets a duplicate; the original keeps the address and its file.
    const int duplicate = ::fcntl(socket->native_handle(), F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) fail(errno, address);
    acceptor.assign(duplicate);
    wait();
}

void listener::state::wait() {
    if (!socket || full || armed()) return;
    acceptor.async_wait(boost::asio::posix::descriptor_base::wait_read, [self = shared_from_this()](error_code error) {
        if (error || !self->socket) return;
        self->worker.failures().guard([&] { self->accept_some(accepts_per_turn); });
        self->wait();
    });
}

void listener::state::accept_some(int most) {
    for (int i = 0; i < most; ++i) {
        if (open >= options.max_connections) {
            // Whoever comes waits in the kernel's queue until a connection ends.
            full = true;
            observer.connection_refused("max_connections");
            return;
        }
        sockaddr_storage from{};
        socklen_t size = sizeof from;
        const int fd = ::accept4(acceptor.native_handle(), reinterpret_cast<sockaddr*>(&from), &size,
                                 SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (out_of_resources(errno)) {
                // The client stays in the queue and the socket stays readable: waiting for it again would spin. What
                // frees a descriptor is a connection that ends, here or upstream, so look again in a while.
                observer.connection_refused("no_fds");
                worker.timers().arm(*this, worker.now() + retry_after);
                return;
            }
            // EAGAIN: the queue is empty, or another worker was quicker. Of the rest (ECONNABORTED, network errors that
            // Linux reports here) each concerns one connection that is gone already.
            if (errno == EAGAIN) return;
            continue;
        }
        stream_socket fresh(worker.executor());
        std::string peer = "unix";
        error_code error;
        fresh.assign(boost::asio::generic::stream_protocol(from.ss_family, 0), fd, error);
        if (error) {
            ::close(fd);
            continue;
        }
        if (from.ss_family != AF_UNIX) {
            enable(fd, IPPROTO_TCP, TCP_NODELAY);
            boost::asio::ip::tcp::endpoint client;
            std::memcpy(client.data(), &from, size);
            client.resize(size);
            auto address_of = client.address();
            if (address_of.is_v6() && address_of.to_v6().is_v4_mapped()) {
                address_of = boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address_of.to_v6());
            }
            peer = address_of.to_string();
        }
        ++open;
        observer.connection_changed({telemetry::connection_event::kind::opened});
        counted count([self = shared_from_this()] { self->closed(); });
        auto stream = std::make_shared<byte_stream>(std::move(fresh));
        if (!tls) {
            deliver(std::make_unique<socket_client_stream>(std::move(stream), std::move(peer), std::move(count)));
            continue;
        }
        stream->encrypt(tls_session::server(tls, fd));
        worker.nursery().spawn(secure(
            worker, options.handshake_timeout, std::move(stream), std::move(peer), std::move(count),
            [self = shared_from_this()](std::unique_ptr<client_stream> ready) { self->deliver(std::move(ready)); }));
    }
}

void listener::state::deliver(std::unique_ptr<client_stream> stream) {
    if (handler) handler(std::move(stream));
}

void listener::state::closed() noexcept {
    --open;
    observer.connection_changed({telemetry::connection_event::kind::closed});
    if (std::exchange(full, false)) wait();
}

void listener::state::stop() noexcept {
    if (!socket) return;
    cancel();
    // Linux resets connections that still queue when their socket closes. Nobody else takes them, so they are ours.
    if (acceptor.is_open() && !full) accept_some(backlog);
    cancel(); // accept_some may have armed the back-off
    error_code ignored;
    acceptor.close(ignored);
    socket.reset();
}

listener::listener(loop& worker, bound_socket socket, std::shared_ptr<const tls_server_context> tls,
                   listener_options options, telemetry::observer& observer)
    : state_(std::make_shared<state>(worker, std::move(socket), std::move(tls), options, observer)) {}

listener::~listener() {
    stop();
    state_->handler = nullptr; // a handshake that finishes later ends there
}

void listener::start(on_connection handler) {
    state_->handler = std::move(handler);
    state_->start();
}

void listener::use(std::shared_ptr<const tls_server_context> tls) noexcept {
    if ((tls != nullptr) == (state_->tls != nullptr)) state_->tls = std::move(tls);
}

void listener::stop() noexcept { state_->stop(); }
std::uint16_t listener::port() const noexcept { return state_->port; }
const std::string& listener::address() const noexcept { return state_->address; }
std::size_t listener::connections() const noexcept { return state_->open; }

} // namespace evenkeel::net

#pragma once
// What the tests of net/ stand on: a loop in virtual time over real loopback sockets (timers move only when the test
// says so, sockets by themselves), a scripted server of blocking threads, and an observer that counts.

#include "config/settings.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/net/connection_pool.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/resolver.hpp"
#include "proxy/net/tls_context.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::test {

// Accepts on 127.0.0.1 (or another literal) and runs `serve(fd, n)` on a thread of its own for the n-th connection. The
// descriptor is closed when serve returns; stop() ends everybody's blocking reads.
class loopback_server {
public:
    using function = std::function<void(int fd, int number)>;
    explicit loopback_server(function serve, const std::string& address = "127.0.0.1", std::uint16_t port = 0);
    ~loopback_server();
    loopback_server(const loopback_server&) = delete;
    loopback_server& operator=(const loopback_server&) = delete;

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] int accepted() const noexcept { return accepted_; }

private:
    void accept_all();

    function serve_;
    int fd_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<int> accepted_{0};
    std::mutex mutex_;
    std::vector<int> open_;
    std::vector<std::thread> threads_;
    bool stopping_ = false;
    std::thread acceptor_;
};

// Blocking helpers for scripts. read_line: up to and with '\n'; empty at the end of the connection.
std::string read_line(int fd);
std::string read_until_end(int fd);
void write_text(int fd, const std::string& text);
void reset_connection(int fd); // closes with RST
// Answers every line with itself until the client leaves.
void echo_lines(int fd);
// A port on 127.0.0.1 where nobody listens.
std::uint16_t closed_port();

// While it lives this process can open no further descriptor.
class no_descriptors {
public:
    no_descriptors();
    ~no_descriptors();
    no_descriptors(const no_descriptors&) = delete;
    no_descriptors& operator=(const no_descriptors&) = delete;

private:
    std::uint64_t before_;
};

class counting_observer final : public telemetry::observer {
public:
    void connection_opened(telemetry::side of, const config::upstream*) noexcept override {
        ++(of == telemetry::side::upstream ? opened : clients_opened);
    }
    void connection_closed(telemetry::side of, const config::upstream*) noexcept override {
        ++(of == telemetry::side::upstream ? closed : clients_closed);
    }
    void idle_changed(const config::upstream&, int by) noexcept override { idle += by; }
    void connection_refused(std::string_view reason) noexcept override {
        ++(reason == "no_fds" ? no_fds : max_connections);
    }

    std::atomic<int> opened{0}, closed{0}, idle{0}, clients_opened{0}, clients_closed{0}, no_fds{0}, max_connections{0};
};

std::shared_ptr<config::upstream> upstream_at(std::uint16_t port, const std::string& host = "127.0.0.1");

// One worker's view of the world.
class net_bench {
public:
    explicit net_bench(net::resolver::lookup_function lookup = net::resolver::system_lookup);
    ~net_bench();

    // Polls the loop until `done`, at most ten seconds of real time. False: it never was.
    bool pump(const std::function<bool()>& done);
    void settle(std::chrono::milliseconds real = std::chrono::milliseconds{30}); // polls for a while: "nothing happens"
    void advance(duration by);

    // An open() under way.
    struct pending {
        std::optional<net::open_result> result;
        net::cancel_source cancel;
    };
    std::shared_ptr<pending> begin_open(std::shared_ptr<const config::upstream> to, bool fresh = false,
                                        duration limit = std::chrono::seconds{5});
    net::open_result open(std::shared_ptr<const config::upstream> to, bool fresh = false,
                          duration limit = std::chrono::seconds{5});

    net::io_result read(net::exchange& from, std::string& into, std::size_t most = 4096);
    net::io_result write(net::exchange& to, std::vector<std::string> parts);
    // "ping\n" there and back; the answer, or the error's message.
    std::string ping(net::exchange& on);
    std::string ping(std::uint16_t port);

    net::loop worker{steady_time{std::chrono::seconds{1000}}};
    counting_observer seen;
    net::tls_contexts tls;
    net::resolver names;
    std::unique_ptr<net::connection_pool> pool;

private:
    void finish(const char* what, net::exchange& on, const std::optional<net::io_result>& out);
};

} // namespace evenkeel::test

#pragma once
// Accepts clients for one worker. Binding comes first and apart (bind_listener), before any worker runs: it throws, so
// that a taken port is a startup error, and it gives every worker its socket of the same address.

#include "config/settings.hpp"
#include "policies/time.hpp"
#include "proxy/net/client_stream.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace evenkeel::telemetry {
class observer;
}

namespace evenkeel::net {

class loop;
class tls_server_context;

// A socket that is bound and listens; nobody accepts yet. Owns the descriptor. The last one of a unix address to go
// removes the socket file.
class bound_socket {
public:
    bound_socket(bound_socket&& other) noexcept;
    ~bound_socket();

    [[nodiscard]] int native_handle() const noexcept { return fd_; }
    [[nodiscard]] bool is_unix() const noexcept { return address_.starts_with("unix:"); }
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }            // as bound; 0 for a unix socket
    [[nodiscard]] const std::string& address() const noexcept { return address_; } // "127.0.0.1:8080", "unix:/path"

    // The same socket once more; throws where there is no descriptor left.
    [[nodiscard]] bound_socket duplicate() const;
    // For who hands the socket to another process: calling it leaves the file to that one. From any thread.
    [[nodiscard]] std::function<void()> file_to_leave() const;

private:
    friend std::vector<bound_socket> bind_listener(const config::listener&, unsigned);
    friend class given_sockets;
    struct socket_file;
    bound_socket() = default;
    void own_file(const std::string& path);

    int fd_ = -1;
    std::uint16_t port_ = 0;
    std::string address_;
    std::shared_ptr<socket_file> file_; // shared by the duplicates of one unix socket
};

// One socket per worker: TCP each its own under SO_REUSEPORT, so that the kernel spreads connections; a unix socket as
// duplicates of one. Throws boost::system::system_error whose what() names the address.
[[nodiscard]] std::vector<bound_socket> bind_listener(const config::listener& where, unsigned workers);

struct listener_options {
    std::uint32_t max_connections = 10000;                 // of this listener, handshakes included
    duration handshake_timeout = std::chrono::seconds{10}; // TLS only
};

class listener {
public:
    using on_connection = std::function<void(std::unique_ptr<client_stream>)>;

    // `tls` null: plain. The observer outlives the listener and every stream that it handed out.
    listener(loop& worker, bound_socket socket, std::shared_ptr<const tls_server_context> tls, listener_options options,
             telemetry::observer& observer);
    ~listener(); // stops; streams handed out live on
    listener(const listener&) = delete;
    listener& operator=(const listener&) = delete;

    // Both on the worker's thread, or before it runs. `handler` is called through the loop, once per connection that is
    // ready for its first byte.
    void start(on_connection handler);
    // Clients that come from now on get this certificate. Not from plain to TLS or back.
    void use(std::shared_ptr<const tls_server_context> tls) noexcept;
    // For drain: connections already queued in the kernel are still accepted, then the socket closes. Handshakes under
    // way go on and are still handed out.
    void stop() noexcept;

    [[nodiscard]] std::uint16_t port() const noexcept;
    [[nodiscard]] const std::string& address() const noexcept;
    [[nodiscard]] std::size_t connections() const noexcept; // open now, handshakes included

private:
    struct state;
    std::shared_ptr<state> state_;
};

} // namespace evenkeel::net

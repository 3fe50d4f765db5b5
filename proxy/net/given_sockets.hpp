#pragma once
// Listening sockets that the process was born with: from a service manager (socket activation: LISTEN_FDS, LISTEN_PID,
// LISTEN_FDNAMES, as sd_listen_fds(3) says), or from the process that it takes over from, which speaks the same.
//
// A socket goes to the listener whose address it has. Its name, where it is `listen` (or `data`), `admin` or `metrics`,
// says besides which of these it is for; any other name says nothing.

#include "config/settings.hpp"
#include "proxy/net/listener.hpp"

#include <memory>
#include <string>
#include <vector>

namespace evenkeel::net {

enum class socket_use { data, admin, metrics };

class given_sockets {
public:
    given_sockets();
    ~given_sockets(); // closes what nobody took
    given_sockets(given_sockets&&) noexcept;
    given_sockets& operator=(given_sockets&&) noexcept;

    // Removes the variables; before there are other threads. Throws std::runtime_error where one of them is no stream
    // socket that listens. `files_too`: what a unix socket leaves at its path is ours to remove, too.
    [[nodiscard]] static given_sockets of_environment(bool files_too);

    [[nodiscard]] bool any() const noexcept { return !sockets_.empty(); }
    // All of that address, and as many duplicates as make one for each worker; empty: there is none.
    [[nodiscard]] std::vector<bound_socket> take(const config::listener& where, socket_use use, unsigned workers);
    // What is still there, for people: "127.0.0.1:8081 (evenkeel.socket)".
    [[nodiscard]] std::vector<std::string> left() const;

private:
    struct one;
    std::vector<one> sockets_;
};

// bind_listener, unless one was given.
[[nodiscard]] std::vector<bound_socket> take_or_bind(given_sockets& given, const config::listener& where,
                                                     socket_use use, unsigned workers);

} // namespace evenkeel::net

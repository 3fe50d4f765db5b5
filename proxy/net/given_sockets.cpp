#include "proxy/net/given_sockets.hpp"

#include "proxy/net/io.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/system/system_error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace evenkeel::net {

namespace {
constexpr int first_given = 3;    // SD_LISTEN_FDS_START
constexpr long most_given = 1024; // chosen: more is a mistake

std::string variable(const char* name) {
    const char* const value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): before any other thread
    return value != nullptr ? value : "";
}
std::optional<long> number_in(const std::string& text) {
    long number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}
int option_of(int fd, int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}
std::vector<std::string> split(const std::string& text, char at) {
    std::vector<std::string> out;
    for (std::size_t from = 0; from <= text.size();) {
        const auto end = std::min(text.find(at, from), text.size());
        out.push_back(text.substr(from, end - from));
        from = end + 1;
    }
    return out;
}
std::optional<socket_use> use_named(std::string_view name) {
    if (name == "listen" || name == "data") return socket_use::data;
    if (name == "admin") return socket_use::admin;
    if (name == "metrics") return socket_use::metrics;
    return std::nullopt;
}
} // namespace

struct given_sockets::one {
    bound_socket socket;
    std::string name;
    boost::asio::ip::address host{}; // of a TCP one
    bool dual = false;               // bound to ::, takes IPv4 too
    std::string path{};              // of a unix one

    [[nodiscard]] bool is_for(const config::listener& where, socket_use use, bool any_port) const {
        if (const auto named = use_named(name); named && *named != use) return false;
        if (where.unix) return !path.empty() && path == where.unix->path;
        if (!path.empty() || (!any_port && where.port != socket.port())) return false;
        error_code not_literal;
        const auto wanted = boost::asio::ip::make_address(where.host, not_literal);
        return !not_literal && (wanted == host || (dual && wanted.is_v4() && wanted.is_unspecified()));
    }
};

given_sockets::given_sockets() = default;
given_sockets::~given_sockets() = default;
given_sockets::given_sockets(given_sockets&&) noexcept = default;
given_sockets& given_sockets::operator=(given_sockets&&) noexcept = default;

given_sockets given_sockets::of_environment(bool files_too) {
    given_sockets out;
    const auto count = number_in(variable("LISTEN_FDS")), to = number_in(variable("LISTEN_PID"));
    const std::vector<std::string> names = split(variable("LISTEN_FDNAMES"), ':');
    for (const char* const name : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"})
        ::unsetenv(name);                                      // NOLINT(concurrency-mt-unsafe)
    if (!count || *count <= 0 || to != ::getpid()) return out; // they are another process's
    if (*count > most_given) throw std::runtime_error(fmt::format("LISTEN_FDS={} is more than anybody needs", *count));
    for (int at = 0; at < *count; ++at) {
        const int fd = first_given + at;
        const std::string& name =
            static_cast<std::size_t>(at) < names.size() ? names[static_cast<std::size_t>(at)] : "";
        const auto wrong = [&](std::string_view why) {
            throw std::runtime_error(fmt::format("descriptor {} of LISTEN_FDS{} {}", fd,
                                                 name.empty() ? "" : fmt::format(" ({})", name), why));
        };
        if (option_of(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM) wrong("is no stream socket");
        if (option_of(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1) wrong("does not listen (Accept=yes is not served)");
        ::fcntl(fd, F_SETFD, FD_CLOEXEC);
        ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
        sockaddr_storage address{};
        socklen_t size = sizeof address;
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
        one found{.socket = {}, .name = name};
        found.socket.fd_ = fd;
        if (address.ss_family == AF_UNIX) {
            const auto& unix_address = reinterpret_cast<const sockaddr_un&>(address);
            if (size <= offsetof(sockaddr_un, sun_path) || unix_address.sun_path[0] == '\0') wrong("has no path");
            found.path = unix_address.sun_path;
            found.socket.address_ = "unix:" + found.path;
            if (files_too) found.socket.own_file(found.path);
        } else if (address.ss_family == AF_INET || address.ss_family == AF_INET6) {
            boost::asio::ip::tcp::endpoint bound;
            std::memcpy(bound.data(), &address, size);
            bound.resize(size);
            found.host = bound.address();
            found.dual =
                found.host.is_v6() && found.host.is_unspecified() && option_of(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
            found.socket.port_ = bound.port();
            const std::string host = found.host.to_string();
            found.socket.address_ = fmt::format("{}:{}", found.host.is_v6() ? "[" + host + "]" : host, bound.port());
        } else {
            wrong("is neither a TCP nor a unix socket");
        }
        out.sockets_.push_back(std::move(found));
    }
    return out;
}

std::vector<bound_socket> given_sockets::take(const config::listener& where, socket_use use, unsigned workers) {
    // Port 0 is any one; who took over from another process finds the one that it had.
    const auto first = std::find_if(sockets_.begin(), sockets_.end(),
                                    [&](const one& each) { return each.is_for(where, use, where.port == 0); });
    std::vector<bound_socket> out;
    if (first == sockets_.end()) return out;
    const std::string address = first->socket.address();
    std::vector<one> others;
    for (one& each : sockets_) {
        if (each.socket.address() == address && each.is_for(where, use, where.port == 0))
            out.push_back(std::move(each.socket));
        else
            others.push_back(std::move(each));
    }
    sockets_ = std::move(others);
    for (std::size_t at = 0; out.size() < workers; ++at) out.push_back(out[at].duplicate());
    return out;
}

std::vector<std::string> given_sockets::left() const {
    std::vector<std::string> out;
    for (const one& each : sockets_)
        out.push_back(each.name.empty() ? each.socket.address()
                                        : fmt::format("{} ({})", each.socket.address(), each.name));
    return out;
}

std::vector<bound_socket> take_or_bind(given_sockets& given, const config::listener& where, socket_use use,
                                       unsigned workers) {
    std::vector<bound_socket> out = given.take(where, use, workers);
    return out.empty() ? bind_listener(where, workers) : std::move(out);
}

} // namespace evenkeel::net

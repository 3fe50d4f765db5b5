#include "proxy/net/own_addresses.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <sys/socket.h>

namespace evenkeel::net {

namespace {
using boost::asio::ip::tcp;

// One end of a connection, by getpeername or getsockname.
std::optional<tcp::endpoint> end_of(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
    tcp::endpoint end;
    auto size = static_cast<socklen_t>(end.capacity());
    if (ask(fd, end.data(), &size) != 0 || size > end.capacity()) return std::nullopt;
    end.resize(size);
    return end;
}

// ::ffff:10.0.0.1 is 10.0.0.1.
boost::asio::ip::address plain(const boost::asio::ip::address& of) {
    if (!of.is_v6() || !of.to_v6().is_v4_mapped()) return of;
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, of.to_v6());
}
} // namespace

void own_addresses::add(std::string_view bound) {
    const std::size_t colon = bound.rfind(':');
    if (bound.starts_with("unix:") || colon == std::string_view::npos) return;
    std::string_view host = bound.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    std::uint16_t port = 0;
    const char* const end = bound.data() + bound.size();
    const auto read = std::from_chars(bound.data() + colon + 1, end, port);
    error_code none;
    const auto address = boost::asio::ip::make_address(std::string(host), none);
    if (!none && read.ec == std::errc{} && read.ptr == end) all_.emplace_back(address, port);
}

bool own_addresses::is_ours(const tcp::endpoint& remote, const tcp::endpoint& local) const noexcept {
    const auto there = plain(remote.address());
    const bool here = there.is_loopback() || there == plain(local.address());
    return std::any_of(all_.begin(), all_.end(), [&](const tcp::endpoint& one) {
        return one.port() == remote.port() && (one.address().is_unspecified() ? here : one.address() == there);
    });
}

task<dialled> dial_elsewhere(opening& work, const dial_context& with, const config::upstream& to,
                             const own_addresses& ours) {
    dialled made = co_await dial(work, with, to);
    if (!made.stream) co_return made;
    const int fd = made.stream->native_handle();
    const auto remote = end_of(fd, ::getpeername);
    const auto local = end_of(fd, ::getsockname);
    if (!remote || !local || !ours.is_ours(*remote, *local)) co_return made;
    made.stream->close();
    made.stream.reset();
    made.error = {transport_error::kind::other,
                  "proxy_loop_detected",
                  502,
                  {},
                  "'" + to.address.authority + "' is this proxy itself",
                  true};
    co_return made;
}

} // namespace evenkeel::net

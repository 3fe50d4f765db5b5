#pragma once
// Where this process listens for clients, so that it does not send their requests to itself: a proxy that is its own
// upstream opens connections to itself until something runs out. Known by the two ends of a connection that was made,
// so that a name that leads here is found out as well as an address. (What comes back by way of another machine is not
// seen.)

#include "proxy/net/dial.hpp"

#include <boost/asio/ip/tcp.hpp>

#include <string_view>
#include <vector>

namespace evenkeel::net {

// Filled before the workers start, and not changed any more: what is listened at changes with a restart only.
class own_addresses {
public:
    void add(std::string_view bound); // "127.0.0.1:8080", "[::]:8080"; a unix socket is passed over
    // Whether a connection from `local` to `remote` has one of our listeners at its far end.
    [[nodiscard]] bool is_ours(const boost::asio::ip::tcp::endpoint& remote,
                               const boost::asio::ip::tcp::endpoint& local) const noexcept;

private:
    std::vector<boost::asio::ip::tcp::endpoint> all_;
};

// dial(), but a connection to one of `ours` is none. All arguments outlive the call.
[[nodiscard]] task<dialled> dial_elsewhere(opening& work, const dial_context& with, const config::upstream& to,
                                           const own_addresses& ours);

} // namespace evenkeel::net

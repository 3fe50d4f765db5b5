#pragma once
// A connection to an admin listener, and the types that speak over it. For the sources of the server alone.

#include "policies/time.hpp"
#include "proxy/net/io.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>

#include <chrono>

namespace evenkeel::admin {

// One type for TCP and unix sockets.
using protocol = boost::asio::generic::stream_protocol;
using stream_type = boost::beast::basic_stream<protocol, net::executor>;
using timer_type =
    boost::asio::basic_waitable_timer<std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>,
                                      net::executor>;
inline constexpr boost::asio::as_tuple_t<boost::asio::use_awaitable_t<net::executor>> as_values{};

inline steady_time now() { return std::chrono::steady_clock::now(); }

struct connection {
    explicit connection(net::executor on) : stream(on), pause(on) {}
    void close() {
        boost::system::error_code ignored;
        stream.socket().close(ignored);
        pause.cancel();
    }
    stream_type stream;
    timer_type pause;          // between two events
    steady_time since = now(); // it came, or its last request was answered
    bool answering = false;
    bool ended = false; // closed by us; its coroutine has yet to notice
};

} // namespace evenkeel::admin

#pragma once
// One connection of the simulated provider. A reader always has a read outstanding, so that a leaving peer is noticed
// at once in every phase; the server coroutine takes requests off what was read and answers them as scripted.
// Everything runs on the provider's one thread.

#include "proxy/provider/core.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <functional>
#include <memory>
#include <string>

namespace evenkeel::provider {

using provider_executor = boost::asio::io_context::executor_type;
using tcp_socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, provider_executor>;

class provider_connection {
public:
    virtual ~provider_connection() = default;
    virtual void abort(bool with_reset) noexcept = 0; // ends it at once, whatever it does
    virtual void drop_if_idle(bool with_reset) noexcept = 0;
    virtual void say_if_idle(const std::string& bytes) = 0;
};

struct connection_setup {
    provider_core& core;                      // outlives all connections
    boost::asio::ssl::context* tls = nullptr; // null: plain
    bool control = false;                     // of the control port: no scripts, control paths only
    std::uint64_t number = 0;
    provider_script on_accept = {};
    std::function<void(const control_effect&)> on_effect = {};
    std::function<void(provider_connection*)> on_end = {}; // last thing a connection does
};

// Starts it on the socket's executor; it keeps itself alive until it calls on_end.
std::shared_ptr<provider_connection> start_connection(tcp_socket socket, connection_setup setup);

} // namespace evenkeel::provider

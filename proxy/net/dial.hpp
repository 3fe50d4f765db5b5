#pragma once
// A new connection to an upstream: name, TCP, tunnel through an egress proxy, TLS.

#include "config/settings.hpp"
#include "proxy/net/byte_stream.hpp"
#include "proxy/net/opening.hpp"
#include "proxy/net/resolver.hpp"
#include "proxy/net/tls_context.hpp"
#include "proxy/net/transport.hpp"

#include <memory>

namespace evenkeel::net {

struct dialled {
    std::shared_ptr<byte_stream> stream; // null: see error
    transport_error error;
};

struct dial_context {
    net::resolver& resolver;
    net::tls_contexts& tls;
    const void* owner;                          // of the resolver's queries
    std::shared_ptr<tls_resumption> resumption; // of the endpoint
};

// All arguments outlive the call. Addresses are tried in turn, the next one as soon as one fails or has been silent for
// 250 ms (RFC 8305 5, "Connection Attempt Delay"); the first to connect wins.
[[nodiscard]] task<dialled> dial(opening& work, const dial_context& with, const config::upstream& to);

} // namespace evenkeel::net

#pragma once
// Where chaos meets a flight: just before an attempt is made, asked only where `chaos.enabled` is true.

#include "policies/chaos.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/net/transport.hpp"
#include "proxy/state/worker_services.hpp"

#include <memory>

namespace evenkeel::request {

// The transport of an attempt that is to suffer; it must outlive the attempt's exchange. Null: it is left in peace.
// `spares_upstream`: nothing of it goes there.
struct injected_fault {
    std::unique_ptr<net::transport> transport{};
    bool spares_upstream = false;
};
[[nodiscard]] injected_fault inject_fault(worker_services& services, client_request& request,
                                          const config::route& asked, const config::upstream& upstream);

} // namespace evenkeel::request

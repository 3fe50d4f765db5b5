#pragma once
// The place of shared flights in a request's way: inside the fallback ladder, outside the bulkhead. A request that may
// share one becomes a reader of it, whether it was started for it or under way; any other goes to its upstreams as it
// is.

#include "proxy/message/answer.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/state/worker_services.hpp"

namespace evenkeel::request {

[[nodiscard]] net::task<answer> coalesce(worker_services& services, client_request& request);

// A shared flight, if the route coalesces; else the request's own turn.
[[nodiscard]] net::task<answer> shared(worker_services& services, client_request& request);

} // namespace evenkeel::request

#pragma once
// The stage of shared flights: below the fallback ladder, above the bulkhead. A request that may share one becomes a
// reader of it, whether it was started for it or under way; any other goes to its upstreams as it is.

#include "proxy/flight/stage.hpp"

namespace evenkeel::request {

[[nodiscard]] net::task<answer> shared(worker_services& services, client_request& request, errand&& what,
                                       next_stage next);

} // namespace evenkeel::request

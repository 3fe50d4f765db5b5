#pragma once
// Climbs a route's fallback ladder where its attempts had no good answer (policies/fallback.hpp), and labels what comes
// of it: x-evenkeel-degraded, x-evenkeel-outcome: degraded, the access log, the metrics. Only for routes that have a
// ladder; it wraps everything that leads to the upstreams, queueing included.

#include "proxy/message/answer.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/state/worker_services.hpp"

namespace evenkeel::request {

[[nodiscard]] net::task<answer> with_fallback(worker_services& services, client_request& request);

} // namespace evenkeel::request

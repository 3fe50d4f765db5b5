#pragma once
// The stage of a route's fallback ladder: climbs it where what stands below had no good answer (policies/fallback.hpp),
// and labels what comes of it: x-evenkeel-degraded, x-evenkeel-outcome: degraded, the access log, the metrics. It wraps
// everything that leads to the upstreams, queueing included; a step that asks another route sends it the same way.

#include "proxy/flight/stage.hpp"

namespace evenkeel::request {

[[nodiscard]] net::task<answer> with_fallback(worker_services& services, client_request& request, errand&& what,
                                              next_stage next);

} // namespace evenkeel::request

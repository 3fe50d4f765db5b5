#pragma once
// The stage that finds the route of a request: the first that matches, unless a foreign page asks. Where a match
// depends on the model, and the path does not name it, the body is read first. From here on the request is one of its
// route's, and is announced as such.

#include "proxy/flight/stage.hpp"

namespace evenkeel::request {

[[nodiscard]] net::task<answer> routed(worker_services& services, client_request& request, errand&& what,
                                       next_stage next);

} // namespace evenkeel::request

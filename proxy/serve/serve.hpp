#pragma once
// From a request to its answer, through all the stages (order.hpp).

#include "proxy/message/answer.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/state/worker_services.hpp"

namespace evenkeel::request {

// Never throws for what a peer can do; the answer is always there, except where the client left first (empty body).
[[nodiscard]] net::task<answer> serve(worker_services& services, client_request& request);

} // namespace evenkeel::request

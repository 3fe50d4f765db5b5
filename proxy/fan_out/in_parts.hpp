#pragma once
// The stage of routes that fan out: the parts of a request at the same time, each a request of its own that takes the
// rest of the way by itself, all within the time of the client's; joined to one JSON answer when the last is over, or
// told one by one to a client that accepts events (parts_answer.hpp has the words).

#include "proxy/flight/stage.hpp"

namespace evenkeel::request {

// Where the route fans out, the request's body is whole. Where the client leaves first the parts end, and the answer is
// empty.
[[nodiscard]] net::task<answer> in_parts(worker_services& services, client_request& request, errand&& what,
                                         next_stage next);

} // namespace evenkeel::request

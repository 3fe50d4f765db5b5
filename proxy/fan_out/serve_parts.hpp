#pragma once
// Serves a route that fans out: its parts at the same time, all within the time of the client's request, joined to one
// JSON answer when the last is over, or told one by one to a client that accepts events (parts_answer.hpp has the
// words).

#include "proxy/fan_out/part_group.hpp"

namespace evenkeel::request {

// The request's body is whole. Where the client leaves first the parts end, and the answer is empty. `serve`: how each
// part is, as any request.
[[nodiscard]] net::task<answer> serve_parts(worker_services& services, client_request& request,
                                            part_group::serve_function serve);

} // namespace evenkeel::request

#pragma once
// The stage that sees to the body: reads as much of it as must be here before anything is sent, and refuses what cannot
// be seen, or is not there in time.

#include "proxy/flight/stage.hpp"

namespace evenkeel::request {

[[nodiscard]] net::task<answer> admitted(worker_services& services, client_request& request, errand&& what,
                                         next_stage next);

// Whether the body is to be read on before the first attempt. One that is known to be larger than `limit` bytes starts
// at once; the usual one came with the head and needs no coroutine.
[[nodiscard]] bool reads_ahead(const client_request& request, std::uint64_t limit);

// The answer where the body, which has to be seen, was refused, did not come, or is not held.
[[nodiscard]] answer body_not_seen(const worker_services& services, const client_request& request);

} // namespace evenkeel::request

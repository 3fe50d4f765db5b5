#pragma once
// The stage that says by when an answer must be there: from here on the errand knows it.

#include "proxy/flight/stage.hpp"

namespace evenkeel::request {

[[nodiscard]] net::task<answer> within_deadline(worker_services& services, client_request& request, errand&& what,
                                                next_stage next);

// The answer to a request that tells us to wait for no time at all.
[[nodiscard]] answer unreadable_timeout_answer(const worker_services& services, const client_request& request);

} // namespace evenkeel::request

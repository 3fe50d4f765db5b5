#pragma once
// Performs what the flight plan decides: waits for an event, steps the plan, does each action. No `if` about policy.

#include "proxy/message/answer.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/state/worker_services.hpp"

namespace evenkeel::request {

[[nodiscard]] net::task<answer> run_flight(worker_services& services, client_request& request);

// The answer to a request that tells us to wait for no time at all.
[[nodiscard]] answer unreadable_timeout_answer(const worker_services& services, const client_request& request);

} // namespace evenkeel::request

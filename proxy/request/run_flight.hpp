#pragma once
// Performs what the flight plan decides: waits for an event, steps the plan, does each action. No `if` about policy.

#include "proxy/request/serve.hpp"

namespace evenkeel::request {

[[nodiscard]] net::task<answer> run_flight(worker_services& services, client_request& request);

// The answer to a request that tells us to wait for no time at all.
[[nodiscard]] answer unreadable_timeout_answer(const worker_services& services, const client_request& request);

// The answer to a request whose own body failed: 400, 408 or 413.
// limits.memory has no room for what this request needs held: passing, unlike a body that is too large for good.
[[nodiscard]] answer no_memory_answer(const worker_services& services, const client_request& request);
[[nodiscard]] answer body_failure_answer(const worker_services& services, const client_request& request);

} // namespace evenkeel::request

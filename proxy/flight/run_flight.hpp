#pragma once
// The innermost stage: performs what the flight plan decides. Waits for an event, steps the plan, does each action. No
// `if` about policy.

#include "proxy/flight/stage.hpp"

namespace evenkeel::request {

// Below it nothing stands: a flight that is made by itself (resumed_body) has no `next`.
inline constexpr next_stage nothing_below{nullptr};
[[nodiscard]] net::task<answer> run_flight(worker_services& services, client_request& request, errand&& what,
                                           next_stage next);

} // namespace evenkeel::request

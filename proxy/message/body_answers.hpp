#pragma once
// What a client is told whose request's body did not come, or cannot be seen.

#include "proxy/message/answer.hpp"
#include "proxy/message/client_request.hpp"

namespace evenkeel::request {

// limits.memory has no room for a body that must be seen whole.
[[nodiscard]] answer no_memory_answer(const client_request& request, wall_time now);
// It broke off, came too slowly or too late, or was refused.
[[nodiscard]] answer body_failure_answer(const client_request& request, wall_time now);

} // namespace evenkeel::request

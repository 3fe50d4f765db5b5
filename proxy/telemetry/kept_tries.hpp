#pragma once
// The attempts of a kept request, one by one, as a timeline shows them: where each went, as what and why, when it
// began, how long it took, how it ended, and what it took in tokens and money. (Of a request that is not over yet:
// events/tries.hpp.)

#include "proxy/telemetry/kept_request.hpp"

#include <string>

namespace evenkeel::telemetry {

// An array of JSON objects in the order of their launch: upstream, endpoint, kind, why, at_s (since the request came),
// duration_s, end, cause, status, silent_s, committed (its answer is the request's), became, tokens, cost. Empty: none
// was made.
[[nodiscard]] std::string tries_json(const kept_request& of);

} // namespace evenkeel::telemetry

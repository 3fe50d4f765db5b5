#pragma once
// What a provider would say in place of the answer that a fault takes away: errors in its own dialect. None of them
// says evenkeel_error: the policies must take them for the upstream's own. Pure.

#include "policies/chaos_fault.hpp"
#include "proxy/wire/error_body.hpp"

#include <string>

namespace evenkeel::net {

// The JSON of an error, as the body of an answer with that status or inside a 200.
[[nodiscard]] std::string provider_error(wire::dialect which, int status, const std::string& code);
// A whole answer, head and body.
[[nodiscard]] std::string abort_answer(const chaos_fault_options& fault, wire::dialect which, bool head_request);
// An error event of a stream; `lines`: NDJSON.
[[nodiscard]] std::string error_event(const chaos_fault_options& fault, wire::dialect which, bool lines);

} // namespace evenkeel::net

#pragma once
// In which order the policies of a route meet a request, for people: what `config show` prints above each route. The
// request path composes them in that order; here is only its description.

#include "config/entry.hpp"

#include <string>
#include <vector>

namespace evenkeel::config {

// Lines, outermost policy first; empty for a route that calls no upstream. What is off is left out.
[[nodiscard]] std::vector<std::string> policy_order(const entry& route);

} // namespace evenkeel::config

#pragma once
// In which order the policies of a route meet a request, for people: what `config show` prints above each route. The
// order is that of the request path's own list of stages; here is what each of them means for a route.

#include "config/entry.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::config {

// Lines, outermost policy first; empty for a route that calls no upstream. What is off is left out. `stages`: their
// names, outermost first. `upstreams`: of the file, by name; null: there are none.
[[nodiscard]] std::vector<std::string> policy_order(const entry& route, std::span<const std::string_view> stages,
                                                    const entry* upstreams = nullptr);

} // namespace evenkeel::config

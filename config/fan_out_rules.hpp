#pragma once
// What is special about a route that fans out: which keys it can make use of, and what its parts must be.

#include "config/entry.hpp"
#include "config/problem_list.hpp"

#include <string>

namespace evenkeel::config {

[[nodiscard]] bool is_fan_out(const entry& route) noexcept;

// A fan-out calls no upstream itself: of the policies that it inherits only the deadline, the heartbeat and the bound
// of what is held stay. What the route itself has written stays too, for check_fan_out to object to.
void drop_unused_by_fan_out(entry& route);

// `route` is a fan-out: its own keys, and its parts among all routes.
void check_fan_out(const entry& route, const std::string& name, const entry& routes, problem_list& problems);

// Whether a fan-out names this route as a part.
[[nodiscard]] bool is_part_of_any(const std::string& route, const entry& routes);

} // namespace evenkeel::config

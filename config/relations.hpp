#pragma once
// What no single key can be wrong about: names that must exist, places that collide, routes nobody reaches.

#include "config/entry.hpp"
#include "config/load.hpp"
#include "config/problem_list.hpp"

#include <string>

namespace evenkeel::config {

// `root` is complete; keys that were reported as wrong are missing from it.
void check_relations(const entry& root, problem_list& problems, const environment& env, const std::string& directory);

void check_listeners(const entry& root, problem_list& problems);
void check_upstreams(const entry& root, problem_list& problems, const environment& env, const std::string& directory);
void check_routes(const entry& root, problem_list& problems);
void check_fallbacks(const entry& root, problem_list& problems, const environment& env, const std::string& directory);

} // namespace evenkeel::config

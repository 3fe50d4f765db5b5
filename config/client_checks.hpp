#pragma once
// What has to hold among `clients`, and of the key files that they name.

#include "config/entry.hpp"
#include "config/load.hpp"
#include "config/problem_list.hpp"

#include <string>

namespace evenkeel::config {

void check_clients(const entry& root, problem_list& problems, const environment& env, const std::string& directory);

} // namespace evenkeel::config

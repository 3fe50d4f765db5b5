#pragma once
// Nodes to typed entries, strictly: everything in the file is either understood or reported.

#include "config/entry.hpp"
#include "config/load.hpp"
#include "config/node.hpp"
#include "config/report.hpp"

#include <string>
#include <vector>

namespace evenkeel::config {

struct read_result {
    entry root;
    std::vector<std::string> secrets; // values that no output may hold
};

[[nodiscard]] read_result read_tree(const node& root, source_text& source, report& problems, const environment& env,
                                    const std::string& directory);

} // namespace evenkeel::config

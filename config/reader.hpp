#pragma once
// Nodes to typed entries, strictly: everything in the file is either understood or reported.

#include "config/entry.hpp"
#include "config/load.hpp"
#include "config/node.hpp"
#include "config/problem_list.hpp"

#include <optional>
#include <string>
#include <vector>

namespace evenkeel::config {

struct read_result {
    entry root;
    std::vector<std::string> secrets; // values that no output may hold
};

[[nodiscard]] read_result read_tree(const node& root, source_text& source, problem_list& problems,
                                    const environment& env, const std::string& directory);

// One block by itself, which is not of a file.
[[nodiscard]] std::optional<entry> read_part(const node& n, const schema_node& schema, source_text& source,
                                             problem_list& problems, const environment& env);

} // namespace evenkeel::config

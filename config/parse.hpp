#pragma once
// Text to nodes. yaml-cpp tokenises; what it lets through in silence is refused here: duplicate keys, merge keys,
// second documents, aliases, tags, runaway nesting, bytes that are not UTF-8, tabs as indentation.

#include "config/node.hpp"
#include "config/problem_list.hpp"

#include <optional>

namespace evenkeel::config {

inline constexpr std::size_t max_file_bytes = 1024 * 1024; // chosen: a hundred times the largest sensible file
inline constexpr int max_depth = 32;                       // the schema's own depth is 7

// Empty if the text has no usable structure; `problems` says why. Never throws for any bytes.
[[nodiscard]] std::optional<node> parse(source_text& source, problem_list& problems);

} // namespace evenkeel::config

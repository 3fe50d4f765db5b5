#pragma once
// `--set a.b.c=VALUE`: one value said beside the file. It takes its place in the tree before anything is read, so that
// it meets the same checks as what is written, and problems with it are shown like those of a line. For that the text
// gets each of them as a comment behind the file, which only its places refer to.

#include "config/node.hpp"
#include "config/problem_list.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::config {

inline constexpr std::string_view override_mark = "# ";

struct said_override {
    config::span path, value; // in the text
};
// `overrides`: PATH=VALUE each.
[[nodiscard]] std::vector<said_override> append_overrides(std::string& text, std::span<const std::string> overrides);

// A member of a list goes by its `name` or its number from 0. What is missing on the way is made; what is `off` on the
// way is put in its place. VALUE is YAML.
void apply_override(const said_override& one, node& root, source_text& source, problem_list& problems);

} // namespace evenkeel::config

#pragma once
// Looks at bytes before any YAML rule applies, because the parser's own complaints about these are misleading or
// absent.

#include "config/problem_list.hpp"

namespace evenkeel::config {

// False: the text is not worth parsing.
[[nodiscard]] bool prescan(const source_text& source, problem_list& problems);

} // namespace evenkeel::config

#pragma once
// Patterns over header values and model names.

#include <string_view>

namespace evenkeel::config {

// `*` stands for any run of bytes, also none; `?` for exactly one byte; everything else for itself, case-sensitive.
// Time is at most the product of both lengths and needs no memory: only the last `*` is ever tried again (Cox, "Glob
// Matching Can Be Simple And Fast Too", 2017), so no pattern can make it exponential.
[[nodiscard]] bool glob_match(std::string_view pattern, std::string_view text) noexcept;

} // namespace evenkeel::config

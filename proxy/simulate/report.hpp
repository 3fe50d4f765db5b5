#pragma once
// A comparison as a table for people, or as JSON for programs. The same comparison gives the same bytes.

#include "proxy/simulate/comparison.hpp"

#include <string>

namespace evenkeel::simulate {

// Both end with a newline. Leftovers, which there must be none of, are shown where there are any.
[[nodiscard]] std::string text_of(const comparison& what);
[[nodiscard]] std::string json_of(const comparison& what);
// What the last contestant would have made of a recorded day, in a sentence; empty where none was recorded.
[[nodiscard]] std::string conclusion_of(const comparison& what);

} // namespace evenkeel::simulate

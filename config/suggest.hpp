#pragma once
// Finds what a mistyped word was meant to be.

#include <optional>
#include <string_view>
#include <vector>

namespace evenkeel::config {

// Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, substitutions and swaps of
// neighbours.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

// The closest candidate within two edits or a third of its length, whichever is more; the first of equals.
[[nodiscard]] std::optional<std::string_view> nearest(std::string_view word,
                                                      const std::vector<std::string_view>& candidates);

} // namespace evenkeel::config

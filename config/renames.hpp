#pragma once
// What an upstream calls a model (`upstreams.models`), and by which path it serves a call (`upstreams.paths`).

#include "config/settings.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::config {

// The name written for it; null: none, and it goes as it is. The name in full first, then the longest pattern that
// matches.
[[nodiscard]] const std::string* rename_of(const upstream& to, std::string_view model) noexcept;

// `path` as this upstream has it: the longest of its prefixes that the path begins with, whole segments, gives way to
// what is written for it. Empty: none of them.
[[nodiscard]] std::optional<std::string> path_for(const upstream& to, std::string_view path);

} // namespace evenkeel::config

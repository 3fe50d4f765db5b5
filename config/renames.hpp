#pragma once
// What an upstream calls a model (`upstreams.models`).

#include "config/settings.hpp"

#include <string>
#include <string_view>

namespace evenkeel::config {

// The name written for it; null: none, and it goes as it is. The name in full first, then the longest pattern that
// matches.
[[nodiscard]] const std::string* rename_of(const upstream& to, std::string_view model) noexcept;

} // namespace evenkeel::config

#pragma once
// What a model costs at an upstream (`upstreams.prices`).

#include "config/settings.hpp"

#include <string_view>

namespace evenkeel::config {

// Null: it has no price. The name in full first, then the longest pattern that matches; `*` matches also what is asked
// for without a name.
[[nodiscard]] const price* price_of(const upstream& at, std::string_view model) noexcept;

} // namespace evenkeel::config

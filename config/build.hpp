#pragma once
// From a complete tree without errors to the settings that the proxy works with.

#include "config/entry.hpp"
#include "config/settings.hpp"

#include <string>

namespace evenkeel::config {

[[nodiscard]] settings build_settings(const entry& root, const std::string& directory);

} // namespace evenkeel::config

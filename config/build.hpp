#pragma once
// From a complete tree without errors to the settings that the proxy works with.

#include "config/entry.hpp"
#include "config/settings.hpp"

#include <functional>
#include <optional>
#include <string>

namespace evenkeel::config {

// `read_file`: of a path that is resolved; checked to be readable.
[[nodiscard]] settings build_settings(const entry& root, const std::string& directory,
                                      const std::function<std::optional<std::string>(const std::string&)>& read_file);

} // namespace evenkeel::config

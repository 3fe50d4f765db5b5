#pragma once
// What `config show` prints, with its choices; show_effective (load.hpp) is the plain case of it.

#include "config/load.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::config {

struct show_choice {
    std::string_view route{};                 // empty: everything
    std::span<const std::string> overrides{}; // PATH=VALUE each (overrides.hpp)
    bool json = false;                        // instead of YAML: {file, hash, settings, origins}
};
struct show_result {
    std::optional<std::string> text; // with the heading; empty with no error: there is no such route
    std::vector<diagnostic> diagnostics;
};
[[nodiscard]] show_result show(std::string_view yaml, const std::string& file_name, const environment& env,
                               std::span<const std::string_view> stages, const show_choice& choice);

} // namespace evenkeel::config

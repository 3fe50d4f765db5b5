#pragma once
// The sets of built-in defaults. `tuned` is what the key table says; another profile is a list of what it has
// different.

#include "config/schema.hpp"

#include <optional>
#include <span>
#include <string_view>

namespace evenkeel::config {

struct profile_row {
    std::string_view path;
    std::string_view fallback; // as in the table; of a block: `off`, or `on` where the table has it off
};

// What the profile has different; nothing for `tuned` and for a name that is no profile.
[[nodiscard]] std::span<const profile_row> profile_rows(std::string_view profile) noexcept;

// Empty: this profile says nothing of that key.
[[nodiscard]] std::optional<std::string_view> profile_default(std::string_view profile, std::string_view path) noexcept;

} // namespace evenkeel::config

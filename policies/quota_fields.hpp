#pragma once
// What an answer says of its provider's limits, whatever they are called there (wire/rate_limits.hpp).

#include "policies/time.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace evenkeel {

enum class quota_unit : unsigned char { requests, tokens, input_tokens, output_tokens };
inline constexpr std::size_t quota_units = 4;
[[nodiscard]] std::string_view to_string(quota_unit) noexcept;

struct quota_field {
    std::optional<double> limit{}, remaining{};
    std::optional<duration> reset{};  // until it is whole again
    std::optional<duration> window{}; // what the limit is for, where that is told
    [[nodiscard]] bool any() const noexcept { return limit || remaining; }
    bool operator==(const quota_field&) const = default;
};

struct quota_fields {
    std::array<quota_field, quota_units> of{};
    [[nodiscard]] quota_field& at(quota_unit unit) noexcept { return of[static_cast<std::size_t>(unit)]; }
    [[nodiscard]] const quota_field& at(quota_unit unit) const noexcept { return of[static_cast<std::size_t>(unit)]; }
    [[nodiscard]] bool any() const noexcept {
        return std::any_of(of.begin(), of.end(), [](const quota_field& one) { return one.any(); });
    }
    bool operator==(const quota_fields&) const = default;
};

} // namespace evenkeel

#include "config/profiles.hpp"

#include <algorithm>
#include <array>

namespace evenkeel::config {
namespace {

// The numbers this proxy was first specified with: what many services do by hand. It knows no cooldown, no bulkhead, no
// overload control, no budget, no held head and no ramp, so those are off rather than ours; its breaker counts
// consecutive failures only, hence a ratio of 0 of at least one call; its pause before a probe does not grow.
constexpr std::array classic{
    profile_row{"timeout.total", "60s"},
    profile_row{"timeout.adaptive.multiplier", "1.5"},
    profile_row{"timeout.adaptive.max", "60s"},
    profile_row{"timeout.adaptive.initial.buffered", "30s"},
    profile_row{"timeout.adaptive.min.stream", "1s"},
    profile_row{"timeout.adaptive.min.buffered", "1s"},
    profile_row{"retry.max_retries", "3"},
    profile_row{"retry.backoff.initial", "500ms"},
    profile_row{"retry.backoff.max", "30s"},
    profile_row{"retry.backoff.jitter", "equal"},
    profile_row{"retry.budget", "off"},
    profile_row{"circuit_breaker.failure_ratio", "0"},
    profile_row{"circuit_breaker.min_calls", "1"},
    profile_row{"circuit_breaker.recovery_timeout", "30s"},
    profile_row{"circuit_breaker.max_recovery_timeout", "30s"},
    profile_row{"circuit_breaker.ramp", "0s"},
    profile_row{"circuit_breaker.when_open", "reject"},
    profile_row{"cooldown", "off"},
    profile_row{"overload", "off"},
    profile_row{"bulkhead", "off"},
    profile_row{"hedge", "on"},
    profile_row{"hedge.delay", "3s"},
    profile_row{"hedge.guard", "0"},
    profile_row{"stream.head_hold", "off"},
};

} // namespace

std::span<const profile_row> profile_rows(std::string_view profile) noexcept {
    return profile == "classic" ? std::span<const profile_row>(classic) : std::span<const profile_row>();
}

std::optional<std::string_view> profile_default(std::string_view profile, std::string_view path) noexcept {
    const auto rows = profile_rows(profile);
    const auto found = std::find_if(rows.begin(), rows.end(), [&](const profile_row& row) { return row.path == path; });
    return found != rows.end() ? std::optional(found->fallback) : std::nullopt;
}

} // namespace evenkeel::config

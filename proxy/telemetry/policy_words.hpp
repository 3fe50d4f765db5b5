#pragma once
// The closed lists of words by which metrics, logs and the health document speak of the policies; each is the order of
// the enumeration it names.

#include "policies/circuit_breaker.hpp"
#include "policies/hedge.hpp"

#include <array>
#include <cstddef>
#include <string_view>

namespace evenkeel::telemetry {

inline constexpr std::array<std::string_view, 3> circuit_words{"closed", "open", "half_open"};
[[nodiscard]] constexpr std::string_view word_of(circuit_state state) noexcept {
    return circuit_words[static_cast<std::size_t>(state)];
}

inline constexpr std::array<std::string_view, hedge_refusal_count> hedge_refusal_words{
    "none", "guard", "slow", "overload", "budget", "no_endpoint", "limit", "not_replayable", "deadline"};

} // namespace evenkeel::telemetry

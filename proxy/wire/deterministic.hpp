#pragma once
// Whether a request asks a model for the answer it would give every time: `temperature` 0, or a `seed`. Pure.

#include <string_view>

namespace evenkeel::wire {

[[nodiscard]] bool is_deterministic(std::string_view body);

} // namespace evenkeel::wire

#pragma once
// The order of the stages of a request's way, outermost first: the diagram of DESIGN section 4, and the only place
// where it stands. Each stage's own header says what it does.

#include "proxy/flight/stage.hpp"

#include <span>

namespace evenkeel::request {

[[nodiscard]] std::span<const stage> stages() noexcept;

} // namespace evenkeel::request

#pragma once
// The shape of a request, as its latency depends on it: read off the body without parsing it, since it only sorts
// requests into classes. A word in quotes followed by a colon can stand in a body as a member's name only: inside a
// string its quotes would be escaped. Pure.

#include "policies/endpoint_latency.hpp"

#include <cstdint>
#include <string_view>

namespace evenkeel::request {

// `body` is what is held of it, `whole_size` its announced length (or what is held, if more). `asks_for_stream`: the
// head says so.
[[nodiscard]] request_shape shape_of(std::string_view body, std::uint64_t whole_size, bool asks_for_stream) noexcept;

} // namespace evenkeel::request

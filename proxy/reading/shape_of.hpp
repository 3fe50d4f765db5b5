#pragma once
// The shape of a request, as its latency depends on it: read off the body without parsing it, since it only sorts
// requests into classes. A word in quotes followed by a colon can stand in a body as a member's name only: inside a
// string its quotes would be escaped. Pure.

#include "policies/endpoint_latency.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace evenkeel::request {

// What stands near the ends of a body, where the members that matter are: before and behind the messages.
struct body_ends {
    request_shape shape{};        // but for `stream`
    std::optional<bool> stream{}; // of the first member of that name
    bool perhaps_stream = false;  // one of that name is true
    bool all = false;             // nothing lies between them
};

// `body` is what is held of it, `whole_size` its announced length (or what is held, if more).
[[nodiscard]] body_ends read_ends(std::string_view body, std::uint64_t whole_size) noexcept;

} // namespace evenkeel::request

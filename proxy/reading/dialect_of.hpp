#pragma once
// Which provider's words are spoken, as configured or as the path suggests.

#include "config/settings.hpp"
#include "proxy/wire/calls.hpp"

#include <string_view>

namespace evenkeel::request {

// What is spoken with this upstream: as configured, or what the rewritten path, else the path suggests.
[[nodiscard]] wire::dialect dialect_of(const config::route& route, const config::upstream& upstream,
                                       std::string_view path) noexcept;
// ... where the call that the path is, rewritten, is known already; null: none that we know.
[[nodiscard]] wire::dialect dialect_of(const config::upstream& upstream, const wire::call* called) noexcept;
// The dialect in which an error on this route is written: that of its first upstream.
[[nodiscard]] wire::dialect dialect_of(const config::route* route, std::string_view path) noexcept;

} // namespace evenkeel::request

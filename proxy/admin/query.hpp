#pragma once
// The query of an address, and a form, as the admin listener reads them.

#include "policies/time.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::admin {

// The value of `name` in a query or a form, as it stands there; empty for a bare name, nothing if it is not there.
[[nodiscard]] std::optional<std::string_view> parameter(std::string_view query, std::string_view name);
// Without its escapes; nothing where they are none.
[[nodiscard]] std::optional<std::string> decoded(std::string_view text);
// ... of a form that a browser sent, where `+` is a space.
[[nodiscard]] std::optional<std::string> decoded_form(std::string_view text);
[[nodiscard]] std::string_view trimmed(std::string_view text);
// A moment: so long ago (15m), or as RFC 3339 has it, of which seconds and zone may be left out: 2026-11-30T03:10:00Z,
// 2026-11-30T03:10. Without a zone it is UTC. Nothing: it is neither.
[[nodiscard]] std::optional<wall_time> moment(std::string_view text, wall_time now);

} // namespace evenkeel::admin

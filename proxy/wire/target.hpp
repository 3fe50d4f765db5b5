#pragma once
// The rules of a request target (RFC 9112, 3.2; RFC 3986) and of a Host field.

#include "proxy/wire/refusal.hpp"

#include <string_view>

namespace evenkeel::wire {

struct target_parts {
    std::string_view target; // path and query
    std::string_view path;
    std::string_view query;     // without '?'
    std::string_view authority; // of an absolute-form target, else empty
};

// Accepts origin-form, and absolute-form with http or https, whose path is in canonical form already. A route is
// matched on the path as it is written while the upstream may normalise it first, so a path that normalising would
// change could slip past a route (CVE-2023-45539 and its kin) and is refused instead of being repaired: the bytes are
// forwarded unchanged. Refused are empty segments, dot segments in any spelling (also "/..;x/"), escaped slashes,
// backslashes and control characters, escapes of characters that need none (RFC 3986, 6.2.2.2) and invalid escapes. The
// case of escapes is free. In the query only its characters are checked: it routes nothing.
[[nodiscard]] refusal read_target(std::string_view raw, target_parts& out) noexcept;

// host[:port] with a registered name, an IPv4 address or an IPv6 address in brackets. Stricter than RFC 3986 where real
// hosts are: no user, no escapes, no sub-delimiters, no empty labels, no IPvFuture, no zone; a port is 1 to 65535.
[[nodiscard]] bool is_host(std::string_view value) noexcept;

} // namespace evenkeel::wire

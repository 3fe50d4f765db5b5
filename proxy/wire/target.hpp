#pragma once
// The rules of a request target (RFC 9112, 3.2; RFC 3986) and of a Host field.

#include "proxy/wire/refusal.hpp"

#include <string>
#include <string_view>

namespace evenkeel::wire {

struct target_parts {
    std::string_view target; // path and query
    std::string_view path;
    std::string_view query;     // without '?'
    std::string_view authority; // of an absolute-form target, else empty
    bool doubled = false;       // the path has empty segments: merge_slashes
};

// Accepts origin-form, and absolute-form with http or https. What an application means by a path passes as it is
// written, and routes are matched on these bytes: an escape is data, whatever it spells, and "%2F" (a model's name with
// a slash) never separates. Refused is what means another path to who resolves it, since it would slip past the route
// it was matched for (CVE-2023-45539 and its kin): dot segments in any spelling, also behind an escaped slash or
// backslash, and "/..;x/"; besides backslashes, escaped control characters and what is no escape. In the query only its
// characters are checked: it routes nothing.
[[nodiscard]] refusal read_target(std::string_view raw, target_parts& out) noexcept;

// Path and query with one slash in the place of several in a row: matched and sent so. A base URL that ends in a slash
// is why they are there, and no server tells the two apart that we know of.
[[nodiscard]] std::string merge_slashes(const target_parts& of);

// host[:port] with a registered name, an IPv4 address or an IPv6 address in brackets. Stricter than RFC 3986 where real
// hosts are: no user, no escapes, no sub-delimiters, no empty labels, no IPvFuture, no zone; a port is 1 to 65535.
[[nodiscard]] bool is_host(std::string_view value) noexcept;

} // namespace evenkeel::wire

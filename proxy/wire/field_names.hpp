#pragma once
// Which fields the proxy knows by name, and which names nobody may shadow, nominate or put into a trailer.

#include "proxy/wire/head.hpp"

#include <string_view>

namespace evenkeel::wire {

// `name` must consist of token characters.
[[nodiscard]] field_id classify(std::string_view name) noexcept;

// Fields that decide where a message ends, for whom it is and who sent it, and the proxy's own. A name with '_' that
// reads like one of them is refused, because some servers treat the two alike (CGI); a `Connection` list that names one
// would make an intermediary remove what the next hop relies on (CVE-2022-31813); a trailer of that name would be
// merged into the head by some libraries.
[[nodiscard]] bool is_reserved(std::string_view name, field_id id) noexcept;

// Fields that concern one connection only (RFC 9110, 7.6.1) or are rebuilt by the proxy, hence never in `fields`.
[[nodiscard]] constexpr bool is_rebuilt_or_hop_by_hop(field_id id) noexcept {
    switch (id) {
    case field_id::connection:
    case field_id::connection_nominated:
    case field_id::content_length:
    case field_id::expect: // answered or asked anew by the proxy itself
    case field_id::host:
    case field_id::keep_alive:
    case field_id::proxy_authenticate:
    case field_id::proxy_authorization:
    case field_id::proxy_connection:
    case field_id::te:
    case field_id::trailer:
    case field_id::transfer_encoding:
    case field_id::upgrade:
    case field_id::http2_settings:
        return true;
    default:
        return false;
    }
}

// True if `name` contains '_' and, with '-' in its place, is reserved. Longer names than any reserved one cannot be,
// except the proxy's own, which are known by their prefix.
[[nodiscard]] bool shadows_reserved(std::string_view name, bool in_response) noexcept;

} // namespace evenkeel::wire

#pragma once
// Which fields the proxy knows by name, and which names nobody may shadow, nominate or put into a trailer.

#include "proxy/wire/characters.hpp"
#include "proxy/wire/head.hpp"

#include <cstddef>
#include <string_view>

namespace evenkeel::wire {

namespace detail {

[[nodiscard]] inline field_id classify_by_length(const char* p, std::size_t size) noexcept {
    switch (size) {
    case 2:
        if (token_is(p, "te")) return field_id::te;
        break;
    case 3:
        if (token_is(p, "via")) return field_id::via;
        break;
    case 4:
        if (token_is(p, "host")) return field_id::host;
        if (token_is(p, "date")) return field_id::date;
        break;
    case 6:
        if (token_is(p, "accept")) return field_id::accept;
        if (token_is(p, "expect")) return field_id::expect;
        if (token_is(p, "origin")) return field_id::origin;
        break;
    case 7:
        if (token_is(p, "trailer")) return field_id::trailer;
        if (token_is(p, "upgrade")) return field_id::upgrade;
        break;
    case 10:
        if (token_is(p, "connection")) return field_id::connection;
        if (token_is(p, "keep-alive")) return field_id::keep_alive;
        if (token_is(p, "request-id")) return field_id::request_id;
        break;
    case 11:
        if (token_is(p, "retry-after")) return field_id::retry_after;
        break;
    case 12:
        if (token_is(p, "content-type")) return field_id::content_type;
        if (token_is(p, "x-request-id")) return field_id::x_request_id;
        break;
    case 13:
        if (token_is(p, "authorization")) return field_id::authorization;
        if (token_is(p, "cache-control")) return field_id::cache_control;
        break;
    case 14:
        if (token_is(p, "content-length")) return field_id::content_length;
        if (token_is(p, "http2-settings")) return field_id::http2_settings;
        if (token_is(p, "x-should-retry")) return field_id::x_should_retry;
        if (token_is(p, "sec-fetch-site")) return field_id::sec_fetch_site;
        break;
    case 15:
        if (token_is(p, "accept-encoding")) return field_id::accept_encoding;
        break;
    case 16:
        if (token_is(p, "content-encoding")) return field_id::content_encoding;
        if (token_is(p, "proxy-connection")) return field_id::proxy_connection;
        if (token_is(p, "x-server-timeout")) return field_id::x_server_timeout;
        break;
    case 17:
        if (token_is(p, "transfer-encoding")) return field_id::transfer_encoding;
        break;
    case 18:
        if (token_is(p, "proxy-authenticate")) return field_id::proxy_authenticate;
        break;
    case 19:
        if (token_is(p, "proxy-authorization")) return field_id::proxy_authorization;
        if (token_is(p, "x-stainless-timeout")) return field_id::x_stainless_timeout;
        break;
    case 23:
        if (token_is(p, "x-stainless-retry-count")) return field_id::x_stainless_retry_count;
        break;
    case 24:
        if (token_is(p, "x-stainless-read-timeout")) return field_id::x_stainless_read_timeout;
        break;
    default: break;
    }
    return field_id::other;
}

} // namespace detail

// `name` must be free of control characters; one that is known by its whole length consists of token characters then.
// Of the proxy's own fields only the prefix is looked at. Inline since it is asked for every field line.
[[nodiscard]] inline field_id classify(std::string_view name) noexcept {
    if (const field_id id = detail::classify_by_length(name.data(), name.size()); id != field_id::other) return id;
    if (name.size() >= 11 && token_is(name.data(), "x-evenkeel-")) return field_id::own;
    return field_id::other;
}

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
    case field_id::http2_settings: return true;
    default: return false;
    }
}

// True if `name` contains '_' and, with '-' in its place, is reserved. Longer names than any reserved one cannot be,
// except the proxy's own, which are known by their prefix.
[[nodiscard]] bool shadows_reserved(std::string_view name, bool in_response) noexcept;

} // namespace evenkeel::wire

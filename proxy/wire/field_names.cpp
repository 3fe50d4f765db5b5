#include "proxy/wire/field_names.hpp"

#include "proxy/wire/characters.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace evenkeel::wire {

namespace {

// Longest prefix that tells reserved names apart: "proxy-authorization" has 19 characters.
constexpr std::size_t longest_reserved = 19;

field_id classify_by_length(const char* p, std::size_t size) noexcept {
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
        break;
    case 15:
        if (token_is(p, "accept-encoding")) return field_id::accept_encoding;
        break;
    case 16:
        if (token_is(p, "content-encoding")) return field_id::content_encoding;
        if (token_is(p, "proxy-connection")) return field_id::proxy_connection;
        break;
    case 17:
        if (token_is(p, "transfer-encoding")) return field_id::transfer_encoding;
        break;
    case 18:
        if (token_is(p, "proxy-authenticate")) return field_id::proxy_authenticate;
        break;
    case 19:
        if (token_is(p, "proxy-authorization")) return field_id::proxy_authorization;
        break;
    default:
        break;
    }
    return field_id::other;
}

bool is_credential(std::string_view name) noexcept {
    switch (name.size()) {
    case 6:
        return token_is(name.data(), "cookie");
    case 7:
        return token_is(name.data(), "api-key");
    case 9:
        return token_is(name.data(), "x-api-key");
    case 14:
        return token_is(name.data(), "x-goog-api-key");
    default:
        return false;
    }
}

} // namespace

field_id classify(std::string_view name) noexcept {
    if (const field_id id = classify_by_length(name.data(), name.size()); id != field_id::other) return id;
    if (name.size() >= 11 && token_is(name.data(), "x-evenkeel-")) return field_id::own;
    return field_id::other;
}

bool is_reserved(std::string_view name, field_id id) noexcept {
    switch (id) {
    case field_id::content_length:
    case field_id::transfer_encoding:
    case field_id::host:
    case field_id::authorization:
    case field_id::proxy_authorization:
    case field_id::own:
        return true;
    case field_id::other:
        return is_credential(name);
    default:
        return false;
    }
}

bool shadows_reserved(std::string_view name, bool in_response) noexcept {
    if (name.find('_') == std::string_view::npos) return false;
    std::array<char, longest_reserved + 1> written_with_hyphens{};
    const std::size_t size = std::min(name.size(), written_with_hyphens.size());
    for (std::size_t i = 0; i < size; ++i) written_with_hyphens[i] = name[i] == '_' ? '-' : name[i];
    const std::string_view hyphens(written_with_hyphens.data(), size);
    const field_id id = classify(hyphens);
    // Every name cut off above is longer than any reserved name but our own, and those are told by their prefix.
    if (in_response) return is_rebuilt_or_hop_by_hop(id) || id == field_id::own;
    return is_rebuilt_or_hop_by_hop(id) || is_reserved(hyphens, id);
}

} // namespace evenkeel::wire

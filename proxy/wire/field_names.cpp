#include "proxy/wire/field_names.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace evenkeel::wire {

namespace {

// Longest prefix that tells reserved names apart: "proxy-authorization" has 19 characters.
constexpr std::size_t longest_reserved = 19;

bool is_credential(std::string_view name) noexcept {
    switch (name.size()) {
    case 6: return token_is(name.data(), "cookie");
    case 7: return token_is(name.data(), "api-key");
    case 9: return token_is(name.data(), "x-api-key");
    case 14: return token_is(name.data(), "x-goog-api-key");
    default: return false;
    }
}

} // namespace

bool is_reserved(std::string_view name, field_id id) noexcept {
    switch (id) {
    case field_id::content_length:
    case field_id::transfer_encoding:
    case field_id::host:
    case field_id::authorization:
    case field_id::proxy_authorization:
    case field_id::own: return true;
    case field_id::other: return is_credential(name);
    default: return false;
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

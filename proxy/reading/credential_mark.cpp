#include "proxy/reading/credential_mark.hpp"

#include "policies/sip_hash.hpp"
#include "proxy/reading/principal.hpp"
#include "proxy/wire/characters.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace evenkeel::request {

namespace {
constexpr std::array<std::string_view, 3> keys{"api-key", "x-api-key", "x-goog-api-key"};

bool shows_a_key(const wire::field& one) noexcept {
    if (one.id == wire::field_id::authorization) return true;
    return std::any_of(keys.begin(), keys.end(), [&](std::string_view name) {
        return one.name.size() == name.size() && wire::istarts_with(one.name, name);
    });
}
} // namespace

std::optional<std::uint64_t> credential_mark(const wire::request_head& head) noexcept {
    static const sip_key key = [] {
        const hash_key::bytes drawn = hash_key::draw().value();
        sip_key made;
        static_assert(sizeof made <= sizeof drawn);
        std::memcpy(&made, drawn.data(), sizeof made);
        return made;
    }();
    for (const wire::field& one : head.fields)
        if (shows_a_key(one)) return sip_hash(one.value, key);
    return std::nullopt;
}

} // namespace evenkeel::request

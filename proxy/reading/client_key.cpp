#include "proxy/reading/client_key.hpp"

#include "config/client_keys.hpp"
#include "proxy/wire/characters.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace evenkeel::request {

namespace {
// "Bearer KEY"; a scheme is compared without regard to case (RFC 9110 11.1). Of another scheme there is no key.
std::string_view bearer_of(std::string_view value) noexcept {
    constexpr std::string_view scheme = "bearer ";
    if (!wire::istarts_with(value, scheme)) return {};
    value.remove_prefix(scheme.size());
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    return value;
}
} // namespace

const config::client* client_of(const config::settings& settings, const wire::request_head& head) {
    static constexpr std::array<std::string_view, 4> places{"authorization", "x-api-key", "api-key", "x-goog-api-key"};
    const config::client* found = nullptr;
    for (const std::string_view place : places) {
        const wire::field* const shown = head.find(place);
        if (shown == nullptr) continue;
        const std::string_view key = place == places.front() ? bearer_of(shown->value) : shown->value;
        if (key.empty()) continue;
        const config::client* const whose = config::client_with(settings, key);
        found = found == nullptr ? whose : found;
    }
    return found;
}

bool may_ask(const config::client& who, const config::route& route) noexcept {
    return who.routes.empty() || std::find(who.routes.begin(), who.routes.end(), route.name) != who.routes.end();
}

} // namespace evenkeel::request

#include "proxy/reading/client_hints.hpp"

#include "proxy/wire/characters.hpp"
#include "proxy/wire/retry_hint.hpp"

#include <algorithm>

namespace evenkeel::request {

namespace {
constexpr duration max_margin = std::chrono::milliseconds{250};

void shorten(std::optional<duration>& told, std::optional<duration> by) noexcept {
    if (by) told = told ? std::min(*told, *by) : *by;
}
} // namespace

client_hints read_client_hints(const wire::request_head& head) noexcept {
    client_hints told;
    for (const wire::field& one : head.fields) {
        switch (one.id) {
        case wire::field_id::own:
            if (wire::iequals(one.name, "x-evenkeel-cost")) told.cost = one.value != "0" && one.value != "off";
            if (wire::iequals(one.name, "x-evenkeel-priority")) told.batch = wire::iequals(one.value, "batch");
            if (!wire::iequals(one.name, "x-evenkeel-timeout")) break;
            shorten(told.timeout, wire::parse_seconds(one.value));
            told.unreadable = told.unreadable || !wire::parse_seconds(one.value);
            break;
        case wire::field_id::x_stainless_timeout:
        case wire::field_id::x_server_timeout: shorten(told.timeout, wire::parse_seconds(one.value)); break;
        case wire::field_id::x_stainless_read_timeout: shorten(told.silence, wire::parse_seconds(one.value)); break;
        case wire::field_id::x_stainless_retry_count: told.retry = one.value != "0" && !one.value.empty(); break;
        default: break;
        }
    }
    return told;
}

duration answer_within(duration told) noexcept { return told - std::min(told / 20, max_margin); }

} // namespace evenkeel::request

#pragma once
// Who asks, by the key that its head shows (`clients`).

#include "config/settings.hpp"
#include "proxy/wire/head.hpp"

namespace evenkeel::request {

// Looked for where the SDKs put the provider's key: authorization: Bearer, x-api-key, api-key, x-goog-api-key; the
// first of each, and of those that are somebody's the first in that order. Not in the query: what stands there is in
// logs along the way. Null: no key, or nobody's.
[[nodiscard]] const config::client* client_of(const config::settings& settings, const wire::request_head& head);

// Whether it may ask that route; of no client there is no such question.
[[nodiscard]] bool may_ask(const config::client& who, const config::route& route) noexcept;

} // namespace evenkeel::request

#pragma once
// The trace that a client says its request belongs to (W3C trace context). Pure.

#include "proxy/wire/head.hpp"

#include <string_view>

namespace evenkeel::request {

// Of `traceparent`: 32 hexadecimal digits, in its own bytes. Empty: it has none, or none that is valid. Of a later
// version what is known of it is read, as the recommendation asks.
[[nodiscard]] std::string_view trace_id_of(const wire::request_head& head) noexcept;

} // namespace evenkeel::request

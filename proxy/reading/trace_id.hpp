#pragma once
// The trace that a request belongs to (W3C trace context), as its client says or as it begins here. Pure.

#include "config/settings.hpp"
#include "proxy/events/trace_context.hpp"
#include "proxy/wire/head.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace evenkeel::request {

// Of `traceparent`: 32 hexadecimal digits, in its own bytes. Empty: it has none, or none that is valid. Of a later
// version what is known of it is read, as the recommendation asks.
[[nodiscard]] std::string_view trace_id_of(const wire::request_head& head) noexcept;

// Of a request that has come: within the trace of its client, or a new one. Whether it is kept is decided here, as far
// as it can be at its beginning: by the caller, or by the trace's id, so that everybody who goes by that decides alike
// (of its low 56 bits, as OpenTelemetry's consistent sampling has it).
[[nodiscard]] telemetry::trace_context begin_trace(const wire::request_head& head, const config::tracing_options& how,
                                                   std::uint64_t& draws) noexcept;

// 32 digits.
std::string_view write_trace_id(char* out, const telemetry::trace_context& of) noexcept;

// The value of a `traceparent` field, whose span is yet to be written.
struct traceparent_text {
    static constexpr std::size_t size = 55, span_at = 36; // 00-<32>-<16>-<2>
    char text[size];
    explicit traceparent_text(const telemetry::trace_context& of) noexcept;
    [[nodiscard]] std::string_view view() const noexcept { return {text, size}; }
};

} // namespace evenkeel::request

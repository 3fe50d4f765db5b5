#pragma once
// Whether a client asked for a stream: the body's `stream: true`, Google's method, or its Accept. Pure.

#include "proxy/message/client_request.hpp"

namespace evenkeel::request {

// What its path is called says so: Google's :streamGenerateContent.
[[nodiscard]] bool asks_by_name(const client_request& request) noexcept;
[[nodiscard]] bool wants_stream(const client_request& request);
// ... and for server-sent events in particular, whose head may be given ahead of the answer.
[[nodiscard]] bool wants_events(const client_request& request);

// Whether its Accept names them.
[[nodiscard]] bool accepts_events(const wire::request_head& head) noexcept;

} // namespace evenkeel::request

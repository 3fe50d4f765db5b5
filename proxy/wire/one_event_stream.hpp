#pragma once
// An answer in one piece as the stream that a client asked for: the shortest one of its kind, with its terminal marker.
// The kind is read from the answer itself (chat completion, completion, response, message, generateContent), so that
// SDKs find what they look for; JSON of another shape becomes one event as it is. Pure.

#include "proxy/wire/error_body.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::wire {

// Server-sent events; empty: `body` is no JSON object. `which` only says how a stream of unknown shape ends.
[[nodiscard]] std::optional<std::string> one_event_stream(dialect which, std::string_view body);

} // namespace evenkeel::wire

#pragma once
// A request for an answer in one piece, made into the request for the same answer as a stream. Only what has to change
// changes: every other byte of the body stays as it is. Pure.

#include "proxy/wire/error_body.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::wire {

// What of an API may be asked for as a stream, by the target that the upstream is asked for: OpenAI's chat completions,
// Anthropic's messages; empty: neither. The query does not count; `base` as in calls.hpp.
[[nodiscard]] std::optional<dialect> upcast_dialect(dialect which, std::string_view target,
                                                    std::size_t base = 0) noexcept;

// The body with `"stream": true`, and for OpenAI with `"stream_options": {"include_usage": true}`. Empty: it asks for a
// stream already, for something whose stream does not say what the answer in one piece says (several choices, log
// probabilities, audio, web search), or is no JSON object whose members all have names of their own.
[[nodiscard]] std::optional<std::string> upcast_request(dialect which, std::string_view body);

} // namespace evenkeel::wire

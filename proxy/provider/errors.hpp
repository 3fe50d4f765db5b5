#pragma once
// The errors of the OpenAI and Anthropic APIs: which status, type, code and message each kind has, and how it looks as
// a body and inside a stream.

#include "proxy/provider/script.hpp"

#include <string>

namespace evenkeel::provider {

enum class provider_dialect : unsigned char { openai, anthropic };

[[nodiscard]] error_kind kind_of_status(int status);
[[nodiscard]] int usual_status(provider_dialect dialect, error_kind kind);

// The object of an error, as it stands under "error".
[[nodiscard]] std::string error_object(provider_dialect dialect, error_kind kind, int status);

// An error event inside a stream that has begun. `as_data`: OpenAI's form without an event name.
[[nodiscard]] std::string stream_error(provider_dialect dialect, error_kind kind, bool as_data);

} // namespace evenkeel::provider

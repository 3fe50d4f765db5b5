#pragma once
// The bodies of the proxy's own errors, in the shape that the SDKs of each provider understand (measured against the
// official SDKs: an HTML or empty body reaches the application as "503 status code (no body)").

#include <cstddef>
#include <string>
#include <string_view>

namespace evenkeel::wire {

enum class dialect : unsigned char { openai, anthropic, gemini, ollama, generic };

[[nodiscard]] std::string_view to_string(dialect which) noexcept; // "openai", ...

// Of the call that this path is, by the table in calls.hpp; `base` as there.
[[nodiscard]] dialect dialect_of_path(std::string_view path, std::size_t base = 0) noexcept;

// `code` is the stable word for programs ("circuit_open"), `message` the sentence for people. Always a JSON object.
[[nodiscard]] std::string error_body(dialect which, int status, std::string_view code, std::string_view message);

// What Google's APIs call a status ("UNAVAILABLE" for 503); google.rpc.Code and its HTTP mapping.
[[nodiscard]] std::string_view google_status(int http_status) noexcept;

inline constexpr std::string_view error_content_type = "application/json";

} // namespace evenkeel::wire

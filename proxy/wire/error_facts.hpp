#pragma once
// What an error body or error event says, in whatever shape its provider writes it: nested (OpenAI, Anthropic, Google,
// OpenRouter), flat (Mistral, older vLLM), a bare string (Ollama), an array of one (Google's streams), in the place of
// a choice (OpenRouter). Tolerates anything: bytes that are no JSON give facts with `is_error` false.

#include "policies/outcome.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::wire {

inline constexpr std::size_t max_error_body = 16 * 1024; // bytes looked at; errors are small
inline constexpr std::size_t max_error_message = 512;    // bytes of the message kept

struct error_facts {
    bool is_error = false;  // the JSON has the shape of an error
    bool in_choice = false; // ... that takes the place of an answer: choices[0] failed
    std::string type, code, status, message, quota;
    std::optional<duration> retry_delay;

    [[nodiscard]] error_words words() const noexcept { return {type, code, status, message, quota, retry_delay}; }
};

// A body that came with an error status, or the data of an error event.
[[nodiscard]] error_facts read_error(std::string_view json);

// Whether a whole 2xx JSON body is an error after all: a top-level `error` that is neither null nor false nor empty, or
// "type"/"object": "error", or a first choice that failed. Cheap for every body that has none: one search for `error`.
[[nodiscard]] bool holds_error(std::string_view body) noexcept;

} // namespace evenkeel::wire

#pragma once
// Pieces of text that both logs and the health document are made of. A log is read by people in terminals and by
// programs line by line, so nothing a client sent may end a line, move a cursor or be invalid UTF-8.

#include "policies/time.hpp"
#include "proxy/wire/json_model.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace evenkeel::telemetry {

// The inside of a JSON string.
inline constexpr std::size_t max_escape = wire::max_json_escape;
inline char* write_escaped(char* out, std::string_view text) noexcept { return wire::write_json_escaped(out, text); }

void append_quoted(std::string& to, std::string_view text); // with its quotes
// Nothing in it that JSON escapes, and ASCII.
[[nodiscard]] bool is_plain(std::string_view text) noexcept;

// 2026-11-23T10:19:35.123Z
inline constexpr std::size_t timestamp_size = 24;
char* write_timestamp(char* out, wall_time when) noexcept;

// Seconds with six decimals: 1.250000; a negative duration is 0.
inline constexpr std::size_t max_seconds_size = 20;
char* write_seconds(char* out, duration value) noexcept;

} // namespace evenkeel::telemetry

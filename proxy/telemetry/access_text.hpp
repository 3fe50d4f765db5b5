#pragma once
// The access log for people: a line of at most access_text_width columns per request, and of one that was disturbed a
// second with its tries and its id, for `evenkeel explain`. Says no more of a request than the JSON line does.

#include "proxy/events/request_account.hpp"

#include <cstddef>
#include <string>

namespace evenkeel::telemetry {

inline constexpr std::size_t access_text_width = 120;

// With its newlines:
// 10:19:35 200 ok           1.234s POST /v1/chat/completions  llm > deepseek  first 0.312s  410+57 tokens
[[nodiscard]] std::string access_text(const request_account& record, bool colour);

// Whether the environment has nothing against it: NO_COLOR (no-color.org), TERM=dumb. Read once.
[[nodiscard]] bool terminals_have_colour();

} // namespace evenkeel::telemetry

#pragma once
// When an answer asks its caller to come back, in all spellings. The first that parses wins: `retry-after-ms`,
// `x-ms-retry-after-ms`, `retry-after` in seconds (fractions allowed) or as an HTTP date (measured against the answer's
// own `Date`, else the local clock), the body's retry delay (Google), then the reset fields of the limit that is used
// up (`x-ratelimit-reset-requests|tokens`, `anthropic-ratelimit-*-reset`, where `-remaining` is 0). Negative, NaN,
// overflowing and unreadable values are ignored; a date in the past is 0.

#include "policies/time.hpp"
#include "proxy/wire/error_facts.hpp"
#include "proxy/wire/head.hpp"

#include <optional>
#include <string_view>

namespace evenkeel::wire {

[[nodiscard]] std::optional<duration> retry_hint(const response_head& head, const error_facts& error,
                                                 wall_time local_now);

// x-should-retry: true | false; anything else is no word.
[[nodiscard]] std::optional<bool> should_retry(const response_head& head) noexcept;

// When a limit is whole again, of its reset field: "6m0s", "20ms", plain seconds, or a moment (RFC 3339).
[[nodiscard]] std::optional<duration> parse_reset(std::string_view text, wall_time now) noexcept;

// Seconds with a fraction as clients tell their timeouts (x-stainless-timeout, X-Server-Timeout); empty: not a positive
// finite number.
[[nodiscard]] std::optional<duration> parse_seconds(std::string_view text) noexcept;

// IMF-fixdate, RFC 850 and asctime forms (RFC 9110 5.6.7).
[[nodiscard]] std::optional<wall_time> parse_http_date(std::string_view text) noexcept;

} // namespace evenkeel::wire

#pragma once
// What became of one attempt, as every policy understands it (reference: resilience semantics, section 2). The class
// says what it is evidence of, the kind which rule of `retry.on` speaks about it. Pure values.

#include "policies/time.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace evenkeel {

enum class outcome_class : unsigned char {
    success,   // the endpoint is alive and did its work; also an error that is the caller's own
    failure,   // the endpoint did not do its work
    throttled, // it asked for less: rate limit, overload, spent quota
    neutral,   // evidence of nothing: cancelled, refused here, a credential that is not accepted
};

enum class outcome_kind : unsigned char {
    answered,        // a good answer
    connect_failure, // name, TCP or TLS: nothing was sent
    reset,           // the connection died before the answer was whole
    timeout,         // silent for longer than the attempt may be
    overloaded,      // 529, 503 with a hint, `overloaded_error`, `slow_down`
    rate_limited,    // 429 that ends by itself
    quota,           // money or a long quota: 402, `insufficient_quota`; another credential may do
    credential,      // 401, 403: another credential may do
    server_error,    // 5xx, 408, 409, 425
    protocol_error,  // not HTTP, not the promised format, empty
    caller_error,    // 4xx that any endpoint would give: the request itself is wrong
    cancelled,       // we or the client stopped it
};
inline constexpr int outcome_kind_count = 12;

[[nodiscard]] std::string_view to_string(outcome_class) noexcept;
[[nodiscard]] std::string_view to_string(outcome_kind) noexcept;

struct verdict {
    outcome_class is = outcome_class::success;
    outcome_kind kind = outcome_kind::answered;
    bool operator==(const verdict&) const = default;
};

// The words of an error body or error event, whatever the dialect calls them; views, empty where absent.
struct error_words {
    std::string_view type;               // error.type
    std::string_view code;               // error.code, as text; Anthropic: error.details.error_code
    std::string_view status;             // error.status (Google's UNAVAILABLE)
    std::string_view message;            // at most its beginning
    std::string_view quota;              // Google's quotaId, PerMinute or PerDay
    std::optional<duration> retry_delay; // Google's RetryInfo
};

// An HTTP answer, by its status, the words of its body and whether it names a time to come back. Every row of the
// tables in resilience semantics 2 and ecosystem 6.2. `max_retry_after` splits Google's two kinds of 429.
[[nodiscard]] verdict classify_answer(int status, const error_words& words, std::optional<duration> hint,
                                      duration max_retry_after) noexcept;

// Whether an error status says that nothing was done, so that asking again is no second time: it was turned away for
// its rate, its size, its credential or for want of room. Not 500 and 502, nor a 503 without a hint: whoever says those
// may have begun.
[[nodiscard]] bool is_refusal(int status, bool has_hint) noexcept;

// An error inside a 200, in an event or a whole body: by its words; a code that is a status counts as one.
[[nodiscard]] verdict classify_embedded(const error_words& words, duration max_retry_after) noexcept;

// What a refusal (401, 403) of a credential of ours is about. A key that is revoked is refused to everybody, so it
// rests; a model, a region, a content or an operation that this key may not have is refused to who asked for it, and
// everybody else goes on.
enum class refused_over : unsigned char {
    unknown, // it does not say: if several callers meet it, it is the key
    key,
    request,
};
// By the structured words first, of which some are plainer than others, then by the message.
[[nodiscard]] refused_over refused_over_what(const error_words& words) noexcept;

// All a flight needs to know of a failed attempt.
struct attempt_outcome {
    verdict what{outcome_class::failure, outcome_kind::reset};
    refused_over over = refused_over::unknown; // of the kind `credential`
    bool embedded = false;                     // an error inside a 200 (`retry.on: stream_error`)
    bool empty = false;                        // a 200 in the place of an answer that says nothing (`retry.on: empty`)
    bool never_sent = false;                   // no byte of the request left
    bool no_effect = false;                    // it was refused before anything was done (is_refusal)
    bool lasting = false;                      // asked again, this endpoint would say the same
    bool has_answer = false;                   // an HTTP answer is there to be handed on
    std::optional<bool> should_retry;          // the upstream's x-should-retry
    std::optional<duration> retry_after;       // the upstream's hint, counted from now
};

} // namespace evenkeel

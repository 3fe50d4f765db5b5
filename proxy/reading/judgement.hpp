#pragma once
// What an upstream's answer is worth, once enough of it is here: the seam between the words on the wire and the outcome
// classes of the policies. Pure.

#include "config/settings.hpp"
#include "policies/outcome.hpp"
#include "proxy/events/outcomes.hpp"
#include "proxy/wire/calls.hpp"
#include "proxy/wire/error_body.hpp"
#include "proxy/wire/error_facts.hpp"
#include "proxy/wire/head.hpp"
#include "proxy/wire/stream_reader.hpp"

#include <optional>
#include <string_view>

namespace evenkeel::request {

struct judge_rules {
    wire::dialect dialect = wire::dialect::generic;
    bool wants_content = false;  // a generation: an empty or unreadable 200 is no answer
    bool judges_empty = false;   // ... and one that says nothing is none either (`retry.on: empty`)
    bool wants_stream = false;   // of any kind
    bool own_credential = false; // it was shown none of the caller's: a 401 is not the caller's doing
    bool array_stream = false;   // Google's stream without alt=sse
    duration max_retry_after{};
    wire::token_use tokens = wire::token_use::none; // of the call
};

// What the head of an answer says about its body, looked up once.
struct content_facts {
    enum class kind : unsigned char { other, json, html, events, lines };
    kind is = kind::other;
    bool encoded = false;      // compressed, ...
    bool decodable = false;    // ... in a way that can be looked into (wire/content_decoder.hpp)
    std::string_view coding{}; // as its field names it; lives as long as the head

    [[nodiscard]] bool readable() const noexcept { return !encoded || decodable; }
};
[[nodiscard]] content_facts content_of(const wire::response_head& head) noexcept;

// Bodies below are as they read: decoded, where they came compressed.

// An answer with an error status and (the beginning of) its body.
[[nodiscard]] attempt_outcome judge_error(const wire::response_head& head, content_facts content, std::string_view body,
                                          const judge_rules& rules, wall_time now, wire::error_facts& facts);
// A whole answer below 400: empty if it is good.
[[nodiscard]] std::optional<attempt_outcome> judge_whole(const wire::response_head& head, content_facts content,
                                                         std::string_view body, const judge_rules& rules,
                                                         wire::error_facts& facts);
// Whether the head of an answer already shows that it is none; and whether its body has to be a JSON object or array.
[[nodiscard]] bool is_no_answer(const wire::response_head& head, content_facts content,
                                const judge_rules& rules) noexcept;
[[nodiscard]] bool promises_json(const wire::response_head& head, content_facts content,
                                 const judge_rules& rules) noexcept;

// An answer that is whole and says nothing.
[[nodiscard]] attempt_outcome judge_empty() noexcept;

// The error frame of a stream that has said nothing else so far.
[[nodiscard]] attempt_outcome judge_error_event(const wire::error_facts& facts, const judge_rules& rules) noexcept;

[[nodiscard]] attempt_outcome failed_with(outcome_kind kind, bool never_sent = false) noexcept;
[[nodiscard]] telemetry::attempt_result result_of(const attempt_outcome& outcome) noexcept;
[[nodiscard]] telemetry::attempt_result result_of_status(int status) noexcept; // of an answer nobody looked into

// How the body of an answer below 400 streams; empty: it does not.
[[nodiscard]] std::optional<wire::stream_format> stream_format_of(content_facts content,
                                                                  const judge_rules& rules) noexcept;

// Whether its head says that it is server-sent events, a good answer.
[[nodiscard]] bool is_event_stream(const wire::response_head& head) noexcept;

} // namespace evenkeel::request

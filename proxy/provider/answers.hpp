#pragma once
// What the simulated provider says: answers in the shapes of the OpenAI and Anthropic APIs, as a pure function of the
// request and its script. How and when the bytes leave is the connection's business.

#include "proxy/provider/errors.hpp"
#include "proxy/provider/script.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::provider {

struct provider_request {
    std::string_view method;
    std::string_view target;
    std::string_view body;
    std::uint64_t serial = 0;
};

// preamble: nothing meaningful yet; content: a piece of text or of a tool call; closing: ends a block or an item;
// finish: carries the finish reason; usage: the extra chunk of include_usage; terminal: [DONE], message_stop,
// response.completed.
enum class event_role : unsigned char { preamble, content, closing, finish, usage, terminal };

struct stream_event {
    event_role role = event_role::content;
    std::string text;                         // with its blank line
    std::size_t stamp_at = std::string::npos; // where the 20 digits of the send time stand
};

struct provider_answer {
    int status = 200;
    provider_dialect dialect = provider_dialect::openai;
    std::string content_type = "application/json";
    std::vector<std::pair<std::string, std::string>> headers; // without content-type, date and framing
    std::string body;
    std::vector<stream_event> events;
    bool stream = false;                               // `events` instead of `body`
    std::uint64_t input_tokens = 0, output_tokens = 0; // what it takes, whether it tells it or not; of errors nothing
};

[[nodiscard]] provider_answer make_answer(const provider_request& request, const provider_script& script);

// `nonce:XYZ` in a body; empty if there is none.
[[nodiscard]] std::string find_nonce(std::string_view body);

// Writes `ns` over the 20 digits at `at`.
void stamp_event(stream_event& event, std::int64_t ns) noexcept;

// The part of a target that names the API: from "/v1/", or from "/echo", "/bytes/", "/upload"; without its query.
[[nodiscard]] std::string_view api_path(std::string_view target) noexcept;

} // namespace evenkeel::provider

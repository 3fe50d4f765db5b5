#pragma once
// Decides whether an answer is what the client asked for. Strict on purpose: an answer that is short by one piece, ends
// without its terminal marker or says "error" inside a 200 is a failure, whatever its status.

#include "proxy/demo/workload.hpp"
#include "proxy/provider/blocking_client.hpp"
#include "proxy/simulate/judge.hpp"

#include <string>
#include <string_view>

namespace evenkeel::demo {

using simulate::verdict;

// A buffered answer that has been read to its end.
[[nodiscard]] verdict judge_buffered(api speaks, std::string_view nonce, const provider::client_response& answer);

// A stream, event by event.
class stream_judge {
public:
    stream_judge(api speaks, std::string nonce) : speaks_(speaks), nonce_(std::move(nonce)) {}

    // True if the event brought text.
    bool take(const provider::sse_event& event);
    [[nodiscard]] verdict judge(const provider::client_response& head, provider::message_end end) const;

private:
    api speaks_;
    std::string nonce_;
    std::string text_;
    bool finished_ = false; // the finish reason (OpenAI)
    bool ended_ = false;    // the terminal marker
    bool failed_ = false;   // an error event, one that is not JSON, or anything behind the terminal marker
};

} // namespace evenkeel::demo

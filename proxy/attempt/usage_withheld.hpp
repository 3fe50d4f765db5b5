#pragma once
// The answer to a client that asked for a stream without usage, where we have asked for it with (`stream.usage: ask`):
// event by event as it came, but for what tells usage. The attempt has read that already.

#include "proxy/message/body_source.hpp"
#include "proxy/wire/head.hpp"

#include <memory>

namespace evenkeel::request {

// `body` keeps what `head` points to.
struct withheld_answer {
    std::unique_ptr<body_source> body;
    const wire::response_head* head = nullptr;
};
[[nodiscard]] withheld_answer usage_withheld(const wire::response_head& head, std::unique_ptr<body_source> from);

} // namespace evenkeel::request

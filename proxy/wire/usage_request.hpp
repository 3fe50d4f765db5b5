#pragma once
// Streams of chat and completions tell what tokens they took only where they are asked to, in one more event: the
// request is edited so that they are, and that event taken out again (`stream.usage: ask`). Only what has to change
// changes. Pure.

#include "proxy/wire/event_splitter.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::wire {

struct body_edit {
    std::size_t at = 0, size = 0; // bytes of the body that are replaced
    std::string by{};
};
// `"stream_options": {"include_usage": true}`. Empty: it asks already, for no stream, or is no JSON object whose
// members all have names of their own.
[[nodiscard]] std::optional<body_edit> ask_for_usage(std::string_view body);

// What is passed on of an event that tells: nothing of one that does nothing else, of others all but that. Empty: it
// does not tell, and goes as it is.
[[nodiscard]] std::optional<std::string> without_usage(const stream_event& event);

} // namespace evenkeel::wire

#pragma once
// What one event of a streamed answer says, taken apart so that two streams can be compared: texts that grow from event
// to event, and words that come at once, each in the channel of its choice or block. OpenAI chat completions and
// completions, Anthropic messages. Pure; never throws on any input.

#include "proxy/wire/error_body.hpp"
#include "proxy/wire/event_splitter.hpp"

#include <boost/json/value.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace evenkeel::wire {

// One thing an event says. `drop` takes what was said before out of the event: all but the last `rest` bytes of a text.
struct saying {
    std::string channel;
    std::string text;
    bool whole = false;
    std::function<void(std::size_t rest)> drop;
};

struct event_sayings {
    boost::json::value value; // of the event's data; null where that is none, or no JSON
    std::vector<saying> says; // their drop() changes `value`
    bool known = true;        // every field of it is understood
    bool error = false;       // an error frame

    event_sayings() = default;
    event_sayings(const event_sayings&) = delete;
    event_sayings& operator=(const event_sayings&) = delete;
};

// `to` is as made.
void read_sayings(dialect which, const stream_event& event, event_sayings& to);

} // namespace evenkeel::wire

#pragma once
// What one event of a stream means in its dialect: the tables of reference ecosystem 6.1 as code. Pure.

#include "proxy/wire/error_body.hpp"

#include <string_view>

namespace evenkeel::wire {

struct event_facts {
    bool is_json = false; // a JSON object
    bool error = false;
    bool meaningful = false;           // says something a client would miss
    bool terminal = false;             // the stream is whole with it
    bool hollow = false;               // an end that says nothing, and not why: nothing at all, if nothing came before
    bool family = false;               // of a kind whose streams have a terminal marker
    dialect spoken = dialect::generic; // recognised, where the dialect asked for was generic
};

// `name` is the SSE event name, empty if none; `data` the JSON. `recognise`: a generic stream may turn out to be
// another.
[[nodiscard]] event_facts read_event(dialect which, bool recognise, std::string_view name, std::string_view data);

// Whether a whole answer in one piece says nothing: no text, no call, no refusal, no reasoning, and no word for why
// that is so (a filter, a limit of tokens). Costs the search for a first text where there is one.
[[nodiscard]] bool says_nothing(std::string_view body) noexcept;

} // namespace evenkeel::wire

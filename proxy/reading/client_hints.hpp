#pragma once
// What a request says about its client: how long it waits, whether it is already a repetition, what it wants to be
// told. Pure.
//
//   x-evenkeel-timeout        seconds, for anybody; anything but a positive number is refused
//   x-evenkeel-cost           anything but 0 or off: the answer is to say what it took (in a field of that name)
//   x-evenkeel-priority       batch: goes after whoever is interactive, where a quota is paced; anything else is that
//   x-stainless-timeout       seconds, until the head of the answer (OpenAI and Anthropic SDKs)
//   x-server-timeout          seconds, until the end of the answer (Google's SDKs)
//   x-stainless-read-timeout  seconds of silence that the client puts up with (Python SDKs)
//   x-stainless-retry-count   0, 1, 2: which repetition of its own this is

#include "policies/time.hpp"
#include "proxy/wire/head.hpp"

#include <optional>

namespace evenkeel::request {

struct client_hints {
    std::optional<duration> timeout; // the shortest of those told
    std::optional<duration> silence;
    bool retry = false;
    bool cost = false;
    bool batch = false;
    bool unreadable = false; // x-evenkeel-timeout is not a positive number
};

[[nodiscard]] client_hints read_client_hints(const wire::request_head& head) noexcept;

// How long we take of what the client told: a little less, so that it hears from us before it gives up.
// (chosen: 5 %, at most 250 ms)
[[nodiscard]] duration answer_within(duration told) noexcept;

} // namespace evenkeel::request

#pragma once
// What an attempt took, from what its answer told (wire/usage.hpp) or, where that is nothing, from its bytes.
//
// Told is told: what a provider says of a stream before it breaks counts as far as it goes. What it did not say is
// estimated, and marked:
//   input    a quarter of the bytes of the request's body. About four bytes are a token of English text (OpenAI, "What
//            are tokens and how to count them?"); of JSON around it there is little, in other scripts a token has fewer
//            bytes, and a picture within the body counts as its bytes. Nothing cheaper is right, and nothing right is
//            cheap: tokenisers differ from model to model.
//   output   a quarter of the bytes of text that came, in whatever it came: text, reasoning, arguments of calls. What
//            the provider had generated and we have not seen is not in it.
// Nothing is estimated of a call that has no tokens (models, counting them, sounds and pictures), nor of one we do not
// know. Pure.

#include "proxy/events/spending.hpp"
#include "proxy/wire/calls.hpp"
#include "proxy/wire/usage.hpp"

#include <cstdint>

namespace evenkeel::config {
struct price;
}

namespace evenkeel::request {

// What is known of the bytes of an attempt.
struct bytes_seen {
    std::uint64_t request = 0; // of a body that went out
    std::uint64_t text = 0;    // of the answer
};

[[nodiscard]] telemetry::token_count count_tokens(const wire::usage& told, wire::token_use use, bytes_seen seen);

// In billionths of what the price is in. Reasoning is paid for as output; a cache without a price of its own as input.
[[nodiscard]] std::uint64_t cost_of(const telemetry::token_count& tokens, const config::price& price) noexcept;

} // namespace evenkeel::request

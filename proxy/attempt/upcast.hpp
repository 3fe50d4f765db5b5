#pragma once
// `stream.upcast`: a buffered request goes upstream as a stream, and its answer is put together again before anything
// of it is passed on, so that hedging, silences and timeouts see its first token. What cannot be put together is asked
// for again as the client asked for it, in the same attempt: that is no extra attempt and costs the budget nothing.

#include "policies/flight_plan.hpp"
#include "policies/time.hpp"
#include "proxy/message/block.hpp"
#include "proxy/message/body_source.hpp"
#include "proxy/state/upcast_memory.hpp"
#include "proxy/wire/head.hpp"
#include "proxy/wire/head_text.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace evenkeel::request {

struct client_request;

// What an attempt that goes upstream as a stream is made of; its order holds it until it is repeated plainly.
struct upcast_order {
    wire::head_text head; // what goes out instead of the order's
    std::size_t span_at = 0;
    body_pieces body; // ... and instead of the client's body: one piece
    std::string model;
    upcast_memory* exclusions = nullptr;   // of the order's policies
    holding plain_hold = holding::nothing; // ... where it is repeated
};

// Whether an error answer speaks of the stream that the client did not ask for.
[[nodiscard]] bool blames_stream(int status, std::string_view body) noexcept;

// The answer as the client gets it. `from` delivers the JSON that was put together, and keeps what `head` points to.
struct assembled_answer {
    std::unique_ptr<body_source> body;
    const wire::response_head* head = nullptr; // of the body
};
[[nodiscard]] assembled_answer assembled_body(const wire::response_head& head, std::size_t size,
                                              std::unique_ptr<body_source> from);

} // namespace evenkeel::request

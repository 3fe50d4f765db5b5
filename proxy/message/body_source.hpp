#pragma once
// Where the bytes of an answer come from. Whoever relays an answer pulls from its source and does not know whether that
// is the winning attempt's socket, a stored answer or an error of our own. Destroying a source cancels what feeds it.

#include "proxy/events/outcomes.hpp"
#include "proxy/net/io.hpp"

#include <optional>
#include <string_view>

namespace evenkeel::request {

struct body_step {
    enum class kind : unsigned char {
        data,      // `data`, at least one byte
        end,       // the body is whole; nothing follows
        truncated, // it broke: `why` is the RFC 9209 word; nothing follows
    };
    kind is = kind::end;
    // Stays where it is while it is sent and its successor is asked for once by ready(): until the second step behind
    // it is asked for, or next() is called, or the source is destroyed.
    std::string_view data{};
    std::string_view why{};
    bool first_event = false;                                  // data: holds the first meaningful event of a stream
    telemetry::stream_end ended = telemetry::stream_end::none; // end, truncated: how a stream ended
};

class body_source {
public:
    virtual ~body_source() = default;

    // What can be had without waiting; empty: ask next(). Spares small answers a coroutine.
    [[nodiscard]] virtual std::optional<body_step> ready() { return std::nullopt; }
    [[nodiscard]] virtual net::task<body_step> next() = 0;

    // It may send the request again, and needs its body until it is over.
    [[nodiscard]] virtual bool may_ask_again() const noexcept { return false; }

    // Ends the source early, from outside: a next() under way completes with truncated. Safe to call at any time.
    virtual void cancel() noexcept {}

    // Somebody waits for the whole of it until `deadline`, later than was known. Nothing where no deadline bounds it.
    virtual void allow_until(steady_time deadline) noexcept { static_cast<void>(deadline); }
};

} // namespace evenkeel::request

#pragma once
// What can be done on purpose to the answer of an upstream: the faults, and named profiles of them that rehearse what
// providers are known to do. Pure values; net/chaos_transport.hpp performs them at the edge of an attempt, so that
// every policy takes them for the upstream's own behaviour.

#include "policies/time.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace evenkeel {

enum class chaos_fault : unsigned char {
    latency,      // the answer begins later
    abort,        // an error status instead of an answer; the upstream is not asked
    connect_fail, // no connection
    reset,        // the connection dies: before the head (the upstream is not asked), or inside the answer
    stall,        // silence: before the head (the upstream is not asked), or inside the answer
    drip,         // the body comes a few bytes at a time
    truncate,     // the answer ends as its framing says, or short of its length, but is not whole
    malformed,    // a broken status line (the upstream is not asked), or a broken event or body
    stream_error, // an error inside a 200
    split,        // each byte of the body in a read of its own: events, lines and characters come in parts
    gzip,         // the body is compressed although nobody asked for it
};
inline constexpr int chaos_fault_count = 11;
[[nodiscard]] std::string_view to_string(chaos_fault) noexcept; // as in YAML, metrics and the access log

// A fault with its parameters. Each is used by the faults named beside it.
struct chaos_fault_options {
    chaos_fault is = chaos_fault::latency;
    duration delay = std::chrono::seconds{1}; // latency
    duration jitter{};                        // latency: up to so much more, drawn uniformly
    int status = 503;                         // abort
    std::optional<duration> retry_after{};    // abort: as Retry-After, in whole seconds, rounded up
    // Abort, stream_error: the error's code; empty: what usually goes with it.
    std::string code{};
    // Reset, stall, truncate, malformed, stream_error: events with data that still pass.
    std::optional<std::int64_t> after_events{};
    // Reset, stall, truncate: body bytes that still pass; excludes after_events.
    std::optional<std::uint64_t> after_bytes{};
    // Reset, stall, truncate with after_events: and half of the event after these.
    bool mid_event = false;
    std::uint64_t bytes_per_second = 20; // drip
    bool operator==(const chaos_fault_options&) const = default;

    // Happens before anything of an answer is needed: the upstream is not asked, and no token paid for.
    [[nodiscard]] bool spares_upstream() const noexcept;
};

// One fault of a profile, and which attempts of a request (from 1 on) it is for.
struct chaos_profile_fault {
    chaos_fault_options fault;
    int attempts = 0; // the first so many; 0: any
};
struct chaos_profile {
    std::string_view name;
    std::span<const chaos_profile_fault> faults; // one of them is drawn for each attempt
};

// failoverbench, then its faults one by one, then those that FailoverBench does not have.
[[nodiscard]] std::span<const chaos_profile> chaos_profiles() noexcept;
[[nodiscard]] const chaos_profile* find_chaos_profile(std::string_view name) noexcept; // null: there is none

} // namespace evenkeel

#pragma once
// Where a request stands in a trace (W3C trace context): the trace, the span that its caller has for it, its own span,
// and those that it draws for what is done for it. Values; 0 is no id.

#include <cstdint>

namespace evenkeel::telemetry {

// The next of a row of numbers that look random, none of them 0: splitmix64 (Steele, Lea, Flood, 2014).
[[nodiscard]] inline std::uint64_t draw_id(std::uint64_t& state) noexcept {
    std::uint64_t x = state += 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
    x ^= x >> 31U;
    return x != 0 ? x : 1;
}

// A span of some trace.
struct trace_link {
    std::uint64_t trace_high = 0, trace_low = 0, span = 0;
    [[nodiscard]] explicit operator bool() const noexcept { return span != 0; }
    bool operator==(const trace_link&) const noexcept = default;
};

struct trace_context {
    static constexpr std::uint8_t sampled_flag = 1, random_flag = 2; // of `flags`; random: so is the trace's id

    std::uint64_t trace_high = 0, trace_low = 0;
    std::uint64_t parent = 0;        // 0: the trace begins with this request
    std::uint64_t span = 0;          // 0: nothing is traced
    mutable std::uint64_t drawn = 0; // where the spans to come are drawn from; by one worker
    std::uint8_t flags = 0;          // as upstreams are told
    bool parent_remote = false;      // of another process

    [[nodiscard]] explicit operator bool() const noexcept { return span != 0; }
    [[nodiscard]] bool sampled() const noexcept { return (flags & sampled_flag) != 0; }
    [[nodiscard]] trace_link link() const noexcept { return {trace_high, trace_low, span}; }

    // Of an attempt; 0 where nothing is traced.
    [[nodiscard]] std::uint64_t next_span() const noexcept { return span == 0 ? 0 : draw_id(drawn); }
    // Between the request and its attempts. The same each time it is asked for.
    [[nodiscard]] std::uint64_t inner_span() const noexcept {
        std::uint64_t from = ~span;
        return draw_id(from);
    }
    // Of a request that is made for this one, in the same process.
    [[nodiscard]] trace_context child() const noexcept {
        trace_context made = *this;
        made.parent = span;
        made.parent_remote = false;
        made.span = next_span();
        made.drawn = next_span();
        return made;
    }
};

} // namespace evenkeel::telemetry

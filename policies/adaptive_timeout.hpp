#pragma once
// How long an attempt may take, learned: clamp(multiplier * Q, min, max) after min_samples, else `initial` (DESIGN section 6,
// reference: resilience semantics 6). Q is the Kaplan-Meier quantile at q' = min(q + z * sqrt(q (1 - q) / n), 0.98), z = 1.645;
// where the estimate never falls to 1 - q', Q is the last answer and the lower clamp becomes max(min, initial).
// Falls at most 20 % a window, rises at once, doubles when over 20 % of at least 10 attempts of a slice ran into it.
//
// A learned timeout may only fire where something else can be tried; that is flight_plan's to know, not this one's.
// Not thread-safe; owned by one endpoint_latency.

#include "policies/latency_window.hpp"
#include "policies/time.hpp"

#include <cstdint>

namespace evenkeel {

struct by_shape { // one value for streams (to the first meaningful event), one for buffered answers (to the whole answer)
    duration stream, buffered;
    [[nodiscard]] constexpr duration of(bool streamed) const noexcept { return streamed ? stream : buffered; }
    bool operator==(const by_shape&) const = default;
};

struct adaptive_options {
    double quantile = 0.95;
    double multiplier = 3;
    std::uint32_t min_samples = 10;
    duration window = std::chrono::seconds{60};
    duration max = std::chrono::seconds{300};
    by_shape initial{std::chrono::seconds{30}, std::chrono::seconds{60}};
    by_shape min{std::chrono::seconds{10}, std::chrono::seconds{25}};
    bool operator==(const adaptive_options&) const = default;
};

class adaptive_timeout {
public:
    // `learned` holds at least min_samples, or `initial` is the answer.
    [[nodiscard]] duration decide(const adaptive_options& options, latency_window& learned, bool streamed, steady_time now) noexcept;
    // An attempt ended: it ran into the timeout, or it did not.
    void attempt_ended(bool timed_out, const adaptive_options& options, steady_time now) noexcept;
};

} // namespace evenkeel

#pragma once
// A latency distribution learned from censored data. An attempt that was cut off, because a sibling won or a timeout
// fired, says "longer than x", not "x" and not nothing: leaving it out, or taking it at its word, makes a learned timeout
// spiral down (reference: resilience semantics 6). Quantiles are Kaplan-Meier estimates over logarithmic buckets
// (Kaplan and Meier, JASA 1958), so they stay right whether or not losers are cancelled.
//
// Six slices of window/6 each; a sparse window reaches further back (up to 15 min) until it holds enough. Not thread-safe;
// owned by one endpoint_latency.

#include "policies/time.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace evenkeel {

enum class latency_sample : unsigned char {
    answered,  // took exactly this long
    cut_off,   // would have taken longer: a loser, or a timeout
    abandoned, // the client left: longer, but leaving is not independent of waiting
};

// How abandoned samples are read: as cut off (the answer may have been far away: timeouts) or as answered (hedge delays).
enum class abandoned_as : unsigned char { cut_off, answered };

class latency_window {
public:
    explicit latency_window(duration window, std::uint32_t min_samples = 10) noexcept;

    void add(duration took, latency_sample kind, steady_time now) noexcept;

    // The smallest latency (upper edge of its bucket, relative error at most 1 %) that at least the share q of all stays
    // within. Empty: nothing known, or the estimate never falls to 1 - q (the tail was cut off).
    [[nodiscard]] std::optional<duration> quantile(double q, abandoned_as reading, steady_time now) noexcept;
    [[nodiscard]] std::optional<duration> last_answer(steady_time now) noexcept; // the longest that was answered
    [[nodiscard]] std::uint32_t answered(steady_time now) noexcept;
    [[nodiscard]] std::uint32_t samples(steady_time now) noexcept; // of every kind

    // Adding windows (slices, keys, threads) is adding counts: bit-exact in any order (P6.6).
    void merge(const latency_window& other) noexcept;

private:
    duration window_;
    std::uint32_t min_samples_;
};

} // namespace evenkeel

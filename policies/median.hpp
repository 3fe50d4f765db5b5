#pragma once
// A running median of durations: counts in logarithmic buckets (8 per doubling, so within 5 % of the truth), over the
// current and the previous window; 1.5 KB, from the first sample on. Not thread-safe; owned by one policy.

#include "policies/time.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

namespace evenkeel {

class median_estimate {
public:
    static constexpr duration window =
        std::chrono::minutes{5}; // chosen: long enough for a route with one call a second
    static constexpr std::uint32_t min_samples = 10;

    void add(duration sample, steady_time now) noexcept;
    [[nodiscard]] std::optional<duration> value(steady_time now) noexcept; // empty until min_samples

private:
    static constexpr int buckets = 8 * 24; // from 1 ms to 4.6 h
    using counts = std::array<std::uint32_t, buckets>;
    struct tables {
        counts current{}, previous{};
    };
    void turn(steady_time now) noexcept;

    std::unique_ptr<tables> tables_; // never null once a sample came
    std::uint32_t current_total_ = 0, previous_total_ = 0;
    std::optional<steady_time> began_;
    std::optional<duration> cached_;
    std::uint32_t since_cached_ = 0;
};

} // namespace evenkeel

#pragma once
// Time as every policy and every room of the proxy sees it. Nothing below policies/ reads a clock: `now` arrives as an
// argument. Steady time measures; wall time (HTTP dates, log stamps) is a separate clock and only labels.

#include <chrono>

namespace evenkeel {

using duration = std::chrono::nanoseconds;
using steady_time = std::chrono::time_point<std::chrono::steady_clock, duration>;
using wall_time = std::chrono::time_point<std::chrono::system_clock, duration>;

// Part or multiple of a length. Truncates to whole nanoseconds, so nothing of a ratio is lost; the result has to be in
// range.
[[nodiscard]] inline duration scaled(duration length, double by) noexcept {
    return duration{static_cast<duration::rep>(static_cast<double>(length.count()) * by)};
}
[[nodiscard]] inline double in_seconds(duration length) noexcept {
    return std::chrono::duration<double>(length).count();
}

} // namespace evenkeel

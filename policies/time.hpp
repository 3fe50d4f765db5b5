#pragma once
// Time as every policy and every room of the proxy sees it. Nothing below policies/ reads a clock: `now` arrives as an
// argument. Steady time measures; wall time (HTTP dates, log stamps) is a separate clock and only labels.

#include <chrono>

namespace evenkeel {

using duration = std::chrono::nanoseconds;
using steady_time = std::chrono::time_point<std::chrono::steady_clock, duration>;
using wall_time = std::chrono::time_point<std::chrono::system_clock, duration>;

// Part or multiple of a length, or so many seconds: scaled(seconds{1}, 2.5). Truncates to whole nanoseconds, so nothing
// of a ratio is lost; what is longer than a duration can be is the longest.
[[nodiscard]] constexpr duration scaled(duration length, double by) noexcept {
    const double count = static_cast<double>(length.count()) * by;
    if (count >= 0x1p63) return duration::max();
    return count <= -0x1p63 ? duration::min() : duration{static_cast<duration::rep>(count)};
}
[[nodiscard]] inline double in_seconds(duration length) noexcept {
    return std::chrono::duration<double>(length).count();
}

} // namespace evenkeel

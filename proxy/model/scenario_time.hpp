#pragma once
// Seconds of the scenario and the time of the loop: the loop starts at its own beginning, the scenario's 0 lies behind
// the warm-up. On real sockets the scenario may run faster than the clock.

#include "policies/time.hpp"

#include <chrono>
#include <cmath>

namespace evenkeel::model {

class scenario_time {
public:
    explicit scenario_time(steady_time zero, double speed = 1) noexcept : zero_(zero), speed_(speed) {}
    [[nodiscard]] steady_time at(double seconds) const noexcept { return zero_ + length(seconds / speed_); }
    [[nodiscard]] double seconds(steady_time at) const noexcept { return in_seconds(at - zero_) * speed_; }
    [[nodiscard]] double speed() const noexcept { return speed_; }
    // Rounded up to the nanosecond, so that what is due never comes early.
    [[nodiscard]] static duration length(double seconds) noexcept {
        return duration{static_cast<duration::rep>(std::ceil(seconds * 1e9))};
    }

private:
    steady_time zero_;
    double speed_;
};

} // namespace evenkeel::model

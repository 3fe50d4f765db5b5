#pragma once
// Seeded draws for simulations of latency: quick to seed (many short cases) and the same on every platform.

#include "policies/hash64.hpp"
#include "policies/time.hpp"

#include <cmath>
#include <cstdint>
#include <numbers>

namespace evenkeel::testing {

// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
class draws {
public:
    explicit draws(std::uint64_t seed) noexcept : state_(seed) {}
    std::uint64_t bits() noexcept {
        const std::uint64_t drawn = mix64(state_);
        state_ += 0x9e3779b97f4a7c15ULL;
        return drawn;
    }
    double uniform() noexcept { return unit_interval(bits()); } // [0, 1)
    double uniform(double from, double to) noexcept { return from + (to - from) * uniform(); }
    std::uint64_t below(std::uint64_t n) noexcept { return bits() % n; }
    bool chance(double p) noexcept { return uniform() < p; }
    double lognormal(double median, double sigma) noexcept { // Box-Muller, one of the two
        const double r = std::sqrt(-2 * std::log(1 - uniform()));
        return median * std::exp(sigma * r * std::cos(2 * std::numbers::pi * uniform()));
    }

private:
    std::uint64_t state_;
};

inline duration seconds(double s) noexcept { return duration{static_cast<duration::rep>(s * 1e9)}; }
inline duration millis(double ms) noexcept { return duration{static_cast<duration::rep>(ms * 1e6)}; }
inline double in_millis(duration d) noexcept { return static_cast<double>(d.count()) / 1e6; }

} // namespace evenkeel::testing

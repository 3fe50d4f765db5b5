#pragma once
// Chance as a pure function: a draw is named by (seed, number, attempt, purpose) and needs no generator's state. So the
// first attempt at a request meets the same luck whatever policy made it, and an extra attempt meets luck of its own.

#include <cstdint>

namespace evenkeel::model {

// In [0, 1). Two draws that differ in any of the four are independent.
[[nodiscard]] double draw(std::uint64_t seed, std::uint64_t number, std::uint64_t attempt,
                          std::uint64_t purpose) noexcept;

// From two independent uniform draws. `sigma` is that of the logarithm.
[[nodiscard]] double lognormal(double median, double sigma, double u, double v) noexcept;
[[nodiscard]] double exponential(double mean, double u) noexcept;

} // namespace evenkeel::model

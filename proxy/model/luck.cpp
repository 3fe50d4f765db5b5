#include "proxy/model/luck.hpp"

#include "policies/hash64.hpp"

#include <cmath>
#include <numbers>

namespace evenkeel::model {

double draw(std::uint64_t seed, std::uint64_t number, std::uint64_t attempt, std::uint64_t purpose) noexcept {
    return unit_interval(mix64(mix64(mix64(mix64(seed) ^ number) ^ attempt) ^ purpose));
}

double lognormal(double median, double sigma, double u, double v) noexcept {
    const double normal = std::sqrt(-2 * std::log(1 - u)) * std::cos(2 * std::numbers::pi * v); // Box and Muller
    return median * std::exp(sigma * normal);
}

double exponential(double mean, double u) noexcept { return -mean * std::log(1 - u); }

} // namespace evenkeel::model

#include "proxy/simulate/luck.hpp"

#include <cmath>
#include <numbers>

namespace evenkeel::simulate {

namespace {
// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): every bit of the input moves every bit of the output.
std::uint64_t mix(std::uint64_t x) noexcept {
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31U);
}
} // namespace

double draw(std::uint64_t seed, std::uint64_t number, std::uint64_t attempt, std::uint64_t purpose) noexcept {
    const auto bits = mix(mix(mix(mix(seed) ^ number) ^ attempt) ^ purpose);
    return static_cast<double>(bits >> 11U) * 0x1p-53;
}

double lognormal(double median, double sigma, double u, double v) noexcept {
    const double normal = std::sqrt(-2 * std::log(1 - u)) * std::cos(2 * std::numbers::pi * v); // Box and Muller
    return median * std::exp(sigma * normal);
}

double exponential(double mean, double u) noexcept { return -mean * std::log(1 - u); }

} // namespace evenkeel::simulate

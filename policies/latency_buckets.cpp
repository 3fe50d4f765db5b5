#include "policies/latency_buckets.hpp"

#include <cmath>

namespace evenkeel {

namespace {
constexpr double twice_artanh(double a) noexcept { return 2 * (a + a * a * a / 3 + a * a * a * a * a / 5); }
constexpr double gamma = (1 + latency_buckets::accuracy) / (1 - latency_buckets::accuracy);
constexpr double log_gamma = twice_artanh(latency_buckets::accuracy); // the next term of the series is 10^-15
} // namespace

std::size_t latency_buckets::of(duration took) noexcept {
    const double ms = static_cast<double>(took.count()) * 1e-6;
    if (!(ms > 1)) return 0;
    const double exact = std::log(ms) * (1 / log_gamma);
    if (exact >= static_cast<double>(count - 1)) return count - 1;
    const auto below = static_cast<std::size_t>(exact); // an edge belongs to the bucket it ends
    return below + (exact > static_cast<double>(below) ? 1 : 0);
}

duration latency_buckets::middle(std::size_t bucket) noexcept {
    if (bucket == 0) return std::chrono::milliseconds{1};
    const double ms = 2 * std::exp(static_cast<double>(bucket) * log_gamma) / (gamma + 1);
    return duration{static_cast<duration::rep>(std::llround(ms * 1e6))};
}

} // namespace evenkeel

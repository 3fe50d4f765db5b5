#include "policies/median.hpp"

#include <algorithm>
#include <cmath>

namespace evenkeel {

namespace {
constexpr double per_doubling = 8;
constexpr std::uint32_t refresh_every = 16; // samples between two walks over the buckets

int bucket_of(duration sample) noexcept {
    const double ms = static_cast<double>(sample.count()) / 1e6;
    return ms <= 1 ? 0 : static_cast<int>(std::log2(ms) * per_doubling);
}
} // namespace

void median_estimate::turn(steady_time now) noexcept {
    if (!began_) began_ = now;
    if (now - *began_ < window) return;
    const bool both_old = now - *began_ >= 2 * window;
    if (tables_) {
        tables_->previous = both_old ? counts{} : tables_->current;
        tables_->current = {};
    }
    previous_total_ = both_old ? 0 : current_total_;
    current_total_ = 0;
    began_ = now;
    cached_.reset();
}

void median_estimate::add(duration sample, steady_time now) noexcept {
    turn(now);
    if (!tables_) [[unlikely]]
        tables_ = std::make_unique<tables>();
    ++tables_->current[static_cast<std::size_t>(std::clamp(bucket_of(sample), 0, buckets - 1))];
    ++current_total_;
    if (++since_cached_ >= refresh_every) cached_.reset();
}

std::optional<duration> median_estimate::value(steady_time now) noexcept {
    turn(now);
    const std::uint32_t total = current_total_ + previous_total_;
    if (total < min_samples) return std::nullopt;
    if (!cached_) {
        std::uint32_t seen = 0;
        std::size_t at = 0;
        const auto& [current, previous] = *tables_;
        while (at + 1 < current.size() && (seen += current[at] + previous[at]) * 2 < total) ++at;
        // The middle of the bucket, on the logarithmic scale.
        cached_ = scaled(std::chrono::milliseconds{1}, std::exp2((static_cast<double>(at) + 0.5) / per_doubling));
        since_cached_ = 0;
    }
    return cached_;
}

} // namespace evenkeel

#include "policies/token_estimates.hpp"

#include <algorithm>
#include <mutex>

namespace evenkeel {

namespace {
constexpr double unknown_output = 500, most_per_byte = 2; // (chosen)
} // namespace

token_estimates::tokens token_estimates::of(std::uint64_t model, std::uint64_t bytes) const noexcept {
    const std::scoped_lock lock(mutex_);
    const auto found =
        std::find_if(rows_.begin(), rows_.end(), [&](const row& one) { return one.samples > 0 && one.model == model; });
    const auto size = static_cast<double>(bytes);
    if (found == rows_.end()) return {size / 4, unknown_output};
    return {size * found->per_byte, found->output};
}

void token_estimates::learn(std::uint64_t model, std::uint64_t bytes, tokens took) noexcept {
    const std::scoped_lock lock(mutex_);
    auto found =
        std::find_if(rows_.begin(), rows_.end(), [&](const row& one) { return one.samples > 0 && one.model == model; });
    if (found == rows_.end()) { // in place of the one that was not used for longest
        found =
            std::min_element(rows_.begin(), rows_.end(), [](const row& a, const row& b) { return a.used < b.used; });
        *found = {.model = model};
    }
    found->used = ++uses_;
    found->samples = std::min(found->samples + 1, 20U);
    const double weight = 1.0 / found->samples;
    if (bytes > 0 && took.input > 0) {
        const double ratio = std::clamp(took.input / static_cast<double>(bytes), 0.0, most_per_byte);
        found->per_byte += weight * (ratio - found->per_byte);
    }
    found->output += weight * (took.output - found->output);
}

} // namespace evenkeel

#include "policies/shuffle_shard.hpp"

#include "policies/hash64.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <utility>

namespace evenkeel {

namespace {
constexpr std::size_t most = 64;

// Names that differ in their last letter differ everywhere.
std::uint64_t hash_of(std::string_view text) noexcept { return mix64(fnv1a(text)); }
} // namespace

shuffle_shard::shuffle_shard(const std::vector<std::string>& names, std::vector<double> weights, int size)
    : weights_(std::move(weights)), size_(static_cast<std::size_t>(std::max(size, 1))) {
    for (const std::string& name : names) names_.push_back(hash_of(name));
    if (names_.size() > most) names_.resize(most);
    weights_.resize(names_.size(), 1.0);
}

std::uint64_t shuffle_shard::tenant_named(std::string_view name) noexcept { return hash_of(name); }

shuffle_shard::members shuffle_shard::of(std::uint64_t tenant) const noexcept {
    if (size_ >= names_.size()) return all;
    std::array<std::pair<double, std::size_t>, most> scores;
    for (std::size_t i = 0; i < names_.size(); ++i) {
        // 53 bits, never 0 or 1.
        const double u = (static_cast<double>(mix64(tenant ^ names_[i]) >> 11) + 0.5) * 0x1p-53;
        scores[i] = {std::log(u) / weights_[i], i}; // -1/score: the order is that of the scores
    }
    const auto end = scores.begin() + static_cast<std::ptrdiff_t>(names_.size());
    std::partial_sort(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(size_), end, std::greater<>{});
    members set = 0;
    for (std::size_t i = 0; i < size_; ++i) set |= members{1} << scores[i].second;
    return set;
}

} // namespace evenkeel

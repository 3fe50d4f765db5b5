#include "policies/cooldown.hpp"

#include <algorithm>
#include <mutex>

namespace evenkeel {

namespace {
constexpr double overload_spread = 0.2;
constexpr duration least_rest = std::chrono::milliseconds{1};    // a hint of nothing still ends this instant
constexpr duration refusals_count_for = std::chrono::minutes{1}; // chosen
constexpr std::uint32_t longest_row = 32;                        // 2^32 times any start is past any maximum

duration doubled(duration start, std::uint32_t times, duration most) noexcept {
    duration grown = start;
    for (; times > 0 && grown < most; --times) grown *= 2;
    return std::min(grown, most);
}
} // namespace

void cooldown::configure(const cooldown_options& options) noexcept {
    const std::scoped_lock lock(mutex_);
    options_ = options;
}

duration cooldown::length(entry& known, outcome_kind kind, std::optional<duration> hint, double u,
                          bool new_rest) const noexcept {
    const auto believed = [&](duration most) { return std::clamp(*hint, least_rest, std::max(most, least_rest)); };
    switch (kind) {
    case outcome_kind::quota:
    case outcome_kind::credential: return hint ? believed(options_.quota) : options_.quota;
    case outcome_kind::overloaded:
        return hint ? believed(options_.max) : scaled(options_.overload, 1 + overload_spread * (2 * u - 1));
    default: break;
    }
    // Those that were under way when the endpoint began to rest belong to the same refusal: they do not climb the ramp.
    if (new_rest) known.in_a_row = std::min(known.in_a_row + 1, longest_row);
    if (hint) return believed(options_.max);
    return doubled(options_.initial, known.in_a_row - 1, options_.max);
}

void cooldown::make_room(steady_time now) {
    if (entries_.size() < max_principals) return;
    // Rests that are over are known only for their ramps; of those that are not, the one that ends first is worth
    // least.
    std::erase_if(entries_, [&](const auto& one) { return one.second.until <= now; });
    if (entries_.size() < max_principals) return;
    entries_.erase(std::min_element(entries_.begin(), entries_.end(),
                                    [](const auto& a, const auto& b) { return a.second.until < b.second.until; }));
}

steady_time cooldown::throttled(std::uint64_t principal, outcome_kind kind, std::optional<duration> hint, double u,
                                steady_time now) {
    const std::scoped_lock lock(mutex_);
    if (!entries_.contains(principal)) make_room(now);
    entry& known = entries_[principal];
    known_.store(entries_.size(), std::memory_order_relaxed);
    const bool new_rest = known.in_a_row == 0 || known.until <= now;
    const steady_time until = now + length(known, kind, hint, u, new_rest);
    if (until > known.until || known.until <= now) {
        known.until = until;
        known.why = kind;
        known.guessed = kind == outcome_kind::overloaded && !hint;
    }
    return known.until;
}

void cooldown::succeeded(std::uint64_t principal) noexcept {
    // Almost always nobody rests, and this is asked for every request.
    if (known_.load(std::memory_order_relaxed) == 0) return;
    const std::scoped_lock lock(mutex_);
    const auto found = entries_.find(principal);
    if (found == entries_.end()) return;
    found->second.in_a_row = 0;
}

bool cooldown::refused_to_several(std::uint64_t caller, steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    any_refused_.store(true, std::memory_order_relaxed);
    auto same = std::find_if(refused_.begin(), refused_.end(),
                             [&](const refusal& one) { return one.at != steady_time{} && one.caller == caller; });
    if (same == refused_.end())
        same = std::min_element(refused_.begin(), refused_.end(),
                                [](const refusal& a, const refusal& b) { return a.at < b.at; });
    *same = {caller, now};
    return std::all_of(refused_.begin(), refused_.end(), [&](const refusal& one) {
        return one.at != steady_time{} && now - one.at <= refusals_count_for;
    });
}

void cooldown::accepted() noexcept {
    if (!any_refused_.load(std::memory_order_relaxed)) return;
    const std::scoped_lock lock(mutex_);
    any_refused_.store(false, std::memory_order_relaxed);
    refused_ = {};
}

std::optional<cooldown::rest> cooldown::resting(std::uint64_t principal, steady_time now) {
    if (known_.load(std::memory_order_relaxed) == 0) return std::nullopt;
    const std::scoped_lock lock(mutex_);
    const auto found = entries_.find(principal);
    if (found == entries_.end()) return std::nullopt;
    const entry& known = found->second;
    if (known.until > now) return rest{known.until, known.why, known.guessed};
    if (known.in_a_row == 0) {
        entries_.erase(found);
        known_.store(entries_.size(), std::memory_order_relaxed);
    }
    return std::nullopt;
}

cooldown::summary cooldown::report(steady_time now) {
    const std::scoped_lock lock(mutex_);
    summary all;
    for (const auto& [principal, known] : entries_) {
        if (known.until <= now) continue;
        ++all.resting;
        if (!all.until || *all.until < known.until) all.until = known.until;
    }
    return all;
}

} // namespace evenkeel

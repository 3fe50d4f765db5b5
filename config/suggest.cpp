#include "config/suggest.hpp"

#include <algorithm>

namespace evenkeel::config {
namespace {
constexpr std::size_t longest = 40; // no key is longer; what is longer is no typo of one
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    // Three rows are enough: a swap looks back two.
    std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        now[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t substitution = last[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U);
            now[j] = std::min({last[j] + 1, now[j - 1] + 1, substitution});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = std::min(now[j], before[j - 2] + 1);
        }
        std::swap(before, last);
        std::swap(last, now);
    }
    return last[b.size()];
}

std::optional<std::string_view> nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
    if (word.empty() || word.size() > longest) return std::nullopt;
    // Of several there is one: `retries` is `retry`, `hedges` is `hedge`.
    const auto one_of_several = [word](std::string_view one) {
        if (one.empty() || !word.starts_with(one.substr(0, one.size() - 1))) return false;
        return word == std::string{one} + "s" ||
               (one.back() == 'y' && word == std::string{one.substr(0, one.size() - 1)} + "ies");
    };
    const auto singular = std::find_if(candidates.begin(), candidates.end(), one_of_several);
    if (singular != candidates.end()) return *singular;
    std::optional<std::string_view> best;
    std::size_t best_distance = 0;
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = edit_distance(word, candidate);
        // Two edits turn any short word into any other, so short words must keep most of their letters.
        const std::size_t allowed =
            std::min(std::max<std::size_t>(2, candidate.size() / 3), std::min(word.size(), candidate.size()) / 2);
        if (distance > std::max<std::size_t>(1, allowed) || distance >= std::max(word.size(), candidate.size()))
            continue;
        if (!best || distance < best_distance) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

} // namespace evenkeel::config

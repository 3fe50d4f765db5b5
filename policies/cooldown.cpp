#include "policies/cooldown.hpp"

#include "policies/hash64.hpp"

#include <algorithm>
#include <mutex>
#include <span>

namespace evenkeel {

namespace {
constexpr double overload_spread = 0.2;
constexpr duration least_rest = std::chrono::milliseconds{1};    // a hint of nothing still ends this instant
constexpr duration refusals_count_for = std::chrono::minutes{1}; // chosen
constexpr std::uint32_t longest_row = 32;                        // 2^32 times any start is past any maximum
constexpr duration least_remembered = std::chrono::seconds{10};  // a ramp, after a rest (chosen)
constexpr std::uint8_t enough_against_a_hint = 2;                // good answers

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
    if (entries_.size() < max_rests) return;
    // Rests that are over are known only for their ramps; of those that are not, the one that ends first is worth
    // least.
    std::erase_if(entries_, [&](const auto& one) { return one.second.until <= now; });
    if (entries_.size() < max_rests) return;
    entries_.erase(std::min_element(entries_.begin(), entries_.end(),
                                    [](const auto& a, const auto& b) { return a.second.until < b.second.until; }));
}

std::size_t cooldown::hash_of::operator()(const subject& of) const noexcept {
    return static_cast<std::size_t>(mix64(of.principal + 0x9e3779b97f4a7c15ULL * of.model));
}

// Models that nobody rests for any longer make place first, then the one whose rest ends first: it is asked again, and
// may say again that it is too early.
void cooldown::make_place(std::uint64_t model, steady_time now) {
    if (std::find(models_.begin(), models_.end(), model) != models_.end()) return;
    if (models_.size() >= max_models) {
        std::erase_if(entries_,
                      [&](const auto& one) { return one.first.model != all_models && one.second.until <= now; });
        const auto last_rest = [&](std::uint64_t each) {
            steady_time until = steady_time::min();
            for (const auto& [whom, known] : entries_) {
                if (whom.model == each) until = std::max(until, known.until);
            }
            return until;
        };
        std::erase_if(models_, [&](std::uint64_t each) { return last_rest(each) == steady_time::min(); });
        if (models_.size() >= max_models) {
            const auto first = std::min_element(models_.begin(), models_.end(), [&](std::uint64_t a, std::uint64_t b) {
                return last_rest(a) < last_rest(b);
            });
            std::erase_if(entries_, [&](const auto& one) { return one.first.model == *first; });
            models_.erase(first);
        }
    }
    models_.push_back(model);
}

bool cooldown::another_model_rests(subject whom, steady_time now) const noexcept {
    const auto rests = [&](std::uint64_t model) {
        const auto found = entries_.find({whom.principal, model});
        return model != whom.model && found != entries_.end() && found->second.until > now;
    };
    return std::any_of(models_.begin(), models_.end(), rests);
}

steady_time cooldown::rest_of(subject whom, outcome_kind kind, std::optional<duration> hint, double u,
                              steady_time now) {
    if (!entries_.contains(whom)) make_room(now);
    entry& known = entries_[whom];
    if (now >= known.forgotten) known.in_a_row = 0;
    const bool new_rest = known.in_a_row == 0 || known.until <= now;
    const steady_time until = now + length(known, kind, hint, u, new_rest);
    if (until > known.until || known.until <= now) {
        known.until = until;
        known.why = kind;
        known.guessed = !hint;
    }
    known.began = now;
    known.good = 0;
    const duration next = doubled(options_.initial, known.in_a_row, options_.max);
    known.forgotten = known.in_a_row == 0 ? known.until : known.until + std::max(next, least_remembered);
    sum_up();
    return known.until;
}

steady_time cooldown::throttled(subject whom, outcome_kind kind, std::optional<duration> hint, double u,
                                steady_time now) {
    const std::scoped_lock lock(mutex_);
    const bool of_all = kind == outcome_kind::quota || kind == outcome_kind::credential;
    const subject all{whom.principal, all_models};
    if (of_all || whom.model == all_models) return rest_of(all, kind, hint, u, now);
    make_place(whom.model, now);
    const bool is_common = another_model_rests(whom, now);
    const steady_time until = rest_of(whom, kind, hint, u, now);
    if (!is_common) return until;
    // For all until this one's end; that it holds for them as well is nobody's word.
    if (!entries_.contains(all)) make_room(now);
    entry& common = entries_[all];
    if (until > common.until) common = {now, until, kind, true, 0, common.in_a_row, std::max(until, common.forgotten)};
    sum_up();
    return std::max(until, common.until);
}

bool cooldown::succeeded(subject whom, steady_time sent, steady_time now) noexcept {
    // Almost always nobody rests, and this is asked for every request.
    if (idle(now)) return false;
    const std::scoped_lock lock(mutex_);
    bool ended = false, changed = false;
    const std::uint64_t places[] = {all_models, whom.model};
    for (const std::uint64_t model : std::span{places, whom.model == all_models ? 1U : 2U}) {
        const auto found = entries_.find({whom.principal, model});
        if (found == entries_.end()) continue;
        entry& known = found->second;
        changed = changed || known.in_a_row != 0;
        known.in_a_row = 0;
        known.forgotten = known.until;
        // One answer of an overloaded endpoint does not say that it has room for everybody again.
        const bool is_evidence = known.until > now && sent > known.began && known.why != outcome_kind::overloaded;
        if (!is_evidence || (!known.guessed && ++known.good < enough_against_a_hint)) continue;
        entries_.erase(found);
        ended = true;
    }
    if (ended || changed) sum_up();
    return ended;
}

void cooldown::sum_up() noexcept {
    steady_time resting = steady_time{duration{never}}, remembered = resting;
    for (const auto& [whom, known] : entries_) {
        resting = std::max(resting, known.until);
        remembered = std::max({remembered, known.until, known.forgotten});
    }
    resting_until_.store(resting.time_since_epoch().count(), std::memory_order_relaxed);
    remembered_until_.store(remembered.time_since_epoch().count(), std::memory_order_relaxed);
}

std::size_t cooldown::end_all(steady_time now) noexcept {
    const std::scoped_lock lock(mutex_);
    const auto ended =
        std::count_if(entries_.begin(), entries_.end(), [&](const auto& one) { return one.second.until > now; });
    entries_.clear();
    models_.clear();
    sum_up();
    refused_ = {};
    any_refused_.store(false, std::memory_order_relaxed);
    return static_cast<std::size_t>(ended);
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

std::optional<cooldown::rest> cooldown::resting(subject whom, steady_time now) {
    if (nobody_rests(now)) return std::nullopt;
    const std::scoped_lock lock(mutex_);
    std::optional<rest> longest;
    const auto ask = [&](std::uint64_t model) {
        const auto found = entries_.find({whom.principal, model});
        if (found == entries_.end()) return;
        const entry& known = found->second;
        if (known.until <= now) {
            if (now >= known.forgotten) entries_.erase(found);
        } else if (!longest || longest->until < known.until) {
            longest = rest{known.until, known.why, known.guessed};
        }
    };
    ask(all_models);
    if (whom.model != all_models) ask(whom.model);
    return longest;
}

cooldown::summary cooldown::report(steady_time now) {
    const std::scoped_lock lock(mutex_);
    summary all;
    for (const auto& [whom, known] : entries_) {
        if (known.until <= now) continue;
        ++all.resting;
        if (all.until && *all.until >= known.until) continue;
        all.until = known.until;
        all.why = known.why;
        all.guessed = known.guessed;
    }
    return all;
}

} // namespace evenkeel

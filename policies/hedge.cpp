#include "policies/hedge.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>

namespace evenkeel {

namespace {
constexpr double automatic_quantile = 0.95;
constexpr double medians = 2.5; // (reference: policy evidence 4)

// Which share of the requests may want a hedge before everything is called slow. A quantile says how many it was made
// for; twice that is the reference's rule. Of an automatic or fixed delay nobody says: with a slow fifth, a fifth
// reaches 2.5 x median and should. But while the median is right, more than half never do.
double slow_share(const hedge_options& options) noexcept {
    constexpr double half = 0.5;
    if (options.delay != hedge_options::delay_kind::quantile) return half;
    return std::min(2 * (1 - options.quantile), half);
}

} // namespace

// The earliest delay at which a fresh attempt is as likely as not to be done before the silent one: half of those that
// last as long last for another median. Not much earlier than max_extra pays for, no later than `latest`.
std::optional<duration> worthwhile_delay(const hedge_options& options, latency_window& learned, duration median,
                                         duration latest, steady_time now) {
    constexpr double step = 0.025, enough_beyond = 5; // samples
    // The delay may ask for half as many again as max_extra pays for: of a slow fifth, a fifth lies behind the gap, and
    // chance must not hide it. What is spent is the budget's to say.
    constexpr double beyond_budget = 1.5;
    const double samples = learned.samples(now);
    for (double q = std::max(1 - beyond_budget * options.max_extra, 0.5); q <= automatic_quantile; q += step) {
        if (samples * (1 - q) < enough_beyond) break;
        const auto delay = learned.quantile(q, abandoned_as::answered, now);
        if (!delay || *delay >= latest) break;
        const auto half_of_the_rest = learned.quantile((1 + q) / 2, abandoned_as::answered, now);
        if (!half_of_the_rest || *half_of_the_rest - *delay >= median) return delay;
    }
    return std::nullopt;
}

std::optional<duration> hedge_delay(const hedge_options& options, latency_window& learned, std::uint32_t min_samples,
                                    steady_time now) noexcept {
    if (options.delay == hedge_options::delay_kind::fixed) return options.fixed;
    if (learned.samples(now) < min_samples) return std::nullopt;
    std::optional<duration> delay;
    if (options.delay == hedge_options::delay_kind::automatic) {
        const auto [median, high] = learned.quantiles({0.5, automatic_quantile}, abandoned_as::answered, now);
        delay = high;
        if (median) {
            delay = std::min(delay.value_or(duration::max()), scaled(*median, medians));
            if (const auto earlier = worthwhile_delay(options, learned, *median, *delay, now)) delay = earlier;
        }
    } else {
        delay = learned.quantile(options.quantile, abandoned_as::answered, now);
    }
    if (!delay) delay = learned.last_answer(now);
    if (delay) delay = std::max(std::min(*delay, options.max_delay), options.min_delay);
    return delay;
}

std::string_view to_string(hedge_refusal refusal) noexcept {
    switch (refusal) {
    case hedge_refusal::none: return "none";
    case hedge_refusal::guard: return "guard";
    case hedge_refusal::slow: return "slow";
    case hedge_refusal::overload: return "overload";
    case hedge_refusal::budget: return "budget";
    case hedge_refusal::no_endpoint: return "no_endpoint";
    case hedge_refusal::limit: return "limit";
    case hedge_refusal::not_replayable: return "not_replayable";
    case hedge_refusal::deadline: return "deadline";
    }
    return "none";
}

// A slice with too few requests to judge goes on until it has enough.
void hedge_guard::turn(steady_time now) noexcept {
    if (!slice_began_) slice_began_ = now;
    const duration since = now - *slice_began_;
    if (since < slice || present_.requests < judged_by) return;
    last_ = since < 6 * slice ? present_ : counted{}; // of long ago: a new day
    present_ = {};
    slice_began_ = now;
}

bool hedge_guard::few_win(const hedge_options& options) const noexcept {
    if (ended_ < judged_by) return false;
    // Clearly fewer: two standard deviations, or a guard of half would stop hedges of which six in ten win every other
    // minute.
    const double expected = options.guard * judged_by;
    const double spread = 2 * std::sqrt(expected * (1 - options.guard));
    return static_cast<double>(std::count(won_.begin(), won_.end(), true)) < expected - spread;
}

// Slow as soon as this slice shows it, until a whole slice does not.
bool hedge_guard::all_slow(const hedge_options& options, steady_time now) noexcept {
    turn(now);
    // Two standard deviations above the share: of 20 requests with a p95, 5 and not 3, which every tenth slice has by
    // chance.
    const auto over = [share = slow_share(options)](const counted& of) {
        const double expected = share * of.requests;
        return of.requests >= judged_by && of.wanted > expected + 2 * std::sqrt(expected);
    };
    return options.guard > 0 && (over(last_) || over(present_));
}

void hedge_guard::request_started(steady_time now) {
    const std::scoped_lock lock(mutex_);
    turn(now);
    ++present_.requests;
}

hedge_refusal hedge_guard::wanted(const hedge_options& options, steady_time now) {
    const std::scoped_lock lock(mutex_);
    turn(now);
    ++present_.wanted;
    const hedge_refusal refusal = all_slow(options, now) ? hedge_refusal::slow
                                  : few_win(options)     ? hedge_refusal::guard
                                                         : hedge_refusal::none;
    if (refusal == hedge_refusal::none) {
        while_suspended_ = 0;
        return refusal;
    }
    return ++while_suspended_ % measure_every == 0 ? hedge_refusal::none : refusal;
}

void hedge_guard::ended(bool won, steady_time) {
    const std::scoped_lock lock(mutex_);
    won_[ended_ % judged_by] = won;
    ++ended_;
    if (ended_ == 2 * judged_by) ended_ = judged_by; // only the remainder, and having had 20, matter
}

hedge_guard::summary hedge_guard::report(const hedge_options& options, steady_time now) {
    const std::scoped_lock lock(mutex_);
    summary out;
    out.recent = std::min(ended_, judged_by);
    out.recent_won = static_cast<std::uint32_t>(std::count(won_.begin(), won_.end(), true));
    out.slow = all_slow(options, now);
    out.suspended = out.slow || few_win(options);
    return out;
}

} // namespace evenkeel

#include "policies/adaptive_timeout.hpp"

#include <algorithm>
#include <cmath>

namespace evenkeel {

namespace {
constexpr double z = 1.645; // one-sided 95 %
constexpr double highest_quantile = 0.98;
constexpr double fall_per_window = 0.8;
constexpr double run_into_share = 0.2, hopeless_share = 0.5;
constexpr std::uint32_t least_ended = 10;
constexpr double same_timeout = 0.95; // timers fire a little late, never 5 % early

// What the attempts that answered can justify at most (P6.8).
duration justified(const adaptive_options& options, latency_window& learned, bool streamed, steady_time now) noexcept {
    const duration answers = learned.quantile_of_answered(0.99, now).value_or(duration::zero());
    return std::max({scaled(answers, options.multiplier), options.min.of(streamed), options.initial.of(streamed)});
}

// `timed_out`: the share of the attempts that ran into it lately.
duration learn(const adaptive_options& options, latency_window& learned, bool streamed, double timed_out,
               steady_time now) noexcept {
    const double q = options.quantile;
    const double above = z * std::sqrt(q * (1 - q) / learned.samples(now));
    const double wanted = std::max(q, std::min(q + above, highest_quantile));
    if (timed_out <= 1 - wanted) {
        if (const auto known = learned.quantile(wanted, abandoned_as::cut_off, now)) {
            return std::max(scaled(*known, options.multiplier), options.min.of(streamed));
        }
    }
    const duration last = learned.last_answer(now).value_or(duration::zero());
    const duration unknown = std::max(options.min.of(streamed), options.initial.of(streamed));
    return std::min(std::max(scaled(last, options.multiplier), unknown), justified(options, learned, streamed, now));
}
} // namespace

// How far it may have fallen: 20 % below the highest of this window, a window's worth more for every one that has
// passed. Not at all while most attempts run into it, or none that were given a doubled one can have ended: doubling
// has to be faster than falling, whatever the traffic and the timeout.
duration adaptive_timeout::least(side& of, const adaptive_options& options, steady_time now) noexcept {
    if (!of.learned) return duration::zero();
    const bool too_short = of.ran_into_it >= 2 && of.ran_into_it > hopeless_share * of.ended;
    if (too_short || now < of.holds_until) {
        of.highest = *of.current;
        of.window_began = now;
        return *of.current;
    }
    const auto windows = options.window > duration::zero() ? (now - of.window_began) / options.window : 0;
    if (windows > 0) {
        of.highest = scaled(*of.current, std::pow(fall_per_window, static_cast<double>(windows - 1)));
        of.window_began += options.window * windows;
    }
    return scaled(of.highest, fall_per_window);
}

duration adaptive_timeout::decide(const adaptive_options& options, latency_window& learned, bool streamed,
                                  steady_time now) noexcept {
    side& mine = sides_[streamed ? 1 : 0];
    close_slice(mine, options, now);
    const bool known = learned.samples(now) >= options.min_samples;
    duration timeout =
        known ? learn(options, learned, streamed, mine.lately.share(), now) : options.initial.of(streamed);
    bool holds = known;
    if (mine.due != doubling::no && mine.current) {
        const duration doubled = mine.due == doubling::free
                                     ? *mine.current * 2
                                     : std::min(*mine.current * 2, justified(options, learned, streamed, now));
        holds = holds || doubled > timeout;
        if (doubled > timeout) mine.holds_until = now + doubled;
        timeout = std::max(timeout, doubled);
    }
    mine.due = doubling::no;

    const duration floor = least(mine, options, now);
    holds = holds || floor > timeout;
    timeout = std::min(std::max(timeout, floor), options.max);
    // What was only `initial` does not hold back the first thing learned.
    if (!mine.learned || timeout > mine.highest) mine.highest = timeout;
    if (!mine.learned) mine.window_began = now;
    mine.learned = holds;
    mine.current = timeout;
    return timeout;
}

void adaptive_timeout::recent::add(bool timed_out, duration window, steady_time now) noexcept {
    if (now - began >= window) {
        before = now - began < 2 * window ? present : counted{};
        present = {};
        began = now;
    }
    ++present.ended;
    present.timed_out += timed_out ? 1 : 0;
}

double adaptive_timeout::recent::share() const noexcept {
    const std::uint32_t out = present.timed_out + before.timed_out;
    return out < 2 ? 0 : static_cast<double>(out) / (present.ended + before.ended);
}

void adaptive_timeout::close_slice(side& of, const adaptive_options& options, steady_time now) noexcept {
    if (!of.slice_began) of.slice_began = now;
    const duration since = now - *of.slice_began;
    if (since < options.window / latency_window::slices_per_window) return;
    if (of.ended < least_ended && since < latency_window::furthest_back) return;
    if (of.ended >= least_ended && of.ran_into_it > run_into_share * of.ended) {
        of.due = of.ran_into_it > hopeless_share * of.ended ? doubling::free : doubling::bounded;
    }
    of.ended = of.ran_into_it = 0;
    of.slice_began = now;
}

void adaptive_timeout::attempt_ended(bool streamed, duration took, bool timed_out, const adaptive_options& options,
                                     steady_time now) noexcept {
    side& mine = sides_[streamed ? 1 : 0];
    close_slice(mine, options, now);
    mine.lately.add(timed_out, options.window, now);
    if (timed_out && mine.current && took < scaled(*mine.current, same_timeout)) return;
    ++mine.ended;
    mine.ran_into_it += timed_out ? 1 : 0;
}

} // namespace evenkeel

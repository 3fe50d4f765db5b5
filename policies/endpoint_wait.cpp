#include "policies/endpoint_wait.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel {

namespace {
constexpr duration least = std::chrono::milliseconds{1}; // between two questions
} // namespace

endpoint_wait::verdict endpoint_wait::decide(const endpoint_search::obstacles& why, const endpoint_search::wish& wanted,
                                             const endpoint_search& endpoints, const flight_options& options,
                                             steady_time now, policy_view& view) {
    verdict all;
    if (why.circuit) held_ = true;
    if (!crowded_since_) crowded_since_ = now;
    const bool goes_through = !wanted.is_extra() && !held_ && why.overload;
    const bool waited_enough = goes_through && now - *crowded_since_ >= options.max_wait;
    const bool nobody_else = !why.circuit && !why.overload && !why.budget && !why.by_operator;
    if (why.passable && (waited_enough || nobody_else)) {
        const auto [taken, denied] = endpoints.insist(*why.passable, wanted, now, view);
        all.through = taken;
        if (taken) return all;
        if (denied == retry_denial::budget) {
            all.unpaid = {*why.passable, denied};
            all.denied = denied;
            return all;
        }
    }
    again_ = std::max(why.again == steady_time::max() ? now + recheck : why.again, now + least);
    // Whoever waits already puts up with an empty budget as well: waiting costs the upstream nothing. So does who was
    // refused for asking too much: what is served meanwhile pays for it, so that each answer lets two or so of them go,
    // and none does while nothing is served.
    const bool refused =
        wanted.refused && (why.budget || why.overload) && !options.something_follows && !outlasts_refusal(options, now);
    if (refused) again_ = std::min(why.again, now + scaled(recheck, (1 + view.draw()) / 2));
    const bool may_wait = why.budget ? refused || waiting_since_.has_value() : why.circuit || why.overload;
    const bool too_late = again_ + min_attempt_time > options.deadline;
    if (!may_wait || (wanted.is_extra() && too_late)) all.denied = why.denial();
    if (may_wait && why.circuit && !why.overload && (too_late || outlasts(why, options, now)))
        all.denied = why.circuits();
    if (all.denied != retry_denial::none) return all;
    if (!in_line_ && !refused) { // who was refused goes by what is paid for, not by whose turn it is
        line_full_ = !view.begin_waiting(now);
        if (line_full_) {
            all.denied = why.denial();
            return all;
        }
        in_line_ = all.joined = true;
    }
    if (!waiting_since_) waiting_since_ = now;
    // Once that has passed only want of room keeps it here, and that is asked for in its own time.
    const steady_time enough = *waiting_since_ + std::max(options.hold_max, least);
    if (options.something_follows && why.circuit && enough > now) again_ = std::min(again_, enough);
    if (goes_through) again_ = std::min(again_, std::max(*crowded_since_ + options.max_wait, now + least));
    return all;
}

// Where a fallback answers in its place, no single request waits for longer than hold_max either, however young the
// outage.
bool endpoint_wait::outlasts(const endpoint_search::obstacles& why, const flight_options& options,
                             steady_time now) const noexcept {
    if (options.when_open == when_open::reject || now - why.down_since > options.hold_max) return true;
    return options.something_follows && waiting_since_ && now - *waiting_since_ >= options.hold_max;
}

// Nobody waits for longer than an upstream may ask for.
bool endpoint_wait::outlasts_refusal(const flight_options& options, steady_time now) const noexcept {
    return waiting_since_ && now - *waiting_since_ >= options.retry->max_retry_after;
}

bool endpoint_wait::over() noexcept {
    waiting_since_.reset();
    crowded_since_.reset();
    return std::exchange(in_line_, false);
}

} // namespace evenkeel

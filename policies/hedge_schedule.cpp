#include "policies/hedge_schedule.hpp"

#include <algorithm>

namespace evenkeel {

namespace {
constexpr double reserved_work = 1; // what reserve_hedge() takes

// What may change while the attempt goes on being silent. So may what the guard refused: an attempt that is silent for
// twice as long is the more likely to have been worth a hedge.
bool passes(hedge_refusal why) noexcept {
    return why == hedge_refusal::budget || why == hedge_refusal::no_endpoint || why == hedge_refusal::overload ||
           why == hedge_refusal::guard;
}
} // namespace

void hedge_schedule::launched(endpoint_index at, bool may_join, steady_time now, policy_view& view) {
    due_ = steady_time::max();
    if (!may_join) return;
    if (const auto delay = view.hedge_delay(at, now)) due_ = now + *delay;
}

hedge_schedule::verdict hedge_schedule::ask(const silence& of, const endpoint_search& endpoints,
                                            const flight_options& options, steady_time now, policy_view& view) {
    verdict got = choose(of, endpoints, options, now, view);
    if (got.why == hedge_refusal::none) {
        unsettled_.push_back(got.at);
        return got;
    }
    const unsigned bit = 1U << static_cast<unsigned>(got.why);
    got.tell = (told_ & bit) == 0;
    told_ |= bit;
    due_ = steady_time::max();
    if (!passes(got.why)) return got;
    if (const auto delay = view.hedge_delay(of.at, now)) due_ = now + std::max(*delay, options.hedge->min_delay);
    return got;
}

// What costs nothing to ask comes first, what takes something last.
hedge_schedule::verdict hedge_schedule::choose(const silence& of, const endpoint_search& endpoints,
                                               const flight_options& options, steady_time now, policy_view& view) {
    if (!allows(options.hedge, of.attempts) || !of.one_left) return {hedge_refusal::limit, of.at};
    if (view.overload_active(of.at, now)) return {hedge_refusal::overload, of.at};
    if (!guard_asked_) {
        guard_asked_ = true;
        if (const hedge_refusal guarded = view.hedge_wanted(now); guarded != hedge_refusal::none)
            return {guarded, of.at};
    }
    const auto chosen = endpoints.beside(of.at, of.in_flight, options.hedge->target, now, view);
    if (!chosen) return {hedge_refusal::no_endpoint, of.at};
    const auto [target, pressed] = *chosen;
    if (!view.repeatable(target)) return {hedge_refusal::not_replayable, target};
    if (now + std::max(min_attempt_time, view.quickest(target, now)) > options.deadline)
        return {hedge_refusal::deadline, target};
    if (!view.reserve_hedge(target, now)) return {hedge_refusal::budget, target};
    const admission got = view.admit(target, attempt_purpose::hedge, pressed, now);
    if (!got.refused) return {hedge_refusal::none, target, got.permit};
    view.refund(target, reserved_work, now); // somebody was quicker
    return {hedge_refusal::no_endpoint, target};
}

void hedge_schedule::ended(endpoint_index at, duration took, steady_time now, policy_view& view) {
    if (unsettled_.empty()) return;
    const auto own = std::find(unsettled_.begin(), unsettled_.end(), at);
    const auto which = own != unsettled_.end() ? own : unsettled_.begin();
    view.settle_hedge(*which, took, now);
    unsettled_.erase(which);
}

} // namespace evenkeel

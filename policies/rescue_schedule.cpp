#include "policies/rescue_schedule.hpp"

#include <algorithm>
#include <optional>

namespace evenkeel {

namespace {
// What stood in the way and may pass is asked for again after this. (chosen)
constexpr duration ask_again = std::chrono::seconds{1};
constexpr duration shortest_wait = std::chrono::milliseconds{1}; // between two questions

bool passes(rescue_refusal why) noexcept {
    return why == rescue_refusal::no_endpoint || why == rescue_refusal::overload || why == rescue_refusal::budget;
}
} // namespace

void rescue_schedule::launched(const flight_options& options, bool may_join, steady_time now) noexcept {
    due_ = steady_time::max();
    if (!options.rescue.on || !may_join) return;
    // Not before this, whatever is usual.
    duration soonest = std::min(connect_silence, (options.deadline - now) / 2);
    if (options.rescue.after) soonest = std::min(soonest, *options.rescue.after);
    due_ = now + std::max(soonest, shortest_wait);
}

rescue_schedule::verdict rescue_schedule::ask(const silence& of, const endpoint_search& endpoints,
                                              const flight_options& options, steady_time now, policy_view& view) {
    verdict got = choose(of, endpoints, options, now, view);
    if (got.permit != 0) {
        ++joined_;
        if (of.in_flight.has(got.at)) alone_ = true;
        return got;
    }
    if (got.why == rescue_refusal::none) return got; // not yet: choose() has said when
    due_ = passes(got.why) ? now + ask_again : steady_time::max();
    const unsigned bit = 1U << static_cast<unsigned>(got.why);
    got.tell = (told_ & bit) == 0;
    told_ |= bit;
    return got;
}

// What costs nothing to ask comes first, what takes something last.
rescue_schedule::verdict rescue_schedule::choose(const silence& of, const endpoint_search& endpoints,
                                                 const flight_options& options, steady_time now, policy_view& view) {
    if (!of.one_left) return {rescue_refusal::limit, of.at};
    const auto beside = endpoints.to_rescue(of.in_flight, now, view);
    const endpoint_index target = beside ? beside->first : of.at;
    const bool lone = !beside;

    const bool connecting = view.connecting(of.latest);
    const steady_time since = std::max(of.launched, connecting ? of.launched : view.last_moved(of.latest, now));
    const auto own = view.usual(of.at, now);
    const auto other = lone ? own : view.usual(target, now);
    const bool no_way = connecting && !lone && now >= of.launched + connect_silence; // a lone one has no other
    if (!no_way) {
        const steady_time due = rescue_due(options.rescue, {.since = since,
                                                            .launched = of.launched,
                                                            .deadline = options.deadline,
                                                            .own = own,
                                                            .other = other,
                                                            .stream = view.sent_as_stream(),
                                                            .joined = joined_});
        if (due > now) {
            due_ = connecting && !lone ? std::min(due, of.launched + connect_silence) : due;
            return {rescue_refusal::none, target};
        }
    }
    if (!view.repeatable(target)) return {rescue_refusal::not_replayable, target};
    if (now + std::max(min_attempt_time, view.quickest(target, now)) > options.deadline)
        return {rescue_refusal::deadline, target};
    if (lone) {
        if (!of.in_flight.only(of.at)) return {rescue_refusal::no_endpoint, of.at}; // others have been asked
        if (alone_) return {rescue_refusal::limit, of.at};
        if (view.look(target, attempt_purpose::rescue, urgency::last_resort, now))
            return {rescue_refusal::no_endpoint, target};
    }
    if (view.overload_active(target, now)) return {rescue_refusal::overload, target};
    if (!view.pay_rescue(of.at, now)) return {rescue_refusal::budget, of.at};
    const admission got =
        view.admit(target, attempt_purpose::rescue, beside ? beside->second : urgency::last_resort, now);
    if (!got.refused) return {rescue_refusal::none, target, got.permit};
    view.refund_rescue(of.at); // somebody was quicker
    return {rescue_refusal::no_endpoint, target};
}

} // namespace evenkeel

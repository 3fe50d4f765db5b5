#include "policies/rescue_schedule.hpp"

#include <algorithm>
#include <optional>
#include <utility>

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
    evident_ = false;
    if (!options.rescue.on || !may_join) return;
    // Not before this, whatever is usual.
    duration soonest = std::min(connect_silence, (options.deadline - now) / 2);
    if (options.rescue.after) soonest = std::min(soonest, *options.rescue.after);
    due_ = now + std::max(soonest, shortest_wait);
}

rescue_schedule::verdict rescue_schedule::ask(const silence& of, const endpoint_search& endpoints,
                                              const flight_options& options, steady_time now, policy_view& view) {
    verdict got = choose(of, endpoints, options, now, view);
    got.evidence = got.evidence && !std::exchange(evident_, evident_ || got.evidence);
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

// Between what is still usual and the time at which it is due others may find out that its endpoint hangs.
steady_time rescue_schedule::next_look(const rescue_question& of, steady_time due, steady_time now) const noexcept {
    const steady_time unusual =
        of.asked.value_or(of.since) + scaled(of.own ? *of.own : of.other.value_or(duration::zero()), still_usual);
    return std::min(due, std::max(unusual, now + ask_again));
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
    const bool shown = !lone && view.takes_over(of.at, target) && view.shown_silent(of.at);
    bool evidence = false;
    if (!no_way) {
        const bool has_to_speak = own && !lone && !connecting && !options.rescue.after;
        const rescue_question asked{.since = since,
                                    .launched = of.launched,
                                    .deadline = options.deadline,
                                    .own = own,
                                    .other = other,
                                    .stream = view.sent_as_stream(),
                                    .asked = has_to_speak
                                                 ? std::optional{std::max(of.launched, view.last_asked(of.latest, now))}
                                                 : std::nullopt,
                                    .joined = joined_,
                                    .shown = shown};
        const steady_time due = rescue_due(options.rescue, asked);
        evidence = !lone && !connecting && own && now - since >= scaled(*own, no_longer_usual);
        if (due > now) {
            due_ = lone ? due : connecting ? std::min(due, of.launched + connect_silence) : next_look(asked, due, now);
            return {.why = rescue_refusal::none, .at = target, .evidence = evidence};
        }
    }
    const auto refused = [&](rescue_refusal why, endpoint_index at) {
        return verdict{.why = why, .at = at, .evidence = evidence};
    };
    if (!view.repeatable(target)) return refused(rescue_refusal::not_replayable, target);
    if (now + std::max(min_attempt_time, view.quickest(target, now)) > options.deadline)
        return refused(rescue_refusal::deadline, target);
    if (lone) {
        if (!of.in_flight.only(of.at)) return {rescue_refusal::no_endpoint, of.at}; // others have been asked
        if (alone_) return {rescue_refusal::limit, of.at};
        if (view.look(target, attempt_purpose::rescue, urgency::last_resort, now))
            return {rescue_refusal::no_endpoint, target};
    }
    // Both are slow; unless what makes it so is the one that hangs.
    if (view.overload_active(target, now) && !(!lone && view.takes_over(of.at, target)))
        return refused(rescue_refusal::overload, target);
    if (!shown && !view.pay_rescue(of.at, now)) return refused(rescue_refusal::budget, of.at);
    const admission got =
        view.admit(target, attempt_purpose::rescue, beside ? beside->second : urgency::last_resort, now);
    if (!got.refused) return {.why = rescue_refusal::none, .at = target, .permit = got.permit, .evidence = evidence};
    if (!shown) view.refund_rescue(of.at); // somebody was quicker
    return refused(rescue_refusal::no_endpoint, target);
}

} // namespace evenkeel

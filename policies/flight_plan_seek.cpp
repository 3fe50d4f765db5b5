// Where the next attempt goes, and when: of the endpoints that may be asked the one that can be asked first, of those
// the one that failed this request least, of those the one in front in the order of the balance.

#include "policies/flight_plan.hpp"

#include <algorithm>

namespace evenkeel {

namespace {
constexpr duration max_rest_jitter = std::chrono::seconds{1};
} // namespace

bool flight_plan::is_flying(endpoint_index at) const noexcept {
    return std::any_of(flying_.begin(), flying_.end(), [&](const flying& one) { return one.at == at; });
}

retry_denial flight_plan::seek(eagerness how, duration pause, steady_time now, policy_view& view) {
    // As good as always the first endpoint takes the first attempt.
    if (launched_ == 0 && state_ == state::idle) {
        const endpoint_index first = view.order(now).front();
        if (!view.admit(first, attempt_purpose::first, urgency::normal, now)) {
            launch(first, attempt_purpose::first, "first", now, view);
            return retry_denial::none;
        }
    }
    obstacles why;
    for (const urgency pressed : {urgency::normal, urgency::last_resort}) {
        choices options;
        why = {};
        list(options, why, pressed, pause, now, view);
        if (take(options, why, how, pressed, pause, now, view)) return retry_denial::none;
        // Nobody else is stricter with those who have a choice.
        if (why.budget || !(why.circuit || why.avoidable)) break;
    }
    if (how == eagerness::now_or_never)
        return denial_of(why) == retry_denial::none ? retry_denial::no_endpoint : denial_of(why);
    return wait_for(why, now, view);
}

void flight_plan::list(choices& to, obstacles& why, urgency how, duration pause, steady_time now, policy_view& view) {
    for (const endpoint_index i : view.order(now)) {
        const endpoint& at = endpoints_[i];
        if (at.barred || (at.silent && !view.wants_stream()) || is_flying(i)) continue;
        if (at.too_long) {
            why.too_long = true;
            continue;
        }
        steady_time when = at.failures == 0 ? now : std::max(now + pause, at.ready);
        if (const auto refused = view.look(i, purpose(), how, now)) {
            switch (refused->why) {
            case endpoint_refusal::reason::circuit:
                why.circuit = true;
                why.again = std::min(why.again, refused->again);
                why.down_since = std::max(why.down_since, refused->down_since);
                continue;
            case endpoint_refusal::reason::overload:
                why.overload = true;
                why.again = std::min(why.again, refused->again);
                if (!why.passable) why.passable = i;
                continue;
            case endpoint_refusal::reason::cooldown: break;
            }
            if (refused->avoidable) {
                why.avoidable = true;
                continue;
            }
            const duration rest = refused->again - now;
            if (rest > options_.retry->max_retry_after || refused->again + min_attempt_time > options_.deadline) {
                // A request that has not been sent goes through: the answer is the upstream's to give.
                why.too_long = true;
                if (launched_ == 0 && !why.passable) why.passable = i;
                continue;
            }
            when = std::max(when,
                            refused->again +
                                duration{static_cast<duration::rep>(
                                    static_cast<double>(std::min(rest / 2, max_rest_jitter).count()) * view.draw())});
        }
        if (when + std::max(min_attempt_time, view.quickest(i, now)) > options_.deadline) {
            why.too_late = true;
            if (launched_ > 0) continue;
        }
        to.push_back({i, when, 0, at.failures});
    }
    std::stable_sort(to.begin(), to.end(), [](const choice& a, const choice& b) {
        return a.when != b.when ? a.when < b.when : a.failures < b.failures;
    });
}

// Launches at the best choice that is paid for, or begins the pause before it.
bool flight_plan::take(choices& from, obstacles& why, eagerness how, urgency pressed, duration pause, steady_time now,
                       policy_view& view) {
    for (choice& one : from) {
        if (how == eagerness::now_or_never && (one.when > now + pause || (one.failures > 0 && !flying_.empty())))
            continue;
        if (launched_ > 0) {
            one.work = view.cost(one.at, cause_.took, cause_.outcome.never_sent || one.failures == 0, now);
            if (!view.reserve(one.at, one.work, now)) {
                why.budget = true;
                continue;
            }
        }
        if (one.when <= now) {
            if (const auto refused = view.admit(one.at, purpose(), pressed, now)) { // somebody was quicker
                view.refund(one.at, one.work, now);
                why.circuit = true;
                why.again = std::min(why.again, refused->again);
                continue;
            }
        }
        if (one.failures > 0) {
            ++waits_;
            if (pause > duration::zero()) previous_pause_ = pause;
        }
        next_ = one;
        if (one.when <= now) {
            launch_next(now, view);
        } else {
            state_ = state::pausing;
            sleep();
        }
        return true;
    }
    return false;
}

retry_denial flight_plan::denial_of(const obstacles& why) const noexcept {
    return why.budget     ? retry_denial::budget
           : why.circuit  ? retry_denial::circuit_open
           : why.overload ? retry_denial::overload
           : why.too_late ? retry_denial::deadline
           : why.too_long ? retry_denial::retry_after
                          : retry_denial::no_endpoint;
}

// Every endpoint that could help refuses for now: wait in line, go through all the same, or end it.
retry_denial flight_plan::wait_for(const obstacles& why, steady_time now, policy_view& view) {
    // A request that came while its endpoint was up goes through after a while; extra attempts and those that were held
    // do not.
    if (why.circuit) held_ = true;
    if (!crowded_since_) crowded_since_ = now;
    const bool goes_through = launched_ == 0 && !held_ && why.overload;
    const bool waited_enough = goes_through && now - *crowded_since_ >= options_.max_wait;
    const bool nobody_else = !why.circuit && !why.overload && !why.budget;
    if (why.passable && (waited_enough || nobody_else)) {
        double work = 0;
        if (launched_ > 0) {
            work = view.cost(*why.passable, cause_.took,
                             cause_.outcome.never_sent || endpoints_[*why.passable].failures == 0, now);
            if (!view.reserve(*why.passable, work, now)) return retry_denial::budget;
        }
        if (!view.admit(*why.passable, purpose(), urgency::waited, now)) {
            launch(*why.passable, purpose(), launched_ == 0 ? "first" : "retry", now, view);
            return retry_denial::none;
        }
        view.refund(*why.passable, work, now);
    }
    ask_again_ = std::max(why.again == steady_time::max() ? now + timeout_recheck : why.again,
                          now + duration{std::chrono::milliseconds{1}});
    // Whoever waits already puts up with an empty budget as well: waiting costs the upstream nothing.
    if (why.budget ? !waiting_since_ : !why.circuit && !why.overload) return denial_of(why);
    if (why.circuit && !why.overload) {
        if (options_.when_open == when_open::reject || now - why.down_since > options_.hold_max)
            return retry_denial::circuit_open;
        if (ask_again_ + min_attempt_time > options_.deadline) return retry_denial::circuit_open;
        // Where a fallback answers in its place, no single request waits for longer than that either.
        if (options_.something_follows && waiting_since_ && now - *waiting_since_ >= options_.hold_max)
            return retry_denial::circuit_open;
    }
    if (launched_ > 0 && ask_again_ + min_attempt_time > options_.deadline) return denial_of(why);
    if (!in_line_) {
        if (!view.begin_waiting(now)) return denial_of(why);
        in_line_ = true;
    }
    if (!waiting_since_) waiting_since_ = now;
    if (options_.something_follows && why.circuit)
        ask_again_ =
            std::min(ask_again_, *waiting_since_ + std::max(options_.hold_max, duration{std::chrono::milliseconds{1}}));
    if (goes_through)
        ask_again_ = std::min(
            ask_again_, std::max(*crowded_since_ + options_.max_wait, now + duration{std::chrono::milliseconds{1}}));
    state_ = state::waiting;
    sleep();
    return retry_denial::none;
}

void flight_plan::stop_waiting(bool goes_on, steady_time now, policy_view& view) {
    waiting_since_.reset();
    crowded_since_.reset();
    if (!in_line_) return;
    in_line_ = false;
    view.end_waiting(goes_on, now);
}

} // namespace evenkeel

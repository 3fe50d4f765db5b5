// Each event is one function, and each ends in a wait_until or a finish: a flight is never left without a time at which
// it looks again.

#include "policies/flight_plan.hpp"

#include "policies/credential_lanes.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel {

namespace {
template <class... F>
struct match : F... {
    using F::operator()...;
};
template <class... F>
match(F...) -> match<F...>; // clang 14 does not find it by itself

} // namespace

std::string_view to_string(cancel_cause why) noexcept {
    switch (why) {
    case cancel_cause::lost: return "lost";
    case cancel_cause::overtaken: return "overtaken";
    case cancel_cause::attempt_timeout: return "attempt_timeout";
    case cancel_cause::deadline: return "deadline";
    case cancel_cause::client_gone: return "client_gone";
    }
    return "lost";
}

flight_plan::flight_plan(const flight_options& options) noexcept : options_(options), endpoints_(options) {
    if (options.earlier == nullptr) return;
    launched_ = options.earlier->made;
    cause_.took = options.earlier->took;
}

std::span<const any_flight_action> flight_plan::step(const any_flight_event& event, steady_time now,
                                                     policy_view& view) {
    actions_.clear();
    // Late events of an attempt that is no longer wanted change nothing.
    if (state_ == state::finished) return {};
    std::visit(match{
                   [&](flight_event::started) { begin(now, view); },
                   [&](flight_event::head one) { commit(one.id, now, view); },
                   [&](flight_event::meaningful one) { commit(one.id, now, view); },
                   [&](flight_event::progress one) { progress(one.id, now, view); },
                   [&](flight_event::complete one) { commit(one.id, now, view); },
                   [&](const flight_event::failed& one) { failed(one, now, view); },
                   [&](flight_event::timer) { on_timer(now, view); },
                   [&](flight_event::client_gone) { on_client_gone(now, view); },
               },
               event);
    return {actions_.data(), actions_.size()};
}

steady_time flight_plan::next_wake() const noexcept {
    steady_time wake = options_.deadline;
    if (state_ == state::pausing) return std::min(wake, next_.when);
    if (state_ == state::waiting) return std::min(wake, wait_.again());
    for (const flying& one : flying_) wake = std::min(wake, one.expires);
    return std::min({wake, hedges_.due(), rescues_.due()});
}

void flight_plan::begin(steady_time now, policy_view& view) {
    if (state_ != state::idle) return;
    if (now >= options_.deadline)
        return give_up(flight_action::ending::timed_out, "deadline", retry_denial::none, now, view);
    if (launched_ == 0) {
        if (const auto found = endpoints_.in_front(now, view)) {
            launch(found->at, found->permit, attempt_purpose::first, "first", now, view);
            return probe_beside(found->at, now, view);
        }
    }
    const bool one_left = launched_ == 0 || extra_left();
    const retry_denial denied = one_left ? seek(eagerness::may_wait, duration::zero(), now, view) : retry_denial::limit;
    if (denied != retry_denial::none)
        refuse(denied, now, view);
    else if (state_ == state::flying)
        probe_beside(flying_.back().at, now, view);
}

void flight_plan::probe_beside(endpoint_index asked, steady_time now, policy_view& view) {
    if (options_.endpoints < 2) return;
    for (const endpoint_index at : view.order(now)) {
        if (at != asked && view.wants_prober(at)) add(flight_action::probe{at});
    }
}

void flight_plan::commit(attempt_id id, steady_time now, policy_view& view) {
    if (std::none_of(flying_.begin(), flying_.end(), [&](const flying& one) { return one.id == id; })) return;
    state_ = state::finished;
    add(flight_action::commit{id, "first_answer"});
    cancel_all(cancel_cause::lost, now, view, id);
    add(flight_action::finish{flight_action::ending::answered, "first_answer", retry_denial::none});
}

// The race is decided as if this were the commit, since the signal is the same; but until it is, the attempt may still
// fail and be followed by another. Silence from now on is the attempt's own affair.
void flight_plan::progress(attempt_id id, steady_time now, policy_view& view) {
    const auto found = std::find_if(flying_.begin(), flying_.end(), [&](const flying& one) { return one.id == id; });
    if (found == flying_.end()) return;
    found->expires = steady_time::max();
    hedges_.not_wanted();
    rescues_.not_wanted();
    cancel_all(cancel_cause::lost, now, view, id);
    sleep();
}

retry_denial flight_plan::seek(eagerness how, duration pause, steady_time now, policy_view& view) {
    return seek(how, pause, now, view, in_flight());
}

retry_denial flight_plan::seek(eagerness how, duration pause, steady_time now, policy_view& view,
                               endpoint_set in_flight) {
    const bool at_once = how == eagerness::now_or_never;
    const endpoint_search::wish wanted{purpose(),
                                       in_flight,
                                       at_once,
                                       pause,
                                       cause_.took,
                                       cause_.outcome.never_sent,
                                       cause_.outcome.what.kind == outcome_kind::rate_limited,
                                       is_of_credential(cause_.outcome.what.kind)};
    const auto [found, why] = endpoints_.find(wanted, options_, now, view);
    for (const auto& [at, word] : why.refused) add(flight_action::refuse{at, wanted.what, word});
    if (found) {
        go_to(*found, pause, now, view);
        return retry_denial::none;
    }
    if (at_once) return why.denial();
    const auto then = wait_.decide(why, wanted, endpoints_, options_, now, view);
    if (then.unpaid) add(flight_action::refuse{then.unpaid->at, wanted.what, then.unpaid->why});
    if (then.denied != retry_denial::none) return then.denied;
    if (then.through) {
        launch(then.through->at, then.through->permit, wanted.what, wanted.is_extra() ? "retry" : "first", now, view);
        return retry_denial::none;
    }
    if (then.joined) add(flight_action::hold{why.denial()});
    state_ = state::waiting;
    sleep();
    return retry_denial::none;
}

// Now, or after the pause that its endpoint needs.
void flight_plan::go_to(const endpoint_search::choice& found, duration pause, steady_time now, policy_view& view) {
    if (found.failures > 0) {
        ++pauses_;
        if (pause > duration::zero()) previous_pause_ = pause;
    }
    next_ = found;
    if (found.when <= now) return launch_next(now, view);
    state_ = state::pausing;
    sleep();
}

void flight_plan::launch_next(steady_time now, policy_view& view) {
    const attempt_purpose what = purpose();
    const bool next_credential = is_of_credential(cause_.outcome.what.kind) && endpoints_.of(next_.at).next_credential;
    launch(next_.at, next_.permit, what,
           what == attempt_purpose::first                                        ? "first"
           : next_credential                                                     ? "next_credential"
           : endpoints_.of(next_.at).failures == 0 && !in_flight().has(next_.at) ? "failover"
                                                                                 : "retry",
           now, view);
}

void flight_plan::launch(endpoint_index at, permit_id permit, attempt_purpose what, std::string_view why,
                         steady_time now, policy_view& view) {
    state_ = state::flying;
    stop_waiting(true);
    ++launched_;
    flying one{launched_, at, what, now};
    if (options_.attempt_timeout) {
        one.allowed = *options_.attempt_timeout;
    } else if (options_.learned_timeout) {
        one.allowed = view.attempt_timeout(at, now).value_or(duration::zero());
    }
    if (one.allowed > duration::zero()) one.expires = now + one.allowed;
    const bool may_follow = extra_left() && view.repeatable(at);
    rescues_.launched(options_, may_follow, now);
    hedges_.launched(at, may_follow && hedge_schedule::allows(options_.hedge, flying_.size() + 1), now, view);
    // Nothing is held back where nothing could follow, and no sibling could still be better.
    const holding hold = may_follow || !flying_.empty() || options_.something_follows ? holding::answers
                         : options_.retry->max_retries == 0                           ? holding::nothing
                                                                                      : holding::errors;
    flying_.push_back(one);
    add(flight_action::launch{one.id, at, permit, hold, what, why});
    sleep();
}

endpoint_set flight_plan::in_flight() const noexcept {
    endpoint_set all;
    for (const flying& one : flying_) all.add(one.at);
    return all;
}

void flight_plan::drop(attempt_id id) noexcept {
    flying_.erase(std::remove_if(flying_.begin(), flying_.end(), [&](const flying& one) { return one.id == id; }),
                  flying_.end());
}

void flight_plan::ended(const flying& loser, steady_time now, policy_view& view) {
    hedges_.ended(loser.at, now - loser.launched, now, view);
}

// What lost to an attempt that was launched later and elsewhere was overtaken: that says something of its endpoint.
void flight_plan::cancel_all(cancel_cause why, steady_time now, policy_view& view, attempt_id but) {
    const auto winner = std::find_if(flying_.begin(), flying_.end(), [&](const flying& one) { return one.id == but; });
    for (const flying& one : flying_) {
        if (one.id == but) continue;
        ended(one, now, view);
        const bool overtaken = winner != flying_.end() && one.id < winner->id && one.at != winner->at;
        add(flight_action::cancel{one.id, overtaken ? cancel_cause::overtaken : why});
    }
    flying_.erase(std::remove_if(flying_.begin(), flying_.end(), [&](const flying& one) { return one.id != but; }),
                  flying_.end());
}

void flight_plan::failed(const flight_event::failed& event, steady_time now, policy_view& view) {
    const auto found =
        std::find_if(flying_.begin(), flying_.end(), [&](const flying& one) { return one.id == event.id; });
    if (found == flying_.end()) return;
    const flying over = *found;
    flying_.erase(found);
    ended(over, now, view);
    const outcome_kind kind = event.outcome.what.kind;
    if (kind == outcome_kind::cancelled)
        return give_up(flight_action::ending::failed, to_string(kind), retry_denial::none, now, view);

    // A fallback or a hedge elsewhere that rejects what others have not rejected speaks for itself only.
    const bool elsewhere_undecided = std::any_of(
        flying_.begin(), flying_.end(), [&](const flying& one) { return one.at != over.at && one.id < over.id; });
    const bool own_opinion = kind == outcome_kind::caller_error && (retryable_seen_ || elsewhere_undecided);
    // Nothing said is still better than a later error.
    const bool worse = own_opinion || (empty_seen_ && !event.outcome.empty);
    if (event.outcome.has_answer && (answered_ == 0 || !worse)) answered_ = event.id;
    if (own_opinion) retryable_seen_ = true;
    learn(over.at, event.outcome, now, view);

    const retry_denial refused = wanted(over.at, event.outcome, now, view);
    empty_seen_ = empty_seen_ || event.outcome.empty;
    if (!flying_.empty()) {
        // What is the request's own fault will not be different elsewhere. (gRPC A6, fatal status)
        if (kind == outcome_kind::caller_error && !own_opinion) {
            cancel_all(cancel_cause::lost, now, view);
            return give_up(flight_action::ending::failed, to_string(kind), refused, now, view);
        }
        cause_ = {event.outcome, now - over.launched, flight_action::ending::failed};
        const retry_denial denied =
            refused != retry_denial::none ? refused : seek(eagerness::now_or_never, duration::zero(), now, view);
        if (denied == retry_denial::none) return;
        add(flight_action::deny{over.id, over.at, denied});
        // What is still in flight is silent. Where a hedge was wanted before, another one follows after the pause of a
        // retry.
        if (refused == retry_denial::none && over.purpose != attempt_purpose::first &&
            hedge_schedule::allows(options_.hedge, flying_.size())) {
            previous_pause_ = backoff_pause(options_.retry->backoff, pauses_++, previous_pause_, view.draw());
            hedges_.not_after(now + previous_pause_);
        }
        return sleep();
    }
    if (refused != retry_denial::none)
        return give_up(flight_action::ending::failed, to_string(kind), refused, now, view);
    follow({event.outcome, now - over.launched, flight_action::ending::failed}, now, view);
}

// Nothing is in flight: another attempt, now or later, or the end.
void flight_plan::follow(const cause& why, steady_time now, policy_view& view) {
    cause_ = why;
    const duration pause = backoff_pause(options_.retry->backoff, pauses_, previous_pause_, view.draw());
    const retry_denial denied = seek(eagerness::may_wait, pause, now, view);
    if (denied != retry_denial::none) give_up(why.how, to_string(why.outcome.what.kind), denied, now, view);
}

void flight_plan::learn(endpoint_index at, const attempt_outcome& outcome, steady_time now, policy_view& view) {
    retryable_seen_ = retryable_seen_ || outcome.what.kind != outcome_kind::caller_error;
    endpoints_.learn(at, outcome, *options_.retry, now, view);
}

// Whether this failure asks for another attempt at all, wherever it goes.
retry_denial flight_plan::wanted(endpoint_index at, const attempt_outcome& outcome, steady_time now,
                                 policy_view& view) const {
    const retry_options& retry = *options_.retry;
    const outcome_kind kind = outcome.what.kind;
    if (retry.max_retries == 0) return retry_denial::off;
    // What is said to whoever shows this credential, the provider would not say to the next one.
    const bool next_credential = is_of_credential(kind) && endpoints_.of(at).next_credential;
    if (outcome.should_retry == false && !next_credential) return retry_denial::upstream_said;
    const bool own_opinion = kind == outcome_kind::caller_error && retryable_seen_;
    const bool listed =
        next_credential || own_opinion || needs_another_credential(kind) || includes(retry.on, word_for(outcome));
    if (!listed && outcome.should_retry != true) return retry_denial::not_retryable;
    if (outcome.empty && empty_seen_) return retry_denial::not_retryable;
    if (!extra_left()) return retry_denial::limit;
    if (!outcome.never_sent && !(outcome.no_effect ? view.held(at) : view.repeatable(at)))
        return retry_denial::not_replayable;
    if (kind == outcome_kind::timeout && !outcome.never_sent && view.overload_active(at, now))
        return retry_denial::overload;
    return retry_denial::none;
}

void flight_plan::on_timer(steady_time now, policy_view& view) {
    if (now < next_wake()) return sleep();
    if (now >= options_.deadline) {
        const bool unsent = launched_ == 0;
        cancel_all(cancel_cause::deadline, now, view);
        if (state_ == state::pausing) view.refund(next_.at, next_.work, now);
        if (unsent) return refuse(retry_denial::circuit_open, now, view);
        return give_up(flight_action::ending::timed_out, "deadline", retry_denial::none, now, view);
    }
    if (state_ == state::pausing) {
        const admission got = view.admit(next_.at, purpose(), urgency::normal, now);
        next_.permit = got.permit;
        if (!got.refused) return launch_next(now, view);
        view.refund(next_.at, next_.work, now);
        state_ = state::waiting;
    }
    if (state_ == state::waiting) {
        const retry_denial denied = seek(eagerness::may_wait, duration::zero(), now, view);
        if (denied == retry_denial::none) return;
        if (launched_ == 0) return refuse(denied, now, view);
        return give_up(cause_.how, to_string(cause_.outcome.what.kind), denied, now, view);
    }
    // The oldest first; each at most once a step, since expire() may launch.
    const auto late =
        std::find_if(flying_.begin(), flying_.end(), [&](const flying& one) { return one.expires <= now; });
    if (late != flying_.end()) return expire(*late, now, view);
    if (hedges_.due() <= now && hedge(now, view)) return;
    if (rescues_.due() <= now && rescue(now, view)) return;
    sleep();
}

bool flight_plan::rescue(steady_time now, policy_view& view) {
    const flying& latest = flying_.back();
    const rescue_schedule::silence of{latest.id, latest.at, latest.launched, in_flight(), extra_left()};
    const auto got = rescues_.ask(of, endpoints_, options_, now, view);
    if (got.evidence) add(flight_action::silent{of.latest});
    if (got.permit != 0) launch(got.at, got.permit, attempt_purpose::rescue, "rescue", now, view);
    if (got.tell) add(flight_action::no_rescue{got.at, got.why});
    return got.permit != 0;
}

// An attempt has been silent for as long as it may. A fixed timeout ends it in any case, a learned one only where
// another attempt lives elsewhere, or something else answers in its place.
void flight_plan::expire(flying late, steady_time now, policy_view& view) {
    if (const steady_time moved = view.last_moved(late.id, now); moved + late.allowed > now) {
        look_again(late.id, moved + late.allowed);
        return sleep();
    }
    const bool alone = flying_.size() == 1;
    const bool fixed = options_.attempt_timeout.has_value();
    const bool another_elsewhere = !alone && !in_flight().only(late.at);
    if (!fixed && !another_elsewhere) return outlive(late, now, view);

    attempt_outcome silence;
    silence.what = {outcome_class::failure, outcome_kind::timeout};
    silence.never_sent = view.unsent(late.id);
    drop(late.id);
    cause_ = {silence, now - late.launched, flight_action::ending::timed_out};
    learn(late.at, silence, now, view);
    add(flight_action::cancel{late.id, cancel_cause::attempt_timeout});
    retry_denial denied = wanted(late.at, silence, now, view);
    if (denied == retry_denial::none) {
        const duration pause =
            !alone ? duration::zero() : backoff_pause(options_.retry->backoff, pauses_, previous_pause_, view.draw());
        denied = seek(alone ? eagerness::may_wait : eagerness::now_or_never, pause, now, view);
    }
    ended(late, now, view);
    if (denied == retry_denial::none) return;
    if (alone) return give_up(flight_action::ending::timed_out, to_string(outcome_kind::timeout), denied, now, view);
    add(flight_action::deny{late.id, late.at, denied});
    sleep();
}

// It goes on: there is nothing better. Its silence is evidence all the same, and another attempt joins it where the
// budget of retries pays for one that the allowance of rescues did not.
void flight_plan::outlive(const flying& late, steady_time now, policy_view& view) {
    look_again(late.id, now + timeout_recheck);
    add(flight_action::overdue{late.id});
    const bool another_lives = std::any_of(flying_.begin(), flying_.end(), [&](const flying& one) {
        return one.id != late.id && one.expires > now + timeout_recheck;
    });
    if (another_lives) return sleep();
    const retry_denial denied = join(late, now, view);
    if (denied == retry_denial::none) return;
    if (!options_.something_follows) return sleep();
    cancel_all(cancel_cause::attempt_timeout, now, view);
    give_up(flight_action::ending::timed_out, to_string(outcome_kind::timeout), denied, now, view);
}

// Elsewhere; or here, once a request, where a stream is waited for: a whole answer would take as long again.
retry_denial flight_plan::join(const flying& late, steady_time now, policy_view& view) {
    attempt_outcome silence;
    silence.what = {outcome_class::failure, outcome_kind::timeout};
    silence.never_sent = view.unsent(late.id);
    const cause before = std::exchange(cause_, {silence, now - late.launched, flight_action::ending::timed_out});
    retry_denial denied = wanted(late.at, silence, now, view);
    if (denied == retry_denial::none) {
        denied = seek(eagerness::now_or_never, duration::zero(), now, view);
        const bool may_be_paid = denied != retry_denial::budget && denied != retry_denial::overload;
        if (denied != retry_denial::none && may_be_paid && in_flight().only(late.at) && view.wants_stream() &&
            !rescues_.asked_alone()) {
            denied = seek(eagerness::now_or_never, duration::zero(), now, view, endpoint_set{});
            if (denied == retry_denial::none) rescues_.ask_alone();
        }
    }
    if (denied != retry_denial::none) cause_ = before;
    return denied;
}

void flight_plan::look_again(attempt_id id, steady_time when) noexcept {
    for (flying& one : flying_) {
        if (one.id == id) one.expires = when;
    }
}

bool flight_plan::hedge(steady_time now, policy_view& view) {
    const hedge_schedule::silence of{flying_.back().at, in_flight(), flying_.size(), extra_left()};
    const auto got = hedges_.ask(of, endpoints_, options_, now, view);
    if (got.why == hedge_refusal::none)
        launch(got.at, got.permit, attempt_purpose::hedge, "hedge", now, view);
    else if (got.tell)
        add(flight_action::no_hedge{got.at, got.why});
    return got.why == hedge_refusal::none;
}

void flight_plan::on_client_gone(steady_time now, policy_view& view) {
    cancel_all(cancel_cause::client_gone, now, view);
    if (state_ == state::pausing) view.refund(next_.at, next_.work, now);
    stop_waiting(false);
    state_ = state::finished;
    add(flight_action::finish{flight_action::ending::client_gone, "client_gone", retry_denial::none});
}

void flight_plan::stop_waiting(bool goes_on) {
    if (wait_.over()) add(flight_action::end_hold{goes_on});
}

// Nothing was sent: every endpoint refused, and waiting is of no use.
void flight_plan::refuse(retry_denial denied, steady_time now, policy_view& view) {
    const std::string_view why = wait_.line_full() ? "hold_queue_full" : to_string(denied);
    give_up(flight_action::ending::refused, why, denied, now, view);
}

void flight_plan::give_up(flight_action::ending how, std::string_view why, retry_denial denied, steady_time now,
                          policy_view& view) {
    stop_waiting(false);
    state_ = state::finished;
    duration again{};
    if (how == flight_action::ending::refused) {
        // Spread, so that those who were refused together do not come back together.
        again = std::max(wait_.again() - now, duration{std::chrono::milliseconds{100}});
        again += scaled(again / 5, view.draw());
    }
    // The upstream's own words are worth more than ours.
    if (answered_ != 0) {
        add(flight_action::commit{answered_, "last_answer"});
        how = flight_action::ending::answered;
    }
    add(flight_action::finish{how, why, denied, again});
}

} // namespace evenkeel

#include "policies/flight_plan.hpp"

#include <algorithm>
#include <tuple>

namespace evenkeel {

namespace {
constexpr duration max_hint_jitter = std::chrono::seconds{1};
constexpr double reserved_work = 1; // what reserve_hedge() takes

template <class... F>
struct overloaded : F... {
    using F::operator()...;
};
template <class... F>
overloaded(F...) -> overloaded<F...>; // clang 14 does not find it by itself

// Only another credential can help: the one that was used is spent, or not accepted.
bool needs_another_credential(outcome_kind kind) noexcept {
    return kind == outcome_kind::quota || kind == outcome_kind::credential;
}

} // namespace

std::string_view to_string(retry_denial denied) noexcept {
    switch (denied) {
    case retry_denial::none: return "none";
    case retry_denial::off: return "off";
    case retry_denial::limit: return "limit";
    case retry_denial::budget: return "budget";
    case retry_denial::deadline: return "deadline";
    case retry_denial::retry_after: return "retry_after";
    case retry_denial::not_replayable: return "not_replayable";
    case retry_denial::not_retryable: return "not_retryable";
    case retry_denial::upstream_said: return "upstream_said";
    case retry_denial::no_endpoint: return "no_endpoint";
    case retry_denial::committed: return "committed";
    case retry_denial::circuit_open: return "circuit_open";
    case retry_denial::overload: return "overload";
    }
    return "none";
}

std::string_view to_string(cancel_cause why) noexcept {
    switch (why) {
    case cancel_cause::lost: return "lost";
    case cancel_cause::attempt_timeout: return "attempt_timeout";
    case cancel_cause::deadline: return "deadline";
    case cancel_cause::client_gone: return "client_gone";
    }
    return "lost";
}

flight_plan::flight_plan(const flight_options& options) noexcept : options_(options) {
    endpoints_.resize(std::clamp<std::size_t>(options.endpoints, 1, max_endpoints));
    if (options.earlier == nullptr) return;
    launched_ = options.earlier->made;
    cause_.took = options.earlier->took;
    static_assert(std::tuple_size_v<decltype(earlier_attempts::failures)> == max_endpoints);
    for (std::size_t at = 0; at < endpoints_.size(); ++at) endpoints_[at].failures = options.earlier->failures[at];
}

std::span<const any_flight_action> flight_plan::step(const any_flight_event& event, steady_time now,
                                                     policy_view& view) {
    actions_.clear();
    // Late events of an attempt that is no longer wanted change nothing.
    if (state_ == state::finished) return {};
    std::visit(overloaded{
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
    if (state_ == state::waiting) return std::min(wake, ask_again_);
    for (const flying& one : flying_) wake = std::min(wake, one.expires);
    return std::min(wake, hedge_at_);
}

void flight_plan::begin(steady_time now, policy_view& view) {
    if (state_ != state::idle) return;
    if (now >= options_.deadline)
        return give_up(flight_action::ending::timed_out, "deadline", retry_denial::none, now, view);
    const bool one_left = launched_ == 0 || static_cast<int>(launched_) <= options_.retry->max_retries;
    const retry_denial denied = one_left ? seek(eagerness::may_wait, duration::zero(), now, view) : retry_denial::limit;
    if (denied != retry_denial::none) give_up(flight_action::ending::refused, to_string(denied), denied, now, view);
}

void flight_plan::commit(attempt_id id, steady_time now, policy_view& view) {
    if (std::none_of(flying_.begin(), flying_.end(), [&](const flying& one) { return one.id == id; })) return;
    drop(id);
    state_ = state::finished;
    add(flight_action::commit{id, "first_answer"});
    cancel_all(cancel_cause::lost, now, view);
    add(flight_action::finish{flight_action::ending::answered, "first_answer", retry_denial::none});
}

// The race is decided as if this were the commit, since the signal is the same; but until it is, the attempt may still
// fail and be followed by another. Silence from now on is the attempt's own affair.
void flight_plan::progress(attempt_id id, steady_time now, policy_view& view) {
    const auto found = std::find_if(flying_.begin(), flying_.end(), [&](const flying& one) { return one.id == id; });
    if (found == flying_.end()) return;
    found->expires = steady_time::max();
    hedge_at_ = steady_time::max();
    cancel_all(cancel_cause::lost, now, view, id);
    sleep();
}

void flight_plan::launch(endpoint_index at, attempt_purpose what, std::string_view why, steady_time now,
                         policy_view& view) {
    state_ = state::flying;
    stop_waiting(true, now, view);
    ++launched_;
    flying one{launched_, at, what, now, steady_time::max()};
    if (options_.attempt_timeout) {
        one.expires = now + *options_.attempt_timeout;
    } else if (options_.learned_timeout) {
        if (const auto learned = view.attempt_timeout(at, now)) one.expires = now + *learned;
    }
    const bool extra_left = static_cast<int>(launched_) <= options_.retry->max_retries && view.repeatable(at);
    hedge_at_ = steady_time::max();
    if (extra_left && may_hedge(flying_.size() + 1)) {
        if (const auto delay = view.hedge_delay(at, now)) hedge_at_ = now + *delay;
    }
    // Nothing is held back where nothing could follow, and no sibling could still be better.
    const holding hold = extra_left || !flying_.empty() || options_.something_follows ? holding::answers
                         : options_.retry->max_retries == 0                           ? holding::nothing
                                                                                      : holding::errors;
    flying_.push_back(one);
    add(flight_action::launch{one.id, at, hold, what, why});
    sleep();
}

void flight_plan::launch_next(steady_time now, policy_view& view) {
    const attempt_purpose what = purpose();
    launch(next_.at, what,
           what == attempt_purpose::first       ? "first"
           : endpoints_[next_.at].failures == 0 ? "failover"
                                                : "retry",
           now, view);
}

void flight_plan::drop(attempt_id id) noexcept {
    flying_.erase(std::remove_if(flying_.begin(), flying_.end(), [&](const flying& one) { return one.id == id; }),
                  flying_.end());
}

// The work reserved for a hedge is settled with the first attempt that ends without winning, whichever it is.
void flight_plan::settle(const flying& loser, steady_time now, policy_view& view) {
    if (unsettled_.empty()) return;
    const auto own = std::find(unsettled_.begin(), unsettled_.end(), loser.at);
    const auto which = own != unsettled_.end() ? own : unsettled_.begin();
    view.settle_hedge(*which, now - loser.launched, now);
    unsettled_.erase(which);
}

void flight_plan::cancel_all(cancel_cause why, steady_time now, policy_view& view, attempt_id but) {
    for (const flying& one : flying_) {
        if (one.id == but) continue;
        settle(one, now, view);
        add(flight_action::cancel{one.id, why});
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
    settle(over, now, view);
    const outcome_kind kind = event.outcome.what.kind;
    if (kind == outcome_kind::cancelled)
        return give_up(flight_action::ending::failed, to_string(kind), retry_denial::none, now, view);

    // A fallback or a hedge elsewhere that rejects what others have not rejected speaks for itself only.
    const bool elsewhere_undecided = std::any_of(
        flying_.begin(), flying_.end(), [&](const flying& one) { return one.at != over.at && one.id < over.id; });
    const bool own_opinion = kind == outcome_kind::caller_error && (retryable_seen_ || elsewhere_undecided);
    if (event.outcome.has_answer && (answered_ == 0 || !own_opinion)) answered_ = event.id;
    if (own_opinion) retryable_seen_ = true;
    note_failure(over.at, event.outcome, now, view);

    const retry_denial refused = wanted(over.at, event.outcome, now, view);
    if (!flying_.empty()) {
        // What is the request's own fault will not be different elsewhere. (gRPC A6, fatal status)
        if (kind == outcome_kind::caller_error && !own_opinion) {
            cancel_all(cancel_cause::lost, now, view);
            return give_up(flight_action::ending::failed, to_string(kind), refused, now, view);
        }
        cause_ = {event.outcome, now - over.launched, flight_action::ending::failed};
        if (refused == retry_denial::none &&
            seek(eagerness::now_or_never, duration::zero(), now, view) == retry_denial::none)
            return;
        // What is still in flight is silent. Where a hedge was wanted before, another one follows after the pause of a
        // retry.
        if (refused == retry_denial::none && over.purpose != attempt_purpose::first && may_hedge(flying_.size())) {
            previous_pause_ = backoff_pause(options_.retry->backoff, waits_++, previous_pause_, view.draw());
            hedge_at_ = std::min(hedge_at_, now + previous_pause_);
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
    const duration pause = backoff_pause(options_.retry->backoff, waits_, previous_pause_, view.draw());
    const retry_denial denied = seek(eagerness::may_wait, pause, now, view);
    if (denied != retry_denial::none) give_up(why.how, to_string(why.outcome.what.kind), denied, now, view);
}

void flight_plan::note_failure(endpoint_index where, const attempt_outcome& outcome, steady_time now,
                               policy_view& view) {
    endpoint& at = endpoints_[where];
    ++at.failures;
    at.silent = at.silent || outcome.what.kind == outcome_kind::timeout;
    at.barred =
        at.barred || needs_another_credential(outcome.what.kind) || outcome.what.kind == outcome_kind::caller_error;
    if (outcome.should_retry == true) at.barred = false;
    retryable_seen_ = retryable_seen_ || outcome.what.kind != outcome_kind::caller_error;
    if (!outcome.retry_after) return;
    at.too_long = *outcome.retry_after > options_.retry->max_retry_after;
    // Spread, so that everybody who was told the same time does not come back at the same time.
    const duration spread = std::min(*outcome.retry_after / 2, max_hint_jitter);
    if (!at.too_long) at.ready = now + *outcome.retry_after + scaled(spread, view.draw());
}

// Whether this failure asks for another attempt at all, wherever it goes.
retry_denial flight_plan::wanted(endpoint_index at, const attempt_outcome& outcome, steady_time now,
                                 policy_view& view) const {
    const retry_options& retry = *options_.retry;
    const outcome_kind kind = outcome.what.kind;
    if (retry.max_retries == 0) return retry_denial::off;
    if (outcome.should_retry == false) return retry_denial::upstream_said;
    const bool own_opinion = kind == outcome_kind::caller_error && retryable_seen_;
    const bool listed = own_opinion || needs_another_credential(kind) || includes(retry.on, word_for(outcome));
    if (!listed && outcome.should_retry != true) return retry_denial::not_retryable;
    if (static_cast<int>(launched_) > retry.max_retries) return retry_denial::limit;
    if (!outcome.never_sent && !view.repeatable(at)) return retry_denial::not_replayable;
    if (kind == outcome_kind::timeout && !outcome.never_sent && view.overloaded(at, now)) return retry_denial::overload;
    return retry_denial::none;
}

void flight_plan::on_timer(steady_time now, policy_view& view) {
    if (now < next_wake()) return sleep();
    if (now >= options_.deadline) {
        const bool unsent = launched_ == 0;
        cancel_all(cancel_cause::deadline, now, view);
        if (state_ == state::pausing) view.refund(next_.at, next_.work, now);
        if (unsent)
            return give_up(flight_action::ending::refused, to_string(retry_denial::circuit_open),
                           retry_denial::circuit_open, now, view);
        return give_up(flight_action::ending::timed_out, "deadline", retry_denial::none, now, view);
    }
    if (state_ == state::pausing) {
        if (!view.admit(next_.at, purpose(), urgency::normal, now)) return launch_next(now, view);
        view.refund(next_.at, next_.work, now);
        state_ = state::waiting;
    }
    if (state_ == state::waiting) {
        const retry_denial denied = seek(eagerness::may_wait, duration::zero(), now, view);
        if (denied == retry_denial::none) return;
        if (launched_ == 0) return give_up(flight_action::ending::refused, to_string(denied), denied, now, view);
        return give_up(cause_.how, to_string(cause_.outcome.what.kind), denied, now, view);
    }
    // The oldest first; each at most once a step, since expire() may launch.
    const auto late =
        std::find_if(flying_.begin(), flying_.end(), [&](const flying& one) { return one.expires <= now; });
    if (late != flying_.end()) return expire(*late, now, view);
    if (hedge_at_ <= now) return hedge(now, view);
    sleep();
}

// An attempt has been silent for as long as it may. A fixed timeout ends it in any case, a learned one only where
// something else can be tried: a sibling in flight, another endpoint, or a second try of a stream.
void flight_plan::expire(flying late, steady_time now, policy_view& view) {
    attempt_outcome silence;
    silence.what = {outcome_class::failure, outcome_kind::timeout};
    silence.never_sent = view.unsent(late.id);
    const endpoint before = endpoints_[late.at];
    const bool seen = retryable_seen_;
    const bool fixed = options_.attempt_timeout.has_value();
    const bool alone = flying_.size() == 1;

    drop(late.id);
    cause_ = {silence, now - late.launched, flight_action::ending::timed_out};
    note_failure(late.at, silence, now, view);
    const std::size_t cancelled_at = actions_.size();
    add(flight_action::cancel{late.id, cancel_cause::attempt_timeout});
    retry_denial denied = wanted(late.at, silence, now, view);
    if (denied == retry_denial::none) {
        const bool may_wait = alone && fixed;
        const duration pause =
            !alone ? duration::zero() : backoff_pause(options_.retry->backoff, waits_, previous_pause_, view.draw());
        denied = seek(may_wait ? eagerness::may_wait : eagerness::now_or_never, pause, now, view);
    }
    if (denied == retry_denial::none || fixed || !alone || options_.something_follows) {
        settle(late, now, view);
        if (denied == retry_denial::none) return;
        if (!alone) return sleep();
        return give_up(flight_action::ending::timed_out, to_string(outcome_kind::timeout), denied, now, view);
    }
    // It goes on as if nothing had been: there is nothing better. Its silence is evidence all the same: an endpoint
    // that falls silent while all extra attempts are refused would never be found out, and the other one never be
    // asked.
    actions_.erase(actions_.begin() + static_cast<std::ptrdiff_t>(cancelled_at), actions_.end());
    endpoints_[late.at] = before;
    retryable_seen_ = seen;
    late.expires = now + timeout_recheck;
    flying_.push_back(late);
    add(flight_action::overdue{late.id});
    sleep();
}

void flight_plan::hedge(steady_time now, policy_view& view) {
    const hedge_refusal refused = try_hedge(now, view);
    if (refused == hedge_refusal::none) return;
    view.hedge_refused(refused);
    // What may change while the attempt goes on being silent is asked again, after as long a silence. So is what the
    // guard refused: an attempt that is silent for twice as long is the more likely to have been worth a hedge.
    const bool passing = refused == hedge_refusal::budget || refused == hedge_refusal::no_endpoint ||
                         refused == hedge_refusal::overload || refused == hedge_refusal::guard;
    hedge_at_ = steady_time::max();
    if (passing && !flying_.empty()) {
        if (const auto delay = view.hedge_delay(flying_.back().at, now))
            hedge_at_ = now + std::max(*delay, options_.hedge->min_delay);
    }
    sleep();
}

// Another endpoint that has not failed this request, then one that has but may be asked again, then the one that is
// silent; each only if it lets the hedge through, the tired ones last.
std::optional<std::pair<endpoint_index, urgency>> flight_plan::hedge_target(endpoint_index primary, steady_time now,
                                                                            policy_view& view) const {
    const evenkeel::hedge_target where = options_.hedge->target;
    const auto lets = [&](endpoint_index at, urgency how) {
        const endpoint& known = endpoints_[at];
        return !known.barred && !known.silent && known.ready <= now && !view.look(at, attempt_purpose::hedge, how, now);
    };
    for (const urgency how : {urgency::normal, urgency::last_resort}) {
        for (const int failures_allowed : {0, 1}) {
            for (const endpoint_index at : view.order(now)) {
                const bool suits = where == evenkeel::hedge_target::any || !is_flying(at);
                if (suits && (failures_allowed > 0 || endpoints_[at].failures == 0) && lets(at, how))
                    return std::pair{at, how};
            }
        }
        if (where == evenkeel::hedge_target::prefer_other && lets(primary, how)) return std::pair{primary, how};
    }
    return std::nullopt;
}

bool flight_plan::may_hedge(std::size_t in_flight) const noexcept {
    return options_.hedge != nullptr && in_flight <= static_cast<std::size_t>(options_.hedge->max_hedges);
}

hedge_refusal flight_plan::try_hedge(steady_time now, policy_view& view) {
    if (!may_hedge(flying_.size()) || static_cast<int>(launched_) > options_.retry->max_retries)
        return hedge_refusal::limit;
    const endpoint_index primary = flying_.back().at;
    if (view.overloaded(primary, now)) return hedge_refusal::overload;
    if (!hedge_counted_) {
        hedge_counted_ = true;
        if (const hedge_refusal guarded = view.hedge_wanted(now); guarded != hedge_refusal::none) return guarded;
    }
    const auto chosen = hedge_target(primary, now, view);
    if (!chosen) return hedge_refusal::no_endpoint;
    const auto [target, pressed] = *chosen;
    if (!view.repeatable(target)) return hedge_refusal::not_replayable;
    if (now + std::max(min_attempt_time, view.quickest(target, now)) > options_.deadline)
        return hedge_refusal::deadline;
    if (!view.reserve_hedge(target, now)) return hedge_refusal::budget;
    if (view.admit(target, attempt_purpose::hedge, pressed, now)) {
        view.refund(target, reserved_work, now);
        return hedge_refusal::no_endpoint;
    }
    unsettled_.push_back(target);
    launch(target, attempt_purpose::hedge, "hedge", now, view);
    return hedge_refusal::none;
}

void flight_plan::on_client_gone(steady_time now, policy_view& view) {
    cancel_all(cancel_cause::client_gone, now, view);
    if (state_ == state::pausing) view.refund(next_.at, next_.work, now);
    stop_waiting(false, now, view);
    state_ = state::finished;
    add(flight_action::finish{flight_action::ending::client_gone, "client_gone", retry_denial::none});
}

void flight_plan::give_up(flight_action::ending how, std::string_view why, retry_denial denied, steady_time now,
                          policy_view& view) {
    stop_waiting(false, now, view);
    state_ = state::finished;
    duration again{};
    if (how == flight_action::ending::refused) {
        // Spread, so that those who were refused together do not come back together.
        again = std::max(ask_again_ - now, duration{std::chrono::milliseconds{100}});
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

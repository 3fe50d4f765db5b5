#include "policies/flight_plan.hpp"

#include <algorithm>

namespace evenkeel {

namespace {
constexpr duration max_hint_jitter = std::chrono::seconds{1};

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

duration scaled(duration length, double by) noexcept {
    return duration{static_cast<duration::rep>(static_cast<double>(length.count()) * by)};
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
    }
    return "none";
}

flight_plan::flight_plan(const flight_options& options) noexcept : options_(options) {
    endpoints_.resize(std::clamp<std::size_t>(options.endpoints, 1, max_endpoints));
}

steady_time flight_plan::next_wake() const noexcept {
    if (state_ == state::pausing) return next_.when;
    if (!options_.attempt_timeout) return options_.deadline;
    return std::min(options_.deadline, launched_when_ + *options_.attempt_timeout);
}

std::span<const any_flight_action> flight_plan::step(const any_flight_event& event, steady_time now, policy_view& view) {
    actions_.clear();
    // Late events of an attempt that is no longer wanted change nothing.
    if (state_ == state::finished) return {};
    const auto commit = [&](attempt_id id) {
        if (state_ != state::flying || id != launched_) return;
        add(flight_action::commit{id, "first_answer"});
        state_ = state::finished;
        add(flight_action::finish{flight_action::ending::answered, "first_answer", retry_denial::none});
    };
    std::visit(overloaded{
                   [&](flight_event::started) {
                       if (state_ != state::idle) return;
                       if (now >= options_.deadline) return give_up(flight_action::ending::timed_out, "deadline", retry_denial::none);
                       launch(0, "first", now, view);
                   },
                   [&](flight_event::head one) { commit(one.id); },
                   [&](flight_event::meaningful one) { commit(one.id); },
                   [&](flight_event::complete one) { commit(one.id); },
                   [&](const flight_event::failed& one) {
                       if (state_ != state::flying || one.id != launched_) return;
                       const bool misleading = retryable_seen_ && one.outcome.what.kind == outcome_kind::caller_error;
                       if (one.outcome.has_answer && (answered_ == 0 || !misleading)) answered_ = one.id;
                       attempt_failed(one.outcome, flight_action::ending::failed, now, view);
                   },
                   [&](flight_event::timer) { on_timer(now, view); },
                   [&](flight_event::client_gone) { on_client_gone(now, view); },
               },
               event);
    return {actions_.data(), actions_.size()};
}

void flight_plan::launch(endpoint_index at, std::string_view why, steady_time now, policy_view& view) {
    state_ = state::flying;
    flying_at_ = at;
    launched_when_ = now;
    ++launched_;
    // Nothing is held back where nothing could follow.
    const int extra = static_cast<int>(launched_) - 1;
    const holding hold = options_.retry->max_retries == 0                                     ? holding::nothing
                         : extra >= options_.retry->max_retries || !view.repeatable(at) ? holding::errors
                                                                                              : holding::answers;
    add(flight_action::launch{launched_, at, hold, why});
    add(flight_action::wait_until{next_wake()});
}

void flight_plan::on_timer(steady_time now, policy_view& view) {
    if (now < next_wake()) return add(flight_action::wait_until{next_wake()});
    if (state_ == state::pausing) return launch(next_.at, endpoints_[next_.at].failures == 0 ? "failover" : "retry", now, view);
    if (now >= options_.deadline) {
        add(flight_action::cancel{launched_, "deadline"});
        return give_up(flight_action::ending::timed_out, "deadline", retry_denial::none);
    }
    attempt_outcome silence;
    silence.what = {outcome_class::failure, outcome_kind::timeout};
    silence.never_sent = view.unsent(launched_);
    add(flight_action::cancel{launched_, "attempt_timeout"});
    attempt_failed(silence, flight_action::ending::timed_out, now, view);
}

void flight_plan::on_client_gone(steady_time now, policy_view& view) {
    if (state_ == state::flying) add(flight_action::cancel{launched_, "client_gone"});
    if (state_ == state::pausing) view.refund(next_.at, next_.work, now);
    state_ = state::finished;
    add(flight_action::finish{flight_action::ending::client_gone, "client_gone", retry_denial::none});
}

void flight_plan::attempt_failed(const attempt_outcome& outcome, flight_action::ending how, steady_time now, policy_view& view) {
    if (outcome.what.kind == outcome_kind::cancelled) return give_up(how, to_string(outcome.what.kind), retry_denial::none);
    note_failure(outcome, now, view);
    const auto why = to_string(outcome.what.kind);
    const retry_denial refused = wanted(outcome, view);
    if (refused != retry_denial::none) return give_up(how, why, refused);
    const retry_denial denied = choose(outcome, now, view);
    if (denied != retry_denial::none) return give_up(how, why, denied);
    if (next_.when <= now) return launch(next_.at, endpoints_[next_.at].failures == 0 ? "failover" : "retry", now, view);
    state_ = state::pausing;
    add(flight_action::wait_until{next_wake()});
}

void flight_plan::note_failure(const attempt_outcome& outcome, steady_time now, policy_view& view) {
    endpoint& at = endpoints_[flying_at_];
    ++at.failures;
    at.silent = at.silent || outcome.what.kind == outcome_kind::timeout;
    at.barred = at.barred || needs_another_credential(outcome.what.kind) || outcome.what.kind == outcome_kind::caller_error;
    retryable_seen_ = retryable_seen_ || outcome.what.kind != outcome_kind::caller_error;
    if (!outcome.retry_after) return;
    at.too_long = *outcome.retry_after > options_.retry->max_retry_after;
    // Spread, so that everybody who was told the same time does not come back at the same time.
    const duration spread = std::min(*outcome.retry_after / 2, max_hint_jitter);
    if (!at.too_long) at.ready = now + *outcome.retry_after + scaled(spread, view.draw());
}

// Whether this failure asks for another attempt at all, wherever it goes.
retry_denial flight_plan::wanted(const attempt_outcome& outcome, policy_view& view) const {
    const retry_options& retry = *options_.retry;
    const outcome_kind kind = outcome.what.kind;
    if (retry.max_retries == 0) return retry_denial::off;
    if (outcome.should_retry == false) return retry_denial::upstream_said;
    // A fallback that rejects what the first choice had not rejected speaks for itself only.
    const bool own_opinion = kind == outcome_kind::caller_error && retryable_seen_;
    const bool listed = own_opinion || needs_another_credential(kind) || includes(retry.on, word_for(outcome));
    if (!listed && outcome.should_retry != true) return retry_denial::not_retryable;
    if (static_cast<int>(launched_) > retry.max_retries) return retry_denial::limit;
    if (!outcome.never_sent && !view.repeatable(flying_at_)) return retry_denial::not_replayable;
    return retry_denial::none;
}

// Where and when; reserves the work. Of the endpoints that may be asked the one that can be asked first, of those the one
// that failed least, of those the most preferred.
retry_denial flight_plan::choose(const attempt_outcome& outcome, steady_time now, policy_view& view) {
    const retry_options& retry = *options_.retry;
    if (outcome.should_retry == true) endpoints_[flying_at_].barred = false;
    const duration pause = backoff_pause(retry.backoff, waits_, previous_pause_, view.draw());
    struct option {
        choice what;
        int failures;
    };
    boost::container::static_vector<option, max_endpoints> options;
    bool too_late = false, too_long = false;
    for (endpoint_index i = 0; i < endpoints_.size(); ++i) {
        const endpoint& at = endpoints_[i];
        if (at.barred || (at.silent && !view.wants_stream())) continue;
        if (at.too_long) {
            too_long = true;
            continue;
        }
        const steady_time when = at.failures == 0 ? now : std::max(now + pause, at.ready);
        if (when + min_attempt_time > options_.deadline) {
            too_late = true;
            continue;
        }
        options.push_back({{i, when, 0}, at.failures});
    }
    std::stable_sort(options.begin(), options.end(), [](const option& a, const option& b) {
        return a.what.when != b.what.when ? a.what.when < b.what.when : a.failures < b.failures;
    });
    const duration took = now - launched_when_;
    for (option& one : options) {
        one.what.work = view.cost(one.what.at, took, outcome.never_sent || one.failures == 0, now);
        if (!view.reserve(one.what.at, one.what.work, now)) continue;
        next_ = one.what;
        if (one.failures > 0) {
            ++waits_;
            previous_pause_ = pause;
        }
        return retry_denial::none;
    }
    return !options.empty() ? retry_denial::budget
           : too_late       ? retry_denial::deadline
           : too_long       ? retry_denial::retry_after
                            : retry_denial::no_endpoint;
}

void flight_plan::give_up(flight_action::ending how, std::string_view why, retry_denial denied) {
    state_ = state::finished;
    // The upstream's own words are worth more than ours.
    if (answered_ != 0) {
        add(flight_action::commit{answered_, "last_answer"});
        how = flight_action::ending::answered;
    }
    add(flight_action::finish{how, why, denied});
}

} // namespace evenkeel

// The order of preference is what the whole file comes to: list() says of each endpoint when it could be asked or why
// it cannot, find() takes the best that is paid for.

#include "policies/endpoint_search.hpp"

#include "policies/credential_lanes.hpp"

#include <algorithm>

namespace evenkeel {

namespace {
// Spread, so that everybody who was told the same time does not come back at the same time. (chosen)
constexpr duration max_hint_jitter = std::chrono::seconds{1}, max_rest_jitter = std::chrono::seconds{1};

retry_denial denial_for(const endpoint_refusal& refused) noexcept {
    switch (refused.why) {
    case endpoint_refusal::reason::circuit:
        return refused.of_model ? retry_denial::model_circuit_open : retry_denial::circuit_open;
    case endpoint_refusal::reason::cooldown: return retry_denial::retry_after;
    case endpoint_refusal::reason::pace: return retry_denial::paced;
    case endpoint_refusal::reason::overload: break;
    }
    return retry_denial::overload;
}
} // namespace

// An empty budget first: with it nothing else would have helped. Then what passes by itself.
retry_denial endpoint_search::obstacles::denial() const noexcept {
    return budget        ? retry_denial::budget
           : circuit     ? circuits()
           : overload    ? retry_denial::overload
           : too_late    ? retry_denial::deadline
           : by_operator ? retry_denial::circuit_open
           : too_long    ? retry_denial::retry_after
                         : retry_denial::no_endpoint;
}

void endpoint_search::obstacles::meets_circuit(const endpoint_refusal& met) noexcept {
    models_only = met.of_model && (models_only || !circuit);
    circuit = true;
    again = std::min(again, met.again);
}

endpoint_search::endpoint_search(const flight_options& options) noexcept {
    known_.resize(std::clamp<std::size_t>(options.endpoints, 1, most_endpoints));
    if (options.earlier == nullptr) return;
    for (std::size_t at = 0; at < known_.size(); ++at) known_[at].failures = options.earlier->failures[at];
}

std::optional<endpoint_search::choice> endpoint_search::in_front(steady_time now, policy_view& view) const {
    const endpoint_index first = view.order(now).front();
    const admission got = view.admit(first, attempt_purpose::first, urgency::normal, now);
    if (got.refused) return std::nullopt;
    return choice{.at = first, .when = now, .permit = got.permit};
}

endpoint_search::result endpoint_search::find(const wish& wanted, const flight_options& options, steady_time now,
                                              policy_view& view) const {
    result all;
    for (const urgency pressed : {urgency::normal, urgency::last_resort}) {
        choices candidates;
        all.why = {};
        list(candidates, all.why, wanted, pressed, options, now, view);
        for (choice& one : candidates) {
            const bool failing_beside = one.failures > 0 && !wanted.in_flight.empty();
            if (wanted.now_or_never && (one.when > now + wanted.pause || failing_beside)) continue;
            if (!take(one, all.why, wanted, pressed, now, view)) continue;
            all.found = one;
            return all;
        }
        // Nobody else is stricter with those who have a choice.
        if (all.why.budget || !(all.why.circuit || all.why.avoidable)) break;
    }
    return all;
}

void endpoint_search::list(choices& to, obstacles& why, const wish& wanted, urgency pressed,
                           const flight_options& options, steady_time now, policy_view& view) const {
    const auto refuse = [&](endpoint_index at, retry_denial word) { why.refused.push_back({at, word}); };
    for (const endpoint_index i : view.order(now)) {
        const known& at = known_[i];
        // A whole answer is not asked for again where it did not come in time: it would take as long.
        if (at.barred || (at.silent && !view.wants_stream()) || wanted.in_flight.has(i)) continue;
        if (at.too_long) {
            why.too_long = true;
            refuse(i, retry_denial::retry_after);
            continue;
        }
        steady_time when = at.failures == 0 ? now : std::max(now + wanted.pause, at.ready);
        bool in_line = false;
        if (const auto refused = view.look(i, wanted.what, pressed, now)) {
            switch (refused->why) {
            case endpoint_refusal::reason::circuit:
                refuse(i, denial_for(*refused));
                if (refused->by_operator) {
                    why.by_operator = true;
                    continue;
                }
                why.meets_circuit(*refused);
                why.down_since = std::max(why.down_since, refused->down_since);
                continue;
            case endpoint_refusal::reason::overload:
                why.overload = true;
                why.again = std::min(why.again, refused->again);
                if (!why.passable) why.passable = i;
                refuse(i, denial_for(*refused));
                continue;
            case endpoint_refusal::reason::pace: in_line = !refused->avoidable; break;
            case endpoint_refusal::reason::cooldown: break;
            }
            if (refused->avoidable) {
                why.avoidable = true;
                refuse(i, denial_for(*refused));
                continue;
            }
            const duration rest = refused->again - now;
            if (!in_line &&
                (rest > options.retry->max_retry_after || refused->again + min_attempt_time > options.deadline)) {
                // A request that has not been sent goes through: the answer is the upstream's to give.
                why.too_long = true;
                if (!wanted.is_extra() && !why.passable) why.passable = i;
                refuse(i, denial_for(*refused));
                continue;
            }
            if (in_line) {
                to.push_back({.at = i, .when = std::max(when, refused->again), .rank = when, .failures = at.failures});
                continue;
            }
            when = std::max(when, refused->again + scaled(std::min(rest / 2, max_rest_jitter), view.draw()));
        }
        if (when + std::max(min_attempt_time, view.quickest(i, now)) > options.deadline) {
            why.too_late = true;
            if (wanted.is_extra()) {
                refuse(i, retry_denial::deadline);
                continue;
            }
        }
        to.push_back({.at = i, .when = when, .rank = when, .failures = at.failures});
    }
    std::stable_sort(to.begin(), to.end(), [](const choice& a, const choice& b) {
        return a.rank != b.rank ? a.rank < b.rank : a.failures < b.failures;
    });
}

// The budget before the permit: what is reserved can be given back without a trace, a probe's place cannot.
bool endpoint_search::take(choice& one, obstacles& why, const wish& wanted, urgency pressed, steady_time now,
                           policy_view& view) const {
    const bool pays = wanted.is_extra() && !(wanted.of_credential && known_[one.at].next_credential);
    if (pays) {
        // A rate limit is told without any work, however long the words were under way.
        const bool effortless = wanted.never_sent || wanted.refused || one.failures == 0;
        one.work = view.cost(one.at, wanted.took, effortless, now);
        if (!view.reserve(one.at, one.work, now)) {
            why.budget = true;
            why.refused.push_back({one.at, retry_denial::budget});
            return false;
        }
    }
    if (one.when > now) return true;
    const admission got = view.admit(one.at, wanted.what, pressed, now);
    one.permit = got.permit;
    if (!got.refused) return true;
    if (got.refused->why == endpoint_refusal::reason::pace) { // somebody was quicker; it stands in line now
        one.when = got.refused->again;
        return true;
    }
    view.refund(one.at, one.work, now); // somebody was quicker
    why.by_operator = why.by_operator || got.refused->by_operator;
    if (!got.refused->by_operator) why.meets_circuit(*got.refused);
    why.refused.push_back({one.at, denial_for(*got.refused)});
    return false;
}

std::pair<std::optional<endpoint_search::choice>, retry_denial> endpoint_search::insist(endpoint_index at,
                                                                                        const wish& wanted,
                                                                                        steady_time now,
                                                                                        policy_view& view) const {
    choice one{.at = at, .when = now, .failures = known_[at].failures};
    obstacles why;
    if (take(one, why, wanted, urgency::waited, now, view)) return {one, retry_denial::none};
    return {std::nullopt, why.refused.back().why};
}

std::optional<std::pair<endpoint_index, urgency>> endpoint_search::beside(endpoint_index silent, endpoint_set in_flight,
                                                                          hedge_target where, steady_time now,
                                                                          policy_view& view) const {
    const auto lets = [&](endpoint_index at, urgency how) {
        const known& one = known_[at];
        return !one.barred && !one.silent && one.ready <= now && !view.look(at, attempt_purpose::hedge, how, now);
    };
    for (const urgency how : {urgency::normal, urgency::last_resort}) {
        for (const int failures_allowed : {0, 1}) {
            for (const endpoint_index at : view.order(now)) {
                const bool suits = where == hedge_target::any || !in_flight.has(at);
                if (suits && (failures_allowed > 0 || known_[at].failures == 0) && lets(at, how))
                    return std::pair{at, how};
            }
        }
        if (where == hedge_target::prefer_other && lets(silent, how)) return std::pair{silent, how};
    }
    return std::nullopt;
}

std::optional<std::pair<endpoint_index, urgency>> endpoint_search::to_rescue(endpoint_set in_flight, steady_time now,
                                                                             policy_view& view) const {
    for (const urgency how : {urgency::normal, urgency::last_resort}) {
        for (const bool has_failed : {false, true}) {
            for (const endpoint_index at : view.order(now)) {
                const known& one = known_[at];
                if (in_flight.has(at) || (one.failures > 0) != has_failed) continue;
                if (one.barred || (one.silent && !view.wants_stream()) || one.ready > now) continue;
                if (!view.look(at, attempt_purpose::rescue, how, now)) return std::pair{at, how};
            }
        }
    }
    return std::nullopt;
}

void endpoint_search::learn(endpoint_index where, const attempt_outcome& outcome, const retry_options& retry,
                            steady_time now, policy_view& view) {
    known& at = known_[where];
    at.next_credential = is_of_credential(outcome.what.kind) && view.another_credential(where, now);
    if (at.next_credential) return;
    ++at.failures;
    at.silent = at.silent || outcome.what.kind == outcome_kind::timeout;
    // The other endpoints of its upstream have the same credentials, and would say the same.
    if (needs_another_credential(outcome.what.kind) || outcome.what.kind == outcome_kind::caller_error) {
        for (endpoint_index i = 0; i < known_.size(); ++i)
            known_[i].barred = known_[i].barred || view.same_upstream(where, i);
    }
    if (outcome.should_retry == true) at.barred = false;
    at.barred = at.barred || outcome.lasting;
    if (!outcome.retry_after) return;
    at.too_long = *outcome.retry_after > retry.max_retry_after;
    const duration spread = std::min(*outcome.retry_after / 2, max_hint_jitter);
    if (!at.too_long) at.ready = now + *outcome.retry_after + scaled(spread, view.draw());
}

} // namespace evenkeel

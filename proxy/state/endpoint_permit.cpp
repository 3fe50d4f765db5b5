#include "proxy/state/endpoint_permit.hpp"

#include "config/renames.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/wire/rate_limits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

namespace evenkeel::request {

namespace {
constexpr double unlucky = 0.5; // of a draw nobody made: an attempt that is destroyed says nothing

// Whoever has another endpoint to go to is no probe where silence is to be met: a copy of the request is
// (flight/probe_beside.hpp). An error comes fast and is followed elsewhere, and what cannot be copied has to find out
// by itself, or nobody would.
bool may_probe(const permit_request& wanted, urgency how) noexcept {
    if (how != urgency::normal)
        return wanted.purpose == attempt_purpose::first || wanted.purpose == attempt_purpose::retry;
    return wanted.purpose == attempt_purpose::first && !wanted.spared;
}

endpoint_refusal refusal_of(const circuit_breaker::refusal& refused, bool of_model) noexcept {
    return {.why = endpoint_refusal::reason::circuit,
            .again = refused.again,
            .down_since = refused.down_since,
            .by_operator = refused.why == circuit_breaker::refusal::reason::held_open,
            .of_model = of_model};
}

// Whether a probe of the whole need not wait. Hardly ever asked: it costs one atomic load where nobody fails.
bool looks_early(const endpoint_policies& at, const permit_request& of, bool probe_allowed, bool taking,
                 steady_time now) {
    return probe_allowed && !at.models->none() && at.models->may_look_early(of.model, taking, now);
}

// The worse of the whole's word and the model's. `own`: the model's circuit, where it has one.
std::optional<endpoint_refusal> broken(const endpoint_policies& at, const permit_request& of,
                                       const std::shared_ptr<model_circuit>& own, bool probe_allowed, bool ramp_applies,
                                       double u, steady_time now) {
    const bool early = looks_early(at, of, probe_allowed, false, now);
    const auto whole = at.circuit->look(probe_allowed, ramp_applies, u, now, early);
    if (!own) return whole ? std::optional{refusal_of(*whole, false)} : std::nullopt;
    const auto model = own->breaker.look(probe_allowed, ramp_applies, u, now);
    if (!whole) return model ? std::optional{refusal_of(*model, true)} : std::nullopt;
    endpoint_refusal worse = refusal_of(*whole, false);
    if (model) worse.again = std::max(worse.again, model->again);
    return worse;
}

// One atomic load where no model has one.
std::shared_ptr<model_circuit> own_circuit_of(const endpoint_policies& at, const permit_request& of, steady_time now) {
    return at.models == nullptr || at.models->none() ? nullptr : at.models->of(of.model, now);
}

circuit_breaker::verdict circuit_verdict(const attempt_outcome& outcome) noexcept {
    switch (outcome.what.is) {
    case outcome_class::success: return circuit_breaker::verdict::success;
    case outcome_class::failure: return circuit_breaker::verdict::failure;
    case outcome_class::throttled:
        return outcome.what.kind == outcome_kind::overloaded ? circuit_breaker::verdict::overloaded
                                                             : circuit_breaker::verdict::neutral;
    case outcome_class::neutral: break;
    }
    return circuit_breaker::verdict::neutral;
}

overload_control::verdict load_verdict(const attempt_outcome& outcome) noexcept {
    switch (outcome.what.kind) {
    case outcome_kind::timeout: return overload_control::verdict::timeout;
    case outcome_kind::overloaded: return overload_control::verdict::overloaded;
    case outcome_kind::answered: return overload_control::verdict::success;
    case outcome_kind::caller_error:
    case outcome_kind::cancelled:
    case outcome_kind::credential:
    case outcome_kind::quota:
    case outcome_kind::rate_limited: return overload_control::verdict::neutral;
    default:
        return outcome.what.is == outcome_class::neutral ? overload_control::verdict::neutral
                                                         : overload_control::verdict::failure;
    }
}

// Whose request it is; not known where that would have to be seen from a body that is not all here.
std::optional<std::uint64_t> caller_of(const permit_request& of) {
    return of.caller ? of.caller->is : of.request->facts.caller();
}

// Who rests: whose credential the endpoint was shown (0: its own), and which model was asked for. Nobody, where the
// credential is not known: it might be another.
std::optional<cooldown::subject> shown_to(const endpoint_policies& at, const permit_request& of) {
    if (at.own_credential) return cooldown::subject{0, of.model};
    const auto caller = caller_of(of);
    if (!caller) return std::nullopt;
    return cooldown::subject{*caller, of.model};
}

// The rest an answer asks for, if it asks for one.
bool asks_for_rest(const attempt_outcome& outcome, const endpoint_policies& at, const permit_request& of,
                   steady_time now) {
    switch (outcome.what.kind) {
    case outcome_kind::rate_limited:
    case outcome_kind::overloaded:
    case outcome_kind::quota: return true;
    case outcome_kind::credential: break;
    default: return false;
    }
    if (!at.own_credential || outcome.over == refused_over::request) return false;
    if (outcome.over == refused_over::key) return true;
    const auto caller = caller_of(of);
    return caller && at.rest->refused_to_several(*caller, now);
}

// Of its upstream's credentials: none may be had.
credential_lanes::wish lane_wish(const permit_request& of, urgency how, const pace_wish* quota) noexcept {
    return {.model = of.model,
            .never = of.never,
            .rather_not = of.rather_not,
            .can_follow = of.can_follow,
            .pressed = how != urgency::normal,
            .waited = how == urgency::waited,
            .pace = quota};
}
// Empty: it is not paced there.
std::optional<pace_wish> pace_wish_of(const permit_request& of) noexcept {
    if (of.pace == nullptr || of.pace->key == 0) return std::nullopt;
    return pace_wish{of.pace->ask, of.pace->key, of.pace->name, of.pace->place, of.pace->may_stand};
}
const pace_wish* pointer_to(const std::optional<pace_wish>& wish) noexcept { return wish ? &*wish : nullptr; }
endpoint_refusal refusal_of(const paced_quota::delay& not_now, urgency how) noexcept {
    return {.why = endpoint_refusal::reason::pace,
            .again = not_now.again,
            .avoidable = not_now.in_vain && how == urgency::normal};
}
endpoint_refusal refusal_of(const credential_lanes::refusal& refused) noexcept {
    return {.why = refused.by_operator ? endpoint_refusal::reason::circuit
                   : refused.paced     ? endpoint_refusal::reason::pace
                                       : endpoint_refusal::reason::cooldown,
            .again = refused.again,
            .avoidable = refused.avoidable,
            .by_operator = refused.by_operator};
}
} // namespace

namespace {
telemetry::event_origin origin_of(const permit_request& wanted, telemetry::attempt_number attempt) noexcept {
    return {wanted.route, wanted.route->upstreams[wanted.at].get(), wanted.request->account.request_id, attempt};
}

// Its upstream has it no longer: for who has nowhere else to go it is better than nothing.
std::optional<endpoint_refusal> gone(const endpoint_policies& at, urgency how, steady_time now) noexcept {
    if (at.gone == nullptr || how != urgency::normal || !at.gone->load(std::memory_order_relaxed)) return std::nullopt;
    return endpoint_refusal{.why = endpoint_refusal::reason::cooldown, .again = now, .avoidable = true};
}

// Nobody rests, nearly always: then nobody needs to know who asks.
std::optional<endpoint_refusal> resting(const endpoint_policies& at, const permit_request& wanted, urgency how,
                                        steady_time now) {
    if (at.rest == nullptr || at.rest->nobody_rests(now)) return std::nullopt;
    const auto whom = shown_to(at, wanted);
    const auto rest = whom ? at.rest->resting(*whom, now) : std::nullopt;
    if (!rest || (rest->avoidable() && how != urgency::normal)) return std::nullopt;
    return endpoint_refusal{
        .why = endpoint_refusal::reason::cooldown, .again = rest->until, .avoidable = rest->avoidable()};
}

// Of a quota that is its upstream's; who is to wait for it stands in its line then.
std::optional<paced_quota::delay> take_part(pace& at, const pace_wish& wanted, urgency how, steady_time now,
                                            pace_pass& into) {
    const auto quota = at.of(wanted.key, wanted.name, now);
    if (!quota) return std::nullopt;
    pace_ask ask = wanted.ask;
    if (how == urgency::waited) ask.since = steady_time::min();
    if (const auto not_now = quota->take(ask, wanted.at, now, into.taken)) {
        if (wanted.may_stand) paced_quota::wait(quota, ask, wanted.at);
        return not_now;
    }
    into.of = quota;
    return std::nullopt;
}

// A request that has just come need not wait for room: whatever came before it had its turn. Nor need one that met a
// rate limit: an endpoint that says how much it takes is not kept from more by us, and has done nothing for it yet.
overload_control::priority hurry(const permit_request& wanted) noexcept {
    const bool comes_now = wanted.purpose == attempt_purpose::first && !wanted.held;
    return comes_now || (wanted.purpose == attempt_purpose::retry && wanted.refused)
               ? overload_control::priority::now
               : overload_control::priority::can_wait;
}

std::optional<endpoint_refusal> full(const endpoint_policies& at, const permit_request& wanted, std::size_t ahead,
                                     steady_time now) {
    if (at.load == nullptr || !at.load->limits(hurry(wanted))) return std::nullopt;
    const int room = at.load->room(at.latency->attempt_timeout(wanted.shape, now), now, hurry(wanted));
    if (room > 0 && ahead < static_cast<std::size_t>(room)) return std::nullopt;
    const bool elsewhere = wanted.purpose == attempt_purpose::retry || wanted.purpose == attempt_purpose::rescue;
    if (elsewhere && at.share != nullptr && at.load->room_at(*at.share, ahead, now)) return std::nullopt;
    if (wanted.moved && at.share != nullptr && at.load->takes_over(*at.share, now)) return std::nullopt;
    return endpoint_refusal{endpoint_refusal::reason::overload, at.load->ask_again(now)};
}
} // namespace

telemetry::event_origin endpoint_permit::origin() const noexcept {
    telemetry::event_origin from = origin_of(what_, attempt_);
    if (lane_) from.credential = &from.upstream->credentials[lane_.at()];
    return from;
}

endpoint_permit::endpoint_permit(endpoint_permit&& other) noexcept
    : what_(other.what_), observer_(other.observer_), attempt_(other.attempt_), circuit_(std::move(other.circuit_)),
      own_(std::move(other.own_)), pace_(std::move(other.pace_)), place_(std::move(other.place_)),
      lane_(std::move(other.lane_)), taken_(other.taken_), sent_(other.sent_), asked_(other.asked_),
      ended_(other.ended_), first_(other.first_), holds_(std::exchange(other.holds_, false)), learned_(other.learned_),
      answered_(other.answered_), balanced_(other.balanced_), overdue_(other.overdue_), unreached_(other.unreached_),
      too_slow_(other.too_slow_), model_alone_(other.model_alone_) {}

endpoint_permit::~endpoint_permit() {
    if (pace_ && sent_ == steady_time{}) pace_->pass.of->never_sent(pace_->pass.taken);
    if (!holds_ || balanced_ || what_.policies->balance == nullptr) return;
    what_.policies->balance->left(what_.at);
}

std::optional<endpoint_refusal> endpoint_permit::look(const permit_request& wanted, urgency how, std::size_t ahead,
                                                      double u, steady_time now) {
    const endpoint_policies& at = wanted.policies->endpoints[wanted.at];
    if (auto refused = gone(at, how, now)) return refused;
    if (at.circuit != nullptr) {
        if (auto refused = broken(at, wanted, own_circuit_of(at, wanted, now), may_probe(wanted, how),
                                  how == urgency::normal, u, now))
            return refused;
    }
    const auto paced = pace_wish_of(wanted);
    if (at.lanes != nullptr) {
        const pace_wish* const by_key = at.paced == nullptr ? pointer_to(paced) : nullptr;
        if (const auto none = at.lanes->look(lane_wish(wanted, how, by_key), u, now)) return refusal_of(*none);
    }
    if (how == urgency::waited) return std::nullopt;
    if (const auto refused = resting(at, wanted, how, now)) return refused;
    if (const auto refused = full(at, wanted, ahead, now)) return refused;
    const auto quota = paced && at.paced != nullptr ? at.paced->of(paced->key, paced->name, now) : nullptr;
    const auto not_now = quota ? quota->look(paced->ask, paced->at, now) : std::nullopt;
    return not_now ? std::optional{refusal_of(*not_now, how)} : std::nullopt;
}

std::string endpoint_permit::obstacle(const permit_request& wanted, steady_time now) {
    const endpoint_policies& at = wanted.policies->endpoints[wanted.at];
    const auto seconds = [&](steady_time until) { return fmt::format("{:.0f} s", std::ceil(in_seconds(until - now))); };
    if (at.circuit != nullptr) {
        const auto circuit = at.circuit->report({}, now);
        if (circuit.forced == circuit_state::open) return "its circuit is open by an operator's word";
        if (circuit.state == circuit_state::half_open) return "its circuit is half-open, and others probe it";
        if (circuit.state == circuit_state::open)
            return circuit.next_probe && *circuit.next_probe > now
                       ? "its circuit is open for another " + seconds(*circuit.next_probe)
                       : "its circuit is open";
        if (const auto own = own_circuit_of(at, wanted, now)) {
            const auto model = own->breaker.report({}, now);
            if (model.state == circuit_state::half_open)
                return "its circuit for this model is half-open, and others probe it";
            if (model.state == circuit_state::open)
                return model.next_probe && *model.next_probe > now
                           ? "its circuit for this model is open for another " + seconds(*model.next_probe)
                           : "its circuit for this model is open";
        }
    }
    if (at.lanes != nullptr) {
        const auto none = at.lanes->look(lane_wish(wanted, urgency::normal, nullptr), 0, now);
        if (none && none->by_operator) return "an operator keeps back its keys";
        if (none) return "each of its keys rests, the first for another " + seconds(none->again);
    }
    const auto whom = at.rest != nullptr ? shown_to(at, wanted) : std::nullopt;
    if (const auto rest = whom ? at.rest->resting(*whom, now) : std::nullopt) {
        const std::string_view why = rest->why == outcome_kind::credential   ? "its own key was refused"
                                     : rest->why == outcome_kind::quota      ? "a quota or the money was spent"
                                     : rest->why == outcome_kind::overloaded ? "it was overloaded"
                                                                             : "a rate limit was met";
        return fmt::format("it rests for another {}, since {}", seconds(rest->until), why);
    }
    if (full(at, wanted, 0, now)) return "it has no room for more requests at a time";
    return {};
}

std::optional<endpoint_refusal> endpoint_permit::take(const permit_request& wanted, urgency how, std::size_t ahead,
                                                      double u, steady_time now, telemetry::observer& observer,
                                                      endpoint_permit& into) {
    const endpoint_policies& at = wanted.policies->endpoints[wanted.at];
    if (auto refused = gone(at, how, now)) return refused;
    if (at.circuit != nullptr) {
        const bool probes = may_probe(wanted, how), ramps = how == urgency::normal;
        auto own = own_circuit_of(at, wanted, now);
        // Asked first: the whole's own probe is not for a model that is refused.
        if (own) {
            if (auto refused = broken(at, wanted, own, probes, ramps, u, now)) return refused;
        }
        const bool early = looks_early(at, wanted, probes, false, now);
        circuit_breaker::admission admitted = at.circuit->admit(probes, ramps, u, now, early);
        if (early && admitted.given.is_probe()) static_cast<void>(looks_early(at, wanted, probes, true, now));
        if (admitted.transition) observer.endpoint_changed(origin_of(wanted, 0), *admitted.transition);
        if (admitted.refused) return refusal_of(*admitted.refused, false);
        into.circuit_ = std::move(admitted.given);
        if (own) {
            circuit_breaker::admission of_model = own->breaker.admit(probes, ramps, u, now);
            if (of_model.transition)
                observer.endpoint_changed(origin_of(wanted, 0),
                                          telemetry::model_circuit_changed{*of_model.transition, told_name(*own)});
            if (of_model.refused) { // somebody was quicker
                into.circuit_ = {};
                return refusal_of(*of_model.refused, true);
            }
            into.own_ = std::make_unique<own_circuit>(own_circuit{std::move(own), std::move(of_model.given)});
        }
    }
    // A probe finds out whether the endpoint is there again: nothing else is asked. It is there for one of a model.
    if (how != urgency::waited && !into.circuit_.is_probe()) {
        auto refused = resting(at, wanted, how, now);
        if (!refused) refused = full(at, wanted, ahead, now);
        if (refused) {
            into.circuit_ = {};
            into.own_.reset();
            return refused;
        }
    }
    const auto paced = pace_wish_of(wanted);
    const urgency pressed = into.circuit_.is_probe() ? urgency::waited : how;
    pace_pass pass;
    if (at.lanes != nullptr) {
        const auto wish = lane_wish(wanted, pressed, at.paced == nullptr ? pointer_to(paced) : nullptr);
        if (const auto none = at.lanes->take(wish, u, now, into.lane_, pass)) {
            into.circuit_ = {};
            into.own_.reset();
            return refusal_of(*none);
        }
    }
    if (paced && at.paced != nullptr) {
        if (const auto not_now = take_part(*at.paced, *paced, pressed, now, pass)) {
            into.circuit_ = {};
            into.own_.reset();
            into.lane_ = {};
            return refusal_of(*not_now, how);
        }
    }
    if (pass.of) into.pace_ = std::make_unique<paced_part>(paced_part{std::move(pass), wanted.pace->bytes});
    if (at.load != nullptr) into.place_ = at.load->enter(now, hurry(wanted), at.share);
    if (wanted.policies->balance != nullptr) wanted.policies->balance->started(wanted.at);
    into.what_ = wanted;
    into.what_.pace = nullptr;
    into.observer_ = &observer;
    into.taken_ = now;
    into.holds_ = true;
    return std::nullopt;
}

void endpoint_permit::sent(steady_time now) noexcept {
    if (!holds_) return;
    if (sent_ == steady_time{}) { // a stale connection that was replaced keeps its place
        if (circuit_) circuit_.sent(now);
        if (own_) own_->permit.sent(now);
    }
    sent_ = now;
}

duration endpoint_permit::idle_allowance(duration configured, steady_time now) const noexcept {
    return holds_ ? endpoint().latency->widened_idle(configured, now) : configured;
}

void endpoint_permit::paused(duration gap, steady_time now) noexcept {
    if (holds_) endpoint().latency->note_gap(gap, now);
}

void endpoint_permit::answers(steady_time now) noexcept {
    if (!holds_ || answered_) return;
    answered_ = true;
    first_ = now - since();
    weigh(first_, now);
    if (circuit_ && !endpoint().models->none()) {
        if (auto circuit = endpoint().models->answered(what_.model, sent_, now); circuit && !own_) own(circuit, now);
    }
    tell_circuit(circuit_breaker::verdict::success, failing::as_asked, false, unlucky, now);
    cooldown* const rest = endpoint().rest;
    if (rest == nullptr) return;
    if (lane_ && endpoint().lanes->answered(lane_.at(), what_.model, sent_, now))
        observer_->endpoint_changed(origin(), telemetry::rest_ended{});
    if (!rest->idle(now)) {
        const auto whom = shown_to(endpoint(), what_);
        if (whom && rest->succeeded(*whom, sent_, now)) observer_->endpoint_changed(origin(), telemetry::rest_ended{});
    }
    rest->accepted();
}

void endpoint_permit::committed() {
    if (!holds_) return;
    const auto& all = what_.policies->endpoints;
    if (std::any_of(all.begin(), all.end(), [](const auto& at) { return at.rest != nullptr && !at.own_credential; }))
        what_.caller = permit_request::known_caller{caller_of(what_)};
}

void endpoint_permit::hear(const wire::response_head& head, wall_time wall, steady_time now) {
    const quota_fields said = wire::read_rate_limits(head, wall);
    pace_->pass.told = said.any();
    pace_->pass.of->told(pace_->pass.taken, said, now);
    if (head.status < 400) pace_->pass.of->let_in(pace_->pass.taken, now);
}

// Estimates are no news.
void endpoint_permit::settle(const telemetry::token_count& tokens) noexcept {
    using enum telemetry::token_kind;
    if (pace_->settled || !tokens.any() || tokens.input_estimated || tokens.output_estimated) return;
    pace_->settled = true;
    const token_estimates::tokens took{static_cast<double>(tokens.at(input)) + tokens.at(cached_read) +
                                           tokens.at(cached_write),
                                       static_cast<double>(tokens.at(output)) + tokens.at(reasoning)};
    pace_->pass.of->settle(pace_->pass.taken, took);
    if (what_.policies->tokens != nullptr) what_.policies->tokens->learn(what_.model, pace_->bytes, took);
}

void endpoint_permit::took(steady_time now) noexcept {
    if (!holds_ || learned_) return;
    learned_ = true;
    endpoint().latency->record(what_.shape, now - since(), latency_sample::answered, false, now, !too_slow_);
}

void endpoint_permit::finished(steady_time now) noexcept {
    if (!holds_ || ended_ != steady_time{}) return;
    ended_ = now;
    served(overload_control::verdict::success, now);
    balanced(balancer::ending::answered, now);
}

void endpoint_permit::failed(const attempt_outcome& outcome, double u, steady_time now) noexcept {
    if (!holds_) return;
    ended_ = now;
    const failing where = sent_ == steady_time{} || outcome.what.kind == outcome_kind::connect_failure
                              ? failing::on_the_way
                              : failing::as_asked;
    const bool silent = outcome.what.kind == outcome_kind::timeout && sent_ != steady_time{};
    unreached_ = sent_ == steady_time{};
    if (unreached_ && pace_) pace_->pass.of->never_sent(pace_->pass.taken);
    if (unreached_) sent(now); // it could not even be sent
    if (silent && !learned_) {
        learned_ = true;
        endpoint().latency->record(what_.shape, now - since(), latency_sample::cut_off, true, now);
    }
    if (silent) doubt(sent_, where, now);
    if (pace_ && outcome.what.kind == outcome_kind::rate_limited) [[unlikely]]
        pace_->pass.of->limited(pace_->pass.taken, pace_->pass.told, now);
    tell_circuit(circuit_verdict(outcome), where, outcome.what.kind == outcome_kind::timeout, u, now);
    served(load_verdict(outcome), now);
    const bool not_its_fault = outcome.what.is == outcome_class::success || model_alone_;
    balanced(not_its_fault ? balancer::ending::refused : balancer::ending::failed, now);
    if (endpoint().rest == nullptr) return;
    if (lane_ && is_of_credential(outcome.what.kind)) return lane_refused(outcome, u, now);
    if (!asks_for_rest(outcome, endpoint(), what_, now)) return;
    const auto whom = shown_to(endpoint(), what_);
    if (!whom) return;
    const steady_time until = endpoint().rest->throttled(*whom, outcome.what.kind, outcome.retry_after, u, now);
    if (until > now) observer_->endpoint_changed(origin(), telemetry::rest_began{outcome.what.kind, until - now});
}

// What the answer says of the key that it was shown: nothing of the endpoint, nor of the other keys.
void endpoint_permit::lane_refused(const attempt_outcome& outcome, double u, steady_time now) noexcept {
    const credential_lanes& lanes = *endpoint().lanes;
    if (outcome.what.kind == outcome_kind::credential && outcome.over != refused_over::key) {
        const auto caller = outcome.over == refused_over::unknown ? caller_of(what_) : std::nullopt;
        if (!caller || !lanes.refused_to_several(lane_.at(), *caller, now)) return;
    }
    const steady_time until = lanes.refused(lane_.at(), what_.model, outcome.what.kind, outcome.retry_after, u, now);
    if (until > now) observer_->endpoint_changed(origin(), telemetry::rest_began{outcome.what.kind, until - now});
}

void endpoint_permit::not_reached(steady_time now) noexcept {
    if (holds_ && now - taken_ >= connect_silence)
        doubt(taken_, failing::on_the_way, now, endpoint_doubt::silence::no_way);
}

void endpoint_permit::silent_so_far(bool mute, steady_time now) noexcept {
    if (holds_ && mute && !answered_ && sent_ != steady_time{})
        doubt(sent_, failing::as_asked, now, endpoint_doubt::silence::so_far);
}

// Only where there is another endpoint to turn to: a lone one that is slow is still all there is.
void endpoint_permit::overdue(bool mute, double u, steady_time now) noexcept {
    if (!holds_ || overdue_ || answered_ || sent_ == steady_time{}) return;
    if (mute) doubt(sent_, failing::as_asked, now, endpoint_doubt::silence::so_far);
    if (alone(now)) return;
    overdue_ = true;
    tell_circuit(circuit_breaker::verdict::failure, failing::as_asked, true, u, now);
}

// Whether having been silent for so long, without a byte, says something of the endpoint: longer than twice what is
// usual. Where nothing is known a little is enough to ask another one first, which costs nothing; for its circuit it
// has to be as long as a rescue waits.
bool endpoint_permit::is_evidence(cancel_cause why, duration silent, bool for_circuit, steady_time now) const noexcept {
    // Whoever told how long it waits has waited, and who was answered elsewhere knows; who leaves may have other
    // reasons.
    const bool known = why == cancel_cause::deadline || (why == cancel_cause::overtaken && !for_circuit);
    const double usual_times = known ? still_usual : no_longer_usual;
    constexpr duration worth_another_order = std::chrono::seconds{2};
    if (const auto usual = endpoint().latency->usual(what_.shape, now)) return silent >= scaled(*usual, usual_times);
    const bool is_first = what_.purpose == attempt_purpose::first; // what was launched later had less time
    return silent >=
           (for_circuit || !is_first ? rescue_delay({}, std::nullopt, what_.shape.stream) : worth_another_order);
}

void endpoint_permit::doubt(steady_time sent, failing where, steady_time now, endpoint_doubt::silence how) noexcept {
    const std::uint64_t model = where == failing::as_asked ? what_.model : 0;
    const auto changed = endpoint().doubt->silent(
        model, sent, [this] { return model_name(); }, now, how);
    model_alone_ = changed.model_alone;
    tell(changed, true);
}

void endpoint_permit::tell(const model_doubts::change& changed, bool doubted) noexcept {
    if (changed.whole) observer_->endpoint_changed(origin(), telemetry::doubt_changed{doubted});
    for (const auto& one : changed.begun)
        observer_->endpoint_changed(origin(), telemetry::doubt_changed{.doubted = true, .model = told_name(*one)});
    for (const auto& one : changed.ended)
        observer_->endpoint_changed(origin(), telemetry::doubt_changed{.doubted = false, .model = told_name(*one)});
}

// As its upstream is asked for it, if that is told anywhere.
std::string endpoint_permit::model_name() const {
    const std::string& asked = what_.request->account.model;
    const std::string* const renamed = config::rename_of(*what_.route->upstreams[what_.at], asked);
    const std::string& name = renamed != nullptr ? *renamed : asked;
    constexpr std::size_t most = 128; // bytes
    return name.empty() ? fmt::format("#{:016x}", what_.model) : name.substr(0, most);
}

// An answer that took ten times as long as another endpoint's begins a doubt. It ends one if it came as soon as is
// usual here, or there; what has always been slower than the other need not become as fast.
void endpoint_permit::weigh(duration took, steady_time now) noexcept {
    const bool doubted = endpoint().doubt->doubted(what_.model, now);
    std::optional<duration> other; // the quickest that may be asked instead
    bool another = false;
    const auto& all = what_.policies->endpoints;
    for (endpoint_index i = 0; i < all.size() && took >= shortest_slow; ++i) {
        if (i == what_.at || !what_.policies->in_shard(what_.shard, i) || all[i].doubt->doubted(what_.model, now))
            continue;
        another = true;
        const auto usual = all[i].latency->usual(what_.shape, now);
        if (usual && (!other || *usual < *other)) other = usual;
    }
    const auto slower = [&](double times) { return other && took >= scaled(*other, times); };
    if (!doubted) {
        too_slow_ = slower(times_slower);
    } else if (another) { // what is all there is sets what is usual, however slow it has become
        const auto own = endpoint().latency->usual(what_.shape, now);
        const bool as_usual = own && took <= rescue_delay({}, own, what_.shape.stream);
        // No way back on the verge of the next doubt.
        too_slow_ = slower(times_slower * 0.7) || (!as_usual && (other ? slower(times_slower / 3) : own.has_value()));
    }
    tell(endpoint().doubt->answered(
             what_.model, sent_, !too_slow_, [this] { return model_name(); }, now),
         too_slow_);
}

// It lives, and has not said anything for as long as nobody waits for who is silent. That is as good as an answer that
// took so long: once it may be the request's own doing.
bool endpoint_permit::says_nothing(cancel_cause why, duration waited, steady_time now) const noexcept {
    if (answered_ || why == cancel_cause::lost) return false;
    const auto usual = endpoint().latency->usual(what_.shape, now);
    return usual && waited >= rescue_delay({}, usual, what_.shape.stream) &&
           (why == cancel_cause::overtaken || !alone(now));
}

// A loser is evidence of nothing but its own slowness; so is whoever was stopped with the request, unless it had been
// silent for longer than an attempt may be, or than is usual by far.
void endpoint_permit::cancelled(cancel_cause why, heard what, double u, steady_time now) noexcept {
    const bool mute = what == heard::nothing;
    if (!holds_ || ended_ != steady_time{}) return; // what has ended by itself is not cut off when its flight ends
    ended_ = now;
    if (sent_ == steady_time{}) { // it never got a connection
        if (!mute) return;        // it stood in our own line
        if (why == cancel_cause::overtaken) not_reached(now);
        if (why == cancel_cause::attempt_timeout) {
            doubt(taken_, failing::on_the_way, now, endpoint_doubt::silence::no_way);
            unreached_ = true;
            sent(now);
            tell_circuit(circuit_breaker::verdict::failure, failing::on_the_way, true, u, now);
        }
        return;
    }
    const bool silent = mute && !answered_ && why != cancel_cause::lost;
    const duration waited = now - since();
    const bool shows = why == cancel_cause::overtaken || why == cancel_cause::attempt_timeout;
    if (silent && is_evidence(why, waited, false, now))
        doubt(sent_, failing::as_asked, now,
              shows ? endpoint_doubt::silence::given_up : endpoint_doubt::silence::so_far);
    if (what == heard::signs_of_life && says_nothing(why, waited, now))
        tell(endpoint().doubt->answered(
                 what_.model, sent_, false, [this] { return model_name(); }, now),
             true);
    const bool lost = why == cancel_cause::lost || why == cancel_cause::overtaken;
    const auto within = limit(now);
    const bool overdue = why == cancel_cause::attempt_timeout || (!lost && mute && within && waited >= *within) ||
                         (silent && is_evidence(why, waited, true, now) && !alone(now));
    if (!learned_) {
        learned_ = true;
        const auto kind = why == cancel_cause::client_gone ? latency_sample::abandoned : latency_sample::cut_off;
        endpoint().latency->record(what_.shape, waited, kind, why == cancel_cause::attempt_timeout, now);
    }
    if (answered_) { // the client left in mid-answer
        served(overload_control::verdict::success, now);
        balanced(balancer::ending::answered, now);
        return;
    }
    tell_circuit(overdue ? circuit_breaker::verdict::failure : circuit_breaker::verdict::neutral, failing::as_asked,
                 overdue, u, now);
    served(overdue ? overload_control::verdict::timeout : overload_control::verdict::neutral, now);
    balanced(!overdue       ? balancer::ending::cut_off
             : model_alone_ ? balancer::ending::refused
                            : balancer::ending::failed,
             now);
}

std::optional<duration> endpoint_permit::limit(steady_time now) const noexcept {
    if (what_.route->timeout.attempt) return what_.route->timeout.attempt;
    if (!what_.route->timeout.learn_attempt) return std::nullopt;
    return endpoint().latency->attempt_timeout(what_.shape, now);
}

// Whether another endpoint is up, not whether it has room just now: room comes and goes, and is the route's, not the
// endpoint's.
bool endpoint_permit::alone(steady_time now) const noexcept {
    for (endpoint_index i = 0; i < what_.policies->endpoints.size(); ++i) {
        if (i == what_.at || !what_.policies->in_shard(what_.shard, i)) continue;
        const endpoint_policies& other = what_.policies->endpoints[i];
        if (gone(other, urgency::normal, now)) continue;
        if (other.circuit != nullptr && other.circuit == endpoint().circuit) continue; // it goes down with this one
        if (other.circuit != nullptr && broken(other, what_, own_circuit_of(other, what_, now), false, false, 0, now))
            continue;
        if (other.lanes != nullptr && !other.lanes->any_free(what_.model, {}, now)) continue;
        if (!resting(other, what_, urgency::normal, now)) return false;
    }
    return true;
}

// To the model's own circuit as well, and to it alone where it alone is to blame.
void endpoint_permit::tell_circuit(circuit_breaker::verdict verdict, failing where, bool timed_out, double u,
                                   steady_time now) noexcept {
    if (!circuit_) return;
    circuit_breaker::facts known;
    known.timed_out = timed_out;
    known.unreached = unreached_;
    circuit_breaker::verdict to_whole = verdict, to_own = verdict;
    if (verdict == circuit_breaker::verdict::failure || verdict == circuit_breaker::verdict::overloaded) {
        known.alone = alone(now);
        known.usual_p95 = endpoint().latency->quantile(what_.shape, 0.95, now);
        if (where == failing::as_asked) {
            auto blame = endpoint().models->failed(
                what_.model, sent_, [this] { return model_name(); }, now);
            model_alone_ = !blame.whole;
            if (!blame.whole) to_whole = circuit_breaker::verdict::neutral;
            known.only_counts = !blame.model;
            if (blame.own && (!own_ || own_->of != blame.own)) own(std::move(blame.own), now);
        } else {
            to_own = circuit_breaker::verdict::neutral;
        }
    }
    tell_own(to_own, known, u, now);
    known.only_counts = false;
    tell(circuit_.give_verdict(to_whole, known, u, now), now);
}

void endpoint_permit::tell_own(circuit_breaker::verdict verdict, const circuit_breaker::facts& known, double u,
                               steady_time now) noexcept {
    if (!own_) return;
    if (const auto moved = own_->permit.give_verdict(verdict, known, u, now))
        observer_->endpoint_changed(origin(), telemetry::model_circuit_changed{*moved, told_name(*own_->of)});
}

// A circuit that its model has got since the attempt began. While that lets nobody through it hears of nobody.
void endpoint_permit::own(std::shared_ptr<model_circuit> circuit, steady_time now) noexcept {
    circuit_breaker::admission admitted = circuit->breaker.admit(false, false, 0, now);
    if (admitted.refused) return;
    own_ = std::make_unique<own_circuit>(own_circuit{std::move(circuit), std::move(admitted.given)});
    own_->permit.sent(sent_ == steady_time{} ? now : sent_);
}

void endpoint_permit::tell(const std::optional<circuit_transition>& moved, steady_time now) noexcept {
    if (!moved) return;
    if (endpoint().load != nullptr) {
        if (moved->to == circuit_state::open && moved->from == circuit_state::closed)
            endpoint().load->circuit_opened(now);
        if (moved->to == circuit_state::closed) endpoint().load->circuit_closed(what_.route->circuit_breaker.ramp, now);
    }
    observer_->endpoint_changed(origin(), *moved);
}

void endpoint_permit::served(overload_control::verdict verdict, steady_time now) noexcept {
    if (endpoint().load == nullptr) return;
    const bool changed = place_.end(verdict, now - (sent_ == steady_time{} ? now : sent_), now);
    if (changed && what_.route->overload.on)
        observer_->endpoint_changed(origin(), telemetry::overload_changed{endpoint().load->overload_active(now)});
}

void endpoint_permit::balanced(balancer::ending how, steady_time now) noexcept {
    if (balanced_ || what_.policies->balance == nullptr) return;
    balanced_ = true;
    what_.policies->balance->ended(what_.at, how, answered_ ? first_ : now - (sent_ == steady_time{} ? now : sent_),
                                   now);
}

} // namespace evenkeel::request

// What a flight's plan asks about the world.

#include "proxy/flight/flight.hpp"

#include "config/renames.hpp"
#include "policies/hash64.hpp"
#include "proxy/flight/probe_beside.hpp"

#include <algorithm>

namespace evenkeel::request {

double flight::draw() { return services_.draw(); }
bool flight::wants_stream() {
    return request_.facts.wants_stream() || (route_.stream.upcast && upcasts(first_at_.value_or(0)));
}
bool flight::unsent(attempt_id id) { return find(id) == nullptr || find(id)->made->unsent(); }
bool flight::connecting(attempt_id id) { return unsent(id) && (find(id) == nullptr || !find(id)->made->queued()); }

steady_time flight::last_moved(attempt_id id, steady_time now) {
    const flying* const one = find(id);
    return one == nullptr ? now : one->made->last_moved(now);
}

steady_time flight::last_asked(attempt_id id, steady_time now) {
    const flying* const one = find(id);
    return one == nullptr ? now : one->made->last_asked(now);
}

bool flight::pay_rescue(endpoint_index silent, steady_time) { return policies_.endpoints[silent].rescues->take(); }
void flight::refund_rescue(endpoint_index silent) { policies_.endpoints[silent].rescues->give_back(); }

bool flight::takes_over(endpoint_index from, endpoint_index to) {
    const request_shape& shape = request_.facts.shape();
    return from != to && policies_.endpoints[from].doubt->silent(model_asked(from, shape), now_) &&
           !policies_.endpoints[to].doubt->doubted(model_asked(to, shape), now_);
}

// Of what reads or computes only, whatever else may be sent twice: a copy comes late, and again and again. A PUT would
// undo a newer one, and who says `replay: always` means what was not answered. A copy of a copy tells nothing new.
bool flight::is_copyable() {
    if (errand_.only || errand_.earlier != nullptr || !may_copy(request_)) return false;
    if (route_.retry.replay == replay_mode::never) return false;
    const wire::request_head& head = *request_.came.head;
    return head.is_get() || head.is_head() || request_.facts.only_computes(aim(0).called);
}

// A doubt that no copy can look into ends by itself after a while.
bool flight::stays_doubted(endpoint_index at, steady_time now) {
    model_doubts& doubt = *policies_.endpoints[at].doubt;
    if (!doubt.whole().doubted() && doubt.none_of_models()) return false;
    const std::uint64_t model = model_asked(at, request_.facts.shape());
    if (!doubt.doubted(model, now)) return false;
    doubt.passed(model, now);
    // Of a body that is still coming nobody knows yet whether it will be small enough.
    const bool can_look = request_.body.complete() && is_copyable();
    if (can_look || doubt.probed(model)) return true;
    const auto changed = doubt.lapse(model, now);
    const telemetry::event_origin of{
        .route = &route_, .upstream = route_.upstreams[at].get(), .request_id = request_.came.id};
    if (changed.whole) services_.observer.endpoint_changed(of, telemetry::doubt_changed{false, true});
    for (const auto& one : changed.ended)
        services_.observer.endpoint_changed(
            of, telemetry::doubt_changed{.doubted = false, .lapsed = true, .model = told_name(*one)});
    for (const auto& one : changed.begun)
        services_.observer.endpoint_changed(of, telemetry::doubt_changed{.doubted = true, .model = told_name(*one)});
    return doubt.doubted(model, now);
}

bool flight::wants_prober(endpoint_index at) {
    const endpoint_policies& sick = policies_.endpoints[at];
    if (errand_.only || errand_.earlier != nullptr) return false; // it came to this by a request that has looked
    const bool away = sick.circuit != nullptr && sick.circuit->unreached();
    model_doubts& doubt = *sick.doubt;
    if (!away && !doubt.whole().doubted() && doubt.none_of_models()) return false;
    const std::uint64_t model = model_asked(at, request_.facts.shape());
    if (!(away || doubt.doubted(model, now_)) || doubt.probed(model)) return false;
    return !doubt.connecting() || wants_copy(at);
}

bool flight::wants_copy(endpoint_index at) {
    model_doubts& doubt = *policies_.endpoints[at].doubt;
    if (!doubt.whole().doubted() && doubt.none_of_models()) return false;
    const std::uint64_t model = model_asked(at, request_.facts.shape());
    return doubt.doubted(model, now_) && doubt.may_begin_probing(model) && is_copyable();
}

// What is kept by model goes by the name that the upstream is asked for.
std::uint64_t flight::model_asked(endpoint_index at, const request_shape& shape) {
    const config::upstream& upstream = *route_.upstreams[at];
    if (upstream.models.empty()) return shape.model;
    if (!model_asked_ || model_asked_->at != at || model_asked_->as != shape.model) {
        const std::string name = model_at(upstream);
        model_asked_ = {at, shape.model, name.empty() ? shape.model : model_hash(name)};
    }
    return model_asked_->is;
}

std::optional<duration> flight::usual(endpoint_index at, steady_time now) {
    return policies_.endpoints[at].latency->usual(sent_as_, now);
}

bool flight::repeatable(endpoint_index at) {
    if (!request_.body.replayable()) return false;
    switch (route_.retry.replay) {
    case replay_mode::always: return true;
    case replay_mode::never: return false;
    case replay_mode::automatic: break;
    }
    return aim(at).may_repeat;
}

bool flight::held(endpoint_index) { return request_.body.replayable() && route_.retry.replay != replay_mode::never; }

bool flight::same_upstream(endpoint_index one, endpoint_index other) {
    return one == other || route_.upstreams[one]->name == route_.upstreams[other]->name;
}

std::span<const endpoint_index> flight::order(steady_time now) {
    if (order_.empty()) { // once a request: which endpoints it prefers does not change under it
        for (endpoint_index at = 0; at < route_.upstreams.size(); ++at) {
            if (errand_.only ? at == *errand_.only : policies_.in_shard(shard_, at)) order_.push_back(at);
        }
        if (policies_.balance != nullptr)
            policies_.balance->order({order_.data(), order_.size()}, services_.draw(), services_.draw(), now);
        if (!order_.empty()) first_choice_ = order_.front();
        if (order_.size() > 1) {
            std::stable_partition(order_.begin(), order_.end(),
                                  [&](endpoint_index at) { return !stays_doubted(at, now); });
        }
    }
    return {order_.data(), order_.size()};
}

request_shape flight::shape(endpoint_index at) {
    request_shape shape = request_.facts.shape();
    shape.stream = shape.stream || (route_.stream.upcast && upcasts(at));
    return shape;
}

// A limited one may be asked again later; one that is not accepted says the same to the end of this request.
void flight::note_refused(const flying& one, const attempt_outcome& outcome) {
    const credential_lanes* const of = policies_.endpoints[one.at].lanes;
    auto known = std::find_if(refused_.begin(), refused_.end(), [&](const auto& each) { return each.of == of; });
    if (known == refused_.end()) known = refused_.insert(refused_.end(), {of});
    (needs_another_credential(outcome.what.kind) ? known->for_good : known->limited).add(one.made->credential());
}

const flight::refused_credentials* flight::refused_by(endpoint_index at) const noexcept {
    const auto known = std::find_if(refused_.begin(), refused_.end(),
                                    [&](const auto& each) { return each.of == policies_.endpoints[at].lanes; });
    return known == refused_.end() ? nullptr : &*known;
}

bool flight::another_credential(endpoint_index at, steady_time now) {
    const credential_lanes* const lanes = policies_.endpoints[at].lanes;
    if (lanes == nullptr) return false;
    const refused_credentials* const told = refused_by(at);
    const lane_set refused = told != nullptr ? told->for_good | told->limited : lane_set{};
    return lanes->any_free(model_asked(at, sent_as_), refused, now);
}

// What is sent beside an attempt that is silent there had better not have its credential, which may be why.
void flight::fill_credentials(permit_request& wanted) {
    if (const refused_credentials* const told = refused_by(wanted.at)) {
        wanted.never = told->for_good;
        wanted.rather_not = told->limited;
    }
    for (const flying& one : attempts_) {
        if (!one.over && one.at == wanted.at && one.made->credential() != no_lane)
            wanted.rather_not.add(one.made->credential());
    }
    wanted.can_follow = !errand_.only && plan_.attempts() < route_.retry.max_retries && held(wanted.at);
}

// It takes the place of an attempt at an endpoint that hangs: of one that is silent there, or that has failed there.
bool flight::takes_a_place(endpoint_index at, attempt_purpose what) {
    if (what != attempt_purpose::rescue && what != attempt_purpose::retry) return false;
    return std::any_of(attempts_.begin(), attempts_.end(), [&](const flying& one) {
        return (what == attempt_purpose::retry || !one.over) && takes_over(one.at, at);
    });
}

permit_request flight::permit_request_for(endpoint_index at, attempt_purpose what, const request_shape& shape) {
    const std::uint64_t model = model_asked(at, shape);
    permit_request wanted{.route = &route_,
                          .policies = &policies_,
                          .at = at,
                          .purpose = what,
                          .shape = shape,
                          .model = model,
                          .held = was_held(),
                          .refused = last_failure_ && last_failure_->what.kind == outcome_kind::rate_limited,
                          .spared =
                              order_.size() > 1 && policies_.endpoints[at].doubt->doubted(model, now_) && is_copyable(),
                          .moved = takes_a_place(at, what),
                          .shard = shard_,
                          .request = &request_};
    if (policies_.endpoints[at].lanes != nullptr) fill_credentials(wanted);
    if (policies_.endpoints[at].paces) [[unlikely]]
        wanted.pace = paced_at(at, what, model);
    return wanted;
}

std::uint64_t flight::body_size() {
    const wire::body_framing& framing = request_.body.framing();
    if (framing.kind == wire::body_kind::length) return framing.length;
    return request_.body.whole() ? request_.body.text().size() : 0;
}

// A quota of a caller's own is one of each caller; of one who cannot be told from others, none.
paced_request* flight::paced_at(endpoint_index at, attempt_purpose what, std::uint64_t model) {
    std::uint64_t whose = 0;
    if (!policies_.endpoints[at].own_credential) {
        const auto caller = request_.facts.caller();
        if (!caller) return nullptr;
        whose = *caller;
    }
    paced_request& asks = *pace_;
    asks.key = std::max<std::uint64_t>(mix64(model ^ mix64(whose)), 1);
    const std::string* const renamed = config::rename_of(*route_.upstreams[at], request_.account.model);
    asks.name = renamed != nullptr ? *renamed : request_.account.model;
    asks.bytes = body_size();
    const wire::call* const sent = called();
    const bool takes = sent != nullptr && sent->tokens != wire::token_use::none;
    asks.ask.tokens = takes ? policies_.tokens->of(model, asks.bytes) : token_estimates::tokens{};
    asks.may_stand = what == attempt_purpose::first || what == attempt_purpose::retry;
    if (!asks.may_stand) asks.ask.since = now_; // what is sent beside another one has not waited
    return &asks;
}

// Through an outage, or a part of it: its upstream would never have had it without us. Who came while the probes that
// ended the outage were under way has not: it goes as whoever comes a moment later does, not behind all who were held.
bool flight::was_held() const noexcept {
    return ticket_ && (plan_.attempts() > 0 || now_ - waiting_since_ >= route_.overload.max_wait);
}

// Who has an attempt in flight stands in no line: a hedge, or what is to take the place of a silent attempt, asks now
// and then. Nor does a request that has just come: overload_control keeps room for those, and who waits is late
// already.
std::size_t flight::ahead(endpoint_index at) const noexcept {
    const bool in_flight = std::any_of(attempts_.begin(), attempts_.end(), [](const flying& one) { return !one.over; });
    if (in_flight || policies_.endpoints[at].load == nullptr || !was_held()) return 0;
    return policies_.line->ahead_of(ticket_);
}

std::optional<endpoint_refusal> flight::look(endpoint_index at, attempt_purpose what, urgency how, steady_time now) {
    // While an attempt is silent this is asked again and again: what is read of the body anew would be copied each
    // time.
    const bool beside = what == attempt_purpose::rescue;
    const auto refused = endpoint_permit::look(permit_request_for(at, what, beside ? sent_as_ : shape(at)), how,
                                               ahead(at), services_.draw(), now);
    note_pace(at, what, refused);
    return refused;
}

admission flight::admit(endpoint_index at, attempt_purpose what, urgency how, steady_time now) {
    sent_as_ = shape(at);
    auto refused = endpoint_permit::take(permit_request_for(at, what, sent_as_), how, ahead(at), services_.draw(), now,
                                         services_.observer, set_aside_);
    note_pace(at, what, refused);
    if (refused) return {0, refused};
    return {++permit_given_, {}};
}

bool flight::overload_active(endpoint_index at, steady_time now) {
    overload_control* const load = route_.overload.on ? policies_.endpoints[at].load : nullptr;
    return load != nullptr && load->overload_active(now);
}

bool flight::begin_waiting(steady_time now) {
    ticket_ = policies_.line->join(deadline_, static_cast<std::size_t>(route_.circuit_breaker.hold_queue));
    waiting_since_ = now;
    return ticket_.has_value();
}

double flight::cost(endpoint_index at, duration took, bool effortless, steady_time now) {
    return policies_.endpoints[at].budget->cost(took, effortless, now);
}

bool flight::reserve(endpoint_index at, double work, steady_time now) {
    return policies_.endpoints[at].budget->reserve(work, now);
}

void flight::refund(endpoint_index at, double work, steady_time now) {
    policies_.endpoints[at].budget->refund(work, now);
}

bool flight::reserve_hedge(endpoint_index at, steady_time now) {
    return policies_.endpoints[at].budget->reserve_hedge(now);
}

void flight::settle_hedge(endpoint_index at, duration loser_took, steady_time now) {
    work_budget& budget = *policies_.endpoints[at].budget;
    budget.settle(1, budget.cost(loser_took, false, now), now);
}

std::optional<duration> flight::attempt_timeout(endpoint_index at, steady_time now) {
    return policies_.endpoints[at].latency->attempt_timeout(shape(at), now);
}

std::optional<duration> flight::hedge_delay(endpoint_index at, steady_time now) {
    return policies_.endpoints[at].latency->hedge_delay(shape(at), route_.hedge, now);
}

duration flight::quickest(endpoint_index at, steady_time now) {
    return policies_.endpoints[at].latency->quantile(shape(at), 0.05, now).value_or(duration::zero());
}

hedge_refusal flight::hedge_wanted(steady_time now) {
    return policies_.guard != nullptr ? policies_.guard->wanted(route_.hedge, now) : hedge_refusal::none;
}

} // namespace evenkeel::request

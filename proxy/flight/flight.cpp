#include "proxy/flight/flight.hpp"

#include "config/prices.hpp"
#include "config/renames.hpp"
#include "policies/assert.hpp"
#include "proxy/attempt/inject_fault.hpp"
#include "proxy/flight/probe_beside.hpp"
#include "proxy/flight/resumed_body.hpp"
#include "proxy/message/local_answer.hpp"
#include "proxy/reading/credentials.hpp"
#include "proxy/reading/outgoing.hpp"
#include "proxy/reading/principal.hpp"
#include "proxy/reading/repeatable.hpp"
#include "proxy/reading/router.hpp"
#include "proxy/state/shard_of.hpp"
#include "proxy/wire/json_model.hpp"
#include "proxy/wire/model_place.hpp"
#include "proxy/wire/usage_request.hpp"

#include <algorithm>
#include <functional>
#include <utility>
#include <variant>

namespace evenkeel::request {

namespace {
namespace happened = telemetry::happened;

constexpr endpoint_index nowhere = most_endpoints;          // what is told of no endpoint in particular
constexpr duration longest_hold = std::chrono::seconds{60}; // `hold_max: auto`; the deadline bounds it as well
constexpr duration fallback_hold = std::chrono::seconds{2}; // ... where a fallback answers in its place

bool is_googles_array(wire::dialect dialect, const wire::call* called, std::string_view target) noexcept {
    return dialect == wire::dialect::gemini && called != nullptr && called->streams &&
           target.find("alt=sse") == std::string_view::npos;
}

telemetry::attempt_kind kind_of(attempt_purpose purpose) noexcept {
    switch (purpose) {
    case attempt_purpose::first: return telemetry::attempt_kind::first;
    case attempt_purpose::retry: return telemetry::attempt_kind::retry;
    case attempt_purpose::hedge: return telemetry::attempt_kind::hedge;
    case attempt_purpose::rescue: break;
    }
    return telemetry::attempt_kind::rescue;
}
} // namespace

flight::flight(worker_services& services, client_request& request, const errand& what)
    : services_(services), request_(request), errand_(what), route_(*what.asked),
      policies_(request.came.policies->of(route_)), shard_(shard_of(request, route_, policies_)), box_(services.loop),
      deadline_(what.shared != nullptr && what.earlier == nullptr ? what.shared->deadline : what.deadline),
      before_(request.account.effort), plan_(options_of(what, deadline_)),
      client_left_(
          request.gone, [](void* to) { static_cast<mailbox*>(to)->post(flight_event::client_gone{}); }, &box_) {
    if (policies_.guard != nullptr && what.earlier == nullptr && !what.only)
        policies_.guard->request_started(services.loop.now());
    if (what.shared != nullptr) what.shared->under_way = this;
    if (policies_.tokens != nullptr) [[unlikely]]
        begin_to_pace();
}

void flight::begin_to_pace() {
    pace_ = std::make_unique<paced_request>();
    pace_->ask.priority = request_.facts.hints().batch ? pace_priority::batch : pace_priority::interactive;
    const std::uint64_t named = told_tenant(request_, route_);
    pace_->ask.tenant = named != 0 ? named : tenant_of(*request_.came.head, rules_of(request_));
    pace_->ask.since = services_.loop.now();
    pace_->ask.deadline = deadline_;
}

flight::~flight() {
    for (auto& each : attempts_) each.made->cancel(cancel_cause::client_gone);
    if (ticket_) policies_.line->leave(*ticket_);
    if (errand_.shared != nullptr) errand_.shared->under_way = nullptr;
}

void flight::allow_until(steady_time deadline) noexcept {
    deadline_ = std::max(deadline_, deadline);
    plan_.allow_until(deadline_);
    if (pace_) pace_->ask.deadline = deadline_;
    for (auto& each : attempts_) each.made->allow_until(deadline_);
}

flight_options flight::options_of(const errand& what, steady_time deadline) noexcept {
    static const retry_options once = [] {
        retry_options none;
        none.max_retries = 0;
        return none;
    }();
    const config::route& route = *what.asked;
    return {.deadline = deadline,
            .attempt_timeout = route.timeout.attempt,
            .learned_timeout = route.timeout.learn_attempt,
            .retry = what.only ? &once : &route.retry,
            .hedge = route.hedge.on && !what.only ? &route.hedge : nullptr,
            .rescue = what.earlier == nullptr ? route.timeout.rescue : rescue_options{.on = false, .after = {}},
            .when_open = what.only ? when_open::reject : route.circuit_breaker.when_open,
            .hold_max = route.circuit_breaker.hold_max.value_or(what.something_follows ? fallback_hold : longest_hold),
            .max_wait = route.overload.max_wait,
            .endpoints = static_cast<endpoint_index>(route.upstreams.size()),
            .something_follows = what.something_follows,
            .earlier = what.earlier};
}

const wire::call* flight::called() {
    if (request_.route.get() == &route_) return request_.facts.called();
    if (!called_) called_ = call_of_path(&route_, request_.came.head->path);
    return *called_;
}

const flight::aim_taken& flight::aim(endpoint_index at) {
    const bool elsewhere = aim_.target.empty() || aim_.at != at;
    if (elsewhere) {
        aim_.at = at;
        const config::upstream& upstream = *route_.upstreams[at];
        aim_.target = upstream_target(route_, upstream, *request_.came.head, aim_.rewritten);
        if (!upstream.models.empty()) rename_in_path(upstream);
        const bool as_asked =
            route_.rewrite.is == config::path_rewrite::kind::none && upstream.address.base_path.empty();
        aim_.called = as_asked ? called() : call_sent(route_, upstream, *request_.came.head, aim_.target);
    }
    if (elsewhere || aim_.saw_whole != request_.body.whole()) { // a member that decides may be the last one to come
        aim_.saw_whole = request_.body.whole();
        aim_.may_repeat = request_.facts.may_repeat(aim_.called);
    }
    return aim_;
}

// A path that the configuration gives as a whole has the model it is meant to have.
void flight::rename_in_path(const config::upstream& upstream) {
    const auto named = wire::find_model_in_path(request_.came.head->path);
    if (!named) return;
    request_.account.model = named->name;
    const std::string* const other = config::rename_of(upstream, named->name);
    if (other == nullptr || route_.rewrite.is == config::path_rewrite::kind::whole) return;
    const auto place = wire::find_model_in_path(aim_.target.substr(0, aim_.target.find('?')));
    if (!place || place->name != named->name) return;
    std::string renamed{aim_.target.substr(0, place->offset)};
    renamed.append(wire::path_segment(*other)).append(aim_.target.substr(place->offset + place->size));
    aim_.rewritten = std::move(renamed);
    aim_.target = aim_.rewritten;
}

// What an upstream is asked for, by its own name for it; empty: that is not known.
std::string flight::model_at(const config::upstream& upstream) {
    const auto named = wire::find_model_in_path(request_.came.head->path);
    const std::string asked = named ? named->name : request_.body.whole() ? request_.facts.model().name : std::string{};
    const std::string* const other = config::rename_of(upstream, asked);
    return other != nullptr ? *other : asked;
}

flight::flying* flight::find(attempt_id id) noexcept {
    const auto found =
        std::find_if(attempts_.begin(), attempts_.end(), [&](const flying& one) { return one.id == id; });
    return found == attempts_.end() ? nullptr : &*found;
}

// What goes out in place of the client's body: without the caller's credentials, where this upstream is not shown them,
// and with its own name of the model. Of the client's bytes none is copied. (admitted() has seen to it that the body is
// here where that matters.)
void flight::fill_body(attempt_order& order, const config::upstream& upstream, bool hides,
                       wire::body_framing& framing) {
    const bool looks = hides && may_be_json(*request_.came.head) && request_.body.whole();
    const bool may_rename = !upstream.models.empty() && request_.body.whole();
    if (!looks && !may_rename) return;
    const shared_bytes body = request_.body.text();
    std::vector<std::string_view> kept;
    if (looks) kept = body_without_credentials(body.view(), route_.credentials);
    static const body_model nothing;
    const body_model& found = may_rename ? request_.facts.model() : nothing;
    const bool names_one = found.as != body_model::written::nowhere;
    const std::string* const other = names_one ? config::rename_of(upstream, found.name) : nullptr;
    const bool renames = other != nullptr;
    if (names_one) request_.account.model = found.name;
    if (kept.empty() && !renames) return;
    if (kept.empty()) kept.push_back(body.view());

    std::uint64_t size = 0;
    const auto add = [&](shared_bytes piece) {
        size += piece.size();
        order.renamed.push_back(std::move(piece));
    };
    for (const std::string_view piece : kept) {
        const auto begin = static_cast<std::size_t>(piece.data() - body.view().data());
        const std::size_t name_end = found.offset + found.size;
        if (!renames || found.offset < begin || name_end > begin + piece.size()) {
            add(body.part(piece));
            continue;
        }
        add(body.part(piece.substr(0, found.offset - begin)));
        add(copy_to_block(services_.buffers,
                          found.as == body_model::written::json ? wire::json_string(*other) : *other));
        add(body.part(piece.substr(name_end - begin)));
    }
    framing = {wire::body_kind::length, size};
}

// Of a stream that would not tell what it takes; whoever takes the answer withholds that again.
void flight::ask_for_usage(attempt_order& order, wire::body_framing& framing) {
    if (aim_.called == nullptr || !aim_.called->tells_if_asked || !request_.body.whole()) return;
    const shared_bytes body = request_.body.text();
    const auto edit = wire::ask_for_usage(body.view());
    if (!edit) return;
    body_pieces pieces;
    std::uint64_t size = 0;
    const auto add = [&](shared_bytes piece) {
        size += piece.size();
        if (!piece.empty()) pieces.push_back(std::move(piece));
    };
    if (order.renamed.empty()) order.renamed.push_back(body);
    const std::string_view replaced = body.view().substr(edit->at, edit->size);
    const std::less_equal<const char*> no_later;
    for (const shared_bytes& piece : order.renamed) {
        const std::string_view text = piece.view();
        const bool here = !order.asks_usage && no_later(text.data(), replaced.data()) &&
                          no_later(replaced.data() + replaced.size(), text.data() + text.size());
        if (!here) {
            add(piece);
            continue;
        }
        const auto at = static_cast<std::size_t>(replaced.data() - text.data());
        add(piece.part(text.substr(0, at)));
        add(copy_to_block(services_.buffers, edit->by));
        add(piece.part(text.substr(at + replaced.size())));
        order.asks_usage = true;
    }
    order.renamed = std::move(pieces);
    framing = {wire::body_kind::length, size};
}

void flight::fill(attempt_order& order, const flight_action::launch& what) {
    const auto& upstream = route_.upstreams[what.endpoint];
    wire::body_framing framing = request_.body.framing();
    const bool hides = config::hides_callers(route_, *upstream);
    fill_body(order, *upstream, hides, framing);
    const std::string_view target = aim(what.endpoint).target;
    const wire::dialect spoken = dialect_of(*upstream, called());
    if (route_.stream.asks_usage && spoken == wire::dialect::openai) ask_for_usage(order, framing);
    const lane_index lane = attempts_.back().made->credential();
    const config::credential* const shown = lane == no_lane ? nullptr : &upstream->credentials[lane];
    order.route = errand_.asked;
    order.upstream = upstream;
    order.shown = shown;
    order.policies = request_.came.policies;
    // What is judged has to be readable; so does what is only read along with.
    const bool judged = what.hold != holding::nothing || request_.facts.wants_stream();
    order.span_at =
        append_request_head(order.head, *request_.came.head, target, route_, *upstream, framing,
                            request_.came.client_address, judged ? answer_coding::identity : answer_coding::as_asked,
                            {request_.account.trace, request_.came.settings->tracing.propagate}, shown);
    order.body = &request_.body;
    order.account = &request_.account;
    order.why = what.why;
    order.head_request = request_.came.head->is_head();
    order.may_repeat = aim_.may_repeat;
    // A probe is to be judged; and what it took is to be known before the head of an answer that says so.
    const bool tells_cost = request_.facts.hints().cost && !request_.facts.wants_stream();
    order.hold = errand_.only || tells_cost ? holding::answers : what.hold;
    order.hold_streams_whole = route_.stream.resume == config::stream_resume::buffer;
    order.rules.dialect = spoken;
    order.rules.wants_content =
        order.may_repeat && request_.came.head->is_post() && order.rules.dialect != wire::dialect::generic;
    order.leaves_last_words = route_.stream.resume == config::stream_resume::verified_replay && order.may_repeat &&
                              is_replayable_stream(request_, order.rules.dialect);
    order.rules.wants_stream = order.rules.wants_content && request_.facts.wants_stream();
    order.rules.judges_empty = order.rules.wants_content && includes(route_.retry.on, retry_on::empty) &&
                               (aim_.called == nullptr || !aim_.called->embeds);
    order.rules.own_credential = hides;
    order.rules.array_stream = is_googles_array(order.rules.dialect, aim_.called, target);
    order.rules.max_retry_after = route_.retry.max_retry_after;
    // What is looked up took nothing now, whatever it tells of then: a stored answer, a batch, a file.
    const bool takes = aim_.called != nullptr && request_.came.head->is_post();
    order.rules.tokens = takes ? aim_.called->tokens : wire::token_use::none;
    if (!upstream->prices.empty()) order.price = config::price_of(*upstream, model_at(*upstream));
    order.kind = errand_.only ? telemetry::attempt_kind::probe : kind_of(what.purpose);
    // Its own connection: that of the silent one beside it may be what is dead.
    order.fresh = what.purpose != attempt_purpose::hedge &&
                  std::any_of(attempts_.begin(), attempts_.end(), [&](const flying& one) {
                      return one.id != what.id && one.at == what.endpoint && !one.over;
                  });
    if (route_.retry.max_retries > 0) order.budget = policies_.endpoints[what.endpoint].budget;
    order.luck = services_.draw();
    if (route_.stream.upcast && upcasts(what.endpoint)) fill_upcast(order, what, target);
    order.max_response_head = static_cast<std::size_t>(request_.came.settings->limits.max_header_bytes);
    order.deadline = deadline_;
    order.deadline_moves = errand_.shared != nullptr;
}

void flight::launch(const flight_action::launch& what) {
    // Of those that are over only one with an answer that may still be handed on is kept.
    for (auto& each : attempts_) {
        if (each.over && !each.answered) may_have_arrived_ = may_have_arrived_ || each.may_have_arrived();
    }
    attempts_.erase(
        std::remove_if(attempts_.begin(), attempts_.end(), [](const flying& one) { return one.over && !one.answered; }),
        attempts_.end());
    if (!first_at_) {
        first_at_ = what.endpoint;
        policies_.endpoints[what.endpoint].rescues->asked_first();
    }
    if (pace_) [[unlikely]] {
        using enum happened::paced::end;
        end_pacing(set_aside_.went_through() ? went_through : went_on);
        pace_->place.leave(); // of another's line
    }
    injected_fault fault;
    if (services_.chaos != nullptr) [[unlikely]]
        fault = inject_fault(services_, request_, route_, *route_.upstreams[what.endpoint]);
    const attempt_services needs{services_.loop, fault.transport ? *fault.transport : services_.transport,
                                 services_.buffers, services_.memory, services_.observer};
    flying& made = attempts_.emplace_back(what.id, what.endpoint, what.purpose,
                                          std::make_shared<attempt>(needs, take(what.permit), what.id, box_));
    fill(made.made->order(), what);
    if (fault.transport) {
        made.made->order().faulty = std::move(fault.transport);
        made.made->order().stays_here = fault.spares_upstream;
    }
    made.made->launch();
}

void flight::cancel(const flight_action::cancel& what) {
    const bool timed_out = what.why == cancel_cause::attempt_timeout || what.why == cancel_cause::deadline;
    if (timed_out) last_failure_ = failed_with(outcome_kind::timeout);
    flying* const one = find(what.id);
    if (one == nullptr) return;
    one->over = true;
    if (what.why != cancel_cause::client_gone) hedge_over(*one, false);
    const flying* const winner = find(committed_);
    const bool raced =
        one->purpose == attempt_purpose::hedge ||
        (one->purpose != attempt_purpose::rescue && winner != nullptr && winner->purpose == attempt_purpose::hedge);
    one->made->order().lost_as = raced ? telemetry::spent_on::lost_hedge : telemetry::spent_on::rescued;
    one->made->cancel(what.why);
}

endpoint_permit flight::take(permit_id permit) {
    EVENKEEL_ASSERT(permit != 0 && permit == permit_given_, "a launch names the permit that was given in its step");
    return std::move(set_aside_);
}

void flight::end_hold(const flight_action::end_hold& what) {
    policies_.line->leave(*ticket_);
    ticket_.reset();
    tell(nowhere, happened::held{now_ - waiting_since_, what.goes_on});
}

void flight::note_pace(endpoint_index at, attempt_purpose what,
                       const std::optional<endpoint_refusal>& refused) noexcept {
    const bool stands = what == attempt_purpose::first || what == attempt_purpose::retry;
    if (stands && refused && refused->why == endpoint_refusal::reason::pace && !refused->avoidable) pace_refused_ = at;
}

// Beside an attempt nobody waits for a turn.
void flight::begin_pacing() {
    if (std::any_of(attempts_.begin(), attempts_.end(), [](const flying& one) { return !one.over; })) return;
    pacing_since_ = now_;
    tell(*pace_refused_, happened::pacing{});
}

void flight::end_pacing(happened::paced::end how) {
    pace_refused_.reset();
    if (!pacing_since_) return;
    tell(nowhere, happened::paced{now_ - *pacing_since_, how});
    pacing_since_.reset();
}

void flight::tell(endpoint_index at, const telemetry::any_happening& what) {
    const config::upstream* const where = at == nowhere ? nullptr : route_.upstreams[at].get();
    request_.account.tell(services_.observer, now_, {.route = &route_, .upstream = where}, what);
}

void flight::note(const flying* of, const telemetry::any_happening& what) {
    const config::upstream* const where = of == nullptr ? nullptr : route_.upstreams[of->at].get();
    const telemetry::attempt_number attempt = of == nullptr ? telemetry::attempt_number{} : of->made->number();
    request_.account.note(now_, {.route = &route_, .upstream = where, .attempt = attempt}, what);
}

void flight::keep(const any_flight_action& what) {
    if (const auto* passed = std::get_if<flight_action::refuse>(&what)) {
        tell(passed->endpoint, happened::passed_over{passed->wanted, passed->why});
    } else if (const auto* alone = std::get_if<flight_action::no_hedge>(&what)) {
        tell(alone->endpoint, happened::not_hedged{alone->why});
    } else if (const auto* denied = std::get_if<flight_action::deny>(&what)) {
        note(find(denied->id), happened::not_followed{denied->why});
    } else if (const auto* left = std::get_if<flight_action::no_rescue>(&what)) {
        tell(left->endpoint, happened::not_rescued{left->why});
    } else if (const auto* sick = std::get_if<flight_action::probe>(&what)) {
        if (wants_copy(sick->endpoint))
            to_probe_.add(sick->endpoint);
        else
            probe_connection(services_, request_, errand_, sick->endpoint);
    } else if (const auto* mute = std::get_if<flight_action::silent>(&what)) {
        find(mute->id)->made->silent_so_far();
    } else if (const auto* waits = std::get_if<flight_action::hold>(&what)) {
        tell(nowhere, happened::holding{waits->why});
    }
}

void flight::take_in(const any_flight_event& event) {
    const auto* failed = std::get_if<flight_event::failed>(&event);
    if (failed == nullptr) return;
    flying* const one = find(failed->id);
    if (one == nullptr || one->over) return;
    last_failure_ = failed->outcome;
    if (pace_) pace_->ask.since = now_; // the next one is wanted from now on
    if (one->made->credential() != no_lane && is_of_credential(failed->outcome.what.kind))
        note_refused(*one, failed->outcome);
    one->answered = failed->outcome.has_answer;
    one->refused = failed->outcome.no_effect && route_.retry.replay != replay_mode::never;
    one->empty = failed->outcome.empty && !failed->outcome.embedded;
    one->failed_as = failed->outcome.what.kind;
    one->over = true;
    hedge_over(*one, false);
}

void flight::hedge_over(const flying& one, bool won) {
    if (one.purpose == attempt_purpose::hedge && policies_.guard != nullptr) policies_.guard->ended(won, now_);
}

std::optional<answer> flight::perform(const any_flight_event& event) {
    now_ = services_.loop.now();
    pace_refused_.reset();
    take_in(event);
    for (const any_flight_action& action : plan_.step(event, now_, *this)) {
        if (const auto* launched = std::get_if<flight_action::launch>(&action)) {
            launch(*launched);
        } else if (const auto* cancelled = std::get_if<flight_action::cancel>(&action)) {
            cancel(*cancelled);
        } else if (const auto* late = std::get_if<flight_action::overdue>(&action)) {
            flying* const one = find(late->id);
            note(one, happened::overdue{});
            one->made->overdue();
        } else if (const auto* commit = std::get_if<flight_action::commit>(&action)) {
            committed_ = commit->id;
            note(find(commit->id), happened::committed{commit->why});
        } else if (const auto* wait = std::get_if<flight_action::wait_until>(&action)) {
            wake_ = wait->when;
        } else if (const auto* ended = std::get_if<flight_action::finish>(&action)) {
            if (ended->how != flight_action::ending::answered || ended->denied != retry_denial::none)
                note(nullptr, happened::gave_up{ended->why, ended->denied});
            end_pacing(happened::paced::end::left);
            return finish(*ended);
        } else if (const auto* over = std::get_if<flight_action::end_hold>(&action)) {
            end_hold(*over);
        } else {
            keep(action);
        }
    }
    if (pace_refused_ && !pacing_since_) [[unlikely]]
        begin_pacing();
    return std::nullopt;
}

} // namespace evenkeel::request

// How a flight ends: with an upstream's answer, or with one of ours.

#include "proxy/flight/flight.hpp"

#include "config/renames.hpp"
#include "proxy/attempt/upcast.hpp"
#include "proxy/attempt/usage_withheld.hpp"
#include "proxy/flight/probe_beside.hpp"
#include "proxy/flight/resumed_body.hpp"
#include "proxy/message/body_answers.hpp"
#include "proxy/message/local_answer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace evenkeel::request {

namespace {
// Whether the client's own retries would be in vain, or multiply ours.
bool ends_client_retries(const attempt_outcome& last, retry_denial denied) noexcept {
    switch (last.what.kind) {
    case outcome_kind::quota:
    case outcome_kind::caller_error:
    case outcome_kind::credential: return denied != retry_denial::off;
    default: break;
    }
    if (last.retry_after) return false; // it is told when to come back
    return last.what.is == outcome_class::failure && (denied == retry_denial::limit || denied == retry_denial::budget);
}
} // namespace

answer flight::finish(const flight_action::finish& what) {
    if (what.how == flight_action::ending::client_gone) return client_left();
    if (flying* winner = find(committed_)) return upstream_answer(*winner, what);
    if (request_.body.failed() == request_body::failure::client_gone) return client_left();
    if (request_.body.failed() != request_body::failure::none)
        return body_failure_answer(request_, services_.loop.wall_now());
    return what.how == flight_action::ending::refused ? refusal_answer(what) : failure_answer(what);
}

bool flight::has_arrived() const noexcept {
    return may_have_arrived_ ||
           std::any_of(attempts_.begin(), attempts_.end(), [](const flying& one) { return one.may_have_arrived(); });
}

answer flight::upstream_answer(flying& winner, const flight_action::finish& what) {
    attempt& from = *winner.made;
    answer given;
    given.head = &from.head();
    given.upstream = &from.upstream();
    given.stream = from.is_stream();
    given.events = from.is_events();
    given.denied = what.denied;
    given.probe = from.is_probe();
    const bool good = (!winner.answered || winner.empty) && from.head().status < 400;
    if (good) {
        given.service = winner.purpose == attempt_purpose::hedge       ? telemetry::request_service::hedged
                        : winner.id == 1 && winner.at != first_choice_ ? telemetry::request_service::rerouted
                        : winner.id == 1                               ? telemetry::request_service::ok
                        : winner.at != first_at_                       ? telemetry::request_service::failed_over
                                                                       : telemetry::request_service::retried;
        if (errand_.earlier == nullptr && !errand_.only) deposit(); // a request pays once
        hedge_over(winner, true);
        probe_others();
    } else {
        given.failed_as = winner.failed_as;
        given.may_have_arrived = has_arrived();
        given.service = telemetry::request_service::error;
        given.outcome = telemetry::request_outcome::upstream_error;
        given.stop_client_retries = last_failure_ && ends_client_retries(*last_failure_, what.denied);
    }
    if (const std::string* const renamed = config::rename_of(*given.upstream, request_.account.model))
        given.upstream_model = *renamed;
    given.launched = from.launched_at();
    given.sent = from.sent_at();
    given.decided = now_;
    const bool replayable = good && from.leaves_last_words();
    const auto dialect = from.dialect();
    given.upcast = good && from.is_assembled();
    if (from.is_unread()) request_.came.policies->unread().note(*given.upstream, now_);
    const bool unasked = good && from.tells_unasked();
    given.body = from.take_body();
    if (given.upcast) {
        assembled_answer whole = assembled_body(from.head(), from.assembled_size(), std::move(given.body));
        given.head = whole.head;
        given.body = std::move(whole.body);
    }
    if (unasked) {
        withheld_answer rest = usage_withheld(from.head(), std::move(given.body));
        given.head = rest.head;
        given.body = std::move(rest.body);
    }
    if (replayable) {
        const stream_origin from_here{.at = winner.at, .sent = given.sent};
        if (errand_.earlier != nullptr) {
            given.replays = from_here;
        } else {
            given.body = resumed_body(services_, request_, errand_, tries(), from_here, dialect, std::move(given.body));
        }
    }
    if (&winner != &attempts_.back()) std::swap(winner, attempts_.back());
    attempts_.pop_back(); // the body holds it now
    return given;
}

// Now that it is known to be a request that can be answered, and all of it is here. Where it was this one that found an
// endpoint out of reach, the next one is not to.
void flight::probe_others() {
    if (to_probe_.empty() && tries() < 2) return;
    for (const endpoint_index at : order(now_)) {
        if (to_probe_.has(at))
            probe_beside(services_, request_, errand_, at, model_asked(at, request_.facts.shape()));
        else if (order_.size() > 1 && wants_prober(at) && !wants_copy(at))
            probe_connection(services_, request_, errand_, at);
    }
}

// A good request pays for extra attempts wherever its route may send it: an upstream that only takes over and is hedged
// to would never earn its own.
void flight::deposit() {
    if (route_.retry.max_retries == 0) return;
    for (endpoint_index at = 0; at < policies_.endpoints.size(); ++at) {
        if (policies_.in_shard(shard_, at))
            policies_.endpoints[at].budget->deposit(request_.facts.hints().retry, now_,
                                                    route_.hedge.on ? route_.hedge.max_extra : 0);
    }
}

// "; 'first': its circuit is open": what keeps the request from each upstream, by the endpoint in front. (Names of
// hosts are not for clients.)
std::string flight::obstacles() {
    std::string all;
    for (endpoint_index at = 0; at < route_.upstreams.size(); ++at) {
        const std::string& name = route_.upstreams[at]->name;
        if (!policies_.in_shard(shard_, at) || (at > 0 && route_.upstreams[at - 1]->name == name)) continue;
        const std::string why =
            endpoint_permit::obstacle(permit_request_for(at, attempt_purpose::first, shape(at)), now_);
        all += fmt::format("; '{}': {}", name, why.empty() ? "it was not to be had in time" : why);
    }
    return all;
}

// Nothing was sent: every endpoint refused, and waiting was of no use.
answer flight::refusal_answer(const flight_action::finish& what) {
    local_failure failure;
    failure.status = 503;
    failure.code = "circuit_open";
    failure.proxy_error = "destination_unavailable";
    const bool line_full = what.why == "hold_queue_full";
    failure.message = fmt::format("no upstream of route '{}' can be asked now{}{}", route_.name,
                                  line_full      ? ", and circuit_breaker.hold_queue requests wait already"
                                  : has_waited() ? "; this request has waited in vain"
                                                 : "",
                                  obstacles());
    failure.retry_after = std::max(what.retry_after, duration{std::chrono::milliseconds{1}});
    failure.outcome = telemetry::request_outcome::rejected;
    answer made =
        make_local_answer(failure, dialect_of(*route_.upstreams.front(), called()), services_.loop.wall_now());
    made.denied = what.denied;
    made.reason = line_full ? "hold_queue_full" : has_waited() ? "hold_timeout" : "circuit_open";
    return made;
}

// What the client gets when the flight ended without an upstream's answer.
answer flight::failure_answer(const flight_action::finish& what) {
    const attempt* last = attempts_.empty() ? nullptr : attempts_.back().made.get();
    const config::upstream& upstream = last != nullptr ? last->upstream() : *route_.upstreams[order(now_).front()];
    const int made_tries = tries();
    local_failure failure;
    failure.outcome = telemetry::request_outcome::proxy_error;
    if (what.how == flight_action::ending::timed_out) {
        const bool total = what.why == "deadline";
        const auto& patience = request_.facts.hints().timeout;
        const bool told = total && patience && answer_within(*patience) < route_.timeout.total;
        failure.status = 504;
        failure.code = total ? "deadline_exceeded" : "attempt_timeout";
        failure.proxy_error = "http_response_timeout";
        failure.message = fmt::format("upstream '{}' sent no answer within {}", upstream.name,
                                      told    ? "the time this client waits"
                                      : total ? "timeout.total of this route"
                                              : "timeout.attempt of this route");
    } else if (last != nullptr && last->transport_failure().is != net::transport_error::kind::none) {
        const auto& error = last->transport_failure();
        failure.status = error.status;
        failure.code = error.token;
        failure.proxy_error = error.token;
        failure.message = fmt::format("upstream '{}' could not be reached: {}", upstream.name, error.detail);
        if (error.status == 503) failure.retry_after = std::chrono::seconds{1};
    } else if (last != nullptr && last->refused() != wire::refusal::none) {
        failure.code = "upstream_protocol_error";
        failure.proxy_error = last->error_token();
        failure.message = fmt::format("upstream '{}' sent an answer that is not valid HTTP/1.1: {}", upstream.name,
                                      wire::to_string(last->refused()));
    } else if (last_failure_ && last_failure_->what.kind == outcome_kind::protocol_error) {
        failure.code = "upstream_protocol_error";
        failure.proxy_error =
            last != nullptr && !last->error_token().empty() ? last->error_token() : "http_protocol_error";
        failure.message = fmt::format("upstream '{}' sent an answer that is empty, cut short or not in its own format",
                                      upstream.name);
    } else if (last_failure_ && last_failure_->what.kind == outcome_kind::timeout) {
        failure.status = 504;
        failure.code = "stream_idle_timeout";
        failure.proxy_error = "connection_read_timeout";
        failure.message = fmt::format("upstream '{}' began a stream and went silent", upstream.name);
    } else {
        failure.code = "upstream_connection_lost";
        failure.proxy_error =
            last != nullptr && !last->error_token().empty() ? last->error_token() : "connection_terminated";
        failure.message =
            fmt::format("upstream '{}' closed the connection before its answer was complete", upstream.name);
    }
    if (made_tries > 1) failure.message += fmt::format(" (the last of {} attempts)", made_tries);
    answer made = make_local_answer(failure, dialect_of(*route_.upstreams.front(), called()), services_.loop.wall_now(),
                                    &upstream);
    made.denied = what.denied;
    made.may_have_arrived = has_arrived();
    made.stop_client_retries =
        last_failure_ && failure.retry_after == duration::zero() && ends_client_retries(*last_failure_, what.denied);
    return made;
}

} // namespace evenkeel::request

#include "proxy/request/run_flight.hpp"

#include "policies/flight_plan.hpp"
#include "proxy/request/attempt.hpp"
#include "proxy/request/client_hints.hpp"
#include "proxy/request/local_answer.hpp"
#include "proxy/request/mailbox.hpp"
#include "proxy/request/outgoing.hpp"
#include "proxy/request/router.hpp"
#include "proxy/request/wants_stream.hpp"
#include "proxy/wire/json_model.hpp"

#include <boost/container/small_vector.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <variant>

namespace evenkeel::request {

namespace {

bool is_googles_array(wire::dialect dialect, std::string_view target) noexcept {
    return dialect == wire::dialect::gemini && target.find(":streamGenerateContent") != std::string_view::npos &&
           target.find("alt=sse") == std::string_view::npos;
}

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

// One request's upstream effort: performs what its plan decides, and is what the plan asks.
class flight final : public policy_view {
public:
    flight(worker_services& services, client_request& request)
        : services_(services), request_(request), route_(*request.route), policies_(request.policies->of(*request.route)),
          hints_(read_client_hints(*request.head)), box_(services.loop), deadline_(deadline_of(request, hints_)),
          plan_({.deadline = deadline_,
                 .attempt_timeout = route_.timeout.attempt,
                 .retry = &route_.retry,
                 .endpoints = static_cast<endpoint_index>(route_.upstreams.size())}),
          client_left_(request.gone, [](void* to) { static_cast<mailbox*>(to)->post(flight_event::client_gone{}); }, &box_) {}
    // Whatever way the flight ends, no attempt it no longer wants goes on.
    ~flight() {
        for (auto& each : attempts_) each.made->cancel(false);
    }
    flight(const flight&) = delete;
    flight& operator=(const flight&) = delete;

    // Steps the plan and does what it says; the answer, once there is one.
    std::optional<answer> perform(const any_flight_event& event);
    [[nodiscard]] bool is_told_nonsense() const noexcept { return hints_.unreadable; }
    [[nodiscard]] bool idle() const noexcept { return box_.empty(); }
    [[nodiscard]] net::task<bool> wait() { return box_.wait(wake_); }
    [[nodiscard]] any_flight_event next_event() { return box_.take(); } // a wake-up without an event is the timer's

private:
    struct flying {
        attempt_id id;
        endpoint_index at;
        bool answered; // with something that may still be handed on
        std::shared_ptr<attempt> made;
    };

    // policy_view
    double draw() override { return services_.draw(); }
    bool wants_stream() override { return evenkeel::request::wants_stream(request_); }
    bool repeatable(endpoint_index at) override;
    bool unsent(attempt_id id) override { return find(id) == nullptr || find(id)->made->unsent(); }
    double cost(endpoint_index at, duration took, bool effortless, steady_time now) override {
        return policies_.budgets[at]->cost(took, effortless, now);
    }
    bool reserve(endpoint_index at, double work, steady_time now) override { return policies_.budgets[at]->reserve(work, now); }
    void refund(endpoint_index at, double work, steady_time now) override { policies_.budgets[at]->refund(work, now); }

    // Where an attempt at an endpoint goes, and whether it may be repeated: asked for more than once.
    struct aim_taken {
        endpoint_index at = 0;
        std::string target;
        bool may_repeat = false;
    };
    [[nodiscard]] const aim_taken& aim(endpoint_index at);
    static steady_time deadline_of(const client_request& request, const client_hints& hints);
    void launch(const flight_action::launch& what);
    [[nodiscard]] attempt_order order_for(const flight_action::launch& what);
    void note(const any_flight_event& event);
    [[nodiscard]] flying* find(attempt_id id) noexcept;
    [[nodiscard]] answer finish(const flight_action::finish& what);
    [[nodiscard]] answer upstream_answer(flying& winner, const flight_action::finish& what);
    [[nodiscard]] answer failure_answer(const flight_action::finish& what);

    worker_services& services_;
    client_request& request_;
    const config::route& route_;
    const route_policies& policies_;
    client_hints hints_;
    mailbox box_;
    steady_time deadline_, now_{}; // now_: of the step under way
    flight_plan plan_;
    net::cancel_source::hook client_left_;
    boost::container::small_vector<flying, 2> attempts_;
    attempt_id committed_ = 0;
    int finished_tries_ = 0; // of attempts that are no longer here
    std::optional<attempt_outcome> last_failure_;
    aim_taken aim_;
    steady_time wake_ = deadline_;
};

steady_time flight::deadline_of(const client_request& request, const client_hints& hints) {
    duration within = request.route->timeout.total;
    if (hints.timeout) within = std::min(within, answer_within(*hints.timeout));
    // Heartbeats keep a stream's client patient; any other hears nothing until its answer is whole.
    if (hints.silence && !(request.route->stream.hold_head && evenkeel::request::wants_stream(request))) {
        within = std::min(within, answer_within(*hints.silence));
    }
    return request.received + within;
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

const flight::aim_taken& flight::aim(endpoint_index at) {
    if (aim_.target.empty() || aim_.at != at) {
        aim_.at = at;
        aim_.target = upstream_target(route_, *route_.upstreams[at], *request_.head);
        aim_.may_repeat = is_replay_eligible(*request_.head, aim_.target, request_.body.held());
    }
    return aim_;
}

flight::flying* flight::find(attempt_id id) noexcept {
    const auto found = std::find_if(attempts_.begin(), attempts_.end(), [&](const flying& one) { return one.id == id; });
    return found == attempts_.end() ? nullptr : &*found;
}

attempt_order flight::order_for(const flight_action::launch& what) {
    const auto& upstream = route_.upstreams[what.endpoint];
    attempt_order order;
    wire::body_framing framing = request_.body.framing();
    if (!upstream->models.empty()) {
        const wire::json_members found = wire::find_members(request_.body.held());
        const auto renamed = found.has_model ? upstream->models.find(found.model) : upstream->models.end();
        request_.model = found.model;
        if (renamed != upstream->models.end()) {
            order.renamed = wire::replace_model(request_.body.held(), found, renamed->second);
            framing = {wire::body_kind::length, order.renamed.size()};
        }
    }
    const std::string& target = aim(what.endpoint).target;
    order.route = request_.route;
    order.upstream = upstream;
    order.head.reserve(1024);
    append_request_head(order.head, *request_.head, target, route_, *upstream, framing, request_.client_address);
    order.body = &request_.body;
    order.head_request = request_.head->method == "HEAD";
    order.may_repeat = aim_.may_repeat;
    order.hold = what.hold;
    order.rules.dialect = dialect_of(route_, *upstream, request_.head->path);
    order.rules.wants_content = order.may_repeat && request_.head->method == "POST" && order.rules.dialect != wire::dialect::generic;
    order.rules.own_credential = sets_credential(*upstream);
    order.rules.array_stream = is_googles_array(order.rules.dialect, target);
    order.rules.max_retry_after = route_.retry.max_retry_after;
    if (what.id > 1) order.kind = telemetry::attempt_kind::retry;
    if (route_.retry.max_retries > 0) order.budget = policies_.budgets[what.endpoint];
    order.max_response_head = static_cast<std::size_t>(request_.settings->limits.max_header_bytes);
    order.deadline = deadline_;
    return order;
}

void flight::launch(const flight_action::launch& what) {
    // Of those before it only one with an answer that may still be handed on is kept.
    for (auto& each : attempts_) {
        if (each.answered) continue;
        finished_tries_ += each.made->tries();
        each.made->cancel(false);
    }
    attempts_.erase(std::remove_if(attempts_.begin(), attempts_.end(), [](const flying& one) { return !one.answered; }), attempts_.end());
    const attempt_services needs{services_.loop, services_.transport, services_.buffers, services_.memory, services_.observer};
    attempts_.push_back({what.id, what.endpoint, false, std::make_shared<attempt>(needs, order_for(what), what.id, box_)});
    attempts_.back().made->launch();
}

void flight::note(const any_flight_event& event) {
    const auto* failed = std::get_if<flight_event::failed>(&event);
    if (failed == nullptr) return;
    last_failure_ = failed->outcome;
    if (flying* one = find(failed->id)) one->answered = failed->outcome.has_answer;
}

std::optional<answer> flight::perform(const any_flight_event& event) {
    note(event);
    now_ = services_.loop.now();
    for (const any_flight_action& action : plan_.step(event, now_, *this)) {
        if (const auto* launched = std::get_if<flight_action::launch>(&action)) {
            launch(*launched);
        } else if (const auto* cancelled = std::get_if<flight_action::cancel>(&action)) {
            const bool timed_out = cancelled->why != "client_gone";
            if (timed_out) last_failure_ = failed_with(outcome_kind::timeout);
            if (flying* one = find(cancelled->id)) one->made->cancel(timed_out);
        } else if (const auto* commit = std::get_if<flight_action::commit>(&action)) {
            committed_ = commit->id;
        } else if (const auto* wait = std::get_if<flight_action::wait_until>(&action)) {
            wake_ = wait->when;
        } else if (const auto* ended = std::get_if<flight_action::finish>(&action)) {
            return finish(*ended);
        }
    }
    return std::nullopt;
}

answer flight::finish(const flight_action::finish& what) {
    answer gone;
    gone.outcome = telemetry::request_outcome::client_cancelled;
    if (what.how == flight_action::ending::client_gone) return gone;
    if (flying* winner = find(committed_)) return upstream_answer(*winner, what);
    if (request_.body.failed() == request_body::failure::client_gone) return gone;
    if (request_.body.failed() != request_body::failure::none) return body_failure_answer(services_, request_);
    return failure_answer(what);
}

answer flight::upstream_answer(flying& winner, const flight_action::finish& what) {
    attempt& from = *winner.made;
    answer given;
    given.head = &from.head();
    given.upstream = &from.upstream();
    given.attempts = finished_tries_;
    for (const auto& each : attempts_) given.attempts += each.made->tries();
    given.stream = from.is_stream();
    given.denied = what.denied;
    const bool good = !winner.answered && from.head().status < 400;
    if (good) {
        given.service = winner.id == 1                                 ? telemetry::request_service::ok
                        : given.upstream != route_.upstreams.front().get() ? telemetry::request_service::failed_over
                                                                           : telemetry::request_service::retried;
        if (route_.retry.max_retries > 0) policies_.budgets[winner.at]->deposit(hints_.retry, now_);
    } else {
        given.service = telemetry::request_service::error;
        given.outcome = telemetry::request_outcome::upstream_error;
        given.stop_client_retries = last_failure_ && ends_client_retries(*last_failure_, what.denied);
    }
    if (from.is_renamed()) given.upstream_model = given.upstream->models.find(request_.model)->second;
    given.sent = from.sent_at();
    given.head_read = from.head_at();
    given.body = from.take_body();
    if (&winner != &attempts_.back()) std::swap(winner, attempts_.back());
    attempts_.pop_back(); // the body holds it now
    return given;
}

// What the client gets when the flight ended without an upstream's answer.
answer flight::failure_answer(const flight_action::finish& what) {
    const attempt* last = attempts_.empty() ? nullptr : attempts_.back().made.get();
    const config::upstream& upstream = last != nullptr ? last->upstream() : *route_.upstreams.front();
    int tries = finished_tries_;
    for (const auto& each : attempts_) tries += each.made->tries();
    local_failure failure;
    failure.outcome = telemetry::request_outcome::proxy_error;
    if (what.how == flight_action::ending::timed_out) {
        const bool total = what.why == "deadline";
        const bool told = total && hints_.timeout && answer_within(*hints_.timeout) < route_.timeout.total;
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
        failure.proxy_error = last != nullptr && !last->error_token().empty() ? last->error_token() : "http_protocol_error";
        failure.message = fmt::format("upstream '{}' sent an answer that is empty, cut short or not in its own format", upstream.name);
    } else if (last_failure_ && last_failure_->what.kind == outcome_kind::timeout) {
        failure.status = 504;
        failure.code = "stream_idle_timeout";
        failure.proxy_error = "connection_read_timeout";
        failure.message = fmt::format("upstream '{}' began a stream and went silent", upstream.name);
    } else {
        failure.code = "upstream_connection_lost";
        failure.proxy_error = last != nullptr && !last->error_token().empty() ? last->error_token() : "connection_terminated";
        failure.message = fmt::format("upstream '{}' closed the connection before its answer was complete", upstream.name);
    }
    if (tries > 1) failure.message += fmt::format(" (the last of {} attempts)", tries);
    answer made = make_local_answer(failure, dialect_of(&route_, request_.head->path), services_.loop.wall_now(), &upstream, tries);
    made.denied = what.denied;
    made.stop_client_retries = last_failure_ && failure.retry_after == duration::zero() && ends_client_retries(*last_failure_, what.denied);
    return made;
}

answer unreadable_timeout(const worker_services& services, const client_request& request) {
    return make_local_answer({.status = 400,
                              .code = "bad_timeout",
                              .proxy_error = {},
                              .message = "x-evenkeel-timeout must be a positive number of seconds, such as 30 or 2.5"},
                             dialect_of(request.route.get(), request.head->path), services.loop.wall_now());
}

} // namespace

net::task<answer> run_flight(worker_services& services, client_request& request) {
    flight one(services, request);
    if (one.is_told_nonsense()) co_return unreadable_timeout(services, request);
    any_flight_event event = flight_event::started{};
    for (;;) {
        if (auto given = one.perform(event)) co_return std::move(*given);
        if (one.idle()) co_await one.wait();
        event = one.next_event();
    }
}

} // namespace evenkeel::request

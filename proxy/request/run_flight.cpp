#include "proxy/request/run_flight.hpp"

#include "policies/flight_plan.hpp"
#include "proxy/request/attempt.hpp"
#include "proxy/request/local_answer.hpp"
#include "proxy/request/mailbox.hpp"
#include "proxy/request/outgoing.hpp"
#include "proxy/request/router.hpp"
#include "proxy/wire/json_model.hpp"

#include <fmt/format.h>

#include <variant>

namespace evenkeel::request {

namespace {

attempt_order make_order(client_request& request, steady_time deadline) {
    const auto& route = request.route;
    const auto& upstream = route->upstream;
    if (!upstream->models.empty()) {
        const wire::json_members found = wire::find_members(request.body.held());
        const auto renamed = found.has_model ? upstream->models.find(found.model) : upstream->models.end();
        request.model = found.model;
        if (renamed != upstream->models.end()) {
            request.body.replace(wire::replace_model(request.body.held(), found, renamed->second));
        }
    }
    const std::string target = upstream_target(*route, *upstream, *request.head);
    attempt_order order;
    order.route = route;
    order.upstream = upstream;
    order.head.reserve(1024);
    append_request_head(order.head, *request.head, target, *route, *upstream, request.body.framing(), request.client_address);
    order.body = &request.body;
    order.head_request = request.head->method == "HEAD";
    order.may_repeat = is_replay_eligible(*request.head, target, request.body.held());
    order.max_response_head = static_cast<std::size_t>(request.settings->limits.max_header_bytes);
    order.deadline = deadline;
    return order;
}

// What the client gets when the flight ended without an upstream's answer.
answer failure_answer(const worker_services& services, const client_request& request, const attempt* last,
                      flight_action::finish finish) {
    const auto& upstream = *request.route->upstream;
    local_failure failure;
    failure.outcome = telemetry::request_outcome::proxy_error;
    if (finish.how == flight_action::ending::timed_out) {
        failure.status = 504;
        failure.code = finish.why == "deadline" ? "deadline_exceeded" : "attempt_timeout";
        failure.proxy_error = "http_response_timeout";
        failure.message = fmt::format("upstream '{}' sent no answer within {} of this route", upstream.name,
                                      finish.why == "deadline" ? "timeout.total" : "timeout.attempt");
    } else if (last != nullptr && last->transport_failure().is != net::transport_error::kind::none) {
        const auto& error = last->transport_failure();
        failure.status = error.status;
        failure.code = error.token;
        failure.proxy_error = error.token;
        failure.message = fmt::format("upstream '{}' could not be reached: {}", upstream.name, error.detail);
        if (error.status == 503) failure.retry_after_seconds = 1;
    } else if (last != nullptr && last->refused() != wire::refusal::none) {
        failure.code = "upstream_protocol_error";
        failure.proxy_error = last->error_token();
        failure.message = fmt::format("upstream '{}' sent an answer that is not valid HTTP/1.1: {}", upstream.name,
                                      wire::to_string(last->refused()));
    } else {
        failure.code = "upstream_connection_lost";
        failure.proxy_error = last != nullptr && !last->error_token().empty() ? last->error_token() : "connection_terminated";
        failure.message = fmt::format("upstream '{}' closed the connection before it answered", upstream.name);
    }
    return make_local_answer(failure, dialect_of(request.route.get(), request.head->path), services.loop.wall_now(), &upstream,
                             last != nullptr ? last->tries() : 0);
}

answer upstream_answer(const client_request& request, attempt& winner) {
    answer given;
    given.head = &winner.head();
    given.upstream = request.route->upstream.get();
    given.attempts = winner.tries();
    given.stream = winner.is_stream();
    given.outcome = winner.head().status < 400 ? telemetry::request_outcome::ok : telemetry::request_outcome::upstream_error;
    given.sent = winner.sent_at();
    given.head_read = winner.head_at();
    given.body = winner.take_body();
    return given;
}

answer nobody_waits() {
    answer gone;
    gone.outcome = telemetry::request_outcome::client_cancelled;
    return gone;
}

} // namespace

net::task<answer> run_flight(worker_services& services, client_request& request) {
    auto& loop = services.loop;
    const auto& timeout = request.route->timeout;
    const steady_time deadline = request.received + timeout.total;
    flight_plan plan({.deadline = deadline, .attempt_timeout = timeout.attempt});
    mailbox box(loop);
    const net::cancel_source::hook client_left(
        request.gone, [](void* to) { static_cast<mailbox*>(to)->post(flight_event::client_gone{}); }, &box);

    // Dropping the handle cancels: whatever way this coroutine ends, no attempt it no longer wants goes on.
    struct attempt_handle {
        std::shared_ptr<attempt> held;
        ~attempt_handle() {
            if (held) held->cancel(false);
        }
    } only;

    any_flight_event event = flight_event::started{};
    steady_time wake = deadline;
    for (;;) {
        const attempt* committed = nullptr;
        for (const any_flight_action& action : plan.step(event, loop.now())) {
            if (const auto* launch = std::get_if<flight_action::launch>(&action)) {
                const attempt_services needs{loop, services.transport, services.buffers, services.observer};
                only.held = std::make_shared<attempt>(needs, make_order(request, deadline), launch->id, box);
                only.held->launch();
            } else if (const auto* cancel = std::get_if<flight_action::cancel>(&action)) {
                only.held->cancel(cancel->why != "client_gone");
            } else if (std::get_if<flight_action::commit>(&action) != nullptr) {
                committed = only.held.get();
            } else if (const auto* wait = std::get_if<flight_action::wait_until>(&action)) {
                wake = wait->when;
            } else if (const auto* finish = std::get_if<flight_action::finish>(&action)) {
                if (finish->how == flight_action::ending::client_gone) co_return nobody_waits();
                if (committed != nullptr) co_return upstream_answer(request, *std::exchange(only.held, nullptr));
                if (request.body.failed() == request_body::failure::client_gone) co_return nobody_waits();
                if (request.body.failed() != request_body::failure::none) co_return body_failure_answer(services, request);
                co_return failure_answer(services, request, only.held.get(), *finish);
            }
        }
        if (box.empty()) co_await box.wait(wake);
        event = box.take(); // a wake-up without an event is the timer's, or an early one: the plan looks at the time
    }
}

} // namespace evenkeel::request

#include "proxy/flight/within_deadline.hpp"

#include "proxy/message/local_answer.hpp"

namespace evenkeel::request {

answer unreadable_timeout_answer(const worker_services& services, const client_request& request) {
    return make_local_answer({.status = 400,
                              .code = "bad_timeout",
                              .proxy_error = {},
                              .message = "x-evenkeel-timeout must be a positive number of seconds, such as 30 or 2.5"},
                             request.facts.dialect(), services.loop.wall_now());
}

net::task<answer> within_deadline(worker_services& services, client_request& request, errand&& what, next_stage next) {
    if (request.facts.hints().unreadable) return at_once(unreadable_timeout_answer(services, request));
    what.deadline = deadline_of(request, what);
    return next(services, request, std::move(what));
}

} // namespace evenkeel::request

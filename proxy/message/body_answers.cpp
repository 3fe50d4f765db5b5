#include "proxy/message/body_answers.hpp"

#include "proxy/message/local_answer.hpp"

namespace evenkeel::request {

answer no_memory_answer(const client_request& request, wall_time now) {
    return make_local_answer(
        {.status = 503,
         .code = "memory",
         .proxy_error = "connection_limit_reached",
         .message = "limits.memory has no room for this request's body, which this route must see whole",
         .retry_after = std::chrono::seconds{1},
         .outcome = telemetry::request_outcome::rejected},
        request.facts.dialect(), now);
}

answer body_failure_answer(const client_request& request, wall_time now) {
    const auto dialect = request.facts.dialect();
    if (request.body.failed() == request_body::failure::refused) {
        return make_refusal(request.body.refused(), dialect, now);
    }
    const bool slow = request.body.failed() == request_body::failure::too_slow;
    return make_local_answer({.status = 408,
                              .code = slow ? "body_too_slow" : "body_timeout",
                              .proxy_error = {},
                              .message = slow ? "the request body came too slowly; see limits.body_min_rate"
                                         : request.body.failed() == request_body::failure::too_late
                                             ? "the request body was still coming at timeout.total of this route"
                                             : "the request body stopped coming; see limits.body_timeout"},
                             dialect, now);
}

} // namespace evenkeel::request

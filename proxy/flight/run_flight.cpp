#include "proxy/flight/run_flight.hpp"

#include "proxy/flight/flight.hpp"
#include "proxy/message/local_answer.hpp"

namespace evenkeel::request {

answer unreadable_timeout_answer(const worker_services& services, const client_request& request) {
    return make_local_answer({.status = 400,
                              .code = "bad_timeout",
                              .proxy_error = {},
                              .message = "x-evenkeel-timeout must be a positive number of seconds, such as 30 or 2.5"},
                             dialect_of(request.route.get(), request.head->path), services.loop.wall_now());
}

net::task<answer> run_flight(worker_services& services, client_request& request) {
    flight one(services, request);
    if (one.is_told_nonsense()) co_return unreadable_timeout_answer(services, request);
    any_flight_event event = flight_event::started{};
    for (;;) {
        if (auto given = one.perform(event)) co_return std::move(*given);
        if (one.idle()) co_await one.wait();
        event = one.next_event();
    }
}

} // namespace evenkeel::request

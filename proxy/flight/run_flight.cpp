#include "proxy/flight/run_flight.hpp"

#include "proxy/flight/flight.hpp"

namespace evenkeel::request {

namespace {
net::task<answer> fly(worker_services& services, client_request& request, errand what) {
    flight one(services, request, what);
    any_flight_event event = flight_event::started{};
    for (;;) {
        if (auto given = one.perform(event)) {
            given->permit = std::move(what.permit); // to the last byte
            co_return std::move(*given);
        }
        if (one.idle()) co_await one.wait();
        event = one.next_event();
    }
}
} // namespace

net::task<answer> run_flight(worker_services& services, client_request& request, errand&& what, next_stage) {
    return fly(services, request, std::move(what));
}

} // namespace evenkeel::request

#pragma once
// Where a flight learns what its attempts did. Attempts post and never decide; the flight takes one event at a time.
// One worker's; owned by the flight, which outlives no one: an attempt that is cancelled forgets its mailbox.

#include "policies/flight_plan.hpp"
#include "proxy/net/event.hpp"
#include "proxy/net/loop.hpp"

#include <boost/container/small_vector.hpp>

namespace evenkeel::request {

class mailbox {
public:
    explicit mailbox(net::loop& worker) noexcept : loop_(worker), arrived_(worker.executor()) {}

    void post(const any_flight_event& event) {
        events_.push_back(event);
        arrived_.set();
    }

    // Waits for an event until `wake`; then take() says which, or `timer`.
    [[nodiscard]] net::task<bool> wait(steady_time wake) { return arrived_.wait_until(loop_.timers(), wake); }
    [[nodiscard]] bool empty() const noexcept { return events_.empty(); }
    [[nodiscard]] any_flight_event take() {
        if (events_.empty()) return flight_event::timer{};
        const any_flight_event event = events_.front();
        events_.erase(events_.begin());
        return event;
    }

private:
    net::loop& loop_;
    net::event arrived_;
    boost::container::small_vector<any_flight_event, 4> events_;
};

} // namespace evenkeel::request

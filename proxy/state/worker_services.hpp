#pragma once
// What the requests of one worker share.

#include "policies/chaos.hpp"
#include "policies/hash64.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/message/block.hpp"
#include "proxy/message/memory_bound.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/net/departure_watch.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/nursery.hpp"
#include "proxy/net/transport.hpp"

#include <functional>
#include <string>

namespace evenkeel::request {

class shared_flights;
class last_good_store;

// The health document as a client may see it.
struct health_text {
    health_text(std::string text, bool can_serve = true)
        : json(std::move(text)), healthy(can_serve) {} // NOLINT: a text is one
    std::string json;
    bool healthy; // false: nothing can be served
};

// What one worker's requests share. Everything referred to outlives every request of the worker.
struct worker_services {
    net::loop& loop;
    net::transport& transport;
    telemetry::observer& observer;
    memory_bound& memory;
    std::function<health_text()> health_document; // for `serve: health` routes
    split_mix64 chance{};                         // of pauses; seeded by the worker
    buffer_pool buffers{memory};
    net::departure_watch departures{loop};
    last_good_store* last_good = nullptr;                          // of all workers; null: none
    evenkeel::chaos* chaos = nullptr;                              // of all workers; null: `chaos.enabled` is false
    shared_flights* flights = nullptr;                             // of all workers; null: nothing is coalesced
    net::nursery flight_nursery{loop.executor(), loop.failures()}; // clients of other workers may read what runs here

    // The snapshot in use; what still works for another one starts nothing of its own. Null: there is but one.
    const config::settings* settings = nullptr;
    net::cancel_source probers_go{}; // at the worker's end: nobody waits for them

    [[nodiscard]] double draw() noexcept { return unit_interval(chance()); }
};

// In virtual time, where no worker winds down: who still looks at an endpoint beside all requests leaves before what he
// looks with does. Declared behind all of that.
class virtual_end {
public:
    explicit virtual_end(worker_services& of) noexcept : of_(of) {}
    ~virtual_end() {
        of_.probers_go.request();
        of_.loop.run_virtual(of_.loop.now());
    }
    virtual_end(const virtual_end&) = delete;
    virtual_end& operator=(const virtual_end&) = delete;

private:
    worker_services& of_;
};

} // namespace evenkeel::request

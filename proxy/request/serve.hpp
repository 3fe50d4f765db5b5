#pragma once
// The life of a request, outermost policy first (DESIGN section 4). What stands here is the diagram; each line is built
// elsewhere.

#include "policies/chaos.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/transport.hpp"
#include "proxy/request/answer.hpp"
#include "proxy/request/client_request.hpp"
#include "proxy/request/departure_watch.hpp"
#include "proxy/request/io_buffer.hpp"
#include "proxy/request/memory_bound.hpp"
#include "proxy/telemetry/observer.hpp"

#include <functional>
#include <random>
#include <string>

namespace evenkeel::request {

class coalesced_flights;
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
    std::mt19937_64 chance{};                     // of pauses; seeded by the worker
    buffer_pool buffers{memory};
    departure_watch departures{loop};
    last_good_store* last_good = nullptr; // of all workers; null: none
    evenkeel::chaos* chaos = nullptr;     // of all workers; null: `chaos.enabled` is false
    coalesced_flights* flights = nullptr; // of all workers; null: nothing is coalesced
    std::size_t shared_flights = 0;       // that run on this worker

    [[nodiscard]] double draw() noexcept { return static_cast<double>(chance() >> 11) * 0x1p-53; } // uniform in [0, 1)
};

// Never throws for what a peer can do; the answer is always there, except where the client left first (empty body).
[[nodiscard]] net::task<answer> serve(worker_services& services, client_request& request);

// What the fallback ladder wraps: a shared flight, if the route coalesces, and ask_upstreams.
[[nodiscard]] net::task<answer> ask(worker_services& services, client_request& request);
// Whatever stands between a route and its upstreams, and the upstreams of request.asked().
[[nodiscard]] net::task<answer> ask_upstreams(worker_services& services, client_request& request);

} // namespace evenkeel::request

#pragma once
// One event loop on one thread, with everything that belongs to it: pool, buffers, listeners, client connections.
// Nothing here is touched by another thread but through post().

#include "config/settings.hpp"
#include "proxy/attempt/prewarm_probes.hpp"
#include "proxy/client/client_connection.hpp"
#include "proxy/net/connection_pool.hpp"
#include "proxy/net/event.hpp"
#include "proxy/net/listener.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/nursery.hpp"
#include "proxy/state/worker_services.hpp"
#include "proxy/telemetry/liveness.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::net {
class own_addresses;
class resolver;
class tls_contexts;
class tls_server_context;
} // namespace evenkeel::net

namespace evenkeel::server {

// What all workers share; outlives them.
struct shared_parts {
    net::resolver& resolver;
    net::tls_contexts& tls;
    const net::own_addresses& own;
    telemetry::observer& observer;
    request::memory_bound& memory;
    std::function<request::health_text()> health_document;
    request::last_good_store& last_good;
    request::shared_flights& flights;
    evenkeel::chaos& chaos;
    duration look_for_dead_ways_every; // 0: as usual
};

class worker {
public:
    worker(const shared_parts& shared, config::snapshot settings, std::shared_ptr<const request::policy_set> policies,
           std::uint64_t seed);
    ~worker();
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;

    // Before start(): listeners are the worker's own. `of`: which of `listen` the socket belongs to; there may be
    // several of one.
    void add_listener(std::size_t of, net::bound_socket socket, std::shared_ptr<const net::tls_server_context> tls,
                      const net::listener_options& options);
    void beat_for(telemetry::liveness& of, unsigned number) { pulse_.emplace(of, number, loop_); } // likewise
    void start();
    void join();

    // From any thread.
    void use(config::snapshot settings, std::shared_ptr<const request::policy_set> policies);
    // One for each of `listen`, in their order.
    void use(std::vector<std::shared_ptr<const net::tls_server_context>> certificates);
    // Serves for `delay` more, then stops accepting, lets requests end for `within`, and ends the loop. Asked again,
    // what ends sooner holds.
    void drain(duration delay, duration within);
    void stop_now();
    // Another process serves from the same sockets: no more accepting here from now on. Otherwise as drain, but that
    // connections that are kept alive get `delay` to be closed by an answer, and not under a request.
    void leave_doors(duration delay, duration within);
    [[nodiscard]] net::loop& loop() noexcept { return loop_; }

    // After join(): what is left; all zero unless something leaked.
    struct leftovers {
        std::size_t tasks = 0, connections = 0, timers = 0, upstream_connections = 0;
    };
    [[nodiscard]] leftovers remaining() const noexcept { return leftovers_; }

private:
    net::task<void> wind_down();
    void wind_down_by(steady_time close, steady_time end);
    [[nodiscard]] bool serves() const noexcept { return connections_.size() + services_.flight_nursery.size() > 0; }
    void accept(std::unique_ptr<net::client_stream> stream, request::arrival via);

    net::loop loop_;
    net::nursery connections_, winding_down_in_;
    net::event changed_; // of what is waited for in winding down
    net::connection_pool pool_;
    evenkeel::chaos& chaos_;
    request::worker_services services_;
    request::connection_context context_;
    split_mix64 warm_chance_; // all endpoints that are kept warm draw from it, or they would be dialled in step
    request::prewarm_probes probes_;
    struct door {
        std::size_t of;
        std::unique_ptr<net::listener> listener;
        request::arrival via;
    };
    std::vector<door> doors_;
    std::optional<telemetry::pulse> pulse_; // as long as the loop turns
    std::thread thread_;
    bool winding_down_ = false, doors_closed_ = false;
    steady_time close_by_ = steady_time::max(), end_by_ = steady_time::max(); // of the winding down
    leftovers leftovers_;
};

} // namespace evenkeel::server

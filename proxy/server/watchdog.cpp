#include "proxy/server/watchdog.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <mutex>

namespace evenkeel::server {

struct watchdog::state : std::enable_shared_from_this<state> {
    state(telemetry::background& on, const telemetry::liveness& beats, const service_manager& manager, duration period)
        : of(beats), told(manager), every(period), timer(on.context()) {}

    void turn() {
        const std::scoped_lock lock(mutex);
        if (over) return;
        // A loop beats once a second, and may be late; /livez gives it ten.
        const duration within = std::clamp(every, 2 * telemetry::liveness::interval, telemetry::liveness::limit);
        if (of.alive(steady_time{std::chrono::steady_clock::now()}, within)) told.alive();
        timer.expires_after(every);
        timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
            if (!error) self->turn();
        });
    }

    const telemetry::liveness& of;
    const service_manager& told;
    const duration every;
    boost::asio::steady_timer timer; // on the helper thread
    std::mutex mutex;
    bool over = false;
};

watchdog::watchdog(telemetry::background& on, const telemetry::liveness& of, const service_manager& told,
                   duration every)
    : state_(std::make_shared<state>(on, of, told, every)) {
    on.post([of_timer = state_] { of_timer->turn(); });
}

watchdog::~watchdog() {
    const std::scoped_lock lock(state_->mutex);
    state_->over = true;
}

} // namespace evenkeel::server

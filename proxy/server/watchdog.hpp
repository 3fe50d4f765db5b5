#pragma once
// Signs of life for a service manager: at every turn of a timer on the helper thread, one if every worker's loop has
// noted the time lately. So it takes both: the thread that asks, and the workers that serve.

#include "proxy/server/service_manager.hpp"
#include "proxy/telemetry/background.hpp"
#include "proxy/telemetry/liveness.hpp"

#include <memory>

namespace evenkeel::server {

class watchdog {
public:
    // All of them outlive it. The first sign is given at once.
    watchdog(telemetry::background& on, const telemetry::liveness& of, const service_manager& told, duration every);
    ~watchdog();
    watchdog(const watchdog&) = delete;
    watchdog& operator=(const watchdog&) = delete;

private:
    struct state;
    std::shared_ptr<state> state_; // shared with the timer
};

} // namespace evenkeel::server

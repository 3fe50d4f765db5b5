#pragma once
// `prewarm.probe`: a small request with the upstream's own credential on one of its idle connections, every `interval`,
// so that a way that has died and a credential that is no longer taken are found before a request needs them. It finds
// out and tells; it changes no circuit, no cooldown and no budget, and is not sent while requests would not be either.
//
// One worker's. Owned by it, as are the connections.

#include "config/settings.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/transport.hpp"

#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace evenkeel::request {

class prewarm_probes {
public:
    struct services { // all of them outlive the probes
        net::loop& loop;
        net::transport& transport;
        telemetry::observer& observer;
        std::function<bool(const config::upstream&)> may_ask; // requests would be sent there now
    };
    explicit prewarm_probes(services with);
    ~prewarm_probes();
    prewarm_probes(const prewarm_probes&) = delete;
    prewarm_probes& operator=(const prewarm_probes&) = delete;

    // From now on those of these that ask for it are probed, the first time after one interval.
    void use(std::span<const std::shared_ptr<const config::upstream>> upstreams);
    void stop() noexcept; // those under way end now

private:
    class probe;
    services with_;
    std::vector<std::shared_ptr<probe>> probes_;
};

} // namespace evenkeel::request

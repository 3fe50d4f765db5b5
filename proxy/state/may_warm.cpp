#include "proxy/state/may_warm.hpp"

#include <cstddef>

namespace evenkeel::request {

namespace {
bool admits(const endpoint_policies& at, steady_time now) {
    if (at.circuit != nullptr && at.circuit->look(false, false, 0, now)) return false;
    if (at.lanes != nullptr && !at.lanes->any_free(0, {}, now)) return false; // by whichever key: it is one endpoint
    return at.rest == nullptr || at.rest->nobody_rests(now) || !at.own_credential || !at.rest->resting({}, now);
}
} // namespace

bool may_warm(const config::settings& settings, const policy_set& policies, const config::upstream& to,
              steady_time now) {
    for (const auto& route : settings.routes) {
        for (std::size_t i = 0; i < route->upstreams.size(); ++i) {
            if (config::same_endpoint(*route->upstreams[i], to) && admits(policies.of(*route).endpoints[i], now))
                return true;
        }
    }
    return false;
}

} // namespace evenkeel::request

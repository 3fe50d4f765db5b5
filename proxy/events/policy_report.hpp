#pragma once
// The state of every policy at one moment, for those who show it: /health, the gauges of /metrics, the dashboard.
// Values only; collected from the policy objects without stopping any request.

#include "policies/bulkhead.hpp"
#include "policies/circuit_breaker.hpp"
#include "policies/client_limit.hpp"
#include "policies/cooldown.hpp"
#include "policies/credential_lane.hpp"
#include "policies/endpoint_doubt.hpp"
#include "policies/endpoint_latency.hpp"
#include "policies/hedge.hpp"
#include "policies/overload_control.hpp"
#include "policies/pace.hpp"
#include "policies/time.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::telemetry {

// One model of an endpoint of which something is known that does not hold for the others.
struct model_report {
    std::uint64_t model = 0;                           // a hash
    std::string name{};                                // empty: all those that are too many to be told apart
    std::optional<circuit_breaker::summary> circuit{}; // empty: closed
    std::optional<endpoint_doubt::summary> doubt{};    // empty: not asked second, or nothing but that of its endpoint
};
// One of several of an upstream; never more of it than its name.
struct credential_report {
    std::string name;
    credential_lane::summary seen;
};
// A quota of a model, of its upstream or of one of its credentials.
struct pace_report {
    std::string credential{}; // empty: the upstream's
    paced_quota::summary seen;
};
struct endpoint_report {
    std::string upstream;
    std::optional<circuit_breaker::summary> circuit;     // empty: circuit_breaker off
    std::optional<evenkeel::cooldown::summary> cooldown; // ... likewise
    std::optional<overload_control::summary> overload;   // ... likewise
    endpoint_latency::summary latency;
    double budget_level = 0, budget_burst = 0;      // work
    std::string endpoint{};                         // its label; empty: the upstream has no other
    std::optional<endpoint_doubt::summary> doubt{}; // empty: it is asked in its turn
    std::vector<model_report> models{};
    std::vector<credential_report> credentials{}; // of its upstream, in their order; empty: there is no choice
    bool paces = false;
    std::vector<pace_report> pace{}; // what is known of its upstream's quotas
};
struct route_report {
    std::string route;
    std::optional<hedge_guard::summary> hedging;           // empty: hedge off
    std::size_t holding = 0;                               // requests that wait for an endpoint
    std::vector<endpoint_report> endpoints;                // in order of preference
    std::optional<evenkeel::bulkhead::summary> bulkhead{}; // empty: bulkhead off
};
// Of one of `clients`.
struct client_report {
    std::string name;
    client_limit::summary seen;
};
struct policy_report {
    steady_time at{};
    std::vector<route_report> routes; // of the current configuration, in file order
    std::size_t chaos_rules = 0;      // in force
    std::vector<client_report> clients{};
};
using policy_reporter = std::function<policy_report()>;

} // namespace evenkeel::telemetry

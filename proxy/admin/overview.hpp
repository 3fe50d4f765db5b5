#pragma once
// Everything an operator looks at, in one JSON document: what the page shows and `evenkeel top` prints. Its counts are
// since the start, so that a rate is the difference of two documents. Host names are in it; a credential, a body or
// anything else a client sent is not.

#include "policies/chaos.hpp"
#include "proxy/admin/admin_server.hpp"
#include "proxy/telemetry/health.hpp"
#include "proxy/telemetry/metric_totals.hpp"

#include <string>
#include <string_view>

namespace evenkeel::admin {

struct overview_facts {
    const telemetry::health_view& health;
    const telemetry::metric_totals& totals;
    wall_time at{};
    std::string_view not_ready{};                       // why; empty: it is
    const chaos::summary* chaos_rules = nullptr;        // null: this process has none
    const configuration_state* configuration = nullptr; // likewise
};
[[nodiscard]] std::string overview_json(const overview_facts& of); // in one line

} // namespace evenkeel::admin

#pragma once
// Whether connections to an upstream may be opened ahead of demand just now: some route's circuit admits requests to
// it, and it does not rest by its own credential. (Applications' credentials rest one by one.) Opening one is no probe:
// it changes no circuit. An upstream that no route uses is not worth a connection.

#include "config/settings.hpp"
#include "policies/time.hpp"
#include "proxy/state/policy_registry.hpp"

namespace evenkeel::request {

[[nodiscard]] bool may_warm(const config::settings& settings, const policy_set& policies, const config::upstream& to,
                            steady_time now);

} // namespace evenkeel::request

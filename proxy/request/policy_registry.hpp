#pragma once
// The process-wide state of the policies, one object per key, shared by every worker; a reload keeps the state of a key
// and gives it the new options. Keys: a budget per upstream, or per (route, upstream) where a route writes its own
// `retry.budget`. Objects live as long as the registry; how many there are is bounded by what configurations named.

#include "config/settings.hpp"
#include "policies/work_budget.hpp"

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace evenkeel::request {

struct route_policies {
    std::vector<work_budget*> budgets; // by place in route.upstreams
};

// What one snapshot's routes use; immutable, and alive while a request of that snapshot is.
class policy_set {
public:
    [[nodiscard]] const route_policies& of(const config::route& route) const noexcept { return routes_.find(&route)->second; }

private:
    friend class policy_registry;
    std::unordered_map<const config::route*, route_policies> routes_;
};

class policy_registry {
public:
    // For a snapshot about to be used. Thread-safe.
    [[nodiscard]] std::shared_ptr<const policy_set> prepare(const config::settings& settings);

private:
    std::mutex mutex_;
    std::unordered_map<std::string, std::unique_ptr<work_budget>> budgets_;
};

} // namespace evenkeel::request

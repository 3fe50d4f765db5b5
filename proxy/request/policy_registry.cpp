#include "proxy/request/policy_registry.hpp"

namespace evenkeel::request {

std::shared_ptr<const policy_set> policy_registry::prepare(const config::settings& settings) {
    const std::scoped_lock lock(mutex_);
    auto set = std::make_shared<policy_set>();
    for (const auto& route : settings.routes) {
        route_policies& policies = set->routes_[route.get()];
        for (const auto& upstream : route->upstreams) {
            // '\n' is in no name.
            const std::string key = route->own_budget ? route->name + '\n' + upstream->name : upstream->name;
            auto& budget = budgets_[key];
            if (!budget) {
                budget = std::make_unique<work_budget>(route->retry.budget);
            } else {
                budget->configure(route->retry.budget);
            }
            policies.budgets.push_back(budget.get());
        }
    }
    return set;
}

} // namespace evenkeel::request

#include "proxy/state/shard_of.hpp"

#include "proxy/reading/principal.hpp"

#include <algorithm>
#include <string_view>

namespace evenkeel::request {

const config::credential_rules& rules_of(const client_request& request) noexcept {
    static const config::credential_rules built_in;
    return request.came.settings != nullptr ? request.came.settings->credentials : built_in;
}

std::uint64_t told_tenant(const client_request& request, const config::route& asked) noexcept {
    const auto named = [](std::string_view by) { return std::max<std::uint64_t>(shuffle_shard::tenant_named(by), 1); };
    const shuffle_shard_options& how = asked.shuffle_shard;
    if (!how.on || how.header.empty()) return request.came.client != nullptr ? named(request.came.client->name) : 0;
    const wire::field* const told = request.came.head->find(how.header);
    return named(told != nullptr ? told->value : std::string_view{});
}

shuffle_shard::members shard_of(const client_request& request, const config::route& asked,
                                const route_policies& policies) {
    if (policies.shard == nullptr) return shuffle_shard::all;
    const std::uint64_t named = told_tenant(request, asked);
    return policies.shard->of(named != 0 ? named : tenant_of(*request.came.head, rules_of(request)));
}

} // namespace evenkeel::request

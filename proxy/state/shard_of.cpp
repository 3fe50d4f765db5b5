#include "proxy/state/shard_of.hpp"

#include "proxy/reading/principal.hpp"

#include <algorithm>
#include <string_view>

namespace evenkeel::request {

const config::credential_rules& rules_of(const client_request& request) noexcept {
    static const config::credential_rules built_in;
    return request.came.settings != nullptr ? request.came.settings->credentials : built_in;
}

std::uint64_t tenant_by_header(const client_request& request, const config::route& asked) noexcept {
    const shuffle_shard_options& how = asked.shuffle_shard;
    if (!how.on || how.header.empty()) return 0;
    const wire::field* const told = request.came.head->find(how.header);
    return std::max<std::uint64_t>(shuffle_shard::tenant_named(told != nullptr ? told->value : std::string_view{}), 1);
}

shuffle_shard::members shard_of(const client_request& request, const config::route& asked,
                                const route_policies& policies) {
    if (policies.shard == nullptr) return shuffle_shard::all;
    const std::uint64_t named = tenant_by_header(request, asked);
    return policies.shard->of(named != 0 ? named : tenant_of(*request.came.head, rules_of(request)));
}

} // namespace evenkeel::request

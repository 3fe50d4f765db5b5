#pragma once
// Whose a request is, and which endpoints of its route it may be sent to: all, or those of its tenant's shard.

#include "proxy/message/client_request.hpp"
#include "proxy/state/policy_registry.hpp"

#include <cstdint>

namespace evenkeel::request {

// What a credential is, as the request's configuration has it.
[[nodiscard]] const config::credential_rules& rules_of(const client_request& request) noexcept;

// Of the tenant, where a header names it that the file names, or else its client key (never 0); 0: it is that of
// tenant_of (principal.hpp).
[[nodiscard]] std::uint64_t told_tenant(const client_request& request, const config::route& asked) noexcept;

// The tenant is the value of the header that `shuffle_shard.by` names ("" where it is missing, the first where it is
// repeated), the client by its name, or the tenant by its credential (principal.hpp). A shard by header or name is the
// same in every process; one by credential is drawn anew with each start, since the key of that hash is.
[[nodiscard]] shuffle_shard::members shard_of(const client_request& request, const config::route& asked,
                                              const route_policies& policies);

} // namespace evenkeel::request

#pragma once
// The credentials of one request: where they are in its head and body, and a target and a body without them. What is
// one is said by config/credentials.hpp; here are only the places.

#include "config/credentials.hpp"
#include "proxy/wire/head.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::request {

// Of a field of a request. The fields that the proxy knows by themselves are none, but for one.
[[nodiscard]] inline bool is_credential(const config::credential_rules& rules, const wire::field& one) noexcept {
    if (one.id != wire::field_id::other && one.id != wire::field_id::authorization) return false;
    return rules.field(one.name) != config::credential_kind::none;
}

// The members of a query in their order; some servers take ';' for '&'. `name` and `value` are decoded, `written` is
// the member.
void for_each_query_member(
    std::string_view query,
    const std::function<void(const std::string& name, const std::string& value, std::string_view written)>& what);

// A target (path and query) without credentials in its query: a view of it, or of `room`.
[[nodiscard]] std::string_view target_without_credentials(std::string_view target,
                                                          const config::credential_rules& rules, std::string& room);

// Whether the body may be JSON, as far as the head tells: what is said to be of another kind is not looked into.
[[nodiscard]] bool may_be_json(const wire::request_head& head) noexcept;

// The body without the credentials among the members of its outermost object, in pieces of it; empty: there are none,
// or it is no object.
[[nodiscard]] std::vector<std::string_view> body_without_credentials(std::string_view body,
                                                                     const config::credential_rules& rules);

// Each credential of the request, by what it is called and what it says. A body is only looked at if it is given.
void for_each_credential(const wire::request_head& head, std::string_view body, const config::credential_rules& rules,
                         const std::function<void(std::string_view name, std::string_view value)>& what);

} // namespace evenkeel::request

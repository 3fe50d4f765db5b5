#pragma once
// What makes two requests identical, so that one answer is right for both: a keyed hash of the principal, the route,
// and all that goes upstream or shapes the answer: method, target, body, and every end-to-end field that is not known
// to be harmless (identity_text::add_fields): better two requests than one wrong answer. Each client waits under its
// own deadline.
//
// It cannot be made without a principal, so no two of them ever share an answer, and it tells nothing of either.

#include "policies/coalesce.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/message/errand.hpp"
#include "proxy/reading/identity.hpp"

#include <optional>

namespace evenkeel::request {

class coalesce_key : public identity_hash {
public:
    coalesce_key(const principal& whose, const identity_text& what, const hash_key& key)
        : identity_hash(whose, what, key) {}
};

// Empty: this request shares nothing, under the `coalesce` of the route its client asked.
[[nodiscard]] std::optional<coalesce_key> coalesce_key_of(const client_request& request, const errand& what,
                                                          const hash_key& key);

} // namespace evenkeel::request

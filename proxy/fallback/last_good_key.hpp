#pragma once
// Under what a last good answer is kept: the principal, the route and what makes two requests the same. As for a shared
// flight all fields count that are not known to be harmless (identity_text::add_fields), whatever the kind of key: an
// answer given to somebody else's question is worse than none.

#include "config/settings.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/reading/identity.hpp"

#include <optional>
#include <string_view>

namespace evenkeel::request {

class last_good_key : public identity_hash {
public:
    last_good_key(const principal& whose, const identity_text& what, const hash_key& key)
        : identity_hash(whose, what, key) {}
    [[nodiscard]] const hash_key::bytes& value() const noexcept { return bytes(); }

private:
    friend class last_good_file; // reads back what was made above
    explicit last_good_key(const hash_key::bytes& kept) noexcept : identity_hash(kept) {}
};

inline constexpr std::string_view partial_key_header = "x-evenkeel-partial-key";
inline constexpr std::size_t max_partial_key = 1024; // bytes; a longer one is none

// Empty: this request has no identity of that kind. `stream`: of answers that are streams, which are kept apart.
[[nodiscard]] std::optional<last_good_key> last_good_key_of(const client_request& request,
                                                            config::last_good_key_kind kind, bool stream,
                                                            const hash_key& key);

} // namespace evenkeel::request

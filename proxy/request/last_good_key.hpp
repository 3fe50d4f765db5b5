#pragma once
// Under what a last good answer is kept: a keyed hash of the principal, the route and what makes two requests the same.
// It cannot be made without a principal, so no two of them ever share an answer, and it tells nothing of either: it may be
// written to a file.

#include "config/settings.hpp"
#include "proxy/request/client_request.hpp"
#include "proxy/request/principal.hpp"

#include <array>
#include <cstring>
#include <optional>
#include <string_view>

namespace evenkeel::request {

class last_good_key {
public:
    // `identity`: what else makes two requests the same.
    last_good_key(const principal& whose, std::string_view identity, const hash_key& key);

    [[nodiscard]] const hash_key::bytes& value() const noexcept { return hash_; }
    bool operator==(const last_good_key&) const = default;
    struct hash {
        std::size_t operator()(const last_good_key& key) const noexcept {
            std::size_t out = 0;
            std::memcpy(&out, key.hash_.data(), sizeof out); // it is a hash already
            return out;
        }
    };

private:
    friend class last_good_file; // reads back what was made above
    explicit last_good_key(const hash_key::bytes& kept) noexcept : hash_(kept) {}
    hash_key::bytes hash_;
};

inline constexpr std::string_view partial_key_header = "x-evenkeel-partial-key";
inline constexpr std::size_t max_partial_key = 1024; // bytes; a longer one is none

// Empty: this request has no identity of that kind. `stream`: of answers that are streams, which are kept apart.
[[nodiscard]] std::optional<last_good_key> last_good_key_of(const client_request& request, config::last_good_key_kind kind, bool stream,
                                                            const hash_key& key);

} // namespace evenkeel::request

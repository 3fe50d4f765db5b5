#pragma once
// Whose a request is. There are two answers, since two questions are asked, and a mistake does harm on different sides:
//
//   - Who may get whose answer, and who rests with whom (principal, principal_of). All credentials that the request
//     carries, of every kind and in every place: two callers that differ in one of them are two.
//   - Whose share is it (tenant_of). Here whoever can make himself two has twice the share, so only the credential
//     counts that the provider lets him in by: the first group of places (config/credentials.hpp: what the file names
//     in full, then authorization, x-api-key, api-key, x-goog-api-key, ?key=, then those of gateways) in which there is
//     one. What stands in later groups, made-up fields that merely look like credentials, cookies, organisations and
//     everything harmless change nothing; nor does it where and how the same key is written. Taking all of them into
//     account instead would make `x-foo-token: 1, 2, 3, ...` beside one good key any number of tenants; taking the
//     strongest alone would not help, as it cannot be seen which of two the provider looks at. So where one group holds
//     two that differ, the request belongs to the one tenant of all requests of that kind, as those without any
//     credential do: by sending more a caller gains a share in a crowd, and none of its own.
//
// Both are keyed hashes; no value can be turned back into a credential.

#include "config/credentials.hpp"
#include "proxy/wire/head.hpp"

#include <array>
#include <cstdint>
#include <string_view>

namespace evenkeel::request {

// The key of such hashes (HMAC-SHA-256), where they are kept. A secret: never shown, never logged.
class hash_key {
public:
    using bytes = std::array<unsigned char, 32>;
    static hash_key draw();                                         // from the system's random source
    explicit hash_key(const bytes& kept) noexcept : bytes_(kept) {} // one that was kept

    [[nodiscard]] bytes digest(std::string_view of) const;
    [[nodiscard]] const bytes& value() const noexcept { return bytes_; }

private:
    bytes bytes_;
};

// 256 bits: two credentials never share one. There is no other way to make one than from a request. `body`: all of it,
// or nothing.
class principal {
public:
    principal(const wire::request_head& head, const hash_key& key, const config::credential_rules& rules = {},
              std::string_view body = {});
    [[nodiscard]] std::string_view bytes() const noexcept {
        return {reinterpret_cast<const char*>(hash_.data()), hash_.size()};
    }
    bool operator==(const principal&) const = default;

private:
    hash_key::bytes hash_;
};

// 64 bits (SipHash) under a key that each process draws anew, for policies that keep state by them: asked of every
// request while anybody rests. Never 0: that stands for an upstream's own credential.
[[nodiscard]] std::uint64_t principal_of(const wire::request_head& head, const config::credential_rules& rules,
                                         std::string_view body);
[[nodiscard]] std::uint64_t tenant_of(const wire::request_head& head, const config::credential_rules& rules);
// Likewise of any text: whether it is still the same.
[[nodiscard]] std::uint64_t secret_hash(std::string_view text);
// The head shows a credential that a provider lets its caller in by: then none is to be looked for in the body.
[[nodiscard]] bool shows_key(const wire::request_head& head, const config::credential_rules& rules);

} // namespace evenkeel::request

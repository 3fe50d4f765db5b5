#pragma once
// Who a request speaks for: a keyed hash of every credential it carries, as received: authorization, x-api-key,
// x-goog-api-key, api-key, organisation and project fields, cookies, and the query's `key=`. No value can be turned back
// into a credential.

#include "proxy/wire/head.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace evenkeel::request {

// Appends every field of these names (lower case), in their order, each part with its length, so that no two lists read the
// same: what such hashes are made of.
void append_fields(std::string& to, const wire::request_head& head, std::span<const std::string_view> names);

// The key of such hashes (HMAC-SHA-256). A secret: never shown, never logged.
class hash_key {
public:
    using bytes = std::array<unsigned char, 32>;
    static hash_key draw();                                   // from the system's random source
    explicit hash_key(const bytes& kept) noexcept : bytes_(kept) {} // one that was kept

    [[nodiscard]] bytes digest(std::string_view of) const;
    [[nodiscard]] const bytes& value() const noexcept { return bytes_; }

private:
    bytes bytes_;
};

// 256 bits: two credentials never share one. There is no other way to make one than from a request.
class principal {
public:
    principal(const wire::request_head& head, const hash_key& key);
    [[nodiscard]] std::string_view bytes() const noexcept { return {reinterpret_cast<const char*>(hash_.data()), hash_.size()}; }
    bool operator==(const principal&) const = default;

private:
    hash_key::bytes hash_;
};

// 64 bits under a key that each process draws anew, for policies that keep state per credential. Never 0: that stands
// for an upstream's own credential.
[[nodiscard]] std::uint64_t principal_of(const wire::request_head& head);

} // namespace evenkeel::request

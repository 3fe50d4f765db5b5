#pragma once
// The keys by which callers are known (`clients`). Only digests are kept: whoever reads this process's memory, its
// settings or its configuration has no key of anybody.

#include "config/settings.hpp"

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace evenkeel::config {

// Each request that shows a key is compared with all of them.
inline constexpr std::size_t most_clients = 1000;
inline constexpr std::size_t most_keys_of_client = 16;

[[nodiscard]] key_digest digest_of(std::string_view key);                          // SHA-256
[[nodiscard]] std::optional<key_digest> read_digest(std::string_view hexadecimal); // 64 digits
// Of a key file: a key a line, so that the next one is there before the last one goes. Blank lines and what begins with
// '#' are none.
[[nodiscard]] std::vector<std::string_view> keys_in(std::string_view file);

// Whose key that is; null: nobody's. Takes as long whichever of the keys it is, or none.
[[nodiscard]] const client* client_with(const settings& of, std::string_view key) noexcept;

} // namespace evenkeel::config

#pragma once
// Who a request speaks for: a keyed hash of every credential it carries, as received. Two credentials never share a value
// but by a collision of 64 bits of a keyed hash, and no value can be turned back into a credential. The key is drawn anew
// by each process.

#include "proxy/wire/head.hpp"

#include <cstdint>

namespace evenkeel::request {

// Over authorization, x-api-key, x-goog-api-key, api-key, organisation and project fields, and the query's `key=`.
// Never 0: that stands for an upstream's own credential.
[[nodiscard]] std::uint64_t principal_of(const wire::request_head& head);

} // namespace evenkeel::request

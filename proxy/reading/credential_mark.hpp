#pragma once
// By what a caller is told from others in logs: a hash, under a key that each process draws anew, of the credential it
// shows. Made of every line that is written, so it is quick (SipHash-2-4, some hundred instructions; the principal of
// principal.hpp costs as much as parsing the head several times over). For eyes alone: no policy goes by it.

#include "proxy/wire/head.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace evenkeel::request {

// Of the first field that is authorization, x-api-key, api-key or x-goog-api-key. Empty: there is none.
[[nodiscard]] std::optional<std::uint64_t> credential_mark(const wire::request_head& head) noexcept;

} // namespace evenkeel::request

#pragma once
// The strict gates: bytes in, a validated head or a reason for refusing out. Pure; no Asio.
//
// A gate is handed everything received so far of one head, from its first byte, each time more has arrived. `scanned`
// belongs to the caller, starts at 0 for each head and spares the gate from searching the same bytes again. Empty lines
// before a request line are not accepted by the gate; the connection skips at most one CRLF between requests.

#include "proxy/wire/head.hpp"
#include "proxy/wire/limits.hpp"

#include <cstddef>
#include <string_view>

namespace evenkeel::wire {

[[nodiscard]] head_result read_request_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                                            request_head& out);

// What the request was decides how its response is framed (HEAD, and CONNECT which we never send).
struct response_context {
    bool head_request = false;
};

// Interim (1xx) heads come out like any other, with status 1xx and no body: the caller forwards or drops them, counts
// them (at most 16 per response) and calls again. 101 is refused here: nothing we send asks for it.
[[nodiscard]] head_result read_response_head(std::string_view bytes, const head_limits& limits, std::size_t& scanned,
                                             response_context context, response_head& out);

} // namespace evenkeel::wire

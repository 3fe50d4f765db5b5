#pragma once
// Finds out whether an endpoint that is asked second, or whose circuit is open, is well again, so that no caller has
// to: a copy of a request that another endpoint has answered well is sent there, beside it and after it, by nobody's
// order. Only of what reads or computes, and of no pictures or sound. What it is answered with nobody sees; the
// policies hear of it like of any attempt.
//
// One model of an endpoint has one prober of this process at a time, and an endpoint up to four (model_doubts); each
// goes on by itself for two minutes, up to every 24 s, or until the next request can be expected, for six minutes at
// most (endpoint_doubt): after that the next request begins another. One copy that hangs is no reason not to send the
// next, nor is one of several that are asked for in a row: two are under way at most. A copy shares the bytes of its
// request's body, holds its caller's credentials for no longer than that, and is small.
//
// Where a request may not be copied, or errors alone opened the circuit, connections are opened at the same pace: they
// cost nobody anything, and no caller finds out that none can be made.

#include "proxy/message/client_request.hpp"
#include "proxy/message/errand.hpp"
#include "proxy/state/worker_services.hpp"

#include <cstdint>

namespace evenkeel::request {

inline constexpr std::uint64_t most_copied = 256 * 1024; // bytes of a request's body (chosen)

// By what is known of it at its beginning: small, and with a body that is here or will be.
[[nodiscard]] bool may_copy(const client_request& request);

// May be asked again and again: one that is under way goes on.
void probe_connection(worker_services& services, const client_request& of, const errand& what, endpoint_index at);

// `at`: an endpoint of the route that the errand asks, `model`: what it is asked for (permit_request). The request may
// end meanwhile.
void probe_beside(worker_services& services, const client_request& of, const errand& what, endpoint_index at,
                  std::uint64_t model);

} // namespace evenkeel::request

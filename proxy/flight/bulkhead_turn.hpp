#pragma once
// The bulkhead's place in a request's way: a permit at once, or a wait for one, or an honest refusal.
//
//     bulkhead_permit permit = enter_bulkhead(services, request);
//     if (!permit && request.route->bulkhead.on) { if (auto refused = co_await wait_for_turn(services, request,
//     permit)) ... }
//     ... the flight ...; the permit moves into its answer

#include "proxy/message/answer.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/state/worker_services.hpp"

#include <optional>

namespace evenkeel::request {

// What is free now; empty: nothing, or the route has no bulkhead.
[[nodiscard]] bulkhead_permit enter_bulkhead(worker_services& services, const client_request& request);

// Queues the request until it has a permit: empty. Else the answer that refuses it, or that of a client that has left.
[[nodiscard]] net::task<std::optional<answer>> wait_for_turn(worker_services& services, client_request& request,
                                                             bulkhead_permit& permit);

// A permit, then the flight; the permit goes with the answer, to its last byte.
[[nodiscard]] net::task<answer> in_turn(worker_services& services, client_request& request);

} // namespace evenkeel::request

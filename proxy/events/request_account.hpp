#pragma once
// What happened to one request, from its head to the last byte of its answer: filled in by whoever knows, read by the
// access log, the metrics and the labels of the answer.
//
// The views in it are of the request, of its connection, of its settings, or static.

#include "config/settings.hpp"
#include "policies/time.hpp"
#include "proxy/events/outcomes.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace evenkeel::telemetry {

struct request_account {
    const config::route* route = nullptr; // nullptr: none matched, or refused before routing
    const config::upstream* upstream = nullptr;
    wall_time started{};
    std::string_view method{}, path{}; // path without query
    std::string_view request_id{}, upstream_request_id{};
    std::string model{}; // only where the route looked at the body
    // Of a refusal, or why the ladder was climbed: a word of wire::refusal or of ours (no_route, ...).
    std::string_view reason{};
    std::string_view proxy_error{}; // RFC 9209 token of an error we made
    int status = 0;                 // sent to the client; 0: nothing was
    int attempts = 0;               // over fallback and replay too
    int hedges = 0;                 // of them
    request_outcome outcome = request_outcome::ok;
    request_service service = request_service::ok;
    denied_reason denied = denied_reason::none;
    stream_end ended = stream_end::none;
    // The fan-out that sent it; its route is the part's own, and no client connection its.
    const config::route* part_of = nullptr;
    std::string parts{};               // of a fan-out: how each part went, a JSON object; empty: it is none
    std::string_view upstream_model{}; // what the model was renamed to on the way out; empty: it was not
    bool stream = false;
    coalesce_role coalesced = coalesce_role::none;
    bool upcast = false; // asked for as a stream and put together again
    int resumed = 0;     // how often its stream was asked for again after it broke
    duration total{};
    steady_time at{};       // when it ended; epoch: just now
    duration first_byte{};  // from the request's head to the first body byte sent; 0: none
    duration first_token{}; // ... to the first meaningful event of a stream sent; 0: none
    duration held{};        // waited for an endpoint to become admissible
    degradation degraded{};
    duration queued{};       // waited for the bulkhead
    bool probe = false;      // its answer came from a probe of a half-open circuit
    std::uint16_t chaos = 0; // faults injected into its attempts: a bit each, by chaos_fault
    // Attempts that chaos was asked about: all, over fallback and replay too.
    std::uint16_t chaos_asked = 0;
    bool announced = false; // the observer has heard of it (request_started)
    // Our own share: head read -> sent upstream, upstream head -> sent to the client.
    duration overhead{};
    std::uint64_t bytes_in = 0, bytes_out = 0; // body bytes
};

} // namespace evenkeel::telemetry

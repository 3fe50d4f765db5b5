#pragma once
// What happened to one request, from its head to the last byte of its answer: filled in by whoever knows, read by the
// access log, the metrics and the labels of the answer. What is an event goes in through note(), which counts it and
// keeps it in the journal.
//
// The views in it are of the request, of its connection, of its settings, or static.

#include "config/settings.hpp"
#include "policies/time.hpp"
#include "proxy/events/happened.hpp"
#include "proxy/events/journal.hpp"
#include "proxy/events/outcomes.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace evenkeel::telemetry {

class observer;

// What a request took. Of a shared flight its readers have a copy.
struct request_effort {
    int attempts = 0;              // over fallback and replay too
    int hedges = 0;                // of them
    int resumed = 0;               // how often its stream was asked for again after it broke
    duration held{};               // waited for an endpoint to become admissible
    duration queued{};             // waited for the bulkhead
    std::uint16_t chaos = 0;       // faults injected into its attempts: a bit each, by chaos_fault
    std::uint16_t chaos_asked = 0; // attempts that chaos was asked about
};

// ... and what happened meanwhile, of a flight that is somebody else's.
struct request_story {
    request_effort effort{};
    telemetry::journal journal{};
};

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
    request_effort effort{};
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
    duration total{};
    steady_time at{};       // when it ended; epoch: just now
    duration first_byte{};  // from the request's head to the first body byte sent; 0: none
    duration first_token{}; // ... to the first meaningful event of a stream sent; 0: none
    degradation degraded{};
    bool probe = false;     // its answer came from a probe of a half-open circuit
    bool announced = false; // the observer has heard of it (request_started)
    // Our own share: head read -> sent upstream, upstream head -> sent to the client.
    duration overhead{};
    std::uint64_t bytes_in = 0, bytes_out = 0; // body bytes
    telemetry::journal journal{};

    // Into the journal; what it says of the effort is added to that. Which attempt it is about: of a launched one the
    // next number, whatever `of` says.
    attempt_number note(steady_time now, const event_origin& of, const any_happening& what);
    // ... and told to who listens.
    attempt_number tell(observer& to, steady_time now, event_origin of, const any_happening& what);
    // Of a shared flight: what it has come to since it was `known`. Its leader has sent it, and takes all of it for his
    // own; a follower has the attempts, not the waits.
    void follow(const request_story& flight, const request_story& known, bool leads);
};

} // namespace evenkeel::telemetry

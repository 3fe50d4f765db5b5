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
#include "proxy/events/trace_context.hpp"

#include <cstdint>
#include <optional>
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
    duration paced{};              // waited for its turn at a quota
    duration queued{};             // waited for the bulkhead
    duration uploading{};          // waited for the client's body before anything could be sent
    std::uint16_t chaos = 0;       // faults injected into its attempts: a bit each, by chaos_fault
    std::uint16_t chaos_asked = 0; // attempts that chaos was asked about
    bill served{}, lost{};         // what the attempts that have ended took: the answer's, and the others'
};

// ... and what happened meanwhile, of a flight that is somebody else's.
struct request_story {
    request_effort effort{};
    telemetry::journal journal{};
};

// What is read of a request only if somebody asks: a line is written, a journal is kept.
class request_witness {
public:
    // A hash under a key that each process draws anew; empty: it shows none, or none that is known.
    [[nodiscard]] virtual std::optional<std::uint64_t> credential() const = 0;
    [[nodiscard]] virtual std::string_view trace_id() const = 0; // 32 hexadecimal digits; empty: none
protected:
    ~request_witness() = default;
};

struct request_account {
    const config::route* route = nullptr; // nullptr: none matched, or refused before routing
    const config::upstream* upstream = nullptr;
    wall_time started{};
    std::string_view method{}, path{};  // path without query
    std::string_view client{};          // its address
    const config::client* by = nullptr; // whose key it showed; null: nobody's, or none is asked for
    std::string_view request_id{}, upstream_request_id{};
    std::string model{}; // as its client named it; empty: nowhere, or nowhere that was looked
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
    // Our own share: what of its time was neither spent in a queue, nor between or in attempts, nor waiting for its
    // client. Up to the answer's head, as are the next two.
    duration overhead{};
    duration lost{};                           // while none but attempts were under way that did not become the answer
    duration paused{};                         // between attempts, while none was
    duration silent{};                         // of client_cancelled: how long the upstream had been silent
    std::uint64_t bytes_in = 0, bytes_out = 0; // body bytes
    telemetry::journal journal{};
    trace_context trace{};
    const request_witness* witness = nullptr; // its request, while that is there

    [[nodiscard]] request_ending ending() const noexcept { return ending_of(outcome, service); }
    [[nodiscard]] departure departed() const noexcept; // of client_cancelled
    // Where its time went until the head of its answer. `answering`: when the attempt whose answer it is was launched;
    // epoch: none was.
    void split_time(steady_time received, steady_time answering, steady_time decided, steady_time now) noexcept;
    // Its client has left: which upstream it waited for, and how long that had been silent.
    void note_departure() noexcept;

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

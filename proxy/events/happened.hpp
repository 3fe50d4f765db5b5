#pragma once
// What happens to a request on its way to an answer: one value per event, told once, by whoever does it, with the
// reasons: those of a yes (why an attempt was launched, why this answer was taken) as well as those of a no. The
// journal of the request keeps them (journal.hpp), the listeners read the same values (observer.hpp).
//
// Values only, and small. Every word in them is of a closed list or static: none is a peer's.

#include "config/settings.hpp"
#include "policies/bulkhead.hpp"
#include "policies/chaos_fault.hpp"
#include "policies/credential_lanes.hpp"
#include "policies/fallback.hpp"
#include "policies/flight_plan.hpp"
#include "policies/hedge.hpp"
#include "policies/time.hpp"
#include "proxy/events/outcomes.hpp"
#include "proxy/events/spending.hpp"
#include "proxy/events/trace_context.hpp"

#include <cstdint>
#include <string_view>
#include <variant>

namespace evenkeel::telemetry {

// Which of the tries made for one request, over fallback and replay too: 1 is the first. 0: none of them.
using attempt_number = std::uint16_t;

// Whom an event is about.
struct event_origin {
    const config::route* route = nullptr;       // whose policies were asked
    const config::upstream* upstream = nullptr; // the endpoint; null: none in particular
    std::string_view request_id{};              // as its client knows it; during the call only
    attempt_number attempt = 0;
    const config::credential* credential = nullptr; // which of several of that upstream; null: there is no choice
};

namespace happened {
// At the bulkhead: told of a request that found no permit free, once, when it has one, is refused, or its client left.
struct queued {
    duration waited{};
    bool in_line = false;  // false: refused, or admitted after all, at once
    bool admitted = false; // neither admitted nor refused: its client left
    bulkhead_refusal refused = bulkhead_refusal::none;
    bool tenant_limited = false; // the share of its tenant had a part in it: others were let pass, or it was refused
};

// `coalesce`.
struct joined {          // a shared flight
    coalesce_role role;  // leader or follower
    trace_link leader{}; // of a follower: the request that it was started for; empty: it is not traced
};
struct detached { // it has lost that flight
    coalesce_detachment why;
};
struct shared_flight_ended {}; // once for each leader

// The plan of a flight: what it did, and what it did not.
struct launched {
    attempt_kind kind;
    std::string_view why;   // first | retry | failover | next_credential | hedge | rescue | stale_connection | plain
    bool probe = false;     // of a circuit that is half-open
    std::uint64_t span = 0; // in its request's trace; 0: nothing is traced
    lane_index credential = no_lane; // which of its upstream's; no_lane: there is no choice
};
struct passed_over { // an attempt was wanted, and this endpoint is not asked now
    attempt_purpose wanted;
    retry_denial why;
};
struct not_followed { // this attempt failed, and is not followed by another while others are in flight
    retry_denial why;
};
struct not_hedged { // a hedge was due
    hedge_refusal why;
};
struct not_rescued { // a rescue was due; once a request for each reason
    rescue_refusal why;
};
struct overdue {}; // silent for longer than an attempt may be; it goes on for want of anything better
struct committed { // its answer is the flight's
    std::string_view why;
};
struct holding { // the request waits for an endpoint that may be asked
    retry_denial why;
};
struct held { // ... no longer: it goes on, is refused, or its client leaves
    duration waited;
    bool went_on;
};
struct pacing {}; // it waits for its turn at a quota
struct paced {    // ... no longer
    duration waited;
    enum class end : unsigned char {
        went_on,
        went_through,
        left
    } how; // went_through: after pace.max_wait; left: gave up
};
struct gave_up { // the flight is over without a good answer
    std::string_view why;
    retry_denial denied;
};

// How an attempt ended; attempt_record has the rest.
struct ended {
    attempt_result result;
    std::uint16_t status = 0; // of the upstream's answer; 0: none came
    duration took{};
    std::string_view why{}; // RFC 9209 token, or why it was cancelled; empty: the result says all
    duration silent{};      // ... of one that was given up: since the last byte moved
    spending spent{};
};
struct faulted { // a chaos rule chose the attempt that comes next
    chaos_fault with;
};
struct upcast { // it was asked for as a stream where the client wants one piece
    upcast_result how;
};
struct unread {}; // its answer is compressed in a way that is not known here: passed on without being judged
struct resumed {  // a stream that broke was asked for again
    stream_resumption how;
};

// The fallback ladder.
struct step_skipped {
    fallback_kind step;
    fallback_skip why;
};
struct step_taken {
    fallback_kind step;
};
struct ladder_exhausted {}; // no step could answer
} // namespace happened

using any_happening =
    std::variant<happened::queued, happened::joined, happened::detached, happened::shared_flight_ended,
                 happened::launched, happened::passed_over, happened::not_followed, happened::not_hedged,
                 happened::not_rescued, happened::overdue, happened::committed, happened::holding, happened::held,
                 happened::pacing, happened::paced, happened::gave_up, happened::ended, happened::faulted,
                 happened::upcast, happened::unread, happened::resumed, happened::step_skipped, happened::step_taken,
                 happened::ladder_exhausted>;

// The event's name and its reason, as they stand in logs: "launched failover".
struct happening_words {
    std::string_view name, why;
};
[[nodiscard]] happening_words words_of(const any_happening& what) noexcept;

} // namespace evenkeel::telemetry

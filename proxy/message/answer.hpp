#pragma once
// What `serve` returns: a head, a source of body bytes, and where it came from.

#include "config/settings.hpp"
#include "policies/flight_plan.hpp"
#include "policies/time.hpp"
#include "proxy/events/request_account.hpp"
#include "proxy/message/body_source.hpp"
#include "proxy/message/bulkhead_permit.hpp"
#include "proxy/wire/head.hpp"

#include <memory>
#include <optional>
#include <string_view>

namespace evenkeel::request {

// What headers, log and metrics say about an answer. Copied where several clients get the same one.
struct provenance {
    const config::upstream* upstream = nullptr; // null: made here without trying
    bool local = false;                         // made here
    bool stream = false;                        // an event stream: silence is judged by stream_idle, not by the total
    bool events = false;                        // ... of server-sent events, whatever its head says
    telemetry::request_outcome outcome = telemetry::request_outcome::ok;
    telemetry::request_service service = telemetry::request_service::ok;
    // Why the last failed attempt was not followed by another.
    evenkeel::retry_denial denied = evenkeel::retry_denial::none;
    bool stop_client_retries = false;        // the client's own retries cannot help, or would multiply ours
    std::string_view upstream_model{};       // what the model was renamed to
    std::string_view reason;                 // word for a local refusal or failure
    std::string_view proxy_error;            // RFC 9209 token of an error made here
    bool undecided = false;                  // how it came about is known at its end only: no x-evenkeel-outcome
    bool probe = false;                      // the answering attempt was a probe of a half-open circuit
    std::optional<outcome_kind> failed_as{}; // an upstream's error answer: what it was judged to be
    bool upcast = false;                     // put together from a stream
    bool may_have_arrived = false;           // an upstream may have acted on the request
    telemetry::degradation degraded{};       // it comes from the fallback ladder
    steady_time launched{};                  // when the committed attempt was; epoch: none was
    steady_time sent{};                      // ... and its request went out
    steady_time decided{};                   // ... and it was found to be the answer
    telemetry::coalesce_role coalesced = telemetry::coalesce_role::none;

    // What the account of a request has of its answer.
    void tell(telemetry::request_account& account) const;
    // ... that stands in for one which it has been told of, and which was none.
    void tell_instead(telemetry::request_account& account) const;
};

// Where a stream comes from that may be asked for again.
struct stream_origin {
    endpoint_index at = 0;
    steady_time sent{}; // when its attempt went out
};

struct answer : provenance {
    bulkhead_permit permit; // first, so that what feeds the body ends before it is given back
    // It takes the place of a stream that broke: still to be compared (resumed_body).
    std::optional<stream_origin> replays{};

    // The head lives in `body`, which is never null once served: an answer without a body has an empty source. It is to
    // be read before the body is: what its fields say goes when more is asked for than came with it, and the whole of
    // it when another attempt goes on with the body.
    const wire::response_head* head = nullptr;
    std::unique_ptr<body_source> body;

    // It may send its request again; else the body of that may go.
    [[nodiscard]] bool may_ask_again() const noexcept { return body && body->may_ask_again(); }

    void end() noexcept { // what it holds is given back in the order of its end
        body.reset();
        permit = {};
    }
};

} // namespace evenkeel::request

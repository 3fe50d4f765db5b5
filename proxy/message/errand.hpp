#pragma once
// What is asked of the upstreams on behalf of a request: whose upstreams, by when, and what happens if they fail. A
// value that is handed down from stage to stage (flight/stage.hpp): another step of the ladder, the request of a shared
// flight, a stream that is asked for again is *another errand* of the same request, and nothing is set and put back.

#include "config/settings.hpp"
#include "policies/flight_plan.hpp"
#include "policies/time.hpp"
#include "proxy/message/bulkhead_permit.hpp"

#include <memory>
#include <optional>

namespace evenkeel::request {

struct client_request;
class flight;

// Of a request that several clients wait for (shared_flight): its deadline is the latest of theirs, and moves as they
// come.
struct shared_time {
    steady_time deadline{};
    flight* under_way = nullptr; // which has to be told
};

struct errand {
    std::shared_ptr<const config::route> asked{}; // whose upstreams
    steady_time since{}; // timeout.total of `asked` counts from here, but never from before the request came
    // Of whoever sends the request on its client's behalf. It holds for all that is done for the request.
    steady_time bound = steady_time::max();
    steady_time deadline = steady_time::max(); // by when the answer of this errand must be there
    bool something_follows = false;            // a fallback answers if the attempts do not
    shared_time* shared = nullptr;             // set: the errand is several clients'; outlives it
    // Set: a probe, which asks this endpoint of the route once, and whose answer nobody waits for.
    std::optional<endpoint_index> only{};
    const earlier_attempts* earlier = nullptr; // of a stream that broke and is asked for again; outlives the errand
    bulkhead_permit permit{};                  // goes with the answer, to its last byte

    [[nodiscard]] errand without_permit() const {
        return {.asked = asked,
                .since = since,
                .bound = bound,
                .deadline = deadline,
                .something_follows = something_follows,
                .shared = shared,
                .only = only,
                .earlier = earlier};
    }
};

// By when its answer must be there, whatever has been said of its deadline: timeout.total of the route asked, what the
// client told of its patience, and the bounds the errand came with.
[[nodiscard]] steady_time deadline_of(const client_request& request, const errand& what);

} // namespace evenkeel::request

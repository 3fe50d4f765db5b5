#include "proxy/message/errand.hpp"

#include "proxy/message/client_request.hpp"

#include <algorithm>

namespace evenkeel::request {

steady_time deadline_of(const client_request& request, const errand& what) {
    const steady_time own = std::max(request.came.received, what.since) + what.asked->timeout.total;
    if (what.shared != nullptr) return own; // of a stream that is asked for again: those who read it have none
    const client_hints& told = request.facts.hints();
    duration within = duration::max();
    if (told.timeout) within = answer_within(*told.timeout);
    // Heartbeats keep a stream's client patient; any other hears nothing until its answer is whole.
    if (told.silence && !(request.route->stream.hold_head && request.facts.wants_stream()))
        within = std::min(within, answer_within(*told.silence));
    const steady_time patient = within == duration::max() ? steady_time::max() : request.came.received + within;
    return std::min({own, patient, what.bound, what.deadline});
}

} // namespace evenkeel::request

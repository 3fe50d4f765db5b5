#pragma once
// From the samples of a run to the figures that are compared, and from the figures of several seeds to their medians.
// Pure.

#include "proxy/simulate/simulation.hpp"

#include <optional>
#include <vector>

namespace evenkeel::simulate {

struct figures {
    double success = 0, within_15s = 0, degraded = 0; // shares of all requests, 0..1; the first two: good whole answers
    double p50 = 0, p99 = 0;                          // seconds to the whole answer; a failure counts as the deadline
    double first_token_p50 = 0, first_token_p99 = 0;  // of the streams, likewise
    double attempts = 0;                              // per request, those that got no connection included
    double wasted_events = 0;                         // per request: streamed by attempts whose answer was not used
    // Seconds from the end of the disturbance to the first arrival from which on, for 10 s and again over the whole
    // rest of the run, at least 95 % of the arrivals were answered well within 15 s: a relapse is no recovery. Empty:
    // there is no disturbance; infinite: it did not happen before the run's end.
    std::optional<double> recovery{};
};

[[nodiscard]] figures figures_of(const run_result& run, const model::traffic_facts& facts);

// Of each figure by itself: the middle one, or the mean of the middle two.
[[nodiscard]] figures median_of(const std::vector<figures>& seeds);

} // namespace evenkeel::simulate

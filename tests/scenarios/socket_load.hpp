#pragma once
// The clients of a scenario on real sockets: open loop, a thread per request in flight, each reads its answer to the
// end, judges it as the simulation does, and leaves at its deadline.

#include "policies/time.hpp"
#include "proxy/simulate/simulation.hpp"

#include <cstdint>
#include <vector>

namespace evenkeel::test {

// In order, those that count. `attempts` of the samples are left 0.
[[nodiscard]] std::vector<simulate::sample> play(const model::traffic& what, std::uint16_t port, steady_time zero,
                                                 double speed);

} // namespace evenkeel::test

#pragma once
// The bulkhead's stage: a permit at once, or a wait for one, or an honest refusal. The permit goes with the errand,
// then with its answer.

#include "proxy/flight/stage.hpp"

namespace evenkeel::request {

[[nodiscard]] net::task<answer> in_turn(worker_services& services, client_request& request, errand&& what,
                                        next_stage next);

} // namespace evenkeel::request

#pragma once
// Which requests somebody may want to look into: those that failed, that took more than one attempt or a fault, that
// had to wait, or whose answer is not what was asked for. Sampling leaves the others out; their journals say nothing.

#include "proxy/events/request_account.hpp"

namespace evenkeel::telemetry {

[[nodiscard]] inline bool is_disturbed(const request_account& what) noexcept {
    return what.outcome != request_outcome::ok || what.service == request_service::degraded ||
           what.effort.attempts > 1 || what.effort.chaos != 0 ||
           what.effort.held + what.effort.paced + what.effort.queued > duration::zero();
}

} // namespace evenkeel::telemetry

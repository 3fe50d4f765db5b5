#include "policies/retry.hpp"

#include <algorithm>
#include <cmath>

namespace evenkeel {

duration backoff_pause(const backoff_options& options, int n, duration previous, double u) noexcept {
    const duration full = std::min(options.max, scaled(options.initial, std::pow(options.base, std::max(n, 0))));
    switch (options.jitter) {
    case jitter::none: return full;
    case jitter::full: return scaled(full, u);
    case jitter::equal: return scaled(full, 0.5 + 0.5 * u);
    case jitter::decorrelated: break;
    }
    const duration before = n <= 0 || previous <= duration::zero() ? options.initial : previous;
    const double spread = 3.0 * static_cast<double>(before.count()) - static_cast<double>(options.initial.count());
    const double drawn = static_cast<double>(options.initial.count()) + u * std::max(spread, 0.0);
    return std::min(options.max, scaled(duration{1}, drawn));
}

retry_on word_for(const attempt_outcome& outcome) noexcept {
    switch (outcome.what.kind) {
    case outcome_kind::answered:
    case outcome_kind::quota:
    case outcome_kind::credential:
    case outcome_kind::caller_error:
    case outcome_kind::cancelled: return retry_on{0};
    default: break;
    }
    if (outcome.empty) return retry_on::empty;
    if (outcome.embedded) return retry_on::stream_error;
    switch (outcome.what.kind) {
    case outcome_kind::connect_failure: return retry_on::connect_failure;
    case outcome_kind::reset: return retry_on::reset;
    case outcome_kind::timeout: return retry_on::timeout;
    case outcome_kind::overloaded: return retry_on::overloaded;
    case outcome_kind::rate_limited: return retry_on::rate_limited;
    case outcome_kind::server_error: return retry_on::server_error;
    case outcome_kind::protocol_error: return retry_on::protocol_error;
    default: return retry_on{0};
    }
}

std::string_view to_string(retry_denial denied) noexcept {
    switch (denied) {
    case retry_denial::none: return "none";
    case retry_denial::off: return "off";
    case retry_denial::limit: return "limit";
    case retry_denial::budget: return "budget";
    case retry_denial::deadline: return "deadline";
    case retry_denial::retry_after: return "retry_after";
    case retry_denial::not_replayable: return "not_replayable";
    case retry_denial::not_retryable: return "not_retryable";
    case retry_denial::upstream_said: return "upstream_said";
    case retry_denial::no_endpoint: return "no_endpoint";
    case retry_denial::committed: return "committed";
    case retry_denial::circuit_open: return "circuit_open";
    case retry_denial::overload: return "overload";
    case retry_denial::model_circuit_open: return "model_circuit_open";
    case retry_denial::paced: return "paced";
    }
    return "none";
}

} // namespace evenkeel

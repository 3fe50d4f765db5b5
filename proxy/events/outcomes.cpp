#include "proxy/events/outcomes.hpp"

namespace evenkeel::telemetry {

health_verdict verdict_of(attempt_result result) noexcept {
    switch (result) {
    case attempt_result::success:
    case attempt_result::caller_error: return health_verdict::success;
    case attempt_result::cancelled:
    case attempt_result::empty:
    case attempt_result::rate_limited:
    case attempt_result::quota:
    case attempt_result::credential: return health_verdict::silent;
    default: return health_verdict::failure;
    }
}

std::string_view to_string(attempt_result result) noexcept {
    switch (result) {
    case attempt_result::success: return "success";
    case attempt_result::caller_error: return "caller_error";
    case attempt_result::credential: return "credential";
    case attempt_result::server_error: return "server_error";
    case attempt_result::rate_limited: return "rate_limited";
    case attempt_result::overloaded: return "overloaded";
    case attempt_result::quota: return "quota";
    case attempt_result::connect_failure: return "connect_failure";
    case attempt_result::tls_failure: return "tls_failure";
    case attempt_result::reset: return "reset";
    case attempt_result::protocol_error: return "protocol_error";
    case attempt_result::stream_error: return "stream_error";
    case attempt_result::empty: return "empty";
    case attempt_result::timeout: return "timeout";
    case attempt_result::truncated: return "truncated";
    case attempt_result::cancelled: return "cancelled";
    }
    return "unknown";
}

std::string_view to_string(attempt_kind kind) noexcept {
    switch (kind) {
    case attempt_kind::first: return "first";
    case attempt_kind::retry: return "retry";
    case attempt_kind::stale_retry: return "stale_retry";
    case attempt_kind::plain_retry: return "plain_retry";
    case attempt_kind::hedge: return "hedge";
    case attempt_kind::rescue: return "rescue";
    case attempt_kind::probe: return "probe";
    }
    return "unknown";
}

std::string_view to_string(request_outcome outcome) noexcept {
    switch (outcome) {
    case request_outcome::ok: return "ok";
    case request_outcome::upstream_error: return "upstream_error";
    case request_outcome::proxy_error: return "proxy_error";
    case request_outcome::rejected: return "rejected";
    case request_outcome::truncated: return "truncated";
    case request_outcome::client_cancelled: return "client_cancelled";
    }
    return "unknown";
}

std::string_view to_string(request_service service) noexcept {
    switch (service) {
    case request_service::ok: return "ok";
    case request_service::rerouted: return "rerouted";
    case request_service::retried: return "retried";
    case request_service::hedged: return "hedged";
    case request_service::failed_over: return "failed_over";
    case request_service::error: return "error";
    case request_service::rejected: return "rejected";
    case request_service::degraded: return "degraded";
    }
    return "unknown";
}

request_ending ending_of(request_outcome what, request_service how) noexcept {
    switch (what) {
    case request_outcome::ok: break;
    case request_outcome::upstream_error: return request_ending::upstream_error;
    case request_outcome::proxy_error: return request_ending::proxy_error;
    case request_outcome::rejected: return request_ending::rejected;
    case request_outcome::truncated: return request_ending::truncated;
    case request_outcome::client_cancelled: return request_ending::client_cancelled;
    }
    switch (how) {
    case request_service::ok: return request_ending::ok;
    case request_service::rerouted: return request_ending::rerouted;
    case request_service::retried: return request_ending::retried;
    case request_service::hedged: return request_ending::hedged;
    case request_service::failed_over: return request_ending::failed_over;
    case request_service::degraded: return request_ending::degraded;
    case request_service::error: return request_ending::proxy_error;
    case request_service::rejected: return request_ending::rejected;
    }
    return request_ending::ok;
}

std::string_view to_string(request_ending ending) noexcept {
    switch (ending) {
    case request_ending::ok: return "ok";
    case request_ending::rerouted: return "rerouted";
    case request_ending::retried: return "retried";
    case request_ending::hedged: return "hedged";
    case request_ending::failed_over: return "failed_over";
    case request_ending::degraded: return "degraded";
    case request_ending::upstream_error: return "upstream_error";
    case request_ending::proxy_error: return "proxy_error";
    case request_ending::rejected: return "rejected";
    case request_ending::truncated: return "truncated";
    case request_ending::client_cancelled: return "client_cancelled";
    }
    return "unknown";
}

std::string_view to_string(departure when) noexcept {
    switch (when) {
    case departure::before_attempt: return "before_attempt";
    case departure::unanswered: return "unanswered";
    case departure::answering: return "answering";
    }
    return "unknown";
}

std::string_view to_string(upcast_result how) noexcept {
    switch (how) {
    case upcast_result::assembled: return "assembled";
    case upcast_result::unknown_field: return "unknown_field";
    case upcast_result::incomplete: return "incomplete";
    case upcast_result::too_large: return "too_large";
    case upcast_result::refused: return "refused";
    case upcast_result::not_streamed: return "not_streamed";
    }
    return "assembled";
}

std::string_view to_string(stream_resumption how) noexcept {
    switch (how) {
    case stream_resumption::resumed: return "resumed";
    case stream_resumption::differs: return "differs";
    case stream_resumption::no_attempt: return "no_attempt";
    case stream_resumption::not_comparable: return "not_comparable";
    }
    return "resumed";
}

std::string_view to_string(probe_result how) noexcept {
    switch (how) {
    case probe_result::answered: return "answered";
    case probe_result::refused: return "refused";
    case probe_result::error: return "error";
    case probe_result::failed: return "failed";
    }
    return "answered";
}

std::string_view to_string(prewarm_event what) noexcept {
    switch (what) {
    case prewarm_event::opened: return "opened";
    case prewarm_event::failed: return "failed";
    case prewarm_event::used: return "used";
    case prewarm_event::unused: return "unused";
    }
    return "opened";
}

std::string_view to_string(coalesce_role role) noexcept {
    switch (role) {
    case coalesce_role::none: return "none";
    case coalesce_role::leader: return "leader";
    case coalesce_role::follower: return "follower";
    case coalesce_role::detached: return "detached";
    }
    return "none";
}

std::string_view to_string(coalesce_detachment why) noexcept {
    switch (why) {
    case coalesce_detachment::slow: return "slow";
    case coalesce_detachment::memory: return "memory";
    }
    return "slow";
}

std::string_view to_string(stream_end end) noexcept {
    switch (end) {
    case stream_end::none: return "none";
    case stream_end::complete: return "complete";
    case stream_end::truncated: return "truncated";
    case stream_end::upstream_error: return "upstream_error";
    case stream_end::idle: return "idle";
    case stream_end::client_gone: return "client_gone";
    }
    return "unknown";
}

} // namespace evenkeel::telemetry

#include "proxy/telemetry/observer.hpp"

namespace evenkeel::telemetry {

std::string_view to_string(attempt_result result) noexcept {
    switch (result) {
    case attempt_result::success:
        return "success";
    case attempt_result::server_error:
        return "server_error";
    case attempt_result::throttled:
        return "throttled";
    case attempt_result::connect_failure:
        return "connect_failure";
    case attempt_result::tls_failure:
        return "tls_failure";
    case attempt_result::reset:
        return "reset";
    case attempt_result::protocol_error:
        return "protocol_error";
    case attempt_result::timeout:
        return "timeout";
    case attempt_result::truncated:
        return "truncated";
    case attempt_result::cancelled:
        return "cancelled";
    }
    return "unknown";
}

std::string_view to_string(attempt_kind kind) noexcept {
    switch (kind) {
    case attempt_kind::first:
        return "first";
    case attempt_kind::stale_retry:
        return "stale_retry";
    }
    return "unknown";
}

std::string_view to_string(request_outcome outcome) noexcept {
    switch (outcome) {
    case request_outcome::ok:
        return "ok";
    case request_outcome::upstream_error:
        return "upstream_error";
    case request_outcome::proxy_error:
        return "proxy_error";
    case request_outcome::rejected:
        return "rejected";
    case request_outcome::truncated:
        return "truncated";
    case request_outcome::client_cancelled:
        return "client_cancelled";
    }
    return "unknown";
}

} // namespace evenkeel::telemetry

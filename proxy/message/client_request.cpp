#include "proxy/message/client_request.hpp"

#include "proxy/reading/credential_mark.hpp"
#include "proxy/reading/trace_id.hpp"

namespace evenkeel::request {

const telemetry::request_account& client_request::close_account(steady_time now) {
    account.route = route.get();
    account.started = came.started;
    account.method = came.head->method;
    account.path = came.head->path;
    account.bytes_in = body.received();
    account.at = now;
    account.total = now - came.received;
    if (came.client != nullptr) [[unlikely]]
        place = {};
    if (account.outcome == telemetry::request_outcome::client_cancelled) account.note_departure();
    return account;
}

std::optional<std::uint64_t> client_request::credential() const {
    if (const auto shown = credential_mark(*came.head)) return shown;
    return route ? facts.caller_told() : std::nullopt;
}

std::string_view client_request::trace_id() const {
    if (account.trace) return write_trace_id(trace_id_.data(), account.trace);
    return trace_id_of(*came.head);
}

} // namespace evenkeel::request

#include "proxy/message/answer.hpp"

namespace evenkeel::request {

void provenance::tell(telemetry::request_account& account) const {
    tell_instead(account);
    account.upstream = upstream;
    account.denied = denied;
    account.upstream_model = upstream_model;
    account.probe = probe;
    account.coalesced = coalesced;
    account.upcast = upcast;
    account.degraded = degraded;
}

void provenance::tell_instead(telemetry::request_account& account) const {
    account.outcome = outcome;
    account.service = service;
    account.reason = reason;
    account.proxy_error = proxy_error;
    account.stream = stream;
}

} // namespace evenkeel::request

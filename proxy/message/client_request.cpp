#include "proxy/message/client_request.hpp"

namespace evenkeel::request {

const telemetry::request_account& client_request::close_account(steady_time now) {
    account.route = route.get();
    account.started = came.started;
    account.method = came.head->method;
    account.path = came.head->path;
    account.bytes_in = body.received();
    account.at = now;
    account.total = now - came.received;
    return account;
}

} // namespace evenkeel::request

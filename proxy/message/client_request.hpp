#pragma once
// One request of one client, from its validated head to the account of how it ended: what came, what it says, and what
// happened. What is being done for it at a moment is no part of it (errand.hpp).
//
// Owned by its client_connection, or by an owned_request where it must not depend on one; everything below refers to it
// and ends before it does.

#include "config/settings.hpp"
#include "policies/time.hpp"
#include "proxy/events/request_account.hpp"
#include "proxy/message/incoming.hpp"
#include "proxy/message/request_body.hpp"
#include "proxy/message/request_facts.hpp"
#include "proxy/net/cancel.hpp"

#include <memory>
#include <utility>

namespace evenkeel::request {

struct client_request {
    client_request(incoming&& what, net::loop& worker, net::client_stream& client, io_buffer& input,
                   buffer_pool& buffers)
        : came(std::move(what)), body(worker, client, input, buffers) {
        account.request_id = came.id;
    }
    client_request(incoming&& what, net::loop& worker, buffer_pool& buffers)
        : came(std::move(what)), body(worker, buffers) {
        account.request_id = came.id;
    }

    const incoming came;
    request_body body;
    std::shared_ptr<const config::route> route{}; // the first that matches, once it is chosen
    const request_facts facts{*this};
    telemetry::request_account account{};
    net::cancel_source gone; // requested when the client has left

    // Ends the account, but for what became of the answer on its way to the client.
    const telemetry::request_account& close_account(steady_time now);
};

} // namespace evenkeel::request

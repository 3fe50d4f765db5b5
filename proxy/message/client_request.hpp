#pragma once
// One request of one client, from its validated head to the account of how it ended: what came, what it says, and what
// happened. What is being done for it at a moment is no part of it (errand.hpp).
//
// Owned by its client_connection, or by an owned_request where it must not depend on one; everything below refers to it
// and ends before it does.

#include "config/settings.hpp"
#include "policies/client_limit.hpp"
#include "policies/time.hpp"
#include "proxy/events/request_account.hpp"
#include "proxy/message/incoming.hpp"
#include "proxy/message/request_body.hpp"
#include "proxy/message/request_facts.hpp"
#include "proxy/net/cancel.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace evenkeel::request {

struct client_request final : private telemetry::request_witness {
    client_request(incoming&& what, net::loop& worker, net::client_stream& client, io_buffer& input,
                   buffer_pool& buffers)
        : came(std::move(what)), body(worker, client, input, buffers) {
        open_account();
    }
    client_request(incoming&& what, net::loop& worker, buffer_pool& buffers)
        : came(std::move(what)), body(worker, buffers) {
        open_account();
    }

    const incoming came;
    request_body body;
    std::shared_ptr<const config::route> route{}; // the first that matches, once it is chosen
    const request_facts facts{*this};
    telemetry::request_account account{};
    net::cancel_source gone;      // requested when the client has left
    client_limit::permit place{}; // among those that its caller may have under way; to the end of its answer

    // While the body is here.
    void note_model() {
        if (account.model.empty()) facts.tell_model(account.model);
    }
    // Ends the account, but for what became of the answer on its way to the client.
    const telemetry::request_account& close_account(steady_time now);

private:
    void open_account() noexcept {
        account.request_id = came.id;
        account.client = came.client_address;
        account.by = came.client;
        account.witness = this;
    }
    [[nodiscard]] std::optional<std::uint64_t> credential() const override;
    [[nodiscard]] std::string_view trace_id() const override;

    mutable std::array<char, 32> trace_id_; // of a trace that began here; written when somebody asks
};

} // namespace evenkeel::request

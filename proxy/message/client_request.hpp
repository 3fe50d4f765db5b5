#pragma once
// One request of one client, from its validated head to the record of how it ended. Owned by its client_connection, or
// by an owned_request where it must not depend on one; everything below refers to it and ends before it does.

#include "config/settings.hpp"
#include "policies/flight_plan.hpp"
#include "policies/time.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/message/request_body.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/reading/page_rules.hpp"
#include "proxy/wire/head.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::request {

// How the parts of a fan-out went.
struct parts_record {
    std::string text; // JSON
    telemetry::request_outcome outcome = telemetry::request_outcome::ok;
    telemetry::request_service service = telemetry::request_service::ok;
    std::string_view reason{};
    int attempts = 0;
    std::uint16_t chaos = 0; // as client_request::chaos
};

class flight;
class policy_set;

// Of a request that several clients wait for (shared_flight): its deadline is the latest of theirs, and moves as they
// come.
struct shared_deadline {
    flight* under_way = nullptr; // which has to be told
};

// What asking again for a stream that broke goes by, and has come to.
struct stream_replay {
    earlier_attempts earlier;                // with those since it was committed
    std::size_t at = 0;                      // the endpoint it comes from
    steady_time sent{};                      // when that attempt went out
    int attempts = 0, hedges = 0, times = 0; // since it was committed
};

struct client_request {
    client_request(net::loop& worker, net::client_stream& client, io_buffer& input, buffer_pool& buffers)
        : body(worker, client, input, buffers) {}
    client_request(net::loop& worker, buffer_pool& buffers) : body(worker, buffers) {}

    config::snapshot settings;                // of the moment the head was read; a reload does not change it
    const wire::request_head* head = nullptr; // of the owner; its views last as long as this request
    request_body body;
    // Once chosen; serve() matches no route where its caller has chosen one.
    std::shared_ptr<const config::route> route;
    // Whose upstreams are asked in place of the route's own; null: its own.
    std::shared_ptr<const config::route> fallback_route;
    bool something_follows = false; // a fallback answers if the attempts do not
    steady_time asked_since{};      // timeout.total of a fallback route counts from here
    [[nodiscard]] const std::shared_ptr<const config::route>& asked() const noexcept {
        return fallback_route ? fallback_route : route;
    }
    std::string model; // of the body, where the route looked at it
    std::string_view client_address;
    arrival via = arrival::unix_socket;
    std::string id;
    steady_time received{};
    // Of whoever sends it on the client's behalf; the route's own still holds.
    steady_time deadline = steady_time::max();
    shared_deadline* shared = nullptr; // set: `deadline` is all there is, whatever the head and the route say
    wall_time started{};
    std::shared_ptr<const policy_set> policies; // of `settings`
    duration queued{};                          // waited for the bulkhead
    std::uint16_t chaos = 0;                    // faults injected into its attempts: a bit each, by chaos_fault
    // Attempts that chaos was asked about: all, over fallback and replay too.
    std::uint16_t chaos_asked = 0;
    // It asks for the answer a model would give every time; empty: not looked yet.
    std::optional<bool> deterministic;
    std::unique_ptr<stream_replay> replay; // of a committed stream that may be asked for again; null: it is none
    std::unique_ptr<parts_record> parts;   // of a fan-out, once it is over
    bool sse_possible = true;              // a stream's head may be given ahead of its answer
    net::cancel_source gone;               // requested when the client has left
    bool announced = false;                // the observer has heard of it (request_started)
};

} // namespace evenkeel::request

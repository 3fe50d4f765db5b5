#pragma once
// A request that is over, as it is kept for whoever asks later what happened: its account with all it refers to copied,
// so that it outlives the request, its connection and its configuration. Made of the account alone, which is handed no
// body, no query and no credential; what a client chose (ids, path, model) is cut to a length.

#include "policies/time.hpp"
#include "proxy/events/journal.hpp"
#include "proxy/events/request_account.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::telemetry {

struct kept_request {
    // The views in an event are static.
    struct happening {
        duration after{};        // since the request came
        std::int16_t where = -1; // in `endpoints`; -1: none in particular
        std::int16_t key = -1;   // in `keys`, of an attempt that was launched; -1: there was no choice
        attempt_number attempt = 0;
        std::uint16_t times = 1;
        any_happening what{};
    };
    struct endpoint {
        std::string upstream, label; // label: empty where the upstream has no other
        std::string host;
        std::uint16_t port = 0;
    };

    std::string id, trace_id, upstream_request_id, client, method, path, model, upstream_model;
    std::string client_name; // of `clients`; empty: none
    std::string route;       // empty: none
    std::string upstream;    // whose answer it was, or whom it waited for; empty: none
    std::string part_of;     // the route of the fan-out that sent it; empty: none
    std::string reason, proxy_error;
    std::string parts; // JSON, of a fan-out
    std::optional<std::uint64_t> credential{};
    wall_time started{};
    int status = 0;
    request_ending ending = request_ending::ok;
    departure left = departure::before_attempt; // of client_cancelled
    request_effort effort{};
    denied_reason denied = denied_reason::none;
    stream_end ended = stream_end::none;
    coalesce_role coalesced = coalesce_role::none;
    bool degraded = false;
    fallback_kind degraded_by = fallback_kind::respond;
    duration degraded_age{};
    std::string degraded_route;
    bool stream = false, upcast = false, probe = false, disturbed = false;
    duration total{}, first_byte{}, first_token{}, overhead{}, lost{}, paused{}, silent{};
    std::uint64_t bytes_in = 0, bytes_out = 0;
    std::vector<endpoint> endpoints;
    std::vector<std::string> keys; // names of upstreams' credentials
    std::vector<happening> journal;
    std::size_t left_out = 0; // of the journal, in its middle
    std::size_t left_out_at = 0;

    [[nodiscard]] std::size_t bytes() const noexcept; // of memory
};

[[nodiscard]] kept_request keep(const request_account& what);

} // namespace evenkeel::telemetry

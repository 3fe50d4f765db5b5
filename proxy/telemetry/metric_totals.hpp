#pragma once
// What is counted, as plain numbers since the start, for those who show it to people at once (the overview of the admin
// listener): a route's requests, and a route's use of an endpoint. /metrics has all of it, and more.

#include "proxy/events/outcomes.hpp"
#include "proxy/events/spending.hpp"
#include "proxy/telemetry/metric_cells.hpp"
#include "proxy/telemetry/metrics.hpp"
#include "proxy/telemetry/process_sample.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace evenkeel::telemetry {

struct time_total { // of an interval the mean is the difference of one over that of the other
    std::uint64_t count = 0;
    double seconds = 0;
};

struct route_total {
    std::string route; // empty: of requests that met none
    std::array<std::uint64_t, request_ending_count> ended{};
    time_total duration{};
    double lost = 0, paused = 0; // seconds
    std::int64_t in_flight = 0;
};

struct pair_total {
    std::string route, upstream, endpoint; // endpoint: its label
    std::array<std::uint64_t, attempt_kind_count> attempts{};
    std::uint64_t failed = 0;    // neither good, nor the caller's fault, nor cancelled
    std::uint64_t cancelled = 0; // a better answer came, or the client left
    time_total first_token{};
    std::array<std::uint64_t, spent_on_count> tokens{}; // of all kinds
    std::uint64_t estimated = 0;                        // of them
    std::array<std::uint64_t, spent_on_count> cost{};   // billionths
};

struct metric_totals {
    std::string version;             // of the program
    std::vector<route_total> routes; // of every route there ever was
    std::vector<pair_total> pairs;   // likewise
    route_total unrouted;
    std::optional<process_report> process; // empty: nobody reports
    process_sample sample;
};

[[nodiscard]] route_total total_of(const counted::route& of);
[[nodiscard]] pair_total total_of(const counted::pair& of);

} // namespace evenkeel::telemetry

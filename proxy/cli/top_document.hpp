#pragma once
// What `top` shows, read from what the admin server says: GET /-/overview, or GET /health of a proxy that has none, and
// GET /-/requests. Pure. A member that is missing is shown as nothing; one of another type likewise.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::cli {

enum class condition : unsigned char { well, uneasy, ill };

struct figures {
    std::optional<double> requests, success, average_s, p95_s; // of the last minute
};
struct credential_seen {
    std::string name, state, note; // note: why, and for how long
    condition is = condition::well;
};
struct endpoint_seen {
    std::string name; // of the upstream, and which endpoint of it
    figures minute;
    condition is = condition::well;
    std::string state{}, note{}; // a word; why, with its times
    std::optional<double> budget{}, burst{};
    std::vector<credential_seen> credentials{}; // of its upstream; empty: there is no choice
};
struct route_seen {
    std::string name;
    figures minute;
    condition is = condition::well;
    std::string state{};
    std::vector<endpoint_seen> endpoints{};
};
struct request_seen {
    std::string time, route, outcome, conclusion;
    int status = 0;
    double attempts = 0, duration_s = 0;
};
struct top_document {
    std::string version{}, sentence{};
    bool healthy = true;
    std::optional<double> up_s{}, overhead_share{}, cost{}, cost_of_resilience{}, memory{};
    std::vector<route_seen> routes{};
    std::vector<request_seen> requests{};
};

// Throw where it is no such document.
[[nodiscard]] top_document read_overview(std::string_view text);
[[nodiscard]] top_document read_health(std::string_view text);
[[nodiscard]] std::vector<request_seen> read_requests(std::string_view text);

} // namespace evenkeel::cli

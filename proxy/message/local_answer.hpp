#pragma once
// Answers the proxy makes itself: refusals and failures, in the dialect of the route, with Proxy-Status (RFC 9209).

#include "config/settings.hpp"
#include "proxy/message/answer.hpp"
#include "proxy/net/transport.hpp"
#include "proxy/reading/dialect_of.hpp"
#include "proxy/wire/error_body.hpp"
#include "proxy/wire/refusal.hpp"

#include <string>
#include <string_view>

namespace evenkeel::request {

// Static words only: they go into logs and labels and outlive the answer.
struct local_failure {
    int status = 502;
    std::string_view code;        // word for programs: no_route, connect_failure, timeout, ...
    std::string_view proxy_error; // RFC 9209 token; empty: not about an upstream
    std::string message;          // for people; no credential
    duration retry_after{};       // 0: none
    telemetry::request_outcome outcome = telemetry::request_outcome::rejected;
};

// `upstream`: that has been asked, and had no answer; null: nobody was.
[[nodiscard]] answer make_local_answer(const local_failure& failure, wire::dialect dialect, wall_time now,
                                       const config::upstream* upstream = nullptr);
// An honest error for an answer that turned out to be none before any of it was sent. `why`: that of its end.
[[nodiscard]] answer make_cut_short(const answer& given, std::string_view why, wire::dialect dialect, wall_time now);
[[nodiscard]] answer make_refusal(wire::refusal why, wire::dialect dialect, wall_time now);

// `status` and a JSON body of ours (the health document).
[[nodiscard]] answer make_document(int status, std::string body, wall_time now);

// Of a request whose client has left: nothing that anybody reads.
[[nodiscard]] answer client_left();

[[nodiscard]] std::string http_date(wall_time when); // IMF-fixdate, RFC 9110 5.6.7

} // namespace evenkeel::request

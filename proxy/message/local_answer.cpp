#include "proxy/message/local_answer.hpp"

#include "proxy/message/stored_body.hpp"

#include <fmt/format.h>

#include <ctime>

namespace evenkeel::request {

namespace {
answer finish(std::unique_ptr<stored_body> body) {
    answer made;
    made.head = &body->finish_head();
    made.body = std::move(body);
    made.local = true;
    return made;
}

// A string of RFC 9651: printable ASCII with quote and backslash escaped; anything else is dropped.
std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c < 0x20 || c > 0x7e) continue;
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    out += '"';
    return out;
}
} // namespace

answer client_left() {
    answer gone;
    gone.outcome = telemetry::request_outcome::client_cancelled;
    return gone;
}

std::string http_date(wall_time when) {
    static constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(when.time_since_epoch()).count();
    std::tm calendar{};
    gmtime_r(&seconds, &calendar);
    return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", days[calendar.tm_wday], calendar.tm_mday,
                       months[calendar.tm_mon], calendar.tm_year + 1900, calendar.tm_hour, calendar.tm_min,
                       calendar.tm_sec);
}

answer make_local_answer(const local_failure& failure, wire::dialect dialect, wall_time now,
                         const config::upstream* upstream) {
    auto body = std::make_unique<stored_body>(wire::error_body(dialect, failure.status, failure.code, failure.message));
    body->status(failure.status);
    body->add_field("content-type", std::string{wire::error_content_type});
    body->add_field("date", http_date(now));
    if (failure.status == 401) body->add_field("www-authenticate", "Bearer"); // RFC 9110 15.5.2
    if (failure.status == 405) body->add_field("allow", std::string{wire::allowed_methods});
    if (failure.retry_after > duration::zero()) {
        // Whole seconds are rounded up: who comes back too early is refused again.
        body->add_field("retry-after",
                        std::to_string(std::chrono::ceil<std::chrono::seconds>(failure.retry_after).count()));
        body->add_field("retry-after-ms",
                        std::to_string(std::chrono::ceil<std::chrono::milliseconds>(failure.retry_after).count()));
    }
    const std::string_view token =
        failure.proxy_error.empty() ? std::string_view{"http_request_error"} : failure.proxy_error;
    std::string status = fmt::format("evenkeel; error={}", token);
    if (upstream != nullptr) status += fmt::format("; next-hop={}", quoted(upstream->name));
    status += fmt::format("; details={}", quoted(failure.message));
    body->add_field("proxy-status", std::move(status));
    answer made = finish(std::move(body));
    made.upstream = upstream;
    made.outcome = failure.outcome;
    made.service = upstream != nullptr ? telemetry::request_service::error : telemetry::request_service::rejected;
    made.reason = failure.code;
    made.proxy_error = failure.proxy_error;
    return made;
}

answer make_cut_short(const answer& given, std::string_view why, wire::dialect dialect, wall_time now) {
    return make_local_answer({.status = 502,
                              .code = "upstream_protocol_error",
                              .proxy_error = why,
                              .message = "the upstream's answer is cut short",
                              .outcome = telemetry::request_outcome::proxy_error},
                             dialect, now, given.upstream);
}

answer make_refusal(wire::refusal why, wire::dialect dialect, wall_time now) {
    return make_local_answer({.status = wire::status_of(why),
                              .code = wire::to_string(why),
                              .proxy_error = {},
                              .message = std::string{wire::explain(why)},
                              .retry_after = {},
                              .outcome = telemetry::request_outcome::rejected},
                             dialect, now);
}

answer make_document(int status, std::string text, wall_time now) {
    auto body = std::make_unique<stored_body>(std::move(text));
    body->status(status);
    body->add_field("content-type", "application/json");
    body->add_field("cache-control", "no-store");
    body->add_field("date", http_date(now));
    return finish(std::move(body));
}

} // namespace evenkeel::request

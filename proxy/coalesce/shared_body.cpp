#include "proxy/coalesce/shared_body.hpp"

#include <utility>

namespace evenkeel::request {

shared_body::shared_body(flight_reader reader, std::shared_ptr<const shared_answer> told, worker_services& services,
                         client_request& request, bool leader, steady_time deadline) noexcept
    : reader_(std::move(reader)), told_(std::move(told)), services_(services), request_(request), leader_(leader),
      deadline_(deadline) {}

body_step shared_body::end(body_step how) noexcept {
    reader_.leave();
    final_ = how;
    return how;
}

std::optional<body_step> shared_body::step(bool waits) {
    if (final_) return final_;
    const shared_flight::taken got = reader_.flight()->take(reader_, waits);
    if (got.piece) {
        given_before_ = std::exchange(given_, got.piece->bytes);
        return body_step{.is = body_step::kind::data, .data = *given_, .first_event = got.piece->first_event};
    }
    if (got.detached) return detached(got);
    if (!got.final) return std::nullopt;
    if (leader_ && got.story) request_.account.follow(*got.story, told_->so_far, true);
    return end(*got.final);
}

// Others go on; this client's answer is broken here, and it is told so like of any broken stream.
body_step shared_body::detached(const shared_flight::taken& how) {
    request_.account.tell(services_.observer, services_.loop.now(), {.route = request_.route.get()},
                          telemetry::happened::detached{*how.detached});
    const bool stream = told_->stream;
    static_cast<void>(end({.is = body_step::kind::truncated,
                           .why = "http_response_incomplete",
                           .ended = stream ? telemetry::stream_end::truncated : telemetry::stream_end::none}));
    if (!how.may_speak || !told_->format || told_->head.body.kind == wire::body_kind::length) return *final_;
    last_words_ = wire::error_frame(*told_->format, how.spoken, 502, "stream_reader_detached",
                                    "this client read its stream too slowly to share it with others any longer");
    if (last_words_.empty()) return *final_;
    return {.is = body_step::kind::data, .data = last_words_};
}

net::task<body_step> shared_body::next() {
    for (;;) {
        if (auto got = step(true)) co_return *got;
        if (co_await reader_.wait_until(told_->stream ? steady_time::max() : deadline_)) continue;
        // Its own time is over, if not that of the others.
        if (auto got = step(false)) co_return *got;
        co_return end({.is = body_step::kind::truncated, .why = "http_response_timeout"});
    }
}

void shared_body::cancel() noexcept {
    if (final_) return;
    static_cast<void>(end({.is = body_step::kind::truncated,
                           .why = "connection_terminated",
                           .ended = told_->stream ? telemetry::stream_end::client_gone : telemetry::stream_end::none}));
    reader_.set();
}

} // namespace evenkeel::request

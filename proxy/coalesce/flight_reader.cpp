#include "proxy/coalesce/flight_reader.hpp"

#include <utility>

namespace evenkeel::request {

flight_reader::flight_reader(flight_membership member, std::shared_ptr<const shared_answer> told,
                             worker_services& services, client_request& request, bool leader,
                             steady_time deadline) noexcept
    : member_(std::move(member)), told_(std::move(told)), services_(services), request_(request), leader_(leader),
      deadline_(deadline) {}

body_step flight_reader::end(body_step how) noexcept {
    member_.leave();
    final_ = how;
    return how;
}

std::optional<body_step> flight_reader::step(bool waits) {
    if (final_) return final_;
    const shared_flight::taken got = member_.flight()->take(member_.seat(), waits);
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
body_step flight_reader::detached(const shared_flight::taken& how) {
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

net::task<body_step> flight_reader::next() {
    for (;;) {
        if (auto got = step(true)) co_return *got;
        if (co_await member_.seat().wait_until(told_->stream ? steady_time::max() : deadline_)) continue;
        // Its own time is over, if not that of the others.
        if (auto got = step(false)) co_return *got;
        co_return end({.is = body_step::kind::truncated, .why = "http_response_timeout"});
    }
}

void flight_reader::cancel() noexcept {
    if (final_) return;
    static_cast<void>(end({.is = body_step::kind::truncated,
                           .why = "connection_terminated",
                           .ended = told_->stream ? telemetry::stream_end::client_gone : telemetry::stream_end::none}));
    member_.seat().set();
}

} // namespace evenkeel::request

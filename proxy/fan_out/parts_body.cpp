#include "proxy/fan_out/parts_body.hpp"

#include "proxy/message/local_answer.hpp"

#include <algorithm>
#include <utility>

namespace evenkeel::request {

namespace {
constexpr std::string_view keep_alive_comment = ":\n"; // one newline: two would end an event that nobody began
} // namespace

parts_summary summary_of(const part_group& parts) {
    const auto all = parts.answers();
    parts_summary noted{.text = parts_log_text(all)};
    bool degraded = false;
    for (const part_answer* one : all) {
        noted.attempts += one->attempts;
        noted.chaos |= one->chaos;
        noted.served.add_since(one->served, {});
        noted.lost.add_since(one->lost, {});
        degraded = degraded || one->source != "live";
    }
    if (all.size() == parts.size()) {
        const parts_verdict verdict = verdict_on(all, parts.route().fan_out.min_success);
        const bool failed = verdict == parts_verdict::failed;
        noted.service = failed                                          ? telemetry::request_service::error
                        : degraded || verdict == parts_verdict::partial ? telemetry::request_service::degraded
                                                                        : telemetry::request_service::ok;
        if (failed) {
            noted.outcome = telemetry::request_outcome::proxy_error;
            noted.reason = "parts_failed";
        }
    }
    return noted;
}

void parts_summary::tell(telemetry::request_account& account) const {
    account.parts = text;
    account.effort.attempts = attempts;
    account.effort.chaos = chaos;
    account.effort.served = served;
    account.effort.lost = lost;
    if (account.outcome != telemetry::request_outcome::ok) return; // it broke, or its client has left
    account.outcome = outcome;
    account.service = service;
    account.reason = reason;
}

parts_body::parts_body(net::loop& loop, client_request& request, std::shared_ptr<part_group> parts)
    : loop_(loop), request_(request), parts_(std::move(parts)), date_(http_date(loop.wall_now())),
      told_(parts_->size()) {
    head_.status = 200;
    head_.body = {wire::body_kind::chunked, 0};
    head_.fields = {{"content-type", "text/event-stream", wire::field_id::content_type},
                    {"cache-control", "no-cache", wire::field_id::cache_control},
                    {"date", date_, wire::field_id::date}};
}

parts_body::~parts_body() {
    if (!complete_) summary_of(*parts_).tell(request_.account);
    parts_->cancel();
}

std::optional<body_step> parts_body::ready() {
    if (complete_) return body_step{.is = body_step::kind::end, .ended = telemetry::stream_end::complete};
    if (parts_->cancelled()) return std::nullopt;
    std::string fresh;
    const bool first = told_count_ == 0;
    for (std::size_t place = 0; place < told_.size(); ++place) {
        const part_answer* const one = parts_->answer_of(place);
        if (told_[place] || one == nullptr) continue;
        fresh += part_event(*one);
        told_[place] = true;
        ++told_count_;
    }
    if (fresh.empty()) return std::nullopt;
    if (told_count_ == told_.size()) {
        const auto all = parts_->answers();
        fresh += complete_event(all, verdict_on(all, parts_->route().fan_out.min_success));
        summary_of(*parts_).tell(request_.account);
        complete_ = true;
    }
    text_[turn_ ^= 1] = std::move(fresh);
    return body_step{.is = body_step::kind::data, .data = text_[turn_], .first_event = first};
}

net::task<body_step> parts_body::next() {
    const auto parts = parts_;
    const steady_time due = loop_.now() + parts->route().stream.heartbeat;
    for (;;) {
        if (auto step = ready()) co_return *step;
        if (parts->cancelled()) {
            co_return body_step{.is = body_step::kind::truncated,
                                .why = "connection_terminated",
                                .ended = telemetry::stream_end::client_gone};
        }
        if (loop_.now() >= due) co_return body_step{.is = body_step::kind::data, .data = keep_alive_comment};
        static_cast<void>(co_await parts->changed(due));
        parts->give_up_late();
    }
}

} // namespace evenkeel::request

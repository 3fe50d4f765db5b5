#include "proxy/client/decoded_body.hpp"

#include <utility>

namespace evenkeel::request {

void decoded_body::take(const body_step& step) noexcept {
    if (step.is == body_step::kind::data) {
        decoder_.take(step.data);
        first_event_ = first_event_ || step.first_event;
        return;
    }
    final_ = step;
    if (step.is == body_step::kind::end && !decoder_.whole())
        final_ = {.is = body_step::kind::truncated,
                  .why = "http_response_content_coding",
                  .ended = telemetry::stream_end::truncated};
}

std::optional<body_step> decoded_body::ready() {
    for (;;) {
        if (const auto found = decoder_.next()) {
            other_ = !other_;
            std::string& place = text_[other_ ? 1 : 0];
            place.assign(*found);
            return body_step{
                .is = body_step::kind::data, .data = place, .first_event = std::exchange(first_event_, false)};
        }
        if (final_) return final_;
        if (decoder_.corrupt() || decoder_.refused()) {
            from_->cancel();
            take({.is = body_step::kind::truncated,
                  .why = "http_response_content_coding",
                  .ended = telemetry::stream_end::truncated});
            continue;
        }
        const auto step = from_->ready();
        if (!step) return std::nullopt;
        take(*step);
    }
}

net::task<body_step> decoded_body::next() {
    for (;;) {
        if (const auto step = ready()) co_return *step;
        const body_step step = co_await from_->next();
        take(step);
    }
}

} // namespace evenkeel::request

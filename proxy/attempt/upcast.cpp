#include "proxy/attempt/upcast.hpp"

#include "proxy/wire/characters.hpp"

namespace evenkeel::request {

namespace {
// Fields that speak of the stream, not of the answer.
bool is_of_stream(const wire::field& one) noexcept {
    return one.id == wire::field_id::content_type || one.id == wire::field_id::cache_control ||
           one.id == wire::field_id::content_encoding || wire::iequals(one.name, "x-accel-buffering");
}

class assembled final : public body_source {
public:
    assembled(const wire::response_head& head, std::size_t size, std::unique_ptr<body_source> from)
        : head_(head), from_(std::move(from)) {
        head_.raw = {};
        head_.body = {wire::body_kind::length, size};
        std::erase_if(head_.fields, is_of_stream);
        head_.fields.push_back({"content-type", "application/json", wire::field_id::content_type});
    }
    [[nodiscard]] const wire::response_head& head() const noexcept { return head_; }

    std::optional<body_step> ready() override {
        auto step = from_->ready();
        if (step) be_no_stream(*step);
        return step;
    }
    net::task<body_step> next() override {
        body_step step = co_await from_->next();
        be_no_stream(step);
        co_return step;
    }
    void cancel() noexcept override { from_->cancel(); }

private:
    static void be_no_stream(body_step& step) noexcept {
        step.first_event = false;
        step.ended = telemetry::stream_end::none;
    }

    wire::response_head head_;
    std::unique_ptr<body_source> from_;
};
} // namespace

bool blames_stream(int status, std::string_view body) noexcept {
    const bool of_request = status == 400 || status == 403 || status == 404 || status == 405 || status == 415 ||
                            status == 422 || status == 501;
    return of_request && body.find("stream") != std::string_view::npos;
}

assembled_answer assembled_body(const wire::response_head& head, std::size_t size, std::unique_ptr<body_source> from) {
    auto made = std::make_unique<assembled>(head, size, std::move(from));
    const wire::response_head* const told = &made->head();
    return {std::move(made), told};
}

} // namespace evenkeel::request

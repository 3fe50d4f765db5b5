#include "proxy/attempt/usage_withheld.hpp"

#include "proxy/wire/event_splitter.hpp"
#include "proxy/wire/usage_request.hpp"

#include <optional>
#include <string>
#include <utility>

namespace evenkeel::request {

namespace {
constexpr std::size_t longest_event = 256 * 1024; // bytes; a longer one tells no usage, and goes as it comes

class withheld final : public body_source {
public:
    withheld(const wire::response_head& head, std::unique_ptr<body_source> from) : head_(head), from_(std::move(from)) {
        // It becomes shorter than was announced.
        if (head_.body.kind == wire::body_kind::length) head_.body = {wire::body_kind::chunked, 0};
    }
    [[nodiscard]] const wire::response_head& head() const noexcept { return head_; }

    std::optional<body_step> ready() override {
        if (given_) return over_ ? std::optional{final_} : std::nullopt; // what was given is still being sent
        while (out_.empty() && !over_) {
            const auto step = from_->ready();
            if (!step) return std::nullopt;
            take(*step);
        }
        return give();
    }
    net::task<body_step> next() override {
        if (std::exchange(given_, false)) out_.clear();
        while (out_.empty() && !over_) {
            auto step = from_->ready();
            if (!step) step = co_await from_->next();
            take(*step);
        }
        co_return give();
    }
    bool may_ask_again() const noexcept override { return from_->may_ask_again(); }
    void cancel() noexcept override { from_->cancel(); }
    void allow_until(steady_time deadline) noexcept override { from_->allow_until(deadline); }

private:
    body_step give() {
        if (out_.empty()) return final_;
        given_ = true;
        return {.is = body_step::kind::data, .data = out_, .first_event = std::exchange(first_event_, false)};
    }
    void take(const body_step& step) {
        if (step.is != body_step::kind::data) {
            if (step.is == body_step::kind::end) {
                if (const auto event = events_.last()) pass_on(*event);
            }
            out_ += events_.rest();
            final_ = step;
            over_ = true;
            return;
        }
        first_event_ = first_event_ || step.first_event;
        events_.add(step.data);
        while (const auto event = events_.next()) pass_on(*event);
        if (events_.rest().size() <= longest_event) return;
        out_ += events_.rest();
        events_.clear();
    }
    void pass_on(const wire::stream_event& event) {
        const auto other = wire::without_usage(event);
        out_ += other ? std::string_view{*other} : event.raw;
    }

    wire::response_head head_;
    std::unique_ptr<body_source> from_;
    wire::event_splitter events_;
    std::string out_;
    body_step final_;
    bool given_ = false, over_ = false, first_event_ = false;
};
} // namespace

withheld_answer usage_withheld(const wire::response_head& head, std::unique_ptr<body_source> from) {
    auto made = std::make_unique<withheld>(head, std::move(from));
    const wire::response_head* const told = &made->head();
    return {std::move(made), told};
}

} // namespace evenkeel::request

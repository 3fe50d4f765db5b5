#pragma once
// A compressed answer for a client that cannot be told so: it was given the head of a stream ahead of the answer. Its
// text comes as its bytes do; where they break, or are not what they say, the text breaks off.

#include "proxy/message/body_source.hpp"
#include "proxy/wire/content_decoder.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace evenkeel::request {

class decoded_body final : public body_source {
public:
    decoded_body(std::string_view coding, std::unique_ptr<body_source> from) // wire::content_decoder::knows(coding)
        : decoder_(coding), from_(std::move(from)) {}

    [[nodiscard]] std::optional<body_step> ready() override;
    [[nodiscard]] net::task<body_step> next() override;
    [[nodiscard]] bool may_ask_again() const noexcept override { return from_->may_ask_again(); }
    void cancel() noexcept override { from_->cancel(); }
    void allow_until(steady_time deadline) noexcept override { from_->allow_until(deadline); }

private:
    void take(const body_step& step) noexcept;

    wire::content_decoder decoder_;
    std::unique_ptr<body_source> from_;
    std::array<std::string, 2> text_{}; // in turn: one is being sent while its successor is asked for
    bool other_ = false;
    bool first_event_ = false;
    std::optional<body_step> final_{};
};

} // namespace evenkeel::request

#pragma once
// A body that is already here: an error of our own, the health document, a last good or canned answer.

#include "proxy/message/body_source.hpp"
#include "proxy/wire/head.hpp"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel::request {

class stored_body final : public body_source {
public:
    explicit stored_body(std::string body) : body_(std::move(body)) {
        head_.body = {wire::body_kind::length, body_.size()};
    }
    // One that others hold as well; never null.
    explicit stored_body(std::shared_ptr<const std::string> shared) : shared_(std::move(shared)) {
        head_.body = {wire::body_kind::length, shared_->size()};
    }

    // Only before the answer is relayed; the strings live as long as the source.
    void status(int code) noexcept { head_.status = code; }
    void add_field(std::string name, std::string value) { owned_.emplace_back(std::move(name), std::move(value)); }

    // It is a whole stream, and goes out as one.
    void be_stream() noexcept {
        head_.body = {wire::body_kind::chunked, 0};
        end_ = telemetry::stream_end::complete;
    }

    // The head, with views into this object: call once, after the last change.
    [[nodiscard]] const wire::response_head& finish_head() {
        for (const auto& [name, value] : owned_) {
            head_.fields.push_back({name, value,
                                    name == "content-type"       ? wire::field_id::content_type
                                    : name == "content-encoding" ? wire::field_id::content_encoding
                                                                 : wire::field_id::other});
        }
        return head_;
    }

    [[nodiscard]] std::optional<body_step> ready() override {
        const std::string& body = shared_ ? *shared_ : body_;
        if (given_ || body.empty()) return body_step{.ended = end_};
        given_ = true;
        return body_step{.is = body_step::kind::data, .data = body, .first_event = end_ != telemetry::stream_end::none};
    }
    [[nodiscard]] net::task<body_step> next() override { co_return *ready(); }

private:
    wire::response_head head_;
    std::string body_;
    std::shared_ptr<const std::string> shared_;
    std::vector<std::pair<std::string, std::string>> owned_;
    telemetry::stream_end end_ = telemetry::stream_end::none;
    bool given_ = false;
};

} // namespace evenkeel::request

#pragma once
// A body that is already here: an error of our own, the health document, later last-good and canned answers.

#include "proxy/request/body_source.hpp"
#include "proxy/wire/head.hpp"

#include <string>
#include <utility>
#include <vector>

namespace evenkeel::request {

class stored_body final : public body_source {
public:
    explicit stored_body(std::string body) : body_(std::move(body)) {
        head_.body = {wire::body_kind::length, body_.size()};
    }

    // Only before the answer is relayed; the strings live as long as the source.
    void status(int code) noexcept { head_.status = code; }
    void add_field(std::string name, std::string value) { owned_.emplace_back(std::move(name), std::move(value)); }

    // The head, with views into this object: call once, after the last change.
    [[nodiscard]] const wire::response_head& finish_head() {
        for (const auto& [name, value] : owned_) head_.fields.push_back({name, value, wire::field_id::other});
        return head_;
    }

    [[nodiscard]] std::optional<body_step> ready() override {
        if (given_ || body_.empty()) return body_step{};
        given_ = true;
        return body_step{.is = body_step::kind::data, .data = body_};
    }
    [[nodiscard]] net::task<body_step> next() override { co_return *ready(); }

private:
    wire::response_head head_;
    std::string body_;
    std::vector<std::pair<std::string, std::string>> owned_;
    bool given_ = false;
};

} // namespace evenkeel::request

#pragma once
// The progressive answer of a fan-out: an event for each part the moment it is over, comments in between while there is
// none, one event behind the last.

#include "proxy/fan_out/part_group.hpp"
#include "proxy/message/body_source.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/wire/head.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::request {

class parts_body final : public body_source {
public:
    // `request` is the client's; it outlives this and is told how the parts went.
    parts_body(net::loop& loop, client_request& request, std::shared_ptr<part_group> parts);
    ~parts_body() override;

    [[nodiscard]] const wire::response_head& head() const noexcept { return head_; }

    [[nodiscard]] std::optional<body_step> ready() override;
    [[nodiscard]] net::task<body_step> next() override;
    void cancel() noexcept override { parts_->cancel(); }

private:
    net::loop& loop_;
    client_request& request_;
    std::shared_ptr<part_group> parts_;
    wire::response_head head_;
    std::string date_;
    std::vector<bool> told_;
    std::size_t told_count_ = 0;
    std::array<std::string, 2> text_; // what is being sent, and what is asked for meanwhile
    std::size_t turn_ = 0;
    bool complete_ = false;
};

// How the parts that are over went, and the whole if all are.
struct parts_summary {
    std::string text{}; // JSON
    telemetry::request_outcome outcome = telemetry::request_outcome::ok;
    telemetry::request_service service = telemetry::request_service::ok;
    std::string_view reason{};
    int attempts = 0;
    std::uint16_t chaos = 0;          // as request_account::chaos
    telemetry::bill served{}, lost{}; // likewise

    void tell(telemetry::request_account& account) const;
};
[[nodiscard]] parts_summary summary_of(const part_group& parts);

} // namespace evenkeel::request

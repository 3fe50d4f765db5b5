#pragma once
// One client's view of a shared answer: from the first byte, at its own pace, under its own deadline, to the end that
// all of them get. Leaving it harms nobody else.

#include "proxy/coalesce/shared_flight.hpp"
#include "proxy/message/body_source.hpp"
#include "proxy/message/client_request.hpp"

#include <memory>
#include <string>

namespace evenkeel::request {

class shared_body final : public body_source {
public:
    // `deadline`: of the whole answer, where it is no stream. `leader`: it tells its request how often a stream was
    // asked for again; the request outlives this.
    shared_body(flight_reader reader, std::shared_ptr<const shared_answer> told, worker_services& services,
                client_request& request, bool leader, steady_time deadline) noexcept;

    [[nodiscard]] const wire::response_head& head() const noexcept { return told_->head; }

    std::optional<body_step> ready() override { return step(false); }
    net::task<body_step> next() override;
    void cancel() noexcept override;

private:
    [[nodiscard]] std::optional<body_step> step(bool waits);
    body_step detached(const shared_flight::taken& how);
    body_step end(body_step how) noexcept;

    flight_reader reader_;
    std::shared_ptr<const shared_answer> told_;
    worker_services& services_;
    client_request& request_;
    bool leader_;
    steady_time deadline_;
    // What is being sent, and what was being sent when that was asked for.
    std::shared_ptr<const std::string> given_, given_before_;
    std::string last_words_;
    std::optional<body_step> final_;
};

} // namespace evenkeel::request

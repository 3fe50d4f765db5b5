#pragma once
// One client's view of a shared answer: from the first byte, at its own pace, under its own deadline, to the end that
// all of them get. Leaving it harms nobody else.

#include "proxy/coalesce/shared_flight.hpp"
#include "proxy/message/body_source.hpp"
#include "proxy/message/client_request.hpp"

#include <memory>
#include <string>

namespace evenkeel::request {

// Holds a place in a flight, and gives it back.
class flight_membership {
public:
    flight_membership(std::shared_ptr<shared_flight> in, std::shared_ptr<flight_seat> seat) noexcept
        : flight_(std::move(in)), seat_(std::move(seat)) {}
    flight_membership(flight_membership&&) noexcept = default;
    flight_membership& operator=(flight_membership&&) = delete;
    ~flight_membership() { leave(); }

    void leave() noexcept {
        if (const auto left = std::move(flight_)) left->leave(seat_);
        flight_ = nullptr;
    }
    [[nodiscard]] shared_flight* flight() const noexcept { return flight_.get(); } // null: left
    [[nodiscard]] flight_seat& seat() const noexcept { return *seat_; }

private:
    std::shared_ptr<shared_flight> flight_;
    std::shared_ptr<flight_seat> seat_;
};

class flight_reader final : public body_source {
public:
    // `deadline`: of the whole answer, where it is no stream. `leader`: it tells its request how often a stream was
    // asked for again; the request outlives this.
    flight_reader(flight_membership member, std::shared_ptr<const shared_answer> told, worker_services& services,
                  client_request& request, bool leader, steady_time deadline) noexcept;

    [[nodiscard]] const wire::response_head& head() const noexcept { return told_->head; }

    std::optional<body_step> ready() override { return step(false); }
    net::task<body_step> next() override;
    void cancel() noexcept override;

private:
    [[nodiscard]] std::optional<body_step> step(bool waits);
    body_step detached(const shared_flight::taken& how);
    body_step end(body_step how) noexcept;

    flight_membership member_;
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

#include "policies/flight_plan.hpp"

#include <algorithm>

namespace evenkeel {

namespace {
constexpr attempt_id first_attempt = 1;

std::string_view word(attempt_failure why) noexcept {
    switch (why) {
    case attempt_failure::connect: return "connect_failure";
    case attempt_failure::tls: return "tls_failure";
    case attempt_failure::reset: return "reset";
    case attempt_failure::protocol: return "protocol_error";
    case attempt_failure::timeout: return "timeout";
    case attempt_failure::truncated: return "truncated";
    case attempt_failure::cancelled: return "cancelled";
    case attempt_failure::local: return "local";
    }
    return "local";
}

template <class... F>
struct overloaded : F... {
    using F::operator()...;
};
} // namespace

steady_time flight_plan::next_wake() const noexcept {
    if (!options_.attempt_timeout) return options_.deadline;
    return std::min(options_.deadline, launched_ + *options_.attempt_timeout);
}

void flight_plan::finish(flight_action::ending how, std::string_view why) noexcept {
    state_ = state::finished;
    add(flight_action::finish{how, why});
}

std::span<const any_flight_action> flight_plan::step(const any_flight_event& event, steady_time now) noexcept {
    count_ = 0;
    // Late events of an attempt that is no longer wanted change nothing.
    if (state_ == state::finished) return {};
    std::visit(overloaded{
                   [&](flight_event::started) {
                       if (state_ != state::idle) return;
                       if (now >= options_.deadline) return finish(flight_action::ending::timed_out, "deadline");
                       state_ = state::flying;
                       launched_ = now;
                       add(flight_action::launch{first_attempt, "first"});
                       add(flight_action::wait_until{next_wake()});
                   },
                   [&](flight_event::head head) {
                       add(flight_action::commit{head.id, "first_answer"});
                       finish(flight_action::ending::answered, "first_answer");
                   },
                   [&](flight_event::failed failed) { finish(flight_action::ending::failed, word(failed.why)); },
                   [&](flight_event::complete) {},
                   [&](flight_event::timer) {
                       if (now < next_wake()) return add(flight_action::wait_until{next_wake()});
                       const bool deadline = now >= options_.deadline;
                       add(flight_action::cancel{first_attempt, deadline ? "deadline" : "attempt_timeout"});
                       finish(flight_action::ending::timed_out, deadline ? "deadline" : "attempt_timeout");
                   },
                   [&](flight_event::client_gone) {
                       if (state_ == state::flying) add(flight_action::cancel{first_attempt, "client_gone"});
                       finish(flight_action::ending::client_gone, "client_gone");
                   },
               },
               event);
    return {actions_.data(), count_};
}

} // namespace evenkeel

#pragma once
// The decision of one flight: which attempts to launch, which to commit, when to stop. Pure: events and the time go in,
// actions with their reasons come out; run_flight performs them and decides nothing itself. It knows one attempt so far.
//
// Owned by one flight (one request's upstream effort); one step at a time.

#include "policies/time.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

namespace evenkeel {

using attempt_id = std::uint32_t; // 1 is the first

// What went wrong with an attempt, as the plan needs to know it.
enum class attempt_failure : unsigned char { connect, tls, reset, protocol, timeout, truncated, cancelled, local };

namespace flight_event {
struct started {};
struct head { attempt_id id; };       // a whole, valid response head has come
struct failed { attempt_id id; attempt_failure why; };
struct complete { attempt_id id; };   // the answer has been read to its end
struct timer {};                      // the time asked for by wait_until has come
struct client_gone {};
} // namespace flight_event
using any_flight_event = std::variant<flight_event::started, flight_event::head, flight_event::failed,
                                      flight_event::complete, flight_event::timer, flight_event::client_gone>;

// Reasons are words: metric label, log field and what a test asserts.
namespace flight_action {
struct launch { attempt_id id; std::string_view why; };
struct cancel { attempt_id id; std::string_view why; };
struct commit { attempt_id id; std::string_view why; }; // this attempt's answer is the flight's answer
enum class ending : unsigned char { answered, failed, timed_out, client_gone };
struct finish { ending how; std::string_view why; };
struct wait_until { steady_time when; };
} // namespace flight_action
using any_flight_action = std::variant<flight_action::launch, flight_action::cancel, flight_action::commit,
                                       flight_action::finish, flight_action::wait_until>;

struct flight_options {
    steady_time deadline;                  // absolute; until the head of the answer
    std::optional<duration> attempt_timeout; // of the one attempt, to its head
};

class flight_plan {
public:
    // One step answers with at most this many actions; the span lives until the next step.
    static constexpr std::size_t max_actions = 4;

    explicit flight_plan(flight_options options) noexcept : options_(options) {}

    [[nodiscard]] std::span<const any_flight_action> step(const any_flight_event& event, steady_time now) noexcept;
    [[nodiscard]] bool finished() const noexcept { return state_ == state::finished; }

private:
    enum class state : unsigned char { idle, flying, finished };

    void add(any_flight_action action) noexcept { actions_[count_++] = action; }
    void finish(flight_action::ending how, std::string_view why) noexcept;
    [[nodiscard]] steady_time next_wake() const noexcept;

    flight_options options_;
    state state_ = state::idle;
    steady_time launched_{};
    std::array<any_flight_action, max_actions> actions_{};
    std::size_t count_ = 0;
};

} // namespace evenkeel

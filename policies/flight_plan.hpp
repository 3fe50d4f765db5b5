#pragma once
// The decision of one flight: which attempts to launch, which answer to commit, when to stop. Pure: events and the time go
// in, actions with their reasons come out; run_flight performs them and decides nothing itself. What it needs to know of
// the rest of the world it asks through a policy_view.
//
// A failed attempt is followed by another, an *extra attempt*, while all of this holds: its failure is one of `retry.on`
// (or the upstream says x-should-retry: true, and never false), fewer than max_retries were made, the request may be sent
// again, an endpoint may be asked, there is time, and that endpoint's budget pays. An endpoint that has not failed this
// request is asked at once; one that has, after a pause (retry.hpp) and not before the time it named.
//
// Owned by one flight (one request's upstream effort); one step at a time.

#include "policies/outcome.hpp"
#include "policies/retry.hpp"
#include "policies/time.hpp"

#include <boost/container/small_vector.hpp>
#include <boost/container/static_vector.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

namespace evenkeel {

using attempt_id = std::uint32_t;     // 1 is the first
using endpoint_index = std::uint32_t; // place in the route's order of preference, from 0

// Why a failed attempt was not followed by another; metric label, log field, response header.
enum class retry_denial : unsigned char {
    none,           // nothing was wanted
    off,            // retry: off
    limit,          // max_retries are used up
    budget,         // the budget is empty
    deadline,       // it could not have finished in time
    retry_after,    // the upstream's hint is longer than max_retry_after
    not_replayable, // the request may have had an effect, or its body is not held
    not_retryable,  // this failure is the caller's, or not in retry.on
    upstream_said,  // x-should-retry: false
    no_endpoint,    // no endpoint may be asked again
    committed,      // content had been passed on
};
inline constexpr int retry_denial_count = 11;
[[nodiscard]] std::string_view to_string(retry_denial) noexcept;

namespace flight_event {
struct started {};
struct head { attempt_id id; };        // of an attempt that holds nothing: a whole, valid response head has come
struct meaningful { attempt_id id; };  // the first meaningful event of a stream, or more than is held
struct complete { attempt_id id; };    // a buffered answer is here, whole and good
struct failed { attempt_id id; attempt_outcome outcome; };
struct timer {};                       // the time asked for by wait_until has come
struct client_gone {};
} // namespace flight_event
using any_flight_event = std::variant<flight_event::started, flight_event::head, flight_event::meaningful,
                                      flight_event::complete, flight_event::failed, flight_event::timer,
                                      flight_event::client_gone>;

// What an attempt keeps back until the plan commits it.
enum class holding : unsigned char {
    nothing, // the head commits: whatever comes is the answer (`retry: off`)
    errors,  // an error answer is read and classified; anything else is the answer from its head on
    answers, // a stream is held to its first meaningful event, a buffered answer to its end
};

// Reasons are words: metric label, log field and what a test asserts.
namespace flight_action {
struct launch { attempt_id id; endpoint_index endpoint; holding hold; std::string_view why; };
struct cancel { attempt_id id; std::string_view why; };
struct commit { attempt_id id; std::string_view why; }; // this attempt's answer is the flight's answer
enum class ending : unsigned char { answered, failed, timed_out, client_gone };
struct finish { ending how; std::string_view why; retry_denial denied; };
struct wait_until { steady_time when; };
} // namespace flight_action
using any_flight_action = std::variant<flight_action::launch, flight_action::cancel, flight_action::commit,
                                       flight_action::finish, flight_action::wait_until>;

// What the plan asks the rest of the world, and chance.
class policy_view {
public:
    virtual ~policy_view() = default;
    [[nodiscard]] virtual double draw() = 0;                          // uniform in [0, 1)
    [[nodiscard]] virtual bool wants_stream() = 0;                    // the client asked for a stream
    [[nodiscard]] virtual bool repeatable(endpoint_index at) = 0;     // the request, sent there, may be sent again
    [[nodiscard]] virtual bool unsent(attempt_id attempt) = 0;        // no byte of this attempt has left
    // Of the endpoint's budget: what another attempt there costs after one that took `took`, and taking that much.
    // `effortless`: that one did not cost this endpoint anything, because it was never sent or went elsewhere.
    [[nodiscard]] virtual double cost(endpoint_index at, duration took, bool effortless, steady_time now) = 0;
    [[nodiscard]] virtual bool reserve(endpoint_index at, double work, steady_time now) = 0;
    virtual void refund(endpoint_index at, double work, steady_time now) = 0;
};

struct flight_options {
    steady_time deadline;                    // absolute; until the answer is committed
    std::optional<duration> attempt_timeout; // of each attempt, until its answer is committed
    const retry_options* retry = nullptr;    // outlives the plan
    endpoint_index endpoints = 1;            // how many, in order of preference
};

class flight_plan {
public:
    // An attempt that has less time than this left is not begun. (chosen: no LLM answers faster)
    static constexpr duration min_attempt_time = std::chrono::milliseconds{50};
    static constexpr std::size_t max_endpoints = 16;

    explicit flight_plan(const flight_options& options) noexcept;

    // The span lives until the next step.
    [[nodiscard]] std::span<const any_flight_action> step(const any_flight_event& event, steady_time now, policy_view& view);
    [[nodiscard]] bool finished() const noexcept { return state_ == state::finished; }
    [[nodiscard]] int attempts() const noexcept { return static_cast<int>(launched_); }

private:
    enum class state : unsigned char { idle, flying, pausing, finished };
    struct endpoint {
        int failures = 0;      // of this request's attempts here
        bool barred = false;   // not again for this request
        bool too_long = false; // it asked for a longer wait than max_retry_after
        bool silent = false;   // it let an attempt time out
        steady_time ready{};   // not before: its own hint
    };
    struct choice {
        endpoint_index at = 0;
        steady_time when{};
        double work = 0; // reserved of its budget
    };

    void launch(endpoint_index at, std::string_view why, steady_time now, policy_view& view);
    void attempt_failed(const attempt_outcome& outcome, flight_action::ending how, steady_time now, policy_view& view);
    void note_failure(const attempt_outcome& outcome, steady_time now, policy_view& view);
    [[nodiscard]] retry_denial wanted(const attempt_outcome& outcome, policy_view& view) const;
    [[nodiscard]] retry_denial choose(const attempt_outcome& outcome, steady_time now, policy_view& view);
    void give_up(flight_action::ending how, std::string_view why, retry_denial denied);
    void on_timer(steady_time now, policy_view& view);
    void on_client_gone(steady_time now, policy_view& view);
    [[nodiscard]] steady_time next_wake() const noexcept;
    void add(any_flight_action action) { actions_.push_back(action); }

    flight_options options_;
    state state_ = state::idle;
    boost::container::static_vector<endpoint, max_endpoints> endpoints_;
    attempt_id launched_ = 0;       // attempts so far; the latest one's id
    endpoint_index flying_at_ = 0;
    steady_time launched_when_{};
    attempt_id answered_ = 0;       // the latest attempt with an HTTP answer to hand on; 0: none
    bool retryable_seen_ = false;   // a failure that is no fault of the request
    choice next_;                   // while pausing
    int waits_ = 0;                 // pauses before asking an endpoint again
    duration previous_pause_{};
    boost::container::small_vector<any_flight_action, 4> actions_;
};

} // namespace evenkeel

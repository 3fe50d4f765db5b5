#pragma once
// The decision of one flight: which attempts to launch, which answer to commit, when to stop. Pure: events and the time
// go in, actions with their reasons come out; run_flight performs them and decides nothing itself. What it needs to
// know of the rest of the world it asks through a policy_view.
//
// A retry and a hedge are one thing, an *extra attempt*: the first follows a failure, the second a silence. Both count
// against max_retries, both ask an endpoint that will have them, both are paid for.
//
// A failed attempt is followed by another while all of this holds: its failure is one of `retry.on` (or the upstream
// says x-should-retry: true, and never false), fewer than max_retries were made, the request may be sent again, an
// endpoint may be asked, there is time, and that endpoint's budget pays. An endpoint that has not failed this request
// is asked at once; one that has, after a pause (retry.hpp) and not before the time it named; none while another one
// will do.
//
// Where every endpoint that may be asked refuses, because its circuit is open, it is cooling down or overloaded, the
// request waits (`when_open: hold`) and asks again, until one lets it, the outage is older than hold_max, or the
// deadline is near.
//
// Owned by one flight (one request's upstream effort); one step at a time.

#include "policies/circuit_breaker.hpp"
#include "policies/hedge.hpp"
#include "policies/outcome.hpp"
#include "policies/retry.hpp"
#include "policies/time.hpp"

#include <boost/container/small_vector.hpp>
#include <boost/container/static_vector.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
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
    circuit_open,   // no endpoint lets it, and it is not to wait, or has waited long enough
    overload,       // there is no room for extra attempts, or it was a timeout of an overloaded upstream
};
inline constexpr int retry_denial_count = 13;
[[nodiscard]] std::string_view to_string(retry_denial) noexcept;

namespace flight_event {
struct started {};
struct head {
    attempt_id id;
}; // of an attempt that holds nothing: a whole, valid response head has come
struct meaningful {
    attempt_id id;
}; // the first meaningful event of a stream, or more than is held
struct progress {
    attempt_id id;
}; // an answer that is held to its end has said something: it is no longer silent
struct complete {
    attempt_id id;
}; // an answer that is held to its end is here, whole and good
struct failed {
    attempt_id id;
    attempt_outcome outcome;
};
struct timer {}; // the time asked for by wait_until has come
struct client_gone {};
} // namespace flight_event
using any_flight_event =
    std::variant<flight_event::started, flight_event::head, flight_event::meaningful, flight_event::progress,
                 flight_event::complete, flight_event::failed, flight_event::timer, flight_event::client_gone>;

// What an attempt keeps back until the plan commits it.
enum class holding : unsigned char {
    nothing, // the head commits: whatever comes is the answer (`retry: off`)
    errors,  // an error answer is read and classified; anything else is the answer from its head on
    answers, // a stream is held to its first meaningful event, a buffered answer to its end
};

// What an attempt is for.
enum class attempt_purpose : unsigned char { first, retry, hedge };

// Why an attempt is no longer wanted. What it is evidence of follows from it.
enum class cancel_cause : unsigned char {
    lost,            // a sibling's answer was committed
    attempt_timeout, // silent for longer than an attempt may be
    deadline,        // the request's time is over
    client_gone,
};
[[nodiscard]] std::string_view to_string(cancel_cause) noexcept;

// Reasons are words: metric label, log field and what a test asserts.
namespace flight_action {
struct launch {
    attempt_id id;
    endpoint_index endpoint;
    holding hold;
    attempt_purpose purpose;
    std::string_view why;
};
struct cancel {
    attempt_id id;
    cancel_cause why;
};
// Silent for longer than an attempt may be, but goes on for want of anything better.
struct overdue {
    attempt_id id;
};
struct commit {
    attempt_id id;
    std::string_view why;
}; // this attempt's answer is the flight's answer
enum class ending : unsigned char { answered, failed, timed_out, refused, client_gone }; // refused: nothing was sent
struct finish {
    ending how;
    std::string_view why;
    retry_denial denied;
    duration retry_after{}; // of a refusal: when asking again makes sense
};
struct wait_until {
    steady_time when;
};
} // namespace flight_action
using any_flight_action = std::variant<flight_action::launch, flight_action::cancel, flight_action::overdue,
                                       flight_action::commit, flight_action::finish, flight_action::wait_until>;

// Why an endpoint does not let an attempt through.
struct endpoint_refusal {
    enum class reason : unsigned char { circuit, cooldown, overload } why;
    steady_time again;        // no use in asking before
    steady_time down_since{}; // of a circuit: when its outage began
    bool avoidable = false;   // it would let through who has nowhere else to go
};
// How urgent an attempt is where it asks for leave.
enum class urgency : unsigned char {
    normal, // other endpoints are there as well
    // Nowhere else to go: it may be a probe, is not thinned out while a circuit ramps up, and takes what is tired.
    last_resort,
    waited, // has waited long enough: neither cooldown nor overload hold it, only a circuit does
};

// What the plan asks the rest of the world, and chance.
class policy_view {
public:
    virtual ~policy_view() = default;
    [[nodiscard]] virtual double draw() = 0;                      // uniform in [0, 1)
    [[nodiscard]] virtual bool wants_stream() = 0;                // the client asked for a stream
    [[nodiscard]] virtual bool repeatable(endpoint_index at) = 0; // the request, sent there, may be sent again
    [[nodiscard]] virtual bool unsent(attempt_id attempt) = 0;    // no byte of this attempt has left

    // All endpoints, the one to ask first in front. The span lives until the next call.
    [[nodiscard]] virtual std::span<const endpoint_index> order(steady_time now) = 0;
    // Would it let an attempt through? Takes nothing. Empty: yes.
    [[nodiscard]] virtual std::optional<endpoint_refusal> look(endpoint_index at, attempt_purpose what, urgency how,
                                                               steady_time now) = 0;
    // Takes leave for the launch that follows in the same step. Empty: taken.
    [[nodiscard]] virtual std::optional<endpoint_refusal> admit(endpoint_index at, attempt_purpose what, urgency how,
                                                                steady_time now) = 0;
    [[nodiscard]] virtual bool overloaded(endpoint_index at, steady_time now) = 0;
    // A place among the requests of this route that wait for an endpoint. False: they are too many already.
    [[nodiscard]] virtual bool begin_waiting(steady_time now) = 0;
    virtual void end_waiting(bool goes_on, steady_time now) = 0;

    // Of the endpoint's budget: what another attempt there costs after one that took `took`, and taking that much.
    // `effortless`: that one did not cost this endpoint anything, because it was never sent or went elsewhere.
    [[nodiscard]] virtual double cost(endpoint_index at, duration took, bool effortless, steady_time now) = 0;
    [[nodiscard]] virtual bool reserve(endpoint_index at, double work, steady_time now) = 0;
    virtual void refund(endpoint_index at, double work, steady_time now) = 0;
    // A hedge reserves the work of one attempt, and only where more than half of the budget is there; it is settled to
    // what the attempt that lost has cost.
    [[nodiscard]] virtual bool reserve_hedge(endpoint_index at, steady_time now) = 0;
    virtual void settle_hedge(endpoint_index at, duration loser_took, steady_time now) = 0;

    // Learned; empty: not known enough.
    // How long an attempt may take.
    [[nodiscard]] virtual std::optional<duration> attempt_timeout(endpoint_index at, steady_time now) = 0;
    [[nodiscard]] virtual std::optional<duration> hedge_delay(endpoint_index at, steady_time now) = 0;
    // Few are faster; 0: not known.
    [[nodiscard]] virtual duration quickest(endpoint_index at, steady_time now) = 0;
    // What the guard says.
    [[nodiscard]] virtual hedge_refusal hedge_wanted(steady_time now) = 0;
    virtual void hedge_refused(hedge_refusal why) = 0;
};

// Of another flight of the same request, which this one goes on for: it makes extra attempts only.
struct earlier_attempts {
    attempt_id made = 0;
    duration took{};                          // of the last of them
    std::array<unsigned char, 16> failures{}; // of each endpoint
};

struct flight_options {
    steady_time deadline;                    // absolute; until the answer is committed
    std::optional<duration> attempt_timeout; // fixed, of each attempt, until its answer is committed
    bool learned_timeout = false;            // ... or learned, where there is no fixed one
    const retry_options* retry = nullptr;    // outlives the plan
    const hedge_options* hedge = nullptr;    // outlives the plan; null: no hedges
    evenkeel::when_open when_open = evenkeel::when_open::hold;
    duration hold_max = std::chrono::seconds{60}; // oldest outage that is waited for
    duration max_wait = std::chrono::seconds{5};  // of a first attempt for room after an outage; then it goes through
    endpoint_index endpoints = 1;                 // how many, in order of preference
    bool something_follows = false; // a fallback answers if the attempts do not: errors are held for it, and a learned
                                    // timeout may end an attempt for its sake
    const earlier_attempts* earlier = nullptr; // outlives the plan's construction; null: none
};

class flight_plan {
public:
    // An attempt that has less time than this left is not begun. (chosen: no LLM answers faster)
    static constexpr duration min_attempt_time = std::chrono::milliseconds{50};
    // A learned timeout that may not fire is looked at again after this. (chosen)
    static constexpr duration timeout_recheck = std::chrono::seconds{1};
    static constexpr std::size_t max_endpoints = 16;

    explicit flight_plan(const flight_options& options) noexcept;

    // Somebody else waits for the same answer, and longer. What was given up for want of time stays so.
    void allow_until(steady_time deadline) noexcept { options_.deadline = deadline; }

    // The span lives until the next step.
    [[nodiscard]] std::span<const any_flight_action> step(const any_flight_event& event, steady_time now,
                                                          policy_view& view);
    [[nodiscard]] bool finished() const noexcept { return state_ == state::finished; }
    [[nodiscard]] int attempts() const noexcept { return static_cast<int>(launched_); }

private:
    enum class state : unsigned char { idle, flying, pausing, waiting, finished };
    struct endpoint {
        int failures = 0;      // of this request's attempts here
        bool barred = false;   // not again for this request
        bool too_long = false; // it asked for a longer wait than max_retry_after
        bool silent = false;   // it let an attempt time out
        steady_time ready{};   // not before: its own hint
    };
    struct flying {
        attempt_id id = 0;
        endpoint_index at = 0;
        attempt_purpose purpose = attempt_purpose::first;
        steady_time launched{};
        steady_time expires = steady_time::max();
    };
    struct choice {
        endpoint_index at = 0;
        steady_time when{};
        double work = 0; // reserved of its budget
        int failures = 0;
    };
    using choices = boost::container::static_vector<choice, max_endpoints>;
    // What kept the endpoints that may be asked from being asked now.
    struct obstacles {
        bool too_late = false, too_long = false, budget = false;
        bool circuit = false, overload = false, avoidable = false;
        std::optional<endpoint_index> passable; // would let a request through that has waited long enough
        steady_time again = steady_time::max(), down_since{};
    };
    // Why the flight looks for an endpoint: the first attempt, or what the latest failure was.
    struct cause {
        attempt_outcome outcome;
        duration took{};
        flight_action::ending how = flight_action::ending::failed;
    };

    // Looking for an endpoint (flight_plan_seek.cpp).
    enum class eagerness : unsigned char { may_wait, now_or_never };
    [[nodiscard]] retry_denial seek(eagerness how, duration pause, steady_time now, policy_view& view);
    void list(choices& to, obstacles& why, urgency how, duration pause, steady_time now, policy_view& view);
    [[nodiscard]] bool take(choices& from, obstacles& why, eagerness how, urgency pressed, duration pause,
                            steady_time now, policy_view& view);
    [[nodiscard]] retry_denial wait_for(const obstacles& why, steady_time now, policy_view& view);
    [[nodiscard]] retry_denial denial_of(const obstacles& why) const noexcept;
    void stop_waiting(bool goes_on, steady_time now, policy_view& view);
    [[nodiscard]] bool is_flying(endpoint_index at) const noexcept;
    [[nodiscard]] attempt_purpose purpose() const noexcept {
        return launched_ == 0 ? attempt_purpose::first : attempt_purpose::retry;
    }

    void begin(steady_time now, policy_view& view);
    void commit(attempt_id id, steady_time now, policy_view& view);
    void progress(attempt_id id, steady_time now, policy_view& view);
    void launch(endpoint_index at, attempt_purpose what, std::string_view why, steady_time now, policy_view& view);
    void launch_next(steady_time now, policy_view& view);
    void failed(const flight_event::failed& event, steady_time now, policy_view& view);
    void follow(const cause& why, steady_time now, policy_view& view);
    void note_failure(endpoint_index at, const attempt_outcome& outcome, steady_time now, policy_view& view);
    [[nodiscard]] retry_denial wanted(endpoint_index at, const attempt_outcome& outcome, steady_time now,
                                      policy_view& view) const;
    void on_timer(steady_time now, policy_view& view);
    void expire(flying late, steady_time now, policy_view& view);
    void on_client_gone(steady_time now, policy_view& view);
    void hedge(steady_time now, policy_view& view);
    [[nodiscard]] std::optional<std::pair<endpoint_index, urgency>> hedge_target(endpoint_index primary,
                                                                                 steady_time now,
                                                                                 policy_view& view) const;
    [[nodiscard]] bool may_hedge(std::size_t in_flight) const noexcept;
    [[nodiscard]] hedge_refusal try_hedge(steady_time now, policy_view& view);
    void settle(const flying& loser, steady_time now, policy_view& view);
    void cancel_all(cancel_cause why, steady_time now, policy_view& view, attempt_id but = 0);
    void drop(attempt_id id) noexcept;
    void give_up(flight_action::ending how, std::string_view why, retry_denial denied, steady_time now,
                 policy_view& view);
    [[nodiscard]] steady_time next_wake() const noexcept;
    void sleep() { add(flight_action::wait_until{next_wake()}); }
    void add(any_flight_action action) { actions_.push_back(action); }

    flight_options options_;
    state state_ = state::idle;
    boost::container::static_vector<endpoint, max_endpoints> endpoints_;
    boost::container::small_vector<flying, 2> flying_;
    boost::container::small_vector<endpoint_index, 2> unsettled_; // whose budgets hold the work of hedges
    attempt_id launched_ = 0;                                     // attempts so far; the latest one's id
    attempt_id answered_ = 0;     // the latest attempt with an HTTP answer to hand on; 0: none
    bool retryable_seen_ = false; // a failure that is no fault of the request
    bool hedge_counted_ = false;  // the guard has been asked about this request
    steady_time hedge_at_ = steady_time::max();
    choice next_;             // while pausing
    cause cause_;             // while looking for an endpoint
    steady_time ask_again_{}; // while waiting
    std::optional<steady_time> waiting_since_, crowded_since_;
    bool held_ = false; // a circuit has kept it waiting
    bool in_line_ = false;
    int waits_ = 0; // pauses before asking an endpoint again
    duration previous_pause_{};
    boost::container::small_vector<any_flight_action, 4> actions_;
};

} // namespace evenkeel

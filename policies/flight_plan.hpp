#pragma once
// The decision of one flight: which attempts to launch, which answer to commit, when to stop. Pure: events and the time
// go in, actions with their reasons come out; run_flight performs them and decides nothing itself. What it needs to
// know of the rest of the world it asks through a policy_view.
//
// A retry, a hedge and a rescue are one thing, an *extra attempt*: the first follows a failure, the second a silence
// that is long for what is usual, the third one that is out of all proportion. All count against max_retries, all ask
// an endpoint that will have them, all are paid for.
//
// A failed attempt is followed by another while all of this holds: its failure is one of `retry.on` (or the upstream
// says x-should-retry: true, and never false), fewer than max_retries were made, the request may be sent again, an
// endpoint may be asked, there is time, and that endpoint's budget pays. An endpoint that has not failed this request
// is asked at once; one that has, after a pause (retry.hpp) and not before the time it named; none while another one
// will do. An answer that says nothing is followed by another once: a second one may be all there is to say.
//
// Where every endpoint that may be asked refuses, because its circuit is open, it is cooling down or overloaded, the
// request waits (`when_open: hold`) and asks again, until one lets it, the outage is older than hold_max, or the
// deadline is near.
//
// Silence is measured from the latest sign of life of an attempt, a byte that moved in either direction. A fixed
// timeout ends the attempt that was silent for so long. A learned one ends it only where another attempt lives
// elsewhere: what is all there is goes on, and is joined.
//
// Endpoints that are asked second for what they did to others are probed beside the first attempt, by a copy of the
// request (probe): no caller waits to find out whether they are well again.
//
// Four parts know what they need and no more: endpoint_search, which endpoint may be asked now; endpoint_wait, what
// becomes of the request while none may; hedge_schedule and rescue_schedule, when a silence deserves a hedge and when a
// rescue. The plan is what is left: the attempts in flight, and what follows from each event.
//
// What is not done is told like what is done: an endpoint that is passed over (refuse), a failure that nothing follows
// (deny, or finish, where the flight ends with it), a hedge that is not launched (no_hedge) and a request that waits
// (hold) are actions with their reasons. A launch names the permit it was given; each permit is named by one launch, of
// the same step.
//
// Owned by one flight (one request's upstream effort); one step at a time.

#include "policies/endpoint_search.hpp"
#include "policies/endpoint_wait.hpp"
#include "policies/flight_options.hpp"
#include "policies/hedge_schedule.hpp"
#include "policies/outcome.hpp"
#include "policies/policy_view.hpp"
#include "policies/rescue_schedule.hpp"
#include "policies/retry.hpp"
#include "policies/time.hpp"

#include <boost/container/small_vector.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <variant>

namespace evenkeel {

namespace flight_event {
struct started {};
// Of an attempt that holds nothing: a whole, valid response head has come.
struct head {
    attempt_id id;
};
// The first meaningful event of a stream, or more than is held.
struct meaningful {
    attempt_id id;
};
// An answer that is held to its end has said something: it is no longer silent.
struct progress {
    attempt_id id;
};
// An answer that is held to its end is here, whole and good.
struct complete {
    attempt_id id;
};
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

// Why an attempt is no longer wanted. What it is evidence of follows from it.
enum class cancel_cause : unsigned char {
    lost,            // a sibling's answer was committed
    overtaken,       // ... that of one launched later, elsewhere
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
    permit_id permit; // what policy_view::admit() has set aside for it
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
// Silent for longer than is usual: evidence against its endpoint, although it goes on.
struct silent {
    attempt_id id;
};
// This attempt's answer is the flight's answer.
struct commit {
    attempt_id id;
    std::string_view why;
};
enum class ending : unsigned char { answered, failed, timed_out, refused, client_gone }; // refused: nothing was sent
struct finish {
    ending how;
    std::string_view why; // of a refusal: to_string(denied), or hold_queue_full
    retry_denial denied;
    duration retry_after{}; // of a refusal: when asking again makes sense
};
struct wait_until {
    steady_time when;
};
// An attempt was wanted, and this endpoint is not asked now.
struct refuse {
    endpoint_index endpoint;
    attempt_purpose wanted; // first or retry
    retry_denial why;
};
// This attempt failed, and is not followed by another while others are in flight.
struct deny {
    attempt_id id;
    endpoint_index endpoint;
    retry_denial why;
};
// A hedge was due and is not launched.
struct no_hedge {
    endpoint_index endpoint; // where it would have gone, as far as that was known; else the one that is silent
    hedge_refusal why;
};
// A rescue was due and is not launched; once a request for each reason.
struct no_rescue {
    endpoint_index endpoint; // as of no_hedge
    rescue_refusal why;
};
// A copy of the request is to find out whether this endpoint is well again. Nobody waits for it.
struct probe {
    endpoint_index endpoint;
};
// The request stands in line from now on: policy_view::begin_waiting() has given it a place.
struct hold {
    retry_denial why;
};
struct end_hold {
    bool goes_on; // an endpoint lets it
};
} // namespace flight_action
using any_flight_action =
    std::variant<flight_action::launch, flight_action::cancel, flight_action::overdue, flight_action::commit,
                 flight_action::finish, flight_action::wait_until, flight_action::refuse, flight_action::deny,
                 flight_action::no_hedge, flight_action::hold, flight_action::end_hold, flight_action::no_rescue,
                 flight_action::probe, flight_action::silent>;

class flight_plan {
public:
    static constexpr duration min_attempt_time = evenkeel::min_attempt_time;
    // Of an attempt that goes on although its time is over; it is looked at again after this. (chosen)
    static constexpr duration timeout_recheck = std::chrono::seconds{1};
    static constexpr std::size_t max_endpoints = most_endpoints;

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
    struct flying {
        attempt_id id = 0;
        endpoint_index at = 0;
        attempt_purpose purpose = attempt_purpose::first;
        steady_time launched{};
        duration allowed{};                       // silence; zero: any
        steady_time expires = steady_time::max(); // not before: it may have moved since
    };
    // Why the flight looks for an endpoint: the first attempt, or what the latest failure was.
    struct cause {
        attempt_outcome outcome;
        duration took{};
        flight_action::ending how = flight_action::ending::failed;
    };
    enum class eagerness : unsigned char { may_wait, now_or_never };

    void begin(steady_time now, policy_view& view);
    void commit(attempt_id id, steady_time now, policy_view& view);
    void progress(attempt_id id, steady_time now, policy_view& view);
    void failed(const flight_event::failed& event, steady_time now, policy_view& view);
    void on_timer(steady_time now, policy_view& view);
    void on_client_gone(steady_time now, policy_view& view);

    // Another attempt, now or later; none: it has been launched, or is waited for.
    [[nodiscard]] retry_denial seek(eagerness how, duration pause, steady_time now, policy_view& view);
    [[nodiscard]] retry_denial seek(eagerness how, duration pause, steady_time now, policy_view& view,
                                    endpoint_set in_flight); // where it is not to go
    void go_to(const endpoint_search::choice& found, duration pause, steady_time now, policy_view& view);
    void launch_next(steady_time now, policy_view& view);
    void launch(endpoint_index at, permit_id permit, attempt_purpose what, std::string_view why, steady_time now,
                policy_view& view);
    [[nodiscard]] bool extra_left() const noexcept {
        return static_cast<int>(launched_) <= options_.retry->max_retries;
    }
    [[nodiscard]] attempt_purpose purpose() const noexcept {
        return launched_ == 0 ? attempt_purpose::first : attempt_purpose::retry;
    }
    [[nodiscard]] endpoint_set in_flight() const noexcept;

    void learn(endpoint_index at, const attempt_outcome& outcome, steady_time now, policy_view& view);
    [[nodiscard]] retry_denial wanted(endpoint_index at, const attempt_outcome& outcome, steady_time now,
                                      policy_view& view) const;
    void follow(const cause& why, steady_time now, policy_view& view);
    void expire(flying late, steady_time now, policy_view& view);
    void outlive(const flying& late, steady_time now, policy_view& view);
    [[nodiscard]] retry_denial join(const flying& late, steady_time now, policy_view& view);
    void look_again(attempt_id id, steady_time when) noexcept;
    [[nodiscard]] bool rescue(steady_time now, policy_view& view); // another attempt has been launched
    void probe_beside(endpoint_index asked, steady_time now, policy_view& view);
    [[nodiscard]] bool hedge(steady_time now, policy_view& view); // likewise

    void ended(const flying& loser, steady_time now, policy_view& view);
    void cancel_all(cancel_cause why, steady_time now, policy_view& view, attempt_id but = 0);
    void drop(attempt_id id) noexcept;
    void stop_waiting(bool goes_on);
    void give_up(flight_action::ending how, std::string_view why, retry_denial denied, steady_time now,
                 policy_view& view);
    void refuse(retry_denial denied, steady_time now, policy_view& view);
    [[nodiscard]] steady_time next_wake() const noexcept;
    void sleep() { add(flight_action::wait_until{next_wake()}); }
    void add(any_flight_action action) { actions_.push_back(action); }

    flight_options options_;
    state state_ = state::idle;
    endpoint_search endpoints_;
    endpoint_wait wait_;
    hedge_schedule hedges_;
    rescue_schedule rescues_;
    boost::container::small_vector<flying, 2> flying_;
    attempt_id launched_ = 0;      // attempts so far; the latest one's id
    attempt_id answered_ = 0;      // the latest attempt with an HTTP answer to hand on; 0: none
    bool retryable_seen_ = false;  // a failure that is no fault of the request
    bool empty_seen_ = false;      // an answer that says nothing: asked for again once
    endpoint_search::choice next_; // while pausing
    cause cause_;                  // while looking for an endpoint
    int pauses_ = 0;               // before asking an endpoint again
    duration previous_pause_{};
    boost::container::small_vector<any_flight_action, 4> actions_;
};

} // namespace evenkeel

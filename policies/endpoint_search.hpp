#pragma once
// Which endpoint the next attempt of a request goes to, and when: of the endpoints that may be asked the one that can
// be asked first, of those the one that failed this request least, of those the one in front in the order of the
// balance. Where none can be asked, what stands in the way of each.
//
// What this request has been told by an endpoint is kept here and nowhere else: it failed so many times, it named a
// time, it asked for a longer one than anybody waits, it fell silent, or it will not have this request at all. What
// circuits, rests, load and budgets say is asked each time, since it changes with what others do.
//
// What is said of a credential is no failure of the endpoint as long as it can be asked with another one: it is asked
// again at once, as often as it has credentials that may be shown, and out of no budget, since a refusal had no effect.
//
// What is found is paid for (an extra attempt) and, where its time is now, let through: it carries the permit. Nothing
// else stays reserved or taken. An endpoint with an attempt of this request in flight is never found, nor one that has
// failed while one that has not can be asked as soon.
//
// Owned by one flight_plan.

#include "policies/flight_options.hpp"
#include "policies/outcome.hpp"
#include "policies/policy_view.hpp"
#include "policies/retry.hpp"
#include "policies/time.hpp"

#include <boost/container/small_vector.hpp>
#include <boost/container/static_vector.hpp>

#include <cstdint>
#include <optional>
#include <utility>

namespace evenkeel {

// Some of a route's endpoints.
class endpoint_set {
public:
    void add(endpoint_index at) noexcept { bits_ |= std::uint64_t{1} << at; }
    [[nodiscard]] bool has(endpoint_index at) const noexcept { return (bits_ >> at & 1U) != 0; }
    [[nodiscard]] bool empty() const noexcept { return bits_ == 0; }
    [[nodiscard]] bool only(endpoint_index at) const noexcept { return bits_ == std::uint64_t{1} << at; }

private:
    static_assert(most_endpoints <= 64);
    std::uint64_t bits_ = 0;
};

class endpoint_search {
public:
    // What an attempt is wanted for, and what came before it.
    struct wish {
        attempt_purpose what = attempt_purpose::first; // or retry
        endpoint_set in_flight{};                      // where attempts of this request are
        bool now_or_never = false;  // no longer than the pause, and none that has failed while others are in flight
        duration pause{};           // before an endpoint that has failed this request is asked again
        duration took{};            // by the attempt that failed
        bool never_sent = false;    // ... and nothing of it had left
        bool refused = false;       // ... or it met a rate limit, which had no effect and passes by itself
        bool of_credential = false; // ... or it is its credential that was refused, limited or spent
        [[nodiscard]] bool is_extra() const noexcept { return what != attempt_purpose::first; }
    };
    struct choice {
        endpoint_index at = 0;
        steady_time when{};
        steady_time rank{}; // ... by which it is chosen: who waits its turn in line is not passed over for that
        double work = 0;    // reserved of its budget
        int failures = 0;
        permit_id permit = 0; // if its time is now
    };
    struct refusal {
        endpoint_index at;
        retry_denial why;
    };
    // What kept the endpoints that may be asked from being asked now.
    struct obstacles {
        bool too_late = false, too_long = false, budget = false;
        bool circuit = false, overload = false, avoidable = false;
        bool by_operator = false; // a circuit that a person opened; `circuit` is said of the others only
        bool models_only = false; // those circuits are all of the model that is asked for
        std::optional<endpoint_index> passable{}; // would let a request through that has waited long enough
        steady_time again = steady_time::max(), down_since{};
        boost::container::static_vector<refusal, most_endpoints + 1> refused{}; // one by one, as they were asked

        [[nodiscard]] retry_denial denial() const noexcept; // the weightiest
        [[nodiscard]] retry_denial circuits() const noexcept {
            return models_only ? retry_denial::model_circuit_open : retry_denial::circuit_open;
        }
        void meets_circuit(const endpoint_refusal& met) noexcept;
    };
    struct result {
        std::optional<choice> found{};
        obstacles why{};
    };

    explicit endpoint_search(const flight_options& options) noexcept;

    // The endpoint in front takes a first attempt: all there is to decide, nearly always. Empty: it does not let it.
    [[nodiscard]] std::optional<choice> in_front(steady_time now, policy_view& view) const;
    [[nodiscard]] result find(const wish& wanted, const flight_options& options, steady_time now,
                              policy_view& view) const;
    // Takes one that refuses for want of room or for a rest, for a request that waits no longer. The word that denied
    // it, if it was denied all the same.
    [[nodiscard]] std::pair<std::optional<choice>, retry_denial> insist(endpoint_index at, const wish& wanted,
                                                                        steady_time now, policy_view& view) const;
    // For a hedge beside what is in flight: another endpoint that has not failed this request, then one that has but
    // may be asked again, then the one that is silent; each only if it lets the hedge through, the tired ones last.
    [[nodiscard]] std::optional<std::pair<endpoint_index, urgency>> beside(endpoint_index silent,
                                                                           endpoint_set in_flight, hedge_target where,
                                                                           steady_time now, policy_view& view) const;

    // For a rescue: another endpoint than those with attempts in flight, one that has not failed this request in front.
    [[nodiscard]] std::optional<std::pair<endpoint_index, urgency>> to_rescue(endpoint_set in_flight, steady_time now,
                                                                              policy_view& view) const;

    // What has been learned of an endpoint in this request.
    struct known {
        int failures = 0;             // of this request's attempts here
        bool barred = false;          // not again for this request
        bool too_long = false;        // it asked for a longer wait than max_retry_after
        bool silent = false;          // it let an attempt time out
        bool next_credential = false; // its latest refusal was of a credential, and it has another one to be asked with
        steady_time ready{};          // not before: its own hint
    };
    [[nodiscard]] const known& of(endpoint_index at) const noexcept { return known_[at]; }
    void learn(endpoint_index at, const attempt_outcome& outcome, const retry_options& retry, steady_time now,
               policy_view& view);

private:
    using choices = boost::container::static_vector<choice, most_endpoints>;
    void list(choices& to, obstacles& why, const wish& wanted, urgency pressed, const flight_options& options,
              steady_time now, policy_view& view) const;
    [[nodiscard]] bool take(choice& one, obstacles& why, const wish& wanted, urgency pressed, steady_time now,
                            policy_view& view) const;

    boost::container::small_vector<known, 4> known_; // most routes have no more
};

} // namespace evenkeel

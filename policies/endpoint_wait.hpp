#pragma once
// What a request does for which no endpoint can be asked now: it waits in line and asks again (`when_open: hold`), goes
// through all the same, or is refused.
//
// Behind a circuit a request waits while the outage is young (hold_max) and there is time: an outage is over sooner
// than the request is made again by hand. Who came while its endpoint was up and finds no room waits for max_wait and
// then goes through: what it asks is what the endpoint would get without us. Extra attempts and those that a circuit
// has kept waiting do not go through: they are the additional load that room is kept from (overload_control.hpp).
// Nobody waits for a circuit that a person opened, nor is another endpoint pressed in its place: it stays open until
// that person says otherwise. Where the upstream named a longer time than anybody waits, a request that was not sent
// yet is sent nevertheless: the answer is the upstream's to give.
//
// Who met a rate limit and finds the budget of extra attempts empty waits as well, in no line: for what successes put
// in there, at most as long as max_retry_after.
//
// In line at most once, from the first verdict that says so until over(). Owned by one flight_plan.

#include "policies/endpoint_search.hpp"
#include "policies/flight_options.hpp"
#include "policies/policy_view.hpp"
#include "policies/time.hpp"

#include <optional>

namespace evenkeel {

class endpoint_wait {
public:
    // What can change without a word of anybody is looked at again after this. (chosen)
    static constexpr duration recheck = std::chrono::seconds{1};

    struct verdict {
        retry_denial denied = retry_denial::none;         // refused; none: it waits until again(), or goes through
        std::optional<endpoint_search::choice> through{}; // ... here, now
        std::optional<endpoint_search::refusal> unpaid{}; // it would have gone through, if that were paid for
        bool joined = false;                              // it stands in line from now on
    };
    [[nodiscard]] verdict decide(const endpoint_search::obstacles& why, const endpoint_search::wish& wanted,
                                 const endpoint_search& endpoints, const flight_options& options, steady_time now,
                                 policy_view& view);
    // It waits no longer, whatever came of it. True: it stood in line.
    [[nodiscard]] bool over() noexcept;

    [[nodiscard]] steady_time again() const noexcept { return again_; } // no use in asking before
    [[nodiscard]] bool line_full() const noexcept { return line_full_; }

private:
    [[nodiscard]] bool outlasts(const endpoint_search::obstacles& why, const flight_options& options,
                                steady_time now) const noexcept;
    [[nodiscard]] bool outlasts_refusal(const flight_options& options, steady_time now) const noexcept;

    steady_time again_{};
    std::optional<steady_time> waiting_since_, crowded_since_;
    bool held_ = false; // a circuit has kept it waiting
    bool in_line_ = false, line_full_ = false;
};

} // namespace evenkeel

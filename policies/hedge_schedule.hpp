#pragma once
// When the next hedge of a flight is due, how many there may be, and why one that was due is not launched. hedge.hpp
// has the arithmetic of the delay and the guard of the route; here is what one request keeps of it.
//
// A hedge is counted from the latest launch: an attempt that failed over to another endpoint deserves its own silence.
// What stood in the way and may pass (budget, room, an endpoint that refuses, the guard) is asked again after as long a
// silence; what will not change for this request (no attempt left, not to be sent twice, too late) is not. The guard
// is asked once a request, since it counts what it is asked.
//
// The work reserved for a hedge is settled with the first attempt that ends without winning, whichever it is: of two
// that race one is extra, and the budget cannot know beforehand which. Each is settled once, at the latest when the
// flight ends.
//
// Owned by one flight_plan.

#include "policies/endpoint_search.hpp"
#include "policies/flight_options.hpp"
#include "policies/hedge.hpp"
#include "policies/policy_view.hpp"
#include "policies/time.hpp"

#include <boost/container/small_vector.hpp>

#include <cstddef>

namespace evenkeel {

class hedge_schedule {
public:
    [[nodiscard]] steady_time due() const noexcept { return due_; } // max: none
    // One more beside so many.
    [[nodiscard]] static bool allows(const hedge_options* options, std::size_t in_flight) noexcept {
        return options != nullptr && in_flight <= static_cast<std::size_t>(options->max_hedges);
    }

    // An attempt has been launched; `may_join`: another one may follow, beside it.
    void launched(endpoint_index at, bool may_join, steady_time now, policy_view& view);
    void not_wanted() noexcept { due_ = steady_time::max(); } // it answers: silence is no question any more
    void not_after(steady_time when) noexcept { due_ = due_ < when ? due_ : when; }

    struct silence {
        endpoint_index at;      // of the latest attempt
        endpoint_set in_flight; // where attempts are
        std::size_t attempts;   // ... and how many
        bool one_left;          // of max_retries
    };
    struct verdict {
        hedge_refusal why = hedge_refusal::none; // none: launch
        endpoint_index at = 0;                   // where it goes, or would have gone as far as that is known
        permit_id permit = 0;
        bool tell = true; // this reason has not been told of this request
    };
    // It is due. What is launched has been paid for and let through; else the next one is due when due() says.
    [[nodiscard]] verdict ask(const silence& of, const endpoint_search& endpoints, const flight_options& options,
                              steady_time now, policy_view& view);
    // An attempt there has ended without winning.
    void ended(endpoint_index at, duration took, steady_time now, policy_view& view);

private:
    [[nodiscard]] verdict choose(const silence& of, const endpoint_search& endpoints, const flight_options& options,
                                 steady_time now, policy_view& view);

    steady_time due_ = steady_time::max();
    bool guard_asked_ = false;
    unsigned told_ = 0;                                           // reasons, as bits
    boost::container::small_vector<endpoint_index, 2> unsettled_; // whose budgets hold the work of hedges
};

} // namespace evenkeel

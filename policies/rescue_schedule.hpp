#pragma once
// When a silent flight is to be joined by another attempt, where that goes, and why it does not. rescue.hpp has the
// arithmetic and who pays; here is what one request keeps of it.
//
// The silence is that of the attempt launched last, counted from its latest sign of life: a byte that moved in either
// direction; where another endpoint may be asked signs of life without an answer are no better than silence once they
// have gone on for as long, if it is known how long that is (rescue.hpp). What is usual is looked up only after a
// second of it, before which nothing would be done anyhow, so that a request that is answered soon costs nothing; and
// again from where few answers take longer, each second, since what others find out meanwhile counts. A silence of
// twice what is usual is told (evidence), whether or not it is joined. The rescue goes elsewhere, if another endpoint
// may be asked. A lone endpoint is asked once more a request, over a fresh connection: what thinks for 100 s is billed
// twice, not six times.
//
// Owned by one flight_plan.

#include "policies/endpoint_search.hpp"
#include "policies/flight_options.hpp"
#include "policies/policy_view.hpp"
#include "policies/rescue.hpp"
#include "policies/time.hpp"

namespace evenkeel {

class rescue_schedule {
public:
    [[nodiscard]] steady_time due() const noexcept { return due_; } // when to ask; max: never

    void launched(const flight_options& options, bool may_join, steady_time now) noexcept;
    void not_wanted() noexcept { due_ = steady_time::max(); }          // it answers: silence is no question any more
    [[nodiscard]] bool asked_alone() const noexcept { return alone_; } // a lone endpoint has been asked twice
    void ask_alone() noexcept { alone_ = true; }

    struct silence {
        attempt_id latest;
        endpoint_index at;      // of the latest attempt
        steady_time launched;   // likewise
        endpoint_set in_flight; // where attempts are
        bool one_left;          // of max_retries
    };
    struct verdict {
        rescue_refusal why = rescue_refusal::none; // none, with a permit: launch
        endpoint_index at = 0;                     // where it goes, or would have gone as far as that is known
        permit_id permit = 0;                      // 0, without a reason: it is not time yet
        bool tell = false;                         // this reason has not been told of this request
        bool evidence = false; // the latest attempt has been silent for longer than is usual; told once
    };
    // Its time has come: launch, or ask again when due() says.
    [[nodiscard]] verdict ask(const silence& of, const endpoint_search& endpoints, const flight_options& options,
                              steady_time now, policy_view& view);

private:
    [[nodiscard]] steady_time next_look(const rescue_question& of, steady_time due, steady_time now) const noexcept;
    [[nodiscard]] verdict choose(const silence& of, const endpoint_search& endpoints, const flight_options& options,
                                 steady_time now, policy_view& view);

    steady_time due_ = steady_time::max();
    int joined_ = 0;
    bool alone_ = false;
    bool evident_ = false; // the silence of the latest attempt has been told
    unsigned told_ = 0;    // reasons, as bits
};

} // namespace evenkeel

#pragma once
// What the decisions of a flight ask the rest of the world, and chance: the only way in which the plan and its parts
// (endpoint_search, endpoint_wait, hedge_schedule) learn of circuits, rests, load, budgets and latency. They can then
// be driven by a test that says of each what it likes. An answer holds for the step under way, no longer.
//
// What takes something (admit, reserve, begin_waiting) is given back by a call or an action of the same flight; a test
// of the plan adds both sides up.

#include "policies/hedge.hpp"
#include "policies/time.hpp"

#include <cstdint>
#include <optional>
#include <span>

namespace evenkeel {

using attempt_id = std::uint32_t;     // 1 is the first
using endpoint_index = std::uint32_t; // place in the route's order of preference, from 0

// What an attempt is for.
enum class attempt_purpose : unsigned char { first, retry, hedge, rescue };

// Why an endpoint does not let an attempt through.
struct endpoint_refusal {
    enum class reason : unsigned char {
        circuit,
        cooldown,
        overload,
        pace, // its quota has nothing for it just now: it stands in line for that, and asks again
    } why;
    steady_time again;        // no use in asking before
    steady_time down_since{}; // of a circuit: when its outage began
    bool avoidable = false;   // it would let through who has nowhere else to go
    bool by_operator = false; // a person opened the circuit: it does not close by itself, so nobody waits for it
    bool of_model = false;    // the circuit is that of the model that is asked for
};
// How urgent an attempt is where it asks for a permit.
enum class urgency : unsigned char {
    normal, // other endpoints are there as well
    // Nowhere else to go: it may be a probe, is not thinned out while a circuit ramps up, and takes what is tired.
    last_resort,
    waited, // has waited long enough: neither cooldown nor overload hold it, only a circuit does
};

// Permission to send one attempt: everything that the world has set aside for it (a place at the circuit, one in
// service), under the name by which the launch asks for it.
using permit_id = std::uint32_t; // 0: none
struct admission {
    permit_id permit = 0;
    std::optional<endpoint_refusal> refused{}; // then there is no permit
};

class policy_view {
public:
    virtual ~policy_view() = default;
    [[nodiscard]] virtual double draw() = 0;       // uniform in [0, 1)
    [[nodiscard]] virtual bool wants_stream() = 0; // the client asked for a stream
    // ... as far as was known when the latest attempt was launched: nothing is read of the request for it.
    [[nodiscard]] virtual bool sent_as_stream() { return wants_stream(); }
    [[nodiscard]] virtual bool repeatable(endpoint_index at) = 0; // the request, sent there, may be sent again
    // ... or would be, had what was sent no effect: all of it is held.
    [[nodiscard]] virtual bool held(endpoint_index at) { return repeatable(at); }
    [[nodiscard]] virtual bool unsent(attempt_id attempt) = 0; // no byte of this attempt has left
    // ... although nothing of ours keeps it: it is the way there that is silent.
    [[nodiscard]] virtual bool connecting(attempt_id attempt) { return unsent(attempt); }
    // Its latest sign of life: a byte that moved, in either direction; or now, while it is the client that is slow.
    [[nodiscard]] virtual steady_time last_moved(attempt_id attempt, steady_time now) = 0;
    // ... of those of ours alone: since when it could have answered. Epoch: since it was launched.
    [[nodiscard]] virtual steady_time last_asked([[maybe_unused]] attempt_id attempt,
                                                 [[maybe_unused]] steady_time now) {
        return {};
    }

    // What was refused there was the credential, and another one of that upstream may be asked at once.
    [[nodiscard]] virtual bool another_credential(endpoint_index, steady_time) { return false; }
    // Two endpoints of one upstream: the same credentials.
    [[nodiscard]] virtual bool same_upstream(endpoint_index one, endpoint_index other) { return one == other; }
    // All endpoints, the one to ask first in front. The span lives until the next call.
    [[nodiscard]] virtual std::span<const endpoint_index> order(steady_time now) = 0;
    // Would it let an attempt through? Takes nothing. Empty: yes.
    [[nodiscard]] virtual std::optional<endpoint_refusal> look(endpoint_index at, attempt_purpose what, urgency how,
                                                               steady_time now) = 0;
    // Takes a permit, for the launch that names this permit in the same step.
    [[nodiscard]] virtual admission admit(endpoint_index at, attempt_purpose what, urgency how, steady_time now) = 0;
    [[nodiscard]] virtual bool overload_active(endpoint_index at, steady_time now) = 0;
    // A place among the requests of this route that wait for an endpoint, until the hold ends
    // (flight_action::end_hold). False: they are too many already.
    [[nodiscard]] virtual bool begin_waiting(steady_time now) = 0;

    // Of the endpoint's budget: what another attempt there costs after one that took `took`, and taking that much.
    // `effortless`: that one did not cost this endpoint anything, because it was never sent, met a rate limit or went
    // elsewhere.
    [[nodiscard]] virtual double cost(endpoint_index at, duration took, bool effortless, steady_time now) = 0;
    [[nodiscard]] virtual bool reserve(endpoint_index at, double work, steady_time now) = 0;
    virtual void refund(endpoint_index at, double work, steady_time now) = 0;
    // A hedge reserves the work of one attempt, and only where more than half of the budget is there; it is settled to
    // what the attempt that lost has cost.
    [[nodiscard]] virtual bool reserve_hedge(endpoint_index at, steady_time now) = 0;
    virtual void settle_hedge(endpoint_index at, duration loser_took, steady_time now) = 0;

    // A rescue, which the silent endpoint pays for.
    [[nodiscard]] virtual bool pay_rescue(endpoint_index silent, steady_time now) = 0;
    virtual void refund_rescue(endpoint_index silent) = 0;
    // `from` is silent to all who ask it, as far as is known, and nothing of the kind is known of `to`: what asks there
    // in its place is no more than `from` was given.
    [[nodiscard]] virtual bool takes_over([[maybe_unused]] endpoint_index from, [[maybe_unused]] endpoint_index to) {
        return false;
    }
    // ... and others have been answered elsewhere who waited there in vain.
    [[nodiscard]] virtual bool shown_silent([[maybe_unused]] endpoint_index at) { return false; }
    // An endpoint that is asked second, or not at all, is to be probed beside this request, by a copy of it.
    [[nodiscard]] virtual bool wants_prober(endpoint_index at) = 0;

    // Learned; empty: not known enough.
    // The P95 of what was answered, from one answer on, however long ago.
    [[nodiscard]] virtual std::optional<duration> usual(endpoint_index at, steady_time now) = 0;
    // How long an attempt may take.
    [[nodiscard]] virtual std::optional<duration> attempt_timeout(endpoint_index at, steady_time now) = 0;
    [[nodiscard]] virtual std::optional<duration> hedge_delay(endpoint_index at, steady_time now) = 0;
    // Few are faster; 0: not known.
    [[nodiscard]] virtual duration quickest(endpoint_index at, steady_time now) = 0;
    // What the guard says.
    [[nodiscard]] virtual hedge_refusal hedge_wanted(steady_time now) = 0;
};

} // namespace evenkeel

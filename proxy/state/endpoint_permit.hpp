#pragma once
// Permission to send one attempt to one endpoint, and what the policies learn from how it fares: the one place where an
// ending becomes evidence for the circuit, the cooldown, the overload control, the latency and the balance (DESIGN
// section 6, "Outcome classes"). Everything it holds is given back when it is destroyed, whatever way the attempt
// ended.
//
// Taken by the flight, owned by the attempt. One worker's; what it refers to is process-wide and outlives it.

#include "config/settings.hpp"
#include "policies/flight_plan.hpp"
#include "policies/pace.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/events/spending.hpp"
#include "proxy/state/policy_registry.hpp"
#include "proxy/wire/head.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace evenkeel::request {

struct client_request;

// How a request stands to quotas that are paced: of its flight, as it asks now.
struct paced_request {
    pace_ask ask;
    std::uint64_t key = 0;    // of the quota, within its upstream's or its credential's; 0: it has none
    std::string name;         // of the model
    std::uint64_t bytes = 0;  // of its body, as far as that is known
    paced_quota::place place; // in line
    bool may_stand = true;    // ... if it has to
};

// What an attempt brings along for the policies, beside its endpoint.
struct permit_request {
    const config::route* route = nullptr;
    const route_policies* policies = nullptr;
    endpoint_index at = 0;
    attempt_purpose purpose = attempt_purpose::first;
    request_shape shape;
    // Which model its endpoint is asked for, for what is kept by model: that of the shape, or what it is renamed to.
    std::uint64_t model = 0;
    bool held = false;    // the request has waited for an endpoint already
    bool refused = false; // its latest attempt met a rate limit: nothing was done for it
    bool spared = false;  // it is silence that would be met there, and a copy can find out whether it still is
    bool moved = false;   // it takes the place of an attempt at an endpoint that hangs
    shuffle_shard::members shard = shuffle_shard::all; // the endpoints the request may turn to
    // Of its upstream's credentials those that refused this request for good, and those that it had better not have.
    lane_set never{}, rather_not{};
    paced_request* pace = nullptr; // during the call; null: that endpoint is not paced, or nobody's quota is known
    bool can_follow = false;       // whoever refuses it, it can be sent again
    // Whose credentials it has; lives until the attempt has ended, or is cancelled. Its body is there until the
    // attempt is committed, and then `caller` is known.
    const client_request* request = nullptr;
    struct known_caller {
        std::optional<std::uint64_t> is; // its principal; none: it cannot be told
    };
    std::optional<known_caller> caller{};
};

// A model as it is told of.
[[nodiscard]] inline std::string_view told_name(const model_row& model) noexcept {
    return model.name.empty() ? std::string_view{"others"} : std::string_view{model.name};
}

class endpoint_permit {
public:
    endpoint_permit() noexcept = default;
    endpoint_permit(endpoint_permit&& other) noexcept;
    endpoint_permit& operator=(endpoint_permit&&) = delete;
    ~endpoint_permit(); // neutral, if nothing was said

    // Asks the circuits of the endpoint and of the model, cooldown, overload control and its quota, in this order.
    // `ahead`: how many requests stand in front in the line.
    [[nodiscard]] static std::optional<endpoint_refusal> look(const permit_request& wanted, urgency how,
                                                              std::size_t ahead, double u, steady_time now);
    // ... and takes. Empty: `into`, which held nothing before, holds.
    [[nodiscard]] static std::optional<endpoint_refusal> take(const permit_request& wanted, urgency how,
                                                              std::size_t ahead, double u, steady_time now,
                                                              telemetry::observer& observer, endpoint_permit& into);

    // What keeps this request from its endpoint, in words for its client; empty: nothing does just now.
    [[nodiscard]] static std::string obstacle(const permit_request& wanted, steady_time now);

    // The request goes out: its place in the order of start.
    void sent(steady_time now) noexcept;
    // ... all of it had gone out by then, where that took a while: what it then waits for is the answer.
    void asked(steady_time now) noexcept { asked_ = now; }
    void answers(steady_time now) noexcept; // content is there: the endpoint works
    // The body of the request, which may say who its caller is, need not be there from now on.
    void committed();
    // Of one that is paced: a head has come, and what it says of limits; and what it took, if that was told.
    [[nodiscard]] bool is_paced() const noexcept { return pace_ != nullptr; }
    void hear(const wire::response_head& head, wall_time wall, steady_time now);
    void settle(const telemetry::token_count& tokens) noexcept;
    // The latency that is learned: first event, or whole answer.
    void took(steady_time now) noexcept;
    void finished(steady_time now) noexcept; // the answer has been read to its end
    void failed(const attempt_outcome& outcome, double u, steady_time now) noexcept; // also after answers(): it broke
    // No connection was made, and nothing said why: that is a silence too, beside the failure it is.
    void not_reached(steady_time now) noexcept;
    // Silent for too long, but goes on: a failure until it answers. `mute`: not a byte has come from there, and it is
    // not us that it waits for.
    void overdue(bool mute, double u, steady_time now) noexcept;
    // Silent for longer than is usual, but goes on: a doubt, no failure.
    void silent_so_far(bool mute, steady_time now) noexcept;
    // What was heard of an attempt that has not answered.
    enum class heard : unsigned char {
        nothing,       // it is mute, as above
        signs_of_life, // a head, pings, comments: all but what was asked for
        not_due,       // it is us that it waits for, or what it says is read
    };
    void cancelled(cancel_cause why, heard what, double u, steady_time now) noexcept;

    // Silences inside the stream it answers with: how long one may be, given what this endpoint does; and one that was
    // long.
    [[nodiscard]] duration idle_allowance(duration configured, steady_time now) const noexcept;
    void paused(duration gap, steady_time now) noexcept;
    void be_plain() noexcept { what_.shape.stream = false; } // what goes out from now on asks for no stream
    [[nodiscard]] bool is_probe() const noexcept {
        return circuit_.is_probe() || (own_ != nullptr && own_->permit.is_probe());
    }
    // As long as it may wait for its quota.
    [[nodiscard]] bool went_through() const noexcept { return pace_ != nullptr && pace_->pass.taken.went_through; }
    [[nodiscard]] lane_index credential() const noexcept { return lane_.at(); }    // no_lane: there is no choice
    void is_of(telemetry::attempt_number attempt) noexcept { attempt_ = attempt; } // what its events are told of

private:
    // Its part of a quota.
    struct paced_part {
        pace_pass pass{};
        std::uint64_t bytes = 0;
        bool settled = false;
    };
    [[nodiscard]] const endpoint_policies& endpoint() const noexcept { return what_.policies->endpoints[what_.at]; }
    [[nodiscard]] telemetry::event_origin origin() const noexcept;
    [[nodiscard]] bool alone(steady_time now) const noexcept;
    [[nodiscard]] std::optional<duration> limit(steady_time now) const noexcept;
    // What a failure is about: whatever was asked for, or the way there, which is common to all models.
    enum class failing : unsigned char { as_asked, on_the_way };
    void tell_circuit(circuit_breaker::verdict verdict, failing where, bool timed_out, double u,
                      steady_time now) noexcept;
    void tell_own(circuit_breaker::verdict verdict, const circuit_breaker::facts& known, double u,
                  steady_time now) noexcept;
    void own(std::shared_ptr<model_circuit> circuit, steady_time now) noexcept;
    void tell(const std::optional<circuit_transition>& moved, steady_time now) noexcept;
    void tell(const model_doubts::change& changed, bool doubted) noexcept;
    [[nodiscard]] std::string model_name() const;
    void served(overload_control::verdict verdict, steady_time now) noexcept;
    void balanced(balancer::ending how, steady_time now) noexcept;
    [[nodiscard]] bool is_evidence(cancel_cause why, duration silent, bool for_circuit, steady_time now) const noexcept;
    void doubt(steady_time sent, failing where, steady_time now,
               endpoint_doubt::silence how = endpoint_doubt::silence::given_up) noexcept;
    void lane_refused(const attempt_outcome& outcome, double u, steady_time now) noexcept;
    void weigh(duration took, steady_time now) noexcept;
    [[nodiscard]] bool says_nothing(cancel_cause why, duration waited, steady_time now) const noexcept;

    permit_request what_;
    telemetry::observer* observer_ = nullptr;
    telemetry::attempt_number attempt_ = 0;
    circuit_breaker::permit circuit_;
    // ... and of the model's own circuit, where it has one.
    struct own_circuit {
        std::shared_ptr<model_circuit> of;
        circuit_breaker::permit permit;
    };
    std::unique_ptr<own_circuit> own_;
    std::unique_ptr<paced_part> pace_; // null: it is not paced
    overload_control::place place_;
    credential_lanes::place lane_;
    [[nodiscard]] steady_time since() const noexcept { return std::max(sent_, asked_); } // it can answer

    steady_time taken_{}, sent_{}, asked_{}, ended_{};
    duration first_{}; // until it answered
    bool holds_ = false;
    bool learned_ = false; // its latency was recorded
    bool answered_ = false;
    bool balanced_ = false;
    bool overdue_ = false;
    bool unreached_ = false;   // no connection was made
    bool too_slow_ = false;    // it has answered, far later than is usual
    bool model_alone_ = false; // what failed is the model, not its endpoint
};

} // namespace evenkeel::request

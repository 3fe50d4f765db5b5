#pragma once
// One request's upstream effort: performs what its plan decides, and is what the plan asks about the world. No decision
// is taken here.
//
// Owned by run_flight, on the stack of one request; its attempts live in the nursery and are told when they are no
// longer wanted, at the latest when the flight ends.

#include "policies/flight_plan.hpp"
#include "proxy/attempt/attempt.hpp"
#include "proxy/attempt/mailbox.hpp"
#include "proxy/message/answer.hpp"
#include "proxy/message/client_request.hpp"
#include "proxy/message/errand.hpp"
#include "proxy/state/endpoint_permit.hpp"
#include "proxy/state/worker_services.hpp"
#include "proxy/wire/calls.hpp"

#include <boost/container/small_vector.hpp>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace evenkeel::request {

class flight final : private policy_view {
public:
    flight(worker_services& services, client_request& request, const errand& what);
    ~flight(); // whatever way it ends, no attempt it no longer wants goes on
    flight(const flight&) = delete;
    flight& operator=(const flight&) = delete;

    // Steps the plan and does what it says; the answer, once there is one.
    [[nodiscard]] std::optional<answer> perform(const any_flight_event& event);
    // Of a shared request: its deadline moves. What was given up for want of time stays so.
    void allow_until(steady_time deadline) noexcept;
    [[nodiscard]] bool idle() const noexcept { return box_.empty(); }
    [[nodiscard]] net::task<bool> wait() { return box_.wait(wake_); }
    [[nodiscard]] any_flight_event next_event() { return box_.take(); } // a wake-up without an event is the timer's

private:
    // What the upstream that a refusal came from has said of its credentials to this request.
    struct refused_credentials {
        const credential_lanes* of;
        lane_set for_good{}, limited{};
    };
    struct flying {
        flying(attempt_id named, endpoint_index where, attempt_purpose what,
               std::shared_ptr<attempt> just_made) noexcept
            : id(named), at(where), purpose(what), made(std::move(just_made)) {}
        attempt_id id;
        endpoint_index at;
        attempt_purpose purpose;
        // It may have had an effect: some of it has left, and nobody said that nothing was done.
        [[nodiscard]] bool may_have_arrived() const noexcept { return !refused && !made->unsent(); }
        bool answered = false; // with something that may still be handed on
        bool refused = false;  // ... which says that nothing was done
        bool empty = false;    // ... because it says nothing, and for no other reason
        bool over = false;
        std::optional<outcome_kind> failed_as{};
        std::shared_ptr<attempt> made;
    };
    // Where an attempt at an endpoint goes, and whether it may be repeated: asked for more than once.
    struct aim_taken {
        endpoint_index at = 0;
        std::string_view target{}; // of the client's head, or of `rewritten`
        std::string rewritten{};
        const wire::call* called = nullptr;
        bool may_repeat = false;
        bool saw_whole = false; // ... judged by the whole body
    };

    // What the plan asks (flight_view.cpp).
    double draw() override;
    bool wants_stream() override;
    bool sent_as_stream() override { return sent_as_.stream; }
    bool repeatable(endpoint_index at) override;
    bool held(endpoint_index at) override;
    bool unsent(attempt_id id) override;
    bool connecting(attempt_id id) override;
    steady_time last_moved(attempt_id id, steady_time now) override;
    steady_time last_asked(attempt_id id, steady_time now) override;
    bool pay_rescue(endpoint_index silent, steady_time now) override;
    void refund_rescue(endpoint_index silent) override;
    bool takes_over(endpoint_index from, endpoint_index to) override;
    bool shown_silent(endpoint_index at) override {
        model_doubts& doubt = *policies_.endpoints[at].doubt;
        if (!doubt.whole().doubted() && doubt.none_of_models()) return false;
        return doubt.shown(model_asked(at, request_.facts.shape()), now_);
    }
    bool wants_prober(endpoint_index at) override;
    [[nodiscard]] bool wants_copy(endpoint_index at);
    std::optional<duration> usual(endpoint_index at, steady_time now) override;
    bool same_upstream(endpoint_index one, endpoint_index other) override;
    bool another_credential(endpoint_index at, steady_time now) override;
    std::span<const endpoint_index> order(steady_time now) override;
    std::optional<endpoint_refusal> look(endpoint_index at, attempt_purpose what, urgency how,
                                         steady_time now) override;
    admission admit(endpoint_index at, attempt_purpose what, urgency how, steady_time now) override;
    bool overload_active(endpoint_index at, steady_time now) override;
    bool begin_waiting(steady_time now) override;
    double cost(endpoint_index at, duration took, bool effortless, steady_time now) override;
    bool reserve(endpoint_index at, double work, steady_time now) override;
    void refund(endpoint_index at, double work, steady_time now) override;
    bool reserve_hedge(endpoint_index at, steady_time now) override;
    void settle_hedge(endpoint_index at, duration loser_took, steady_time now) override;
    std::optional<duration> attempt_timeout(endpoint_index at, steady_time now) override;
    std::optional<duration> hedge_delay(endpoint_index at, steady_time now) override;
    duration quickest(endpoint_index at, steady_time now) override;
    hedge_refusal hedge_wanted(steady_time now) override;
    [[nodiscard]] bool is_copyable();
    [[nodiscard]] bool stays_doubted(endpoint_index at, steady_time now);
    [[nodiscard]] bool takes_a_place(endpoint_index at, attempt_purpose what);
    [[nodiscard]] permit_request permit_request_for(endpoint_index at, attempt_purpose what,
                                                    const request_shape& shape);
    [[nodiscard]] std::uint64_t model_asked(endpoint_index at, const request_shape& shape);
    void fill_credentials(permit_request& wanted);
    void begin_to_pace();
    // How it asks a quota that is paced there; null: there is none.
    [[nodiscard]] paced_request* paced_at(endpoint_index at, attempt_purpose what, std::uint64_t model);
    [[nodiscard]] std::uint64_t body_size();
    void note_pace(endpoint_index at, attempt_purpose what, const std::optional<endpoint_refusal>& refused) noexcept;
    void begin_pacing();
    void end_pacing(telemetry::happened::paced::end how);
    void note_refused(const flying& one, const attempt_outcome& outcome);
    [[nodiscard]] const refused_credentials* refused_by(endpoint_index at) const noexcept;
    [[nodiscard]] std::size_t ahead(endpoint_index at) const noexcept;
    [[nodiscard]] bool was_held() const noexcept;
    [[nodiscard]] request_shape shape(endpoint_index at);
    // It is a buffered request that goes there as a stream (flight_upcast.cpp).
    [[nodiscard]] bool upcasts(endpoint_index at);
    void fill_upcast(attempt_order& order, const flight_action::launch& what, std::string_view target);

    [[nodiscard]] const wire::call* called(); // what the path is on this flight's route; null: no call we know
    [[nodiscard]] const aim_taken& aim(endpoint_index at);
    void rename_in_path(const config::upstream& upstream);
    [[nodiscard]] std::string model_at(const config::upstream& upstream);
    void fill_body(attempt_order& order, const config::upstream& upstream, bool hides, wire::body_framing& framing);
    void ask_for_usage(attempt_order& order, wire::body_framing& framing);
    static flight_options options_of(const errand& what, steady_time deadline) noexcept;
    void launch(const flight_action::launch& what);
    void cancel(const flight_action::cancel& what);
    void end_hold(const flight_action::end_hold& what);
    // What the plan did and did not, into the request's account, and to whoever listens.
    void keep(const any_flight_action& what);
    void tell(endpoint_index at, const telemetry::any_happening& what);
    void note(const flying* of, const telemetry::any_happening& what);
    [[nodiscard]] endpoint_permit take(permit_id permit);
    void fill(attempt_order& order, const flight_action::launch& what);
    void take_in(const any_flight_event& event);
    void hedge_over(const flying& one, bool won);
    [[nodiscard]] flying* find(attempt_id id) noexcept;

    // How it ends (flight_answer.cpp).
    [[nodiscard]] answer finish(const flight_action::finish& what);
    [[nodiscard]] answer upstream_answer(flying& winner, const flight_action::finish& what);
    [[nodiscard]] answer failure_answer(const flight_action::finish& what);
    [[nodiscard]] answer refusal_answer(const flight_action::finish& what);
    [[nodiscard]] bool has_arrived() const noexcept; // some attempt may have had an effect
    [[nodiscard]] std::string obstacles();
    void deposit();
    void probe_others();
    [[nodiscard]] int tries() const noexcept { return request_.account.effort.attempts - before_.attempts; }
    [[nodiscard]] bool has_waited() const noexcept { return request_.account.effort.held > before_.held; }

    worker_services& services_;
    client_request& request_;
    const errand& errand_;
    const config::route& route_;
    const route_policies& policies_;
    shuffle_shard::members shard_; // the endpoints this request may be sent to
    mailbox box_;
    steady_time deadline_, now_{};           // now_: of the step under way
    const telemetry::request_effort before_; // what the request had taken before
    flight_plan plan_;
    net::cancel_source::hook client_left_;
    boost::container::small_vector<flying, 2> attempts_;
    boost::container::small_vector<refused_credentials, 1> refused_; // nearly always none
    attempt_id committed_ = 0;
    std::optional<endpoint_index> first_at_; // where the first attempt went
    endpoint_index first_choice_ = 0;        // where it goes in calm
    bool may_have_arrived_ = false;          // ... of attempts that are no longer here
    std::optional<attempt_outcome> last_failure_;
    aim_taken aim_;
    struct asked_model {
        endpoint_index at;
        std::uint64_t as, is; // by the name of the client, and by that of the upstream
    };
    std::optional<asked_model> model_asked_{};                // where upstreams have names of their own
    std::optional<const wire::call*> called_{};               // once looked up, where a fallback's route is asked
    endpoint_permit set_aside_;                               // set aside for the launch that names its permit
    permit_id permit_given_ = 0;                              // ... the latest given
    std::array<std::optional<bool>, 2> can_upcast_{};         // ... whether the body allows it, by dialect
    boost::container::small_vector<endpoint_index, 4> order_; // those of the shard; empty: not asked for yet
    request_shape sent_as_;                                   // what was known of it at the latest launch
    endpoint_set to_probe_;                                   // beside this request, once it is answered
    std::optional<waiting_line::ticket> ticket_;
    steady_time waiting_since_{};
    std::unique_ptr<paced_request> pace_;        // null: none of its endpoints is paced
    std::optional<endpoint_index> pace_refused_; // in the step under way: it stands in line there
    std::optional<steady_time> pacing_since_;
    steady_time wake_ = deadline_;
};

} // namespace evenkeel::request

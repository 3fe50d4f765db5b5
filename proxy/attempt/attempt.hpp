#pragma once
// One try sent upstream: connect or reuse, ask, hold back what its order asks for, then deliver the body. It posts what
// happened to its flight's mailbox by id and decides nothing. Two repetitions it makes by itself, each by a call of its
// own: a reused connection that died before any response byte is replaced by a fresh one, once
// (`connections.retry_stale`), and a stream that its client did not ask for and that cannot be put together is asked
// for as the client asked (upcast.hpp).
//
// What it is made of: the call (upstream_call: one exchange), what is held back (hold), the wait for more of it
// (body_clock), and after the commit the body (attempt_body). Here is what ties them together, the record of each try
// and what the policies learn from it.
//
// Shared by its coroutine in the nursery and by whoever holds it (the flight, then the answer's body). Its call ends
// with cancel(), or when the answer has been read whole.

#include "config/settings.hpp"
#include "policies/flight_plan.hpp"
#include "proxy/attempt/attempt_body.hpp"
#include "proxy/attempt/body_clock.hpp"
#include "proxy/attempt/hold.hpp"
#include "proxy/attempt/mailbox.hpp"
#include "proxy/attempt/upcast.hpp"
#include "proxy/attempt/upstream_call.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/events/request_account.hpp"
#include "proxy/message/body_source.hpp"
#include "proxy/message/memory_bound.hpp"
#include "proxy/message/request_body.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/transport.hpp"
#include "proxy/reading/judgement.hpp"
#include "proxy/state/endpoint_permit.hpp"
#include "proxy/wire/head.hpp"
#include "proxy/wire/head_text.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace evenkeel::request {

// What an attempt is made of; everything referred to outlives the worker's requests.
struct attempt_services {
    net::loop& loop;
    net::transport& transport;
    buffer_pool& buffers;
    memory_bound& memory;
    telemetry::observer& observer;
};

struct attempt_order {
    std::shared_ptr<const config::route> route;
    std::shared_ptr<const config::upstream> upstream;
    // Of which the permit is: after a reload a loser may be the last to need it.
    std::shared_ptr<const policy_set> policies;
    const config::credential* shown = nullptr; // of its upstream's; null: there is no choice
    wire::head_text head;                      // outgoing, complete
    std::size_t span_at = 0;      // in the head: where the id of its span goes, anew with each try; 0: nowhere
    request_body* body = nullptr; // of the client's request; used only until cancel() or the end of its call
    telemetry::request_account* account = nullptr; // ... likewise; used only until cancel() or its own end
    body_pieces renamed;                           // goes out instead of that body, whole; empty: that body itself
    std::unique_ptr<upcast_order> upcast;          // goes out as a stream instead, at first; null: it does not
    bool head_request = false;                     // the answer to HEAD has no body
    bool may_repeat = false;                       // sending it twice does no harm
    bool fresh = false;                            // over a connection of its own: it joins one that is silent
    holding hold = holding::nothing;
    bool hold_streams_whole = false; // ... where answers are held: a stream to its end as well
    bool asks_usage = false;         // ... though its client does not
    bool leaves_last_words = false;  // whoever reads an event stream that breaks tells the client itself
    judge_rules rules;
    const config::price* price = nullptr; // of its upstream, for the model that it is asked for; null: none
    // What becomes of its tokens if another attempt's answer is taken.
    telemetry::spent_on lost_as = telemetry::spent_on::rescued;
    telemetry::attempt_kind kind = telemetry::attempt_kind::first;
    std::string_view why = "first"; // it is launched; static
    work_budget* budget = nullptr;  // learns how long a good answer takes; null: nobody asks
    double luck = 0.5;              // in [0, 1): of the pauses that its failure causes
    std::size_t max_response_head = 64 * 1024;
    // Somebody with more time may come to wait for it: its flight tells when time is over.
    bool deadline_moves = false;
    steady_time deadline;                     // of the commit, and of a buffered answer's body
    std::shared_ptr<net::transport> faulty{}; // instead of the worker's, where chaos has chosen this attempt
    bool stays_here = false;                  // ... with a fault that lets nothing of it go upstream
};

class attempt final : public std::enable_shared_from_this<attempt> {
public:
    // `permit`: what the policies learn from.
    attempt(const attempt_services& services, endpoint_permit&& permit, attempt_id id, mailbox& box);
    ~attempt();
    attempt(const attempt&) = delete;
    attempt& operator=(const attempt&) = delete;

    [[nodiscard]] attempt_order& order() noexcept { return order_; } // to be filled in before the launch
    void launch();                                                   // starts its coroutine in the nursery

    // No longer wanted: ends the call; nothing is posted after this.
    void cancel(cancel_cause why) noexcept;
    // Its deadline moves, before the commit: somebody else waits for the same answer, and longer.
    void allow_until(steady_time deadline) noexcept { order_.deadline = deadline; }
    // Silent for longer than an attempt may be; goes on.
    void overdue() noexcept { permit_.overdue(is_mute(), order_.luck, services_.loop.now()); }
    // Silent for longer than is usual; goes on.
    void silent_so_far() noexcept { permit_.silent_so_far(is_mute(), services_.loop.now()); }
    [[nodiscard]] bool queued() const noexcept { return !call_ && cancel_.queued(); } // for a connection of ours
    // Its latest sign of life: a byte that moved, in either direction; now, while its request is the client's to send.
    [[nodiscard]] steady_time last_moved(steady_time now) const noexcept;
    [[nodiscard]] steady_time last_asked(steady_time now) const noexcept; // ... of ours alone

    // Once an answer was posted.
    [[nodiscard]] const wire::response_head& head() const noexcept { return call_->head(); }
    [[nodiscard]] const config::upstream& upstream() const noexcept { return *order_.upstream; }
    [[nodiscard]] bool is_stream() const noexcept { return hold_ && hold_->format() && !hold_->assembled(); }
    // ... of server-sent events, whatever its label says.
    [[nodiscard]] bool is_events() const noexcept { return is_stream() && hold_->format() == wire::stream_format::sse; }
    // Compressed in a way that nobody here reads.
    [[nodiscard]] bool is_unread() const noexcept { return hold_ && hold_->is_unread(); }
    // The answer in one piece, put together from a stream; its body is then `assembled_size` bytes of JSON.
    [[nodiscard]] bool is_assembled() const noexcept { return hold_ && hold_->assembled(); }
    [[nodiscard]] std::size_t assembled_size() const noexcept { return hold_->kept().size(); }
    [[nodiscard]] bool is_probe() const noexcept { return permit_.is_probe(); }
    [[nodiscard]] lane_index credential() const noexcept { return permit_.credential(); }
    // An event stream whose breaking is told by whoever reads it.
    [[nodiscard]] bool leaves_last_words() const noexcept {
        return order_.leaves_last_words && is_events() && !call_->is_counted() && !hold_->is_encoded();
    }
    // It tells what it took, in events of its own, to one who did not ask.
    [[nodiscard]] bool tells_unasked() const noexcept {
        return order_.asks_usage && is_events() && !hold_->is_encoded();
    }
    [[nodiscard]] wire::dialect dialect() const noexcept { return order_.rules.dialect; }
    [[nodiscard]] steady_time launched_at() const noexcept { return launched_; }
    [[nodiscard]] steady_time sent_at() const noexcept { return sent_at_; }
    // Of its latest try: a stale connection that was replaced, and an answer in one piece asked for anew, are two.
    [[nodiscard]] telemetry::attempt_number number() const noexcept { return record_.attempt; }
    [[nodiscard]] bool unsent() const noexcept { return !call_ || !call_->sent_any(); }
    [[nodiscard]] const net::transport_error& transport_failure() const noexcept { return transport_error_; }
    [[nodiscard]] std::string_view error_token() const noexcept { return error_; }
    [[nodiscard]] wire::refusal refused() const noexcept { return call_ ? call_->refused() : wire::refusal::none; }

    // The answer's body, from its first byte; keeps this attempt alive. Called once, when its answer is committed.
    [[nodiscard]] std::unique_ptr<body_source> take_body();
    [[nodiscard]] attempt_body& body() noexcept { return *body_; } // ... and asked for by what that gave

private:
    friend class attempt_body;
    enum class phase : unsigned char {
        unsent,    // there is no call: a connection is looked for
        sent,      // there is one, whose head is waited for
        head,      // the head is here, and commits the answer as it is
        preamble,  // ... and is held back with what follows it
        committed, // the body has been taken
        terminal,  // cancelled, or committed and over: nothing is said or learned any more
    };

    [[nodiscard]] bool is_mute() const noexcept; // not a byte has come, and it is not us that it waits for
    [[nodiscard]] endpoint_permit::heard heard() const noexcept;
    void note_upload(bool at_its_end) noexcept;
    static net::task<void> run(std::shared_ptr<attempt> self);
    void broke_down() noexcept; // an exception of ours ended run()

    // One try: its record, its call, and what is repeated without anybody being asked.
    void begin_record(telemetry::attempt_kind kind, std::string_view why);
    [[nodiscard]] std::uint64_t begin_span() noexcept; // and tells the upstream; 0: nothing is traced
    void begin_call(std::unique_ptr<net::exchange> over);
    void forget_call() noexcept;
    void not_connected(net::transport_error error);
    [[nodiscard]] upstream_request asked() const noexcept;
    // What goes out instead of the client's body; empty: that itself.
    [[nodiscard]] std::span<const shared_bytes> other_body() const noexcept {
        const body_pieces& other = order_.upcast ? order_.upcast->body : order_.renamed;
        return {other.data(), other.size()};
    }
    [[nodiscard]] bool can_resend() const noexcept;
    [[nodiscard]] bool give_up(std::string_view token); // no head will come; false: a fresh connection is tried
    void begin_plain(const held::ask_plainly& found);

    // What is held back.
    [[nodiscard]] std::optional<held_verdict> begin_hold();           // as weigh()
    [[nodiscard]] std::optional<held_verdict> weigh(steady_time now); // what is here; empty: more has to be seen
    [[nodiscard]] net::task<held_verdict> hold_more();
    [[nodiscard]] any_flight_event event_of(const held_verdict& found, steady_time now);

    // What becomes of it, told to the flight, to the policies and to the account.
    void post(const any_flight_event& event);
    void conclude(const any_flight_event& event, steady_time now); // the policies hear of it first
    void fail(const attempt_outcome& outcome, steady_time now);    // likewise
    [[nodiscard]] telemetry::event_origin origin() const noexcept;
    telemetry::attempt_number tell(steady_time now, const telemetry::any_happening& what);
    // Once per record. `silent`: of one that is given up, since its latest sign of life.
    void tell_result(telemetry::attempt_result result, steady_time now, duration silent = {}) noexcept;
    [[nodiscard]] duration silence(steady_time now) const noexcept;
    [[nodiscard]] telemetry::spent_on became(telemetry::attempt_result result) const noexcept;
    [[nodiscard]] telemetry::spending spending(telemetry::attempt_result result) const;

    attempt_services services_;
    attempt_order order_;
    endpoint_permit permit_;
    attempt_id id_;
    mailbox* box_; // null: nobody listens any more
    net::cancel_source cancel_;
    phase phase_ = phase::unsent;
    std::optional<cancel_cause> cancelled_{};

    // Of one call; made anew for the next.
    std::shared_ptr<upstream_call> call_; // shared with its upload
    std::optional<hold> hold_;            // since its head
    std::optional<body_clock> clock_;
    std::optional<attempt_body> body_; // since the commit

    steady_time launched_{}, sent_at_{}, head_at_{};
    steady_time heard_at_{};      // the latest bytes that were not the whole head
    bool asked_for_more_ = false; // whoever reads its body waits for the upstream
    telemetry::attempt_record record_;
    bool recording_ = false;
    net::transport_error transport_error_;
    std::string_view error_; // RFC 9209
};

} // namespace evenkeel::request

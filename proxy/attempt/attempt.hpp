#pragma once
// One try sent upstream: connect or reuse, send, read the head, hold back what its order asks for, then deliver the
// body. It posts what happened to its flight's mailbox by id and decides nothing. The one repetition it makes by itself
// belongs to the connection pool: a reused connection that died before any response byte is replaced by a fresh one,
// once (`connections.retry_stale`).
//
// Shared by its coroutines in the nursery and by whoever holds it (the flight, then the answer's body). Its exchange is
// closed by cancel(), or recycled when the answer has been read whole.

#include "config/settings.hpp"
#include "policies/flight_plan.hpp"
#include "proxy/attempt/mailbox.hpp"
#include "proxy/attempt/upcast.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/events/request_account.hpp"
#include "proxy/message/body_source.hpp"
#include "proxy/message/io_buffer.hpp"
#include "proxy/message/memory_bound.hpp"
#include "proxy/message/request_body.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/transport.hpp"
#include "proxy/reading/judgement.hpp"
#include "proxy/state/endpoint_leave.hpp"
#include "proxy/wire/chunk_decoder.hpp"
#include "proxy/wire/head.hpp"
#include "proxy/wire/head_text.hpp"
#include "proxy/wire/stream_reader.hpp"

#include <memory>
#include <span>
#include <string>

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
    // Of which the leave is: after a reload a loser may be the last to need it.
    std::shared_ptr<const policy_set> policies;
    wire::head_text head;         // outgoing, complete
    request_body* body = nullptr; // of the client's request; used only until cancel() or the end of the upload
    telemetry::request_account* account = nullptr; // ... likewise; used only until cancel() or its own end
    body_pieces renamed;                           // goes out instead of that body, whole; empty: that body itself
    std::unique_ptr<upcast_order> upcast;          // goes out as a stream instead, at first; null: it does not
    bool head_request = false;                     // the answer to HEAD has no body
    bool may_repeat = false;                       // sending it twice does no harm
    holding hold = holding::nothing;
    bool hold_streams_whole = false; // ... where answers are held: a stream to its end as well
    bool leaves_last_words = false;  // whoever reads an event stream that breaks tells the client itself
    judge_rules rules;
    telemetry::attempt_kind kind = telemetry::attempt_kind::first;
    std::string_view why = "first"; // it is launched; static
    work_budget* budget = nullptr;  // learns how long a good answer takes; null: nobody asks
    double luck = 0.5;              // in [0, 1): of the pauses that its failure causes
    std::size_t max_response_head = 64 * 1024;
    // Somebody with more time may come to wait for it: its flight tells when time is over.
    bool deadline_moves = false;
    steady_time deadline;                     // of the commit, and of a buffered answer's body
    std::unique_ptr<net::transport> faulty{}; // instead of the worker's, where chaos has chosen this attempt
};

class attempt final : public std::enable_shared_from_this<attempt> {
public:
    // `leave`: what the policies learn from.
    attempt(const attempt_services& services, endpoint_leave&& leave, attempt_id id, mailbox& box);
    ~attempt();
    attempt(const attempt&) = delete;
    attempt& operator=(const attempt&) = delete;

    [[nodiscard]] attempt_order& order() noexcept { return order_; } // to be filled in before the launch
    void launch();                                                   // starts its coroutine in the nursery

    // No longer wanted: closes the exchange; nothing is posted after this.
    void cancel(cancel_cause why) noexcept;
    // Its deadline moves: somebody else waits for the same answer, and longer.
    void allow_until(steady_time deadline) noexcept;
    // Silent for longer than an attempt may be; goes on.
    void overdue() noexcept { leave_.overdue(order_.luck, services_.loop.now()); }

    [[nodiscard]] const wire::response_head& head() const noexcept { return head_; } // once an answer was posted
    [[nodiscard]] const config::upstream& upstream() const noexcept { return *order_.upstream; }
    [[nodiscard]] bool is_stream() const noexcept { return format_.has_value() && !is_assembled(); }
    // The answer in one piece, put together from a stream; its body is then `assembled_size` bytes of JSON.
    [[nodiscard]] bool is_assembled() const noexcept { return order_.upcast && order_.upcast->assembled; }
    [[nodiscard]] std::size_t assembled_size() const noexcept { return kept_.size(); }
    [[nodiscard]] bool is_probe() const noexcept { return leave_.is_probe(); }
    // An event stream whose breaking is told by whoever reads it.
    [[nodiscard]] bool leaves_last_words() const noexcept {
        return order_.leaves_last_words && format_ == wire::stream_format::sse &&
               head_.body.kind != wire::body_kind::length;
    }
    [[nodiscard]] wire::dialect dialect() const noexcept { return order_.rules.dialect; }
    [[nodiscard]] bool is_renamed() const noexcept { return !order_.renamed.empty(); }
    [[nodiscard]] steady_time sent_at() const noexcept { return sent_at_; }
    [[nodiscard]] steady_time head_at() const noexcept { return head_at_; }
    // Of its latest try: a stale connection that was replaced, and an answer in one piece asked for anew, are two.
    [[nodiscard]] telemetry::attempt_number number() const noexcept { return record_.attempt; }
    [[nodiscard]] bool unsent() const noexcept { return !wrote_; }
    [[nodiscard]] const net::transport_error& transport_failure() const noexcept { return transport_error_; }
    [[nodiscard]] std::string_view error_token() const noexcept { return error_; }
    [[nodiscard]] wire::refusal refused() const noexcept { return refused_; }
    [[nodiscard]] const wire::error_facts& error_facts() const noexcept { return facts_; }

    // The answer's body, from its first byte; keeps this attempt alive. Called once, when its answer is committed.
    [[nodiscard]] std::unique_ptr<body_source> take_body();

private:
    // A body up to this goes out with the head, before reading begins.
    static constexpr std::size_t inline_body_bytes = 64 * 1024;
    class body;
    class body_clock;
    struct whole_request;
    // withdrawn: through no fault of the upstream's.
    enum class upload_state : unsigned char { none, running, done, broken, withdrawn };
    enum class held_part : unsigned char { nothing, error, whole, stream };

    struct round_result {
        enum class kind : unsigned char { head, failed } is;
        outcome_kind why = outcome_kind::reset;
        bool unanswered = false; // no response byte had come
    };

    static net::task<void> run(std::shared_ptr<attempt> self);
    void broke_down() noexcept; // an exception of ours ended run()
    static net::task<void> upload(std::shared_ptr<attempt> self, std::shared_ptr<net::exchange> to);
    [[nodiscard]] net::task<void> send(std::shared_ptr<net::exchange> to);
    [[nodiscard]] net::task<round_result> round();
    [[nodiscard]] bool gather(whole_request& out) const; // false: too large, or not all here
    [[nodiscard]] round_result give_up(outcome_kind why, std::string_view token);
    [[nodiscard]] bool can_resend() const noexcept;
    [[nodiscard]] bool read_head(); // true: head_ is whole or refused_ says why not
    void begin_record(telemetry::attempt_kind kind, std::string_view why);
    [[nodiscard]] telemetry::event_origin origin() const noexcept;
    void tell(const telemetry::any_happening& what);
    void report(telemetry::attempt_result result) noexcept; // once per record
    void post(const any_flight_event& event);
    void post_failure(const attempt_outcome& outcome); // the policies hear of it first
    void learn(steady_time now) noexcept;              // ... and of what event_ says

    // What is held back (attempt_hold.cpp). hold_ready: true once event_ says what to post.
    [[nodiscard]] held_part what_to_hold() const noexcept;
    [[nodiscard]] bool hold_ready();
    [[nodiscard]] net::task<void> hold_more();
    [[nodiscard]] bool hold_piece(std::string_view data);
    void hold_end();
    void hold_broken(net::error_code error);
    [[nodiscard]] bool keep(std::string_view data); // false: more than may be held
    void stream_speaks();                           // the first meaningful event of a stream that is held to its end
    // What lies in the read buffer is copied, since it is about to be reused. False: there is no room for all that
    // comes.
    [[nodiscard]] bool settle();
    void let_go() noexcept; // what was held has been delivered
    void fail(const attempt_outcome& outcome);
    [[nodiscard]] std::string_view held() const noexcept {
        return in_place_.data() != nullptr ? in_place_ : kept_.view();
    }

    // A request that goes upstream as a stream (attempt_upcast.cpp).
    [[nodiscard]] bool upcasting() const noexcept { return order_.upcast && order_.upcast->streams; }
    [[nodiscard]] bool assembling() const noexcept { return part_ == held_part::stream && upcasting(); }
    [[nodiscard]] std::string_view out_head() const noexcept {
        return upcasting() ? order_.upcast->head.view() : order_.head.view();
    }
    // What goes out instead of the client's body; empty: that itself.
    [[nodiscard]] std::span<const shared_bytes> other_body() const noexcept {
        const body_pieces& other = upcasting() ? order_.upcast->body : order_.renamed;
        return {other.data(), other.size()};
    }
    bool repeat_plain(telemetry::upcast_result why, std::string_view what); // true
    [[nodiscard]] bool assemble_piece(std::string_view data);
    void assemble_end(bool whole, bool silent);
    void begin_plain();

    // The body (attempt_body.cpp). raw_ready: bytes off the wire, decoded; answer_ready: what the client gets.
    [[nodiscard]] std::optional<body_step> raw_ready();
    [[nodiscard]] std::optional<body_step> answer_ready();
    [[nodiscard]] net::task<body_step> answer_next();
    [[nodiscard]] body_step body_broke(net::error_code error);
    void scan(std::string_view data);
    void note_brackets(std::string_view data) noexcept;
    [[nodiscard]] bool is_cut_json() const noexcept;
    void end_exchange() noexcept;
    [[nodiscard]] body_step end_body();
    void end_well(bool told_of_error) noexcept;
    [[nodiscard]] body_step break_body(telemetry::attempt_result result, std::string_view why,
                                       telemetry::stream_end ended);
    // When the read under way proves the stream too slow.
    [[nodiscard]] steady_time slow_by(steady_time now) const noexcept;
    void note_rate(duration waited) noexcept;
    void arm_body_clock();

    attempt_services services_;
    attempt_order order_;
    endpoint_leave leave_;
    attempt_id id_;
    mailbox* box_;
    std::shared_ptr<net::exchange> exchange_; // shared with the upload
    net::cancel_source cancel_;
    io_buffer in_;
    // Where head_ points to, once in_ is needed for more than what came with it.
    io_buffer head_block_;
    std::size_t scanned_ = 0;
    wire::response_head head_;
    wire::chunk_decoder decoder_;
    std::uint64_t remaining_ = 0; // of a body with a length
    std::unique_ptr<body_clock> clock_;

    content_facts content_;
    std::optional<wire::stream_format> format_; // of an answer that streams
    std::unique_ptr<wire::stream_reader> reader_;
    wire::error_facts facts_;                // of an error answer or error event that was looked into
    std::optional<duration> told_to_wait_{}; // by an error answer that is passed on without having been looked into
    held_part part_ = held_part::nothing;
    std::string_view in_place_; // what is held, as long as it lies in one piece in the read buffer
    charged_text kept_;         // ... else
    any_flight_event event_;

    steady_time launched_{}, sent_at_{}, head_at_{}, meant_at_{}; // meant_at_: of the last meaningful event
    duration idle_limit_{};                                       // of a committed stream
    duration waited_{};         // for bytes, in the window over which stream.min_rate is judged
    std::uint64_t counted_ = 0; // meaningful events at its beginning
    telemetry::attempt_record record_;
    net::transport_error transport_error_;
    std::string_view error_;
    // Of a JSON body passed on as it comes, blanks apart; its brackets must close.
    char last_char_ = 0;
    char first_char_ = 0;
    std::string last_words_; // an error frame of ours
    body_step final_;
    wire::refusal refused_ = wire::refusal::none;
    int interim_ = 0;
    bool recording_ = false;
    bool cancelled_ = false;
    cancel_cause cancel_cause_ = cancel_cause::client_gone;
    bool committed_ = false;
    bool held_given_ = false;
    bool held_whole_ = false; // of a stream: nothing of it is passed on before its end
    bool brackets_matter_ = false;
    bool body_over_ = false;
    bool wrote_ = false; // at least one byte left for the network
    upload_state upload_ = upload_state::none;
};

} // namespace evenkeel::request

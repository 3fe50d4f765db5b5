#pragma once
// One try sent upstream: connect or reuse, send, read the head, then deliver the body. It posts what happened to its
// flight's mailbox by id and decides nothing. The one repetition it makes by itself belongs to the connection pool: a
// reused connection that died before any response byte is replaced by a fresh one, once (`connections.retry_stale`).
//
// Shared by its coroutines in the nursery and by whoever holds it (the flight, then the answer's body). Its exchange is
// closed by cancel(), or recycled when the answer has been read whole.

#include "config/settings.hpp"
#include "policies/flight_plan.hpp"
#include "proxy/net/cancel.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/transport.hpp"
#include "proxy/request/body_source.hpp"
#include "proxy/request/io_buffer.hpp"
#include "proxy/request/mailbox.hpp"
#include "proxy/request/request_body.hpp"
#include "proxy/telemetry/observer.hpp"
#include "proxy/wire/chunk_decoder.hpp"
#include "proxy/wire/head.hpp"

#include <memory>
#include <string>

namespace evenkeel::request {

// What an attempt is made of; everything referred to outlives the worker's requests.
struct attempt_services {
    net::loop& loop;
    net::transport& transport;
    buffer_pool& buffers;
    telemetry::observer& observer;
};

struct attempt_order {
    std::shared_ptr<const config::route> route;
    std::shared_ptr<const config::upstream> upstream;
    std::string head;                // outgoing, complete
    request_body* body = nullptr;    // of the client's request; used only until cancel() or the end of the upload
    bool head_request = false;       // the answer to HEAD has no body
    bool may_repeat = false;         // sending it twice does no harm (is_replay_eligible)
    std::size_t max_response_head = 64 * 1024;
    steady_time deadline;            // of the head, and of a buffered answer's body
};

class attempt final : public std::enable_shared_from_this<attempt> {
public:
    attempt(const attempt_services& services, attempt_order order, attempt_id id, mailbox& box);
    ~attempt();
    attempt(const attempt&) = delete;
    attempt& operator=(const attempt&) = delete;

    void launch(); // starts its coroutine in the nursery

    // No longer wanted: closes the exchange; nothing is posted after this. `timed_out` tells a timeout from a change of mind.
    void cancel(bool timed_out) noexcept;

    [[nodiscard]] const wire::response_head& head() const noexcept { return head_; } // once `head` was posted
    [[nodiscard]] bool is_stream() const noexcept { return stream_; }
    [[nodiscard]] steady_time sent_at() const noexcept { return sent_at_; }
    [[nodiscard]] steady_time head_at() const noexcept { return head_at_; }
    [[nodiscard]] int tries() const noexcept { return tries_; } // 2 after a stale connection was replaced
    [[nodiscard]] const net::transport_error& transport_failure() const noexcept { return transport_error_; }
    [[nodiscard]] std::string_view error_token() const noexcept { return error_; }
    [[nodiscard]] wire::refusal refused() const noexcept { return refused_; }
    [[nodiscard]] bool upload_finished() const noexcept { return upload_ == upload_state::done; }

    // The answer's body; keeps this attempt alive. Called once, after `head` was posted.
    [[nodiscard]] std::unique_ptr<body_source> take_body();

private:
    class body;
    class body_clock;
    struct whole_request;
    enum class upload_state : unsigned char { none, running, done, broken };

    struct round_result {
        enum class kind : unsigned char { head, failed } is;
        attempt_failure why = attempt_failure::reset;
        bool unanswered = false; // no response byte had come
    };

    static net::task<void> run(std::shared_ptr<attempt> self);
    static net::task<void> upload(std::shared_ptr<attempt> self, std::shared_ptr<net::exchange> to);
    [[nodiscard]] net::task<round_result> round();
    [[nodiscard]] bool gather(whole_request& out) const; // false: too large, or not all here
    [[nodiscard]] round_result give_up(attempt_failure why, std::string_view token);
    [[nodiscard]] bool can_resend() const noexcept;
    [[nodiscard]] bool read_head();               // true: head_ is whole or refused_ says why not
    void begin_record(telemetry::attempt_kind kind);
    void report(telemetry::attempt_result result) noexcept; // once per record
    void post(const any_flight_event& event);

    // The body, once committed.
    [[nodiscard]] std::optional<body_step> body_ready();
    [[nodiscard]] net::task<body_step> body_next();
    [[nodiscard]] body_step end_body();
    [[nodiscard]] body_step break_body(telemetry::attempt_result result, std::string_view why);
    void arm_body_clock();

    attempt_services services_;
    attempt_order order_;
    attempt_id id_;
    mailbox* box_;
    std::shared_ptr<net::exchange> exchange_; // shared with the upload
    net::cancel_source cancel_;
    io_buffer in_;
    std::size_t scanned_ = 0;
    wire::response_head head_;
    wire::chunk_decoder decoder_;
    std::uint64_t remaining_ = 0;             // of a body with a length
    std::unique_ptr<body_clock> clock_;

    steady_time launched_{}, sent_at_{}, head_at_{};
    telemetry::attempt_record record_;
    net::transport_error transport_error_;
    std::string_view error_;
    wire::refusal refused_ = wire::refusal::none;
    int tries_ = 0;
    int interim_ = 0;
    bool recording_ = false;
    bool cancelled_ = false;
    bool cancelled_by_timeout_ = false;
    bool stream_ = false;
    bool body_over_ = false;
    bool wrote_ = false;                      // at least one byte left for the network
    upload_state upload_ = upload_state::none;
};

} // namespace evenkeel::request

#pragma once
// One client's connection: parses and gates its requests, calls serve for each, relays the answers. It alone owns the
// client's socket and notices a leaving client in every phase. Requests on one connection are served one after another;
// what a client sends ahead waits in the buffer or the kernel.

#include "config/settings.hpp"
#include "proxy/client/half_close.hpp"
#include "proxy/client/head_ahead.hpp"
#include "proxy/client/write_watch.hpp"
#include "proxy/net/client_stream.hpp"
#include "proxy/net/timer_queue.hpp"
#include "proxy/serve/serve.hpp"
#include "proxy/wire/head.hpp"
#include "proxy/wire/head_text.hpp"

#include <boost/intrusive/list.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace evenkeel::request {

using connection_hook = boost::intrusive::list_base_hook<>;

// What all connections of one worker share beside the services.
struct connection_context {
    worker_services& services;
    config::snapshot settings;                  // the current one; replaced by a reload
    std::shared_ptr<const policy_set> policies; // of these settings
    bool draining = false;                      // every answer closes its connection
    bool doors_closed = false;                  // ... and nobody is waited for who says nothing
    std::uint64_t id_seed = 0;                  // of request ids, random per worker
    std::uint64_t trace_draws = 0;              // of traces' ids, likewise
    std::uint64_t next_id = 0;
    // Of client_connection only.
    boost::intrusive::list<connection_hook, boost::intrusive::constant_time_size<false>> open{};
    duration head_hold_tick = std::chrono::seconds{1};

    void use(config::snapshot next, std::shared_ptr<const policy_set> its_policies);
};

class client_connection final : public connection_hook {
public:
    client_connection(connection_context& context, std::unique_ptr<net::client_stream> stream,
                      arrival via = arrival::unix_socket);
    ~client_connection();
    client_connection(const client_connection&) = delete;
    client_connection& operator=(const client_connection&) = delete;

    // Lives until the client or we end the connection.
    static net::task<void> run(std::unique_ptr<client_connection> self);

    void drain();     // ends an idle connection now, a busy one after its answer
    void close_now(); // the drain time is over

private:
    enum class head_state : unsigned char { awaited, complete, refused, timed_out, closed, parked };
    class read_clock final : public net::timer_entry {
    public:
        explicit read_clock(client_connection& owner) noexcept : owner_(owner) {}
    private:
        void on_timer() override { owner_.on_read_timer(); }
        client_connection& owner_;
    };

    [[nodiscard]] net::task<bool> converse(); // requests and answers, until it is idle for a while; false: it ends
    [[nodiscard]] head_state look_for_head(); // in what is here
    [[nodiscard]] boost::asio::mutable_buffer expect_more(); // the clock runs; empty: there is no room for more
    [[nodiscard]] head_state why_no_more() const noexcept;
    void shed();
    [[nodiscard]] net::task<net::io_result> read_more(std::size_t max_bytes);
    [[nodiscard]] net::task<bool> handle(); // one request; true: the connection goes on
    [[nodiscard]] net::task<void> refuse(wire::refusal why, int status);
    [[nodiscard]] answer internal_error(const client_request& request) const;
    struct relaying;
    [[nodiscard]] static std::string cost_label(const relaying& of);
    void begin_relay(relaying& of);
    void gather(relaying& of);
    [[nodiscard]] bool relay_now(relaying& of); // false: something has to be waited for
    [[nodiscard]] net::task<void> relay_rest(relaying& of);
    [[nodiscard]] bool end_relay(relaying& of); // true: the connection goes on
    [[nodiscard]] net::task<bool> relay_as_event(answer& given, client_request& request);
    static void be_readable(answer& given);
    [[nodiscard]] net::task<bool> say_at_once(std::string_view text, bool whole, telemetry::request_account& account);
    [[nodiscard]] net::task<bool> say_degraded(telemetry::degradation how);
    [[nodiscard]] net::task<bool> write_rest(
        std::span<const boost::asio::const_buffer> buffers); // what write_now() left
    [[nodiscard]] net::task<void> linger();                  // lets the client read our last words before the reset
    void on_read_timer();
    void client_left();
    void client_sends_no_more();
    void begin_wait(duration length);
    [[nodiscard]] std::string make_id();

    connection_context& context_;
    worker_services& services_;
    std::unique_ptr<net::client_stream> stream_;
    io_buffer input_;
    std::size_t scanned_ = 0;
    wire::request_head head_;
    wire::refusal refused_ = wire::refusal::none;
    wire::head_text out_;
    std::string upstream_request_id_; // of the last answer; its memory serves the next one
    read_clock read_clock_{*this};
    write_watch write_watch_;
    head_ahead ahead_;
    net::departure_watch::watched watched_;
    bool skipped_line_ = false, head_begun_ = false; // of the head that is read
    bool may_park_ = false;
    bool waiting_ = false; // for bytes of a head
    bool woken_ = false;   // it was parked, and they are there
    bool idle_ = true;     // no byte of the next request has come
    bool timed_out_ = false;
    bool closing_ = false; // no further request
    bool gone_ = false;
    bool unanswered_ = false; // current_ waits for its answer
    arrival via_;
    std::unique_ptr<half_close> half_close_; // once the client's FIN has come
    client_request* current_ = nullptr;
    body_source* relaying_ = nullptr;
};

} // namespace evenkeel::request

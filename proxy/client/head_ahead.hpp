#pragma once
// Gives the head of a stream before its answer is there (DESIGN section 4, "Streams"): a client that waits for events
// is told 200 once `stream.head_hold` has passed, then a comment every `stream.heartbeat`, while retries and failover
// go on unseen. Only for requests that asked for server-sent events in a dialect that has an error frame, over
// HTTP/1.1.
//
// Part of a client connection; writes to its stream while the request is being served and at no other time.

#include "proxy/message/client_request.hpp"
#include "proxy/net/event.hpp"
#include "proxy/net/timer_queue.hpp"
#include "proxy/serve/serve.hpp"
#include "proxy/wire/head_text.hpp"

namespace evenkeel::request {

class head_ahead final : private net::timer_entry {
public:
    head_ahead(worker_services& services, net::client_stream& stream)
        : services_(services), stream_(stream), stop_(services.loop.executor()), ended_(services.loop.executor()) {}

    // The request is about to be served. `tick`: no route's head_hold is shorter than this.
    void begin(const client_request& request, duration tick);
    // Its answer is here, or its client has left: no further comment. Whoever wants to write waits until !is_writing().
    void stop();
    [[nodiscard]] bool is_writing() const noexcept { return running_; }
    [[nodiscard]] net::task<bool> written() { return ended_.wait(); }
    void forget() noexcept { given_ = broken_ = false; } // the request is over

    [[nodiscard]] bool given() const noexcept { return given_; }   // the client has a head already
    [[nodiscard]] bool broken() const noexcept { return broken_; } // ... or could not be written to

private:
    void on_timer() override;
    void arm(steady_time due);
    steady_time due_{}; // while armed
    static net::task<void> run(head_ahead* self, wire::head_text head, duration pause);
    [[nodiscard]] net::task<bool> write(std::string_view bytes);
    duration patience_{}; // of a write
    [[nodiscard]] wire::head_text head() const;

    worker_services& services_;
    net::client_stream& stream_;
    const client_request* request_ = nullptr;
    net::event stop_, ended_;
    bool running_ = false, given_ = false, broken_ = false;
};

// The shortest tick that serves all routes of a configuration.
[[nodiscard]] duration head_hold_tick(const config::settings& settings) noexcept;

} // namespace evenkeel::request

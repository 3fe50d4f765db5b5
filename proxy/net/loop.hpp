#pragma once
// One worker: io_context, timer queue, nursery, clock. Nothing else in the proxy reads a clock or owns a timer.
//
// Real time: run() drives the timer queue with one Asio timer. Virtual time (tests, simulate): no Asio timer exists;
// run_virtual() polls until idle, sets the clock to the earliest timer entry, advances, and so on.

#include "policies/time.hpp"
#include "proxy/net/failure_sink.hpp"
#include "proxy/net/io.hpp"
#include "proxy/net/nursery.hpp"
#include "proxy/net/timer_queue.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>
#include <optional>

namespace evenkeel::net {

class loop {
public:
    loop();                                   // real time
    explicit loop(steady_time virtual_start); // virtual time
    ~loop();
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;

    [[nodiscard]] boost::asio::io_context& context() noexcept { return context_; }
    [[nodiscard]] net::executor executor() noexcept { return context_.get_executor(); }
    [[nodiscard]] timer_queue& timers() noexcept { return timers_; }
    [[nodiscard]] net::nursery& nursery() noexcept { return nursery_; }
    [[nodiscard]] failure_sink& failures() noexcept { return failures_; }
    [[nodiscard]] steady_time now() const noexcept;
    [[nodiscard]] wall_time wall_now() const noexcept; // virtual: counted from 2026-01-01

    void run();  // until stop(), whatever is thrown; real time only
    void stop(); // from any thread

    // Runs until nothing is ready and no timer is due at or before `until` (no bound: until nothing is left).
    void run_virtual(std::optional<steady_time> until = std::nullopt);

    // For a coroutine: suspends until `due`.
    [[nodiscard]] task<void> sleep_until(steady_time due);

private:
    struct wake_timer;
    // One thread runs it, others post to it: the queue is locked, the sockets are not.
    boost::asio::io_context context_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
    bool virtual_ = false;
    steady_time virtual_now_{};
    timer_queue timers_;
    failure_sink failures_;
    net::nursery nursery_;
    std::unique_ptr<wake_timer> wake_; // null in virtual time
};

} // namespace evenkeel::net

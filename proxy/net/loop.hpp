#pragma once
// One worker: io_context, timer queue, nursery, clock. Nothing else in the proxy reads a clock or owns a timer.
//
// Real time: run() drives the timer queue with one Asio timer. Virtual time (tests, simulate): no Asio timer exists;
// run_virtual() polls until idle, sets the clock to the earliest timer entry, advances, and so on.
//
// One thread runs it; everything here is that thread's (before run(): its maker's), but post() and stop(). So Asio
// locks nothing where the time is real: seven locks a request, which nobody else ever asked for.

#include "policies/assert.hpp"
#include "policies/time.hpp"
#include "proxy/net/failure_sink.hpp"
#include "proxy/net/io.hpp"
#include "proxy/net/nursery.hpp"
#include "proxy/net/timer_queue.hpp"

#include <boost/asio/io_context.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace evenkeel::net {

class loop {
public:
    loop();                                   // real time
    explicit loop(steady_time virtual_start); // virtual time
    ~loop();
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;

    [[nodiscard]] net::executor executor() noexcept {
        EVENKEEL_ASSERT(is_ours(), "other threads post(), for nothing here is locked");
        return context_.get_executor();
    }
    [[nodiscard]] timer_queue& timers() noexcept { return timers_; }
    [[nodiscard]] net::nursery& nursery() noexcept { return nursery_; }
    [[nodiscard]] failure_sink& failures() noexcept { return failures_; }
    [[nodiscard]] steady_time now() const noexcept;
    [[nodiscard]] wall_time wall_now() const noexcept; // virtual: counted from 2026-01-01

    void run();  // until stop(), whatever is thrown; real time only
    void stop(); // from any thread

    // From any thread: runs `work` on the loop's, never within this call. What is posted once the loop has ended is
    // destroyed with it.
    void post(std::function<void()> work);

    // Runs until nothing is ready and no timer is due at or before `until` (no bound: until nothing is left).
    void run_virtual(std::optional<steady_time> until = std::nullopt);

    // For a coroutine: suspends until `due`.
    [[nodiscard]] task<void> sleep_until(steady_time due);

private:
    struct wake_timer;
    struct bell;
    // What other threads have posted. Outlives the context.
    class letterbox {
    public:
        [[nodiscard]] bool put(std::function<void()>& work);                         // true: it was empty
        [[nodiscard]] std::vector<std::function<void()>> take(bool at_last = false); // from then on nothing is kept

    private:
        std::mutex mutex_;
        std::vector<std::function<void()>> letters_;
        bool closed_ = false;
    };
    [[nodiscard]] bool runs_here() const noexcept {
        return running_on_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }
    [[nodiscard]] bool is_ours() const noexcept {
        return runs_here() || running_on_.load(std::memory_order_relaxed) == std::thread::id{};
    }

    letterbox posted_;
    boost::asio::io_context context_;
    std::atomic<std::thread::id> running_on_{}; // nobody's: it does not run, or in virtual time
    bool virtual_ = false;
    steady_time virtual_now_{};
    timer_queue timers_;
    failure_sink failures_;
    net::nursery nursery_;
    std::unique_ptr<wake_timer> wake_; // null in virtual time
    std::unique_ptr<bell> bell_;       // likewise
};

} // namespace evenkeel::net

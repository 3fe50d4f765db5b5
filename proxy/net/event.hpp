#pragma once
// One coroutine waits, others wake it. The primitive under mailboxes, queues and completion waits.
// Belongs to one worker; not for use between threads (post to the loop, then set).

#include "policies/time.hpp"
#include "proxy/net/io.hpp"
#include "proxy/net/timer_queue.hpp"

#include <optional>

namespace evenkeel::net {

// Auto-reset: a wait consumes the signal. set() before wait() is remembered; several set()s count as one. The waiter is
// resumed through the loop's queue, never from inside set(), so set() is safe anywhere on the worker.
class event : private timer_entry {
public:
    explicit event(executor where) noexcept : executor_(where) {}
    ~event() override = default; // never with a waiter: the waiter's frame owns the event, or lives shorter

    void set();
    [[nodiscard]] bool is_set() const noexcept { return signalled_; }

    [[nodiscard]] task<bool> wait(); // always true
    [[nodiscard]] task<bool> wait_until(timer_queue& timers, steady_time due); // false: `due` came first

private:
    void on_timer() override { resume(false); }
    void start(completion<bool> waiter);
    void resume(bool signalled);

    executor executor_;
    bool signalled_ = false;
    std::optional<completion<bool>> waiter_;
};

} // namespace evenkeel::net

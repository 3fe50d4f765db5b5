#pragma once
// How coroutines of one worker wait for each other. Not for use between threads (post to the loop, then set).
//
// Two shapes, because a completion that is overwritten destroys the coroutine behind it unfinished, with all that it
// holds: `event` has one waiter and refuses a second in every build; `broadcast` has any number.

#include "policies/time.hpp"
#include "proxy/net/io.hpp"
#include "proxy/net/timer_queue.hpp"

#include <optional>
#include <vector>

namespace evenkeel::net {

// One coroutine waits, others wake it: mailboxes, queues, completion waits. Auto-reset: a wait consumes the signal.
// set() before wait() is remembered; several set()s count as one. The waiter is resumed through the loop's queue, never
// from inside set(), so set() is safe anywhere on the worker. A second wait() while one is under way is a bug and
// aborts.
class event : private timer_entry {
public:
    explicit event(executor where) noexcept : executor_(where) {}
    ~event() override; // never with a waiter: the waiter's frame owns the event, or lives shorter

    void set();

    [[nodiscard]] task<bool> wait();                                           // always true
    [[nodiscard]] task<bool> wait_until(timer_queue& timers, steady_time due); // false: `due` came first

private:
    void on_timer() override { resume(false); }
    void start(completion<bool> waiter);
    void resume(bool signalled);

    executor executor_;
    bool signalled_ = false;
    std::optional<completion<bool>> waiter_;
};

// Something has changed, and whoever waits looks again. Nothing is remembered: a waiter tests its condition first, and
// there is no suspension between the test and the wait. All are resumed through the loop's queue, in the order in which
// they came.
class broadcast {
public:
    explicit broadcast(executor where) noexcept : executor_(where) {}
    broadcast(const broadcast&) = delete;
    broadcast& operator=(const broadcast&) = delete;
    ~broadcast(); // never with a waiter

    void notify();
    [[nodiscard]] task<bool> wait(); // always true

private:
    executor executor_;
    std::vector<completion<bool>> waiters_;
};

} // namespace evenkeel::net

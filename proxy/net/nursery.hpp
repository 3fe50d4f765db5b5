#pragma once
// Owns the running attempts and flights of one worker. A request holds handles; what a request no longer wants is told to
// stop and unwinds here, off the response path. Shutdown waits until the nursery is empty; a test asserts that it is.

#include "proxy/net/event.hpp"
#include "proxy/net/io.hpp"

#include <cstddef>

namespace evenkeel::net {

class nursery {
public:
    explicit nursery(executor where) noexcept : executor_(where), changed_(where) {}
    nursery(const nursery&) = delete;
    nursery& operator=(const nursery&) = delete;

    // Starts `work` on the loop. An exception leaving it is a bug of ours: it leaves loop::run() and ends the process.
    void spawn(task<void> work);

    [[nodiscard]] std::size_t size() const noexcept { return running_; }
    [[nodiscard]] task<bool> wait_empty_until(timer_queue& timers, steady_time due); // false: `due` came first

private:
    executor executor_;
    std::size_t running_ = 0;
    event changed_;
};

} // namespace evenkeel::net

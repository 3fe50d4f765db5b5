#pragma once
// Owns the running attempts and flights of one worker. A request holds handles; what a request no longer wants is told
// to stop and unwinds here, off the response path. Shutdown waits until the nursery is empty; a test asserts that it
// is.

#include "proxy/net/failure_sink.hpp"
#include "proxy/net/io.hpp"

#include <cstddef>

namespace evenkeel::net {

class event;

class nursery {
public:
    nursery(executor where, failure_sink& failures) noexcept : executor_(where), failures_(failures) {}
    nursery(const nursery&) = delete;
    nursery& operator=(const nursery&) = delete;

    // Starts `work` on the loop. An exception leaving it ends in the failure sink; whoever waits for the work is told
    // by the work itself, however it ends.
    void spawn(task<void> work);

    [[nodiscard]] std::size_t size() const noexcept { return running_; }
    // Set whenever the last of them has ended, for whoever waits until none is left. It outlives the nursery's work.
    void tell_when_empty(event& who) noexcept { empty_ = &who; }

private:
    executor executor_;
    failure_sink& failures_;
    std::size_t running_ = 0;
    event* empty_ = nullptr;
};

} // namespace evenkeel::net

#pragma once
// Notices clients that leave while their request is being served. One poll() for all of a worker's requests, every
// 40 ms while there are any: an asynchronous wait per request would cost a system call each, see nothing behind unread
// bytes, and have to be taken back at the end; 1,000 descriptors cost poll() about 50 us.

#include "proxy/net/loop.hpp"
#include "proxy/net/timer_queue.hpp"

#include <poll.h>

#include <cstddef>
#include <vector>

namespace evenkeel::request {

class departure_watch final : private net::timer_entry {
public:
    static constexpr duration period = std::chrono::milliseconds{40}; // a departure is acted on within 100 ms

    class watched {
    public:
        // `on_departure` is called once, from the loop's timer; not after unwatch().
        using callback = void (*)(void* context);
        watched(departure_watch& watch, int descriptor, callback on_departure, void* context);
        ~watched();
        watched(const watched&) = delete;
        watched& operator=(const watched&) = delete;

    private:
        friend class departure_watch;
        departure_watch& watch_;
        callback on_departure_;
        void* context_;
        std::size_t index_;
    };

    explicit departure_watch(net::loop& worker) noexcept : loop_(worker) {}
    ~departure_watch() override = default;
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

private:
    void on_timer() override;

    net::loop& loop_;
    std::vector<pollfd> descriptors_; // parallel to entries_
    std::vector<watched*> entries_;
};

} // namespace evenkeel::request

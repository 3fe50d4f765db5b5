#pragma once
// Whether the workers' loops still turn. Each loop notes the time once a second from its own timer queue; /livez
// compares. A loop that is stuck (a bug: a blocking call, an endless loop) stops noting, and the process can be
// restarted.

#include "policies/time.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/timer_queue.hpp"

#include <atomic>
#include <cstdint>
#include <memory>

namespace evenkeel::telemetry {

class liveness {
public:
    static constexpr duration interval = std::chrono::seconds{1};
    static constexpr duration limit = std::chrono::seconds{10};

    // All workers count as having beaten at `now`.
    liveness(unsigned workers, steady_time now);

    void beat(unsigned worker, steady_time now) noexcept;                              // from that worker
    void ended(unsigned worker) noexcept { beat(worker, steady_time::max()); }         // in order: it will beat no more
    [[nodiscard]] bool alive(steady_time now, duration within = limit) const noexcept; // no beat is older
    [[nodiscard]] unsigned workers() const noexcept { return workers_; }

private:
    struct alignas(64) padded {
        std::atomic<std::int64_t> nanoseconds{0};
    };
    unsigned workers_;
    std::unique_ptr<padded[]> beats_;
};

// Beats for one loop until destroyed; made and destroyed on the loop's thread, or while it does not run.
class pulse final : private net::timer_entry {
public:
    pulse(liveness& of, unsigned worker, net::loop& loop);
    void end() noexcept; // the loop is about to end in order

private:
    void on_timer() override;

    liveness& of_;
    unsigned worker_;
    net::loop& loop_;
};

} // namespace evenkeel::telemetry

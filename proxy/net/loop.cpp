#include "proxy/net/loop.hpp"

#include "proxy/net/event.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>

#include <algorithm>
#include <ctime>

namespace evenkeel::net {

struct loop::wake_timer {
    explicit wake_timer(loop& owner) : loop_(owner), timer_(owner.context_), work_(owner.executor()) {
        owner.timers_.on_earlier(
            [](void* self, steady_time earliest) { static_cast<wake_timer*>(self)->arm(earliest); }, this);
    }

    void arm(steady_time when) {
        armed_for_ = when;
        timer_.expires_at(when); // completes a wait under way with operation_aborted
        timer_.async_wait([this](error_code error) {
            if (error) return;
            // Every other timer depends on this one going on.
            loop_.failures_.guard([this] { loop_.timers_.advance(loop_.now()); });
            if (const auto next = loop_.timers_.next()) arm(*next);
        });
    }

    loop& loop_;
    // The duration of the clock's own time_point is nanoseconds, so steady_time converts without loss.
    boost::asio::basic_waitable_timer<std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>,
                                      net::executor>
        timer_;
    boost::asio::executor_work_guard<net::executor> work_;
    steady_time armed_for_{};
};

loop::loop()
    : timers_(std::chrono::steady_clock::now()), nursery_(executor(), failures_),
      wake_(std::make_unique<wake_timer>(*this)) {}

loop::loop(steady_time virtual_start)
    : virtual_(true), virtual_now_(virtual_start), timers_(virtual_start), nursery_(executor(), failures_) {}

loop::~loop() = default;

steady_time loop::now() const noexcept {
    if (virtual_) return virtual_now_;
    timespec now; // what steady_clock is, without a call between; this is asked ten times a request
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return steady_time{std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec}};
}

wall_time loop::wall_now() const noexcept {
    if (!virtual_) return std::chrono::system_clock::now();
    using namespace std::chrono;
    return wall_time{sys_days{year{2026} / January / 1}} + virtual_now_.time_since_epoch();
}

void loop::run() {
    while (!context_.stopped()) failures_.guard([this] { context_.run(); });
}

void loop::stop() { context_.stop(); }

void loop::run_virtual(std::optional<steady_time> until) {
    for (;;) {
        context_.restart();
        context_.poll();
        const auto next = timers_.next();
        if (!next || (until && *next > *until)) break;
        virtual_now_ = std::max(virtual_now_, *next);
        timers_.advance(virtual_now_);
    }
    if (until) {
        virtual_now_ = std::max(virtual_now_, *until);
        timers_.advance(virtual_now_);
        context_.restart();
        context_.poll();
    }
}

task<void> loop::sleep_until(steady_time due) {
    event never(executor());
    co_await never.wait_until(timers_, due);
}

} // namespace evenkeel::net

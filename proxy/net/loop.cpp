#include "proxy/net/loop.hpp"

#include "proxy/net/event.hpp"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <ctime>
#include <mutex>
#include <utility>
#include <vector>

#include <sys/eventfd.h>

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

// Rings for what other threads have posted: whoever puts something into an empty box does, and the loop takes all there
// is.
struct loop::bell {
    explicit bell(loop& owner) : loop_(owner), rung_(owner.executor(), ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        listen();
    }

    void ring() noexcept { static_cast<void>(::eventfd_write(rung_.native_handle(), 1)); }

    void listen() {
        rung_.async_wait(boost::asio::posix::descriptor_base::wait_read, [this](error_code error) {
            if (error) return;
            eventfd_t times = 0;
            static_cast<void>(::eventfd_read(rung_.native_handle(), &times));
            listen();
            auto taken = loop_.posted_.take();
            for (auto& work : taken) {
                loop_.failures_.guard(work);
                work = nullptr; // what it holds goes with it, and not after the others
            }
        });
    }

    loop& loop_;
    boost::asio::posix::basic_stream_descriptor<net::executor> rung_;
};

bool loop::letterbox::put(std::function<void()>& work) {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    letters_.push_back(std::move(work));
    return letters_.size() == 1;
}

std::vector<std::function<void()>> loop::letterbox::take(bool at_last) {
    const std::lock_guard lock(mutex_);
    closed_ = closed_ || at_last;
    return std::exchange(letters_, {});
}

loop::loop()
    : context_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE), timers_(std::chrono::steady_clock::now()),
      nursery_(executor(), failures_), wake_(std::make_unique<wake_timer>(*this)),
      bell_(std::make_unique<bell>(*this)) {}

loop::loop(steady_time virtual_start)
    : context_(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO), virtual_(true), virtual_now_(virtual_start),
      timers_(virtual_start), nursery_(executor(), failures_) {}

// What still hangs in the context dies with it, behind everything else here, and may want to post.
loop::~loop() { static_cast<void>(posted_.take(true)); }

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
    EVENKEEL_ASSERT(!virtual_ && is_ours(), "one thread runs a loop, and none a virtual one");
    running_on_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    while (!context_.stopped()) failures_.guard([this] { context_.run(); });
    running_on_.store(std::thread::id{}, std::memory_order_relaxed);
}

void loop::stop() {
    if (runs_here()) return context_.stop();
    post([this] { context_.stop(); });
}

void loop::post(std::function<void()> work) {
    if (virtual_ || runs_here()) return boost::asio::post(context_, std::move(work));
    if (posted_.put(work)) bell_->ring();
}

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

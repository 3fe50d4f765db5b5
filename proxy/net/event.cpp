#include "proxy/net/event.hpp"

#include <boost/asio/defer.hpp>

namespace evenkeel::net {

void event::set() {
    if (waiter_) {
        cancel();
        resume(true);
    } else {
        signalled_ = true;
    }
}

void event::start(completion<bool> waiter) {
    waiter_.emplace(std::move(waiter));
    if (signalled_) {
        signalled_ = false;
        set();
    }
}

task<bool> event::wait() {
    return await_completion<bool>([this](completion<bool> waiter) { start(std::move(waiter)); });
}

task<bool> event::wait_until(timer_queue& timers, steady_time due) {
    return await_completion<bool>([this, &timers, due](completion<bool> waiter) {
        timers.arm(*this, due);
        start(std::move(waiter));
    });
}

void event::resume(bool signalled) {
    boost::asio::defer(executor_, [waiter = std::move(*waiter_), signalled]() mutable { std::move(waiter)(signalled); });
    waiter_.reset();
}

} // namespace evenkeel::net

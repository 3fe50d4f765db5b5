#include "proxy/net/event.hpp"

#include "policies/assert.hpp"

#include <boost/asio/defer.hpp>

#include <utility>

namespace evenkeel::net {

namespace {
void resume_soon(const executor& where, completion<bool> waiter, bool signalled) {
    boost::asio::defer(where, [waiter = std::move(waiter), signalled]() mutable { std::move(waiter)(signalled); });
}
} // namespace

event::~event() = default;

void event::set() {
    if (waiter_) {
        cancel();
        resume(true);
    } else {
        signalled_ = true;
    }
}

void event::start(completion<bool> waiter) {
    EVENKEEL_ASSERT(!waiter_, "a second coroutine waits for an event that has one waiter");
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
        EVENKEEL_ASSERT(!waiter_, "a second coroutine waits for an event that has one waiter");
        timers.arm(*this, due);
        start(std::move(waiter));
    });
}

void event::resume(bool signalled) {
    completion<bool> waiter = std::move(*waiter_);
    waiter_.reset();
    resume_soon(executor_, std::move(waiter), signalled);
}

broadcast::~broadcast() = default;

void broadcast::notify() {
    auto waiters = std::exchange(waiters_, {});
    for (auto& one : waiters) resume_soon(executor_, std::move(one), true);
}

task<bool> broadcast::wait() {
    return await_completion<bool>([this](completion<bool> waiter) { waiters_.push_back(std::move(waiter)); });
}

} // namespace evenkeel::net

#include "proxy/net/nursery.hpp"

#include <boost/asio/co_spawn.hpp>

#include <exception>

namespace evenkeel::net {

void nursery::spawn(task<void> work) {
    ++running_;
    boost::asio::co_spawn(executor_, std::move(work), [this](std::exception_ptr failure) {
        if (--running_ == 0) changed_.set();
        if (failure) std::rethrow_exception(failure);
    });
}

task<bool> nursery::wait_empty_until(timer_queue& timers, steady_time due) {
    while (running_ != 0) {
        if (!co_await changed_.wait_until(timers, due)) co_return running_ == 0;
    }
    co_return true;
}

} // namespace evenkeel::net

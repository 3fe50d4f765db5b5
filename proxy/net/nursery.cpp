#include "proxy/net/nursery.hpp"

#include "proxy/net/event.hpp"

#include <boost/asio/co_spawn.hpp>

#include <exception>

namespace evenkeel::net {

void nursery::spawn(task<void> work) {
    ++running_;
    boost::asio::co_spawn(executor_, std::move(work), [this](std::exception_ptr failure) {
        if (failure) failures_.note(failure);
        if (--running_ == 0 && empty_ != nullptr) empty_->set();
    });
}

} // namespace evenkeel::net

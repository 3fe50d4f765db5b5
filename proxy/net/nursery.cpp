#include "proxy/net/nursery.hpp"

#include <boost/asio/co_spawn.hpp>

#include <exception>

namespace evenkeel::net {

void nursery::spawn(task<void> work) {
    ++running_;
    boost::asio::co_spawn(executor_, std::move(work), [this](std::exception_ptr failure) {
        --running_;
        if (failure) failures_.note(failure);
    });
}

} // namespace evenkeel::net

#include "proxy/telemetry/background.hpp"

#include <boost/asio/post.hpp>

#include <csignal>
#include <utility>

#include <pthread.h>

namespace evenkeel::telemetry {

background::background(std::string name) : work_(context_.get_executor()) {
    // The thread inherits the mask: signals go to the others, and a closed pipe is an error code, not SIGPIPE.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { context_.run(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    name.resize(std::min<std::size_t>(name.size(), 15));
    pthread_setname_np(thread_.native_handle(), name.c_str());
}

background::~background() { stop(); }

void background::post(std::function<void()> work) { boost::asio::post(context_, std::move(work)); }

void background::stop() {
    if (!thread_.joinable()) return;
    post([this] { context_.stop(); });
    thread_.join();
}

} // namespace evenkeel::telemetry

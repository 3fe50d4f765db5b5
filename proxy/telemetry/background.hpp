#pragma once
// The helper thread: what may take a while and must not hold up a worker happens here (scrapes, the admin server,
// timers of chaos). One io_context, one thread, so its users need no strands; a user who may block for long gets a
// background of its own, as a disk may hang: each log, re-reading the configuration, the file of last good answers.
// Whatever is built on one must die before it.

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <functional>
#include <string>
#include <thread>

namespace evenkeel::telemetry {

class background {
public:
    explicit background(std::string name = "helper"); // the thread's name, at most 15 characters
    ~background();                                    // stops
    background(const background&) = delete;
    background& operator=(const background&) = delete;

    [[nodiscard]] boost::asio::io_context& context() noexcept { return context_; }
    void post(std::function<void()> work); // from any thread; an exception leaving it is a bug and ends the process

    // Runs what was posted before, then ends the thread. Not from the thread itself. What is posted later never runs.
    void stop();

private:
    boost::asio::io_context context_{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    std::thread thread_;
};

} // namespace evenkeel::telemetry

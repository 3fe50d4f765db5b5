#pragma once
// A bar on stderr for what takes more than two seconds, where stderr is a terminal; else nothing.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>

namespace evenkeel::cli {

class progress {
public:
    progress();
    ~progress() { end(); }
    progress(const progress&) = delete;
    progress& operator=(const progress&) = delete;

    void at(std::size_t done, std::size_t of) noexcept; // any thread
    void end();                                         // takes the bar away; nothing is drawn after

private:
    void draw() const;

    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    std::atomic<std::size_t> done_{0}, of_{0};
    std::mutex mutex_;
    std::condition_variable ending_;
    bool ended_ = false;
    std::thread drawing_; // a run may take long, and time goes on meanwhile
};

} // namespace evenkeel::cli

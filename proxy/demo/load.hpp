#pragma once
// One side of the comparison: sends the planned requests to one address, open loop, and notes how each fared.

#include "policies/time.hpp"
#include "proxy/demo/workload.hpp"
#include "proxy/model/judge.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::demo {

// How one request fared. Times in document seconds, from the moment the request was due, so that a request that had to
// wait for anything is charged for it; at most the client's deadline.
struct sample {
    model::verdict how = model::verdict::error;
    bool stream = false;
    double seconds = original::deadline;
    double first_token = original::deadline;
};

struct load_options {
    side from = side::direct;
    std::string host; // literal IPv4
    std::uint16_t port = 0;
    std::uint64_t seed = 1;
    unsigned requests = 0; // that count; the warm-up comes on top
    double speed = 1;
};

// A thread per request in flight, like an application whose calls block: each worker takes the next request, sleeps
// until it is due and asks. Since a client gives up at its deadline, at most rate * deadline = 120 are in flight at any
// speed, so with 128 workers one is always free and the loop stays open.
class load {
public:
    load(load_options options, steady_time begin); // starts at once; `begin`: the moment of due == 0
    ~load();                                       // cancels and waits
    load(const load&) = delete;
    load& operator=(const load&) = delete;

    [[nodiscard]] unsigned done() const noexcept { return done_; } // warm-up included
    [[nodiscard]] unsigned total() const noexcept { return total_; }

    // Sends nothing more. Requests in flight go on until their deadline or until the other end closes.
    void cancel();
    // Waits for every request to have ended; how those fared that count.
    [[nodiscard]] std::vector<sample> wait();

private:
    void work();
    [[nodiscard]] bool sleep_until(steady_time due); // false: cancelled
    [[nodiscard]] sample ask(const planned_request& request, steady_time due) const;

    const load_options options_;
    const steady_time begin_;
    const unsigned total_;
    std::vector<sample> samples_; // by number; each written by the one worker that has the request
    std::atomic<unsigned> next_{0};
    std::atomic<unsigned> done_{0};
    std::mutex mutex_;
    std::condition_variable cancelling_;
    bool cancelled_ = false;
    std::vector<std::thread> workers_;
};

} // namespace evenkeel::demo

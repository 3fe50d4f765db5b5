#pragma once
// The clients of a traffic on real sockets: open loop, each reads its answer to the end, judges it, and leaves at its
// deadline.

#include "policies/time.hpp"
#include "proxy/model/sample.hpp"
#include "proxy/model/scenario_time.hpp"
#include "proxy/model/traffic.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace evenkeel::model {

// What a client sends, and the nonce that its answer is to repeat.
struct question {
    std::string request; // head and body
    std::string nonce;
};

struct load_options {
    std::string host = "127.0.0.1"; // literal IPv4
    std::uint16_t port = 0;
    std::function<question(unsigned number, const planned_request& plan)> asks = {}; // called by several threads
};

// A thread per request in flight, like an application whose calls block: each takes the next request, sleeps until it
// is due and asks. Since a client gives up at its deadline, at most rate * deadline are in flight at any speed; there
// are a few threads more, so that one is always free and the loop stays open.
class load {
public:
    load(const traffic& what, scenario_time clock, load_options options); // starts at once; `what` outlives it
    ~load();                                                              // cancels and waits
    load(const load&) = delete;
    load& operator=(const load&) = delete;

    [[nodiscard]] unsigned done() const noexcept { return done_; } // warm-up included
    [[nodiscard]] unsigned total() const noexcept { return traffic_.facts().requests; }

    // Sends nothing more. Requests in flight go on until their deadline or until the other end closes.
    void cancel();
    // Waits for every request to have ended; those that count, in order, their `attempts` left 0.
    [[nodiscard]] std::vector<sample> wait();

private:
    void work();
    [[nodiscard]] bool sleep_until(steady_time due); // false: cancelled
    [[nodiscard]] sample ask(const planned_request& plan, unsigned number) const;

    const traffic& traffic_;
    const scenario_time time_;
    const load_options options_;
    std::vector<sample> samples_; // by number; each written by the one thread that has the request
    std::atomic<unsigned> next_{0};
    std::atomic<unsigned> done_{0};
    std::mutex mutex_;
    std::condition_variable cancelling_;
    bool cancelled_ = false;
    std::vector<std::thread> workers_;
};

} // namespace evenkeel::model

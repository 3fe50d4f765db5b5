#pragma once
// One run: a traffic, sent straight to the simulated provider or through the real request path of evenkeel (serve,
// run_flight, attempt, policies), in virtual time. Open loop: requests come when they are due, whether or not earlier
// ones were answered; each client reads its answer to the end, judges it, and leaves at its deadline.
//
// What is left out of the path is client_connection: there are no client sockets, hence no head ahead of the answer, no
// heartbeats and no response heads; a client learns status and body from what `serve` returns.
//
// A run is a pure function of its arguments. Runs share nothing and may go on at the same time, each on its own thread.

#include "config/settings.hpp"
#include "proxy/model/sample.hpp"
#include "proxy/model/traffic.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace evenkeel::simulate {

// What must be gone once every client has been answered or has left; all zero, or the request path leaks.
struct leftovers {
    std::size_t coroutines = 0, timers = 0, exchanges = 0, requests = 0;
    std::uint64_t held_bytes = 0;
    std::int64_t attempts = 0; // started and never finished
    [[nodiscard]] bool none() const noexcept { return *this == leftovers{}; }
    bool operator==(const leftovers&) const = default;
    leftovers& operator+=(const leftovers& more) noexcept;
};

struct run_result {
    std::vector<model::sample> samples; // of the requests that count, in order
    std::uint64_t refused = 0;          // attempts that got no connection
    std::uint64_t wasted_events = 0;    // meaningful events of streams that were read and not passed on
    leftovers left;
};

// Each request under way holds the buffers that it holds in the proxy, 32 KiB: 50,000 of them are 1.6 GB.
inline constexpr std::size_t max_under_way = 50'000;

// Throws std::runtime_error where more than max_under_way requests are under way at the same time.
//
// `settings` null: without a proxy. Else its only route takes every request; its first upstream is the first server,
// the others are the second one (or the same, where the scenario has one). `seed` is that of the policies' own draws.
[[nodiscard]] run_result simulate(const model::traffic& what, const config::snapshot& settings, std::uint64_t seed);

} // namespace evenkeel::simulate

#pragma once
// How many idle connections to one endpoint a worker keeps ready, and when it may open one. Opening a connection takes
// two to four round trips, with TLS; a request that finds one ready does not wait for them (reference: resilience
// semantics 12).
//
// `min_idle` is kept at all times. `predict` adds what demand is about to need: by Little's law (Little, 1961) L = rate
// x mean time held are in use at once; with 2 sqrt(L) for chance (the square-root rule of staffing) 20 requests/s of
// 0.5 s need 10 + 6.3 connections. The rate is read one second ahead along its trend, the difference of a fast and a
// slow average. Only what is missing is opened; nothing is closed when demand falls: surplus ages out in the pool.
//
// Back-off, lest a dead endpoint be flooded with SYNs: after a failure one connection is tried per step, steps of 1 s
// doubling to 60 s, each shortened by up to half at random; the failures of one burst are one step. The same steps are
// taken when a connection was closed without ever being used: servers end idle ones after their own timeout, often 5 s,
// and replacing them all day for nobody is no use. A request ends these steps if it found a connection ready; if it did
// not, the present one ends within a second. Failures are forgotten only by a success.
//
// One worker's and one endpoint's; no lock.

#include "policies/time.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace evenkeel {

struct prewarm_options {
    bool on = false;
    std::uint32_t min_idle = 2; // per endpoint, of all workers together; each keeps its share, rounded up
    bool predict = true;
    std::string probe_path{}; // of a request that is sent on an idle connection now and then; empty: none is
    duration probe_interval = std::chrono::seconds{15}; // between two, per worker
    bool operator==(const prewarm_options&) const = default;
};

class prewarm {
public:
    static constexpr std::size_t max_opening =
        4; // at a time; chosen: a burst is met in a few round trips, not with a flood
    static constexpr std::size_t max_predicted = 32; // idle at once (resilience semantics 12c)
    static constexpr duration first_pause = std::chrono::seconds{1};
    static constexpr duration longest_pause = std::chrono::seconds{60};
    // Ahead of now; chosen: a few TLS handshakes one after another.
    static constexpr duration horizon = std::chrono::seconds{1};

    explicit prewarm(const prewarm_options& options, unsigned workers = 1) noexcept { configure(options, workers); }
    void configure(const prewarm_options& options, unsigned workers) noexcept; // what was learned is kept

    // A request took a connection, `ready` or not, and later gave it up, whatever way.
    void taken(bool ready, double u, steady_time now) noexcept;
    void released(duration held) noexcept;
    // A connection that was opened ahead was closed unused; or came to be, or did not. `u` in [0, 1).
    void unused(double u, steady_time now) noexcept;
    void opened() noexcept { failures_ = 0; }
    void failed(double u, steady_time now) noexcept;

    struct connections {
        std::size_t open = 0; // slots taken: in use, idle or being opened by anybody
        std::size_t idle = 0;
        std::size_t opening = 0; // ahead of demand
        std::size_t max = 0;     // connections.max
    };
    struct decision {
        std::size_t open = 0;             // so many now
        std::size_t target = 0;           // idle connections that are wanted
        std::optional<steady_time> again; // some are missing, and before this none may be opened
    };
    [[nodiscard]] decision decide(const connections& present, steady_time now) noexcept;

    [[nodiscard]] double rate(steady_time now) const noexcept; // requests per second expected at the horizon

private:
    [[nodiscard]] static duration pause(int step, double u) noexcept;
    [[nodiscard]] double needed(steady_time now) noexcept;

    bool on_ = false;
    bool predict_ = false;
    std::size_t min_idle_ = 0;   // of this worker
    double fast_ = 0, slow_ = 0; // arrivals per second, decaying
    steady_time counted_{};      // when they were last brought up to date
    double held_ = 0;            // seconds, mean; 0: nothing known
    double peak_ = 0;            // connections needed, falling slowly
    steady_time peak_at_{};
    int failures_ = 0, unused_ = 0; // steps in a row
    steady_time not_before_{}, quiet_until_{};
};

} // namespace evenkeel

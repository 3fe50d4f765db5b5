#pragma once
// What /health shows, per route and per upstream of a route: how often the last minute went well and how long that
// took, and in which state the policies are (from a policy_report). Prometheus has the long view. A window is a ring of
// slices that are emptied as time passes over them, so that recording costs a few additions under a mutex of its own,
// held for nothing else.

#include "policies/time.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/events/policy_report.hpp"
#include "proxy/events/request_account.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::telemetry {

// What a window holds at one moment. Latency is that of successes.
struct health_sample {
    // Those that say something: not what the client gave up or we refused unsent; degraded ones failed.
    std::uint64_t requests = 0;
    std::uint64_t successes = 0;
    std::optional<double> success_rate;             // 0..1
    std::optional<double> avg_latency, p95_latency; // seconds
    std::uint64_t departures = 0;                   // clients that left before their answer was whole

    bool operator==(const health_sample&) const = default;
};

using fallback_counts = std::array<std::uint64_t, fallback_kind_count>; // by fallback_kind

// A minute of samples, as of `now`; 4 KiB, from the first sample on. Not thread-safe.
class health_window {
public:
    static constexpr duration slice = std::chrono::seconds{5};
    static constexpr std::size_t slices = 12; // the current, partial one included: 55 to 60 s

    void record(steady_time now, bool success, duration latency) noexcept;
    void departed(steady_time now) noexcept;
    [[nodiscard]] health_sample sample(steady_time now) const;

private:
    // Below 1 ms, then four per doubling up to 17.5 min: p95, an upper bound, is at most 25 % too high.
    static constexpr std::size_t buckets = 81;
    struct slot;
    [[nodiscard]] slot& slot_at(steady_time now) noexcept;
    [[nodiscard]] static std::size_t bucket_of(duration latency) noexcept;
    [[nodiscard]] static double upper_bound(std::size_t bucket) noexcept;

    struct slot {
        std::int64_t number = -1; // of the slice, counted from the clock's epoch
        std::uint32_t requests = 0, successes = 0, departures = 0;
        double latency_sum = 0; // seconds
        std::array<std::uint32_t, buckets> latency{};
    };
    std::unique_ptr<std::array<slot, slices>> slots_;
};

// How an attempt failed, or was told to come back later.
struct failed_attempt {
    attempt_result result = attempt_result::server_error;
    int status = 0; // of the upstream's answer; 0: none came
    steady_time at{};
};
struct upstream_health {
    std::string name, url; // url: scheme and authority, for operators only
    health_sample seen;
    std::optional<endpoint_report> policies{}; // empty: nobody reports
    std::string endpoint{};                    // its label; empty: the upstream has no other
    std::optional<failed_attempt> last_failure{};
};
struct route_health {
    std::string name;
    double current_timeout = 0; // seconds an attempt may take, or the whole request where no attempt timeout is set
    health_sample seen;
    // open: the circuits of all its upstreams are open. Otherwise that of the most preferred upstream that may be asked
    // (its circuit is not open, it does not rest). Empty: it has no circuits.
    std::optional<circuit_state> circuit{};
    std::size_t holding = 0;                               // requests that wait for an upstream to recover
    bool degraded = false;                                 // its fallback ladder answered within the last minute
    fallback_counts fallbacks{};                           // since the start
    std::optional<evenkeel::bulkhead::summary> bulkhead{}; // empty: bulkhead off
    std::vector<upstream_health> upstreams;                // with all their endpoints, side by side
};
struct health_view {
    std::vector<route_health> routes;     // in file order, those of the current configuration that use an upstream
    std::vector<route_health> fan_outs{}; // likewise, of parts, which are told of above; not in the document
    steady_time at{};
    std::size_t chaos_rules = 0; // in force: some of this is done on purpose
    int open_circuits = 0;       // a circuit that several routes share counts once
    // Whether anything can be served. False: every route's circuits are all open; or there were attempts in the window
    // and every one of them failed. One route that is down leaves it true: it is `open`, the others work.
    bool healthy = true;
};

// The health document. Without hosts it names routes and upstreams only, and numbers endpoints, as the data port and
// metrics_listen show it.
[[nodiscard]] std::string health_json(const health_view& view, bool with_hosts);
// Whether the query of its address (`?strict=1`) wants a 503 while nothing can be served.
[[nodiscard]] bool asks_strict(std::string_view query) noexcept;

class health final : public observer {
public:
    explicit health(std::function<steady_time()> now = [] { return steady_time{std::chrono::steady_clock::now()}; });
    ~health() override;

    void request_finished(const request_account& record) noexcept override;
    void attempt_finished(const attempt_record& record) noexcept override;
    // Asked at each view(), from its thread.
    void report_from(policy_reporter reporter);

    void configuration_loaded(
        const config::snapshot& snapshot) noexcept override; // before the workers see the snapshot
    void endpoints_changed(const config::snapshot& snapshot) noexcept override { configuration_loaded(snapshot); }

    [[nodiscard]] health_view view() const; // from any thread; costs tens of microseconds per route

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace evenkeel::telemetry

#pragma once
// Counts what the request path reports and writes it in Prometheus' text format, every name with the prefix
// `evenkeel_`.
//
// from_start.hpp says which series exist from configuration_loaded() on, with zero, and which from their first event
// on; after a reload the counts of vanished routes stay. No label takes a value a client chose: routes and upstreams
// are names of the file (`none` for requests without a route), every other label is a word of a closed list (`other`
// for a reason that is not on it).
//
// Observing takes no lock and builds no label: series_index.hpp finds the counters, cells.hpp adds to them.

#include "proxy/events/last_good_report.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/events/policy_report.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace evenkeel::telemetry {

struct metrics_options {
    std::string version;  // of the program; label of build_info
    unsigned workers = 1; // copies of each hot counter, at most 16
    std::function<wall_time()> wall_now = [] { return wall_time{std::chrono::system_clock::now()}; };
};

class metrics final : public observer {
public:
    explicit metrics(metrics_options options);
    ~metrics() override;

    void request_started(const config::route* route) noexcept override;
    void request_finished(const request_account& record) noexcept override;
    void attempt_started(const config::route& route, const config::upstream& upstream) noexcept override;
    void attempt_finished(const attempt_record& record) noexcept override;
    void circuit_changed(const config::route& route, const config::upstream& upstream,
                         const circuit_transition& change) noexcept override;
    void cooldown_began(const config::route& route, const config::upstream& upstream, outcome_kind why,
                        duration length) noexcept override;
    void overload_changed(const config::route& route, const config::upstream& upstream,
                          bool overloaded) noexcept override;
    void hedge_refused(const config::route& route, hedge_refusal why) noexcept override;
    void budget_refused(const config::route& route, const config::upstream& upstream,
                        attempt_kind wanted) noexcept override;
    void hold_began(const config::route& route) noexcept override;
    void stream_resumed(const config::route& route, stream_resumption how) noexcept override;
    void request_coalesced(const config::route& route, coalesce_role role) noexcept override;
    void coalesced_flight_ended(const config::route& route) noexcept override;
    void coalesced_detached(const config::route& route, coalesce_detachment why) noexcept override;
    void upcast_ended(const config::route& route, upcast_result how) noexcept override;
    void bulkhead_passed(const config::route& route, const bulkhead_passage& passage) noexcept override;
    void hold_ended(const config::route& route, duration waited, bool went_on) noexcept override;
    void fallback_skipped(const config::route& route, fallback_kind step, fallback_skip why) noexcept override;
    void fallback_exhausted(const config::route& route) noexcept override;
    void fault_injected(const config::route& route, chaos_fault fault) noexcept override;
    void connection_opened(side which, const config::upstream* upstream) noexcept override;
    void connection_closed(side which, const config::upstream* upstream) noexcept override;
    void idle_changed(const config::upstream& upstream, int by) noexcept override;
    void prewarmed(const config::upstream& upstream, prewarm_event what) noexcept override;
    void upstream_probed(const config::upstream& upstream, probe_result how) noexcept override;
    void prewarm_target_changed(const config::upstream& upstream, int by) noexcept override;
    void connected_cold(const config::upstream& upstream) noexcept override;
    void connection_refused(std::string_view reason) noexcept override;
    void internal_error(std::string_view what) noexcept override;
    void configuration_loaded(
        const config::snapshot& snapshot) noexcept override; // before the workers see the snapshot
    void configuration_failed() noexcept override;

    // Where the gauges of the policies come from; asked at each scrape, from its thread. Without one there are none.
    void report_from(policy_reporter reporter);

    // ... and what is told of the store of last good answers.
    void report_last_good_from(last_good_reporter reporter);

    // Adds a counter that someone else keeps; `read` is called at each scrape, from its thread. The name needs no
    // prefix and ends in `_total`; the help text is one line.
    void count_from(std::string name, std::string help, std::function<std::uint64_t()> read);
    void gauge_from(std::string name, std::string help, std::function<std::uint64_t()> read); // no ending

    // Everything, in text format 0.0.4. From any thread; takes milliseconds where there are many routes, so not from
    // a worker's: scrape_cache stands before it.
    [[nodiscard]] std::string text() const;
    static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

private:
    struct state;
    std::unique_ptr<state> state_;
};

} // namespace evenkeel::telemetry

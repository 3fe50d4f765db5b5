#pragma once
// Counts what the request path reports and writes it in Prometheus' text format, every name with the prefix
// `evenkeel_`. What there is stands in metric_rows.cpp, a row for each; this counts, and walks the rows at a scrape.
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
#include "proxy/events/request_account.hpp"
#include "proxy/telemetry/trace_report.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace evenkeel::telemetry {

struct metrics_options {
    std::string version;  // of the program; label of build_info
    unsigned workers = 1; // copies of each hot counter, at most 16
    std::function<wall_time()> wall_now = [] { return wall_time{std::chrono::system_clock::now()}; };
};

// What others keep count of for the whole process.
struct process_report {
    std::uint64_t access_log_dropped = 0;            // lines
    std::uint64_t memory_held = 0, memory_limit = 0; // bytes; what counts against limits.memory, and that
    std::uint64_t journal_requests = 0, journal_bytes = 0, journal_evicted = 0;
    trace_report traces{};
    bool restart_required = false; // a change in the file waits for one
    // When what is shown expires, in seconds since 1970: to clients, and to upstreams by name.
    std::optional<double> server_certificate_expires{};
    std::map<std::string, double, std::less<>> client_certificates_expire{};
};
using process_reporter = std::function<process_report()>;

struct metric_totals;

class metrics final : public observer {
public:
    explicit metrics(metrics_options options);
    ~metrics() override;

    void request_started(const config::route* route) noexcept override;
    void request_finished(const request_account& account) noexcept override;
    void request_event(const event_origin& of, const any_happening& what) noexcept override;
    void attempt_finished(const attempt_record& record) noexcept override;
    void endpoint_changed(const event_origin& of, const any_endpoint_change& what) noexcept override;
    void connection_changed(const connection_event& what) noexcept override;
    void connection_refused(std::string_view reason) noexcept override;
    void internal_error(std::string_view what) noexcept override;
    void configuration_loaded(
        const config::snapshot& snapshot) noexcept override; // before the workers see the snapshot
    void endpoints_changed(const config::snapshot&) noexcept override;
    void configuration_failed() noexcept override;

    // Who is asked at each scrape, from its thread. Without one there are no states of policies, zeros of the store of
    // last good answers, and nothing of the process report.
    void report_from(policy_reporter reporter);
    void report_last_good_from(last_good_reporter reporter);
    void report_process_from(process_reporter reporter);

    // Everything, in text format 0.0.4. From any thread; takes milliseconds where there are many routes, so not from
    // a worker's: scrape_cache stands before it.
    [[nodiscard]] std::string text() const;
    // The same counts for people: see metric_totals.hpp. Likewise.
    [[nodiscard]] metric_totals totals() const;
    static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

private:
    struct state;
    struct counting;
    std::unique_ptr<state> state_;
};

// The table of all metrics for people, in Markdown: deploy/README.md has it, and a test holds it there.
[[nodiscard]] std::string metrics_reference();

} // namespace evenkeel::telemetry

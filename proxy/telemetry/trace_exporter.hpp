#pragma once
// Sends the spans of requests that are over to a collector (`tracing` in the configuration). On the request path a
// request that is not kept costs a look at its flags, one that is a copy of its account into a bounded queue; all the
// rest, making spans of it, writing JSON and waiting for a collector, is on a thread of the exporter's own, which there
// is once a configuration has asked for it. What does not fit the queue is dropped and counted.
//
// Kept are the requests that were drawn at their beginning, and of the others those that turned out disturbed
// (disturbed.hpp).
//
// A batch that cannot be delivered for now (no connection, 429, 502, 503, 504) is sent again after a pause, until its
// time is over; any other refusal is final. So the protocol has it. While a collector rests, as long as its Retry-After
// says, it is asked nothing. A configuration that is loaded counts from the next try on, and one under way for a
// collector that it no longer names is broken off.

#include "proxy/events/observer.hpp"
#include "proxy/net/resolver.hpp"
#include "proxy/telemetry/trace_report.hpp"

#include <cstddef>
#include <memory>
#include <string>

namespace evenkeel::telemetry {

class app_log;

struct trace_exporter_options {
    std::string version{}; // of the program
    net::resolver::lookup_function lookup = net::resolver::system_lookup;
    std::size_t most_queued = 2048;                    // requests: some 8 MiB at worst (chosen)
    std::size_t most_together = 256;                   // requests of one batch
    duration collect = std::chrono::seconds{1};        // how long a batch waits to become full (chosen)
    duration answer_time = std::chrono::seconds{10};   // of one try, as the SDKs' OTEL_EXPORTER_OTLP_TIMEOUT
    duration first_pause = std::chrono::seconds{1};    // before a batch is sent again; doubled each time, ...
    duration longest_pause = std::chrono::seconds{30}; // ... up to this; and up to half of it is left out, by chance
    duration give_up = std::chrono::seconds{60};       // of one batch, over all its tries (chosen)
};

class trace_exporter final : public observer {
public:
    trace_exporter(app_log& log, trace_exporter_options options); // the log outlives it
    ~trace_exporter() override;                                   // finishes at once

    void request_finished(const request_account& what) noexcept override;
    void configuration_loaded(const config::snapshot& snapshot) noexcept override;

    // Nothing more is taken; what is queued is sent, within that time. Then its thread is gone.
    void finish(duration within) noexcept;

    [[nodiscard]] trace_report summary() const noexcept; // since the start

private:
    struct inside;
    std::unique_ptr<inside> inside_;
};

} // namespace evenkeel::telemetry

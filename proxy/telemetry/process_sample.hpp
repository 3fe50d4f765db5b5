#pragma once
// What the kernel says about this process; read at a scrape, off the request path.

#include <cstdint>

namespace evenkeel::telemetry {

struct process_sample {
    double cpu_seconds = 0;        // user and system
    double start_time_seconds = 0; // since the epoch; 0: unknown
    std::uint64_t resident_bytes = 0;
    std::uint64_t open_fds = 0;
    std::uint64_t max_fds = 0; // UINT64_MAX: no limit
};

[[nodiscard]] process_sample sample_process();

} // namespace evenkeel::telemetry

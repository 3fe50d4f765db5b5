#pragma once
// From the samples of all sides to the table the demo prints. Pure; 80 columns.

#include "proxy/demo/workload.hpp"
#include "proxy/model/sample.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace evenkeel::demo {

struct summary {
    std::size_t requests = 0;
    std::size_t succeeded = 0, errors = 0, late = 0, broken = 0, degraded = 0;
    double p50 = 0, p99 = 0;                         // seconds; a failure counts as the deadline
    double first_token_p50 = 0, first_token_p99 = 0; // of the streams
    double attempts_per_request = 0;                 // as counted by the provider
};
[[nodiscard]] summary summarize(const std::vector<model::sample>& samples, std::uint64_t attempts);

struct run_facts {
    std::uint64_t seed = 0;
    double speed = 1;
};
using summaries = std::array<summary, sides.size()>; // by side
// Ends with a newline. `colour`: the heading and the success rates are bold.
[[nodiscard]] std::string table(const summaries& of, const run_facts& facts, bool colour);

// "[#####.....]  50 %", at most 80 columns with what is behind it.
[[nodiscard]] std::string progress_bar(unsigned done, unsigned total, double seconds_left);

} // namespace evenkeel::demo

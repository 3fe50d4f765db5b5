#pragma once
// What became of spans that were to be told to a collector; for /metrics. Values only.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace evenkeel::telemetry {

// The label `result` of trace_spans_total.
enum class trace_result : unsigned char {
    exported,
    queue_full, // never sent: the collector is too slow, or away
    rejected,   // the collector does not want them
    failed,     // it could not be reached in time, or the process ended
};
inline constexpr std::size_t trace_result_count = 4;
[[nodiscard]] constexpr std::string_view to_string(trace_result what) noexcept {
    constexpr std::array<std::string_view, trace_result_count> words{"exported", "queue_full", "rejected", "failed"};
    return words[static_cast<std::size_t>(what)];
}

struct trace_report {
    std::array<std::uint64_t, trace_result_count> spans{};
    [[nodiscard]] std::uint64_t at(trace_result what) const noexcept { return spans[static_cast<std::size_t>(what)]; }
};

} // namespace evenkeel::telemetry

#pragma once
// What the store of last good answers tells of itself, for /metrics. Values only.

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>

namespace evenkeel::telemetry {

// Why an answer was not kept; metric label.
enum class not_kept : unsigned char {
    not_storable, // its status, a field (Cache-Control: no-store, Vary: *), a compressed stream, a length nobody told
    too_large,    // more than an eighth of the store
    no_memory,    // limits.memory is used up
    not_whole,    // it broke off, or a stream ended without its terminal marker
    not_ready,    // the file is still being read
};
inline constexpr std::size_t not_kept_count = 5;
[[nodiscard]] constexpr std::string_view to_string(not_kept why) noexcept {
    constexpr std::array<std::string_view, not_kept_count> words{"not_storable", "too_large", "no_memory", "not_whole",
                                                                 "not_ready"};
    return words[static_cast<std::size_t>(why)];
}

struct last_good_report {
    std::uint64_t entries = 0, bytes = 0, max_bytes = 0;
    std::uint64_t hits = 0, misses = 0, kept = 0, evicted = 0;
    std::array<std::uint64_t, not_kept_count> not_kept{};
    bool has_file = false, file_works = false;
    std::uint64_t file_dropped = 0; // answers that did not fit its queue
    std::uint64_t file_errors = 0;  // failed openings, reads and writes, and rows whose checksum was wrong
};
using last_good_reporter = std::function<last_good_report()>;

} // namespace evenkeel::telemetry

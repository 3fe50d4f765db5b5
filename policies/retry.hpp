#pragma once
// Options of `retry` and the arithmetic of its pauses. Pure; `u` is drawn uniformly from [0, 1) by the caller.

#include "policies/outcome.hpp"
#include "policies/time.hpp"
#include "policies/work_budget.hpp"

#include <cstdint>

namespace evenkeel {

enum class jitter : unsigned char { equal, full, decorrelated, none };

struct backoff_options {
    duration initial = std::chrono::milliseconds{250};
    duration max = std::chrono::seconds{8};
    double base = 2.0;
    evenkeel::jitter jitter = evenkeel::jitter::full;
    bool operator==(const backoff_options&) const = default;
};

// The pause before the n-th wait (n from 0) of one request. `previous` is the pause before it, for `decorrelated`.
//   equal         e/2 + u * e/2            with e = min(initial * base^n, max)
//   full          u * e
//   decorrelated  min(max, initial + u * (3 * previous - initial)), previous = initial at first
//   none          e
// (AWS Architecture Blog, Exponential Backoff And Jitter, 2015.)
[[nodiscard]] duration backoff_pause(const backoff_options& options, int n, duration previous, double u) noexcept;

// Words of `retry.on`, as bits.
enum class retry_on : std::uint16_t {
    connect_failure = 1,
    reset = 2,
    timeout = 4,
    overloaded = 8,
    rate_limited = 16,
    server_error = 32,
    stream_error = 64,
    protocol_error = 128,
    all = 255,
};
[[nodiscard]] constexpr bool includes(retry_on set, retry_on one) noexcept {
    return (static_cast<unsigned>(set) & static_cast<unsigned>(one)) != 0;
}
// The word that speaks about an outcome; 0 where none does (quota, credential, caller_error, cancelled, answered).
[[nodiscard]] retry_on word_for(const attempt_outcome& outcome) noexcept;

enum class replay_mode : unsigned char { automatic, always, never };

struct retry_options {
    int max_retries = 5; // extra attempts per request; 0: `retry: off`
    retry_on on = retry_on::all;
    backoff_options backoff;
    duration max_retry_after = std::chrono::seconds{60};
    replay_mode replay = replay_mode::automatic;
    std::uint64_t replay_buffer = std::uint64_t{32} * 1024 * 1024; // bytes
    budget_options budget;
    bool operator==(const retry_options&) const = default;
};

} // namespace evenkeel

#pragma once
// Options of `retry` and the arithmetic of its pauses. Pure; `u` is drawn uniformly from [0, 1) by the caller.

#include "policies/outcome.hpp"
#include "policies/time.hpp"
#include "policies/work_budget.hpp"

#include <cstdint>
#include <string_view>

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
    empty = 256, // once a request: a model that has nothing to say will say it again
    all = 511,
};
[[nodiscard]] constexpr bool includes(retry_on set, retry_on one) noexcept {
    return (static_cast<unsigned>(set) & static_cast<unsigned>(one)) != 0;
}
// The word that speaks about an outcome; 0 where none does (quota, credential, caller_error, cancelled, answered).
[[nodiscard]] retry_on word_for(const attempt_outcome& outcome) noexcept;
// Only another credential can help: the one that was used is spent, or not accepted.
[[nodiscard]] constexpr bool needs_another_credential(outcome_kind kind) noexcept {
    return kind == outcome_kind::quota || kind == outcome_kind::credential;
}

// Why a failed attempt was not followed by another; metric label, log field, response header.
enum class retry_denial : unsigned char {
    none,               // nothing was wanted
    off,                // retry: off
    limit,              // max_retries are used up
    budget,             // the budget is empty
    deadline,           // it could not have finished in time
    retry_after,        // the upstream's hint is longer than max_retry_after
    not_replayable,     // the request may have had an effect, or its body is not held
    not_retryable,      // this failure is the caller's, or not in retry.on
    upstream_said,      // x-should-retry: false
    no_endpoint,        // no endpoint may be asked again
    committed,          // content had been passed on
    circuit_open,       // no endpoint lets it, and it is not to wait, or has waited long enough
    overload,           // there is no room for extra attempts, or it was a timeout of an overloaded upstream
    model_circuit_open, // circuit_open, of the model that was asked for and no other
    paced,              // its quota would have nothing for it in time
};
inline constexpr int retry_denial_count = 15;
[[nodiscard]] std::string_view to_string(retry_denial) noexcept;

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

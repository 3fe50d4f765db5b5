#pragma once
// Rests an endpoint that said 429 or 529, for the credential it said it to and for all requests with that credential,
// until its hint or the ramp ends (DESIGN section 6, reference: resilience semantics 5c). Never touches the breaker: an
// endpoint that throttles is alive. An end only moves later while it lies ahead. 529 has no ramp: an overloaded
// endpoint that was given the ramp of a rate limit stayed unused long after it was well (better-ccflare #342).
//
// Of several requests that were refused together, only the first climbs the ramp: a refusal that comes while the
// endpoint rests was asked for before it began to.
//
// One per endpoint; thread-safe: one mutex, held for one call, none where nobody rests. Bounded: max_principals, the
// one that ends first is forgotten first.

#include "policies/outcome.hpp"
#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>

namespace evenkeel {

struct cooldown_options {
    bool on = false;
    duration initial = std::chrono::seconds{1};   // 429 without a hint; doubles with each one in a row, up to
    duration max = std::chrono::seconds{60};      // ... also the longest hint that is believed
    duration overload = std::chrono::seconds{10}; // 529 without a hint, +-20 %, no ramp
    duration quota = std::chrono::minutes{15};    // spent quota, or a credential that is not accepted
    bool operator==(const cooldown_options&) const = default;
};

class cooldown {
public:
    static constexpr std::size_t max_principals = 1024;

    explicit cooldown(const cooldown_options& options) noexcept : options_(options) {}
    void configure(const cooldown_options& options) noexcept;

    // `principal`: a hash of the credential the endpoint was shown; 0 where the upstream's own is used. `kind`:
    // rate_limited, overloaded, quota or credential. `hint`: from now. `u` in [0, 1) spreads a rest without a hint from
    // overload. The time until which the endpoint now rests.
    steady_time throttled(std::uint64_t principal, outcome_kind kind, std::optional<duration> hint, double u,
                          steady_time now);
    void succeeded(std::uint64_t principal) noexcept; // the ramp begins anew
    // A credential of the upstream's own was refused to `caller`, and the answer does not say whether that is about the
    // credential: true once it was refused to several callers within a minute, and to none of them was it good in
    // between.
    [[nodiscard]] bool refused_to_several(std::uint64_t caller, steady_time now) noexcept;
    // ... it is good, for somebody. Takes no lock where nobody was refused.
    void accepted() noexcept;
    // Nobody rests and no ramp is remembered: then nobody needs to know who asks. Takes no lock.
    [[nodiscard]] bool idle() const noexcept { return known_.load(std::memory_order_relaxed) == 0; }
    // Resting at `now`? Until when, and for what.
    struct rest {
        steady_time until;
        outcome_kind why;
        bool guessed; // an overloaded endpoint that named no time: better left alone, but not out of reach
    };
    [[nodiscard]] std::optional<rest> resting(std::uint64_t principal, steady_time now);

    struct summary {
        std::size_t resting = 0;          // principals
        std::optional<steady_time> until; // the latest of them
    };
    [[nodiscard]] summary report(steady_time now);

private:
    struct entry {
        steady_time until{};
        outcome_kind why = outcome_kind::rate_limited;
        bool guessed = false;
        std::uint32_t in_a_row = 0; // rests for 429 since the last success
    };
    [[nodiscard]] duration length(entry& known, outcome_kind kind, std::optional<duration> hint, double u,
                                  bool new_rest) const noexcept;
    void make_room(steady_time now);

    small_mutex mutex_;
    cooldown_options options_;
    std::unordered_map<std::uint64_t, entry> entries_;
    // chosen: two callers may well want the same model that the key may not have.
    static constexpr std::size_t several = 3;
    struct refusal {
        std::uint64_t caller = 0;
        steady_time at{};
    };
    std::array<refusal, several> refused_; // the latest of each, oldest first out
    std::atomic<bool> any_refused_{false};
    std::atomic<std::size_t> known_{0}; // entries, to be read without the mutex
};

} // namespace evenkeel

#pragma once
// How long an attempt may take, learned: clamp(multiplier * Q, min, max) after min_samples, else `initial` (DESIGN
// section 6, reference: resilience semantics 6). Q is the Kaplan-Meier quantile at q' = min(q + z * sqrt(q (1 - q) /
// n), 0.98), z = 1.645. Worked: P95 = 4 s of 60 samples: q' = min(0.95 + 0.046, 0.98), Q = P98, about 5 s, T = 15 s.
//
// Where the estimate never falls to 1 - q', or more than 1 - q' of the attempts ran into the timeout lately (what the
// few say that were given longer then stands for all of those), Q is the last answer, but at most the P99 of those that
// answered, and the lower clamp becomes max(min, initial). The P99 matters with many samples of a heavy tail: the
// longest of 10^4 answers is several times their P99, and 10 % of attempts that hang for ever must not buy the rest of
// them a timeout nobody needs (P6.8: T <= max(multiplier * P99 of the attempts that answered, max(min, initial))).
//
// Rises at once, falls at most 20 % a window, and not while most attempts run into it. Doubles when over 20 % of at
// least 10 attempts of a slice (window/6; a thin one is extended until it has 10) ran into it: then something has
// become slower than everything learned. A doubling keeps to the bound of P6.8 unless most of the slice ran into it,
// which says that the answers still in the window are history.
//
// A learned timeout may only fire where something else can be tried; that is flight_plan's to know, not this one's. Not
// thread-safe; owned by one endpoint_latency.

#include "policies/latency_window.hpp"
#include "policies/time.hpp"

#include <array>
#include <cstdint>
#include <optional>

namespace evenkeel {

// One value for streams (to the first meaningful event), one for buffered answers (to the whole answer).
struct by_shape {
    duration stream, buffered;
    [[nodiscard]] constexpr duration of(bool streamed) const noexcept { return streamed ? stream : buffered; }
    bool operator==(const by_shape&) const = default;
};

struct adaptive_options {
    double quantile = 0.95;
    double multiplier = 3;
    std::uint32_t min_samples = 10;
    duration window = std::chrono::seconds{60};
    duration max = std::chrono::seconds{300};
    by_shape initial{std::chrono::seconds{30}, std::chrono::seconds{60}};
    by_shape min{std::chrono::seconds{10}, std::chrono::seconds{25}};
    bool operator==(const adaptive_options&) const = default;
};

class adaptive_timeout {
public:
    // `learned` holds at least min_samples, or `initial` is the answer.
    [[nodiscard]] duration decide(const adaptive_options& options, latency_window& learned, bool streamed,
                                  steady_time now) noexcept;
    // An attempt ended after `took`: it ran into its timeout, or it did not. One that ran into a shorter timeout than
    // the present one says nothing of the present one.
    void attempt_ended(bool streamed, duration took, bool timed_out, const adaptive_options& options,
                       steady_time now) noexcept;

private:
    enum class doubling : unsigned char { no, bounded, free };
    struct recent { // the attempts of the window that runs and of the one before
        struct counted {
            std::uint32_t ended = 0, timed_out = 0;
        };
        counted present, before;
        steady_time began{};
        void add(bool timed_out, duration window, steady_time now) noexcept;
        [[nodiscard]] double share() const noexcept;
    };
    struct side {                        // streams and buffered answers know nothing of each other
        std::optional<duration> current; // empty: never decided
        bool learned = false;            // current is not just `initial`: it does not fall freely
        duration highest{};              // in the window that began at window_began; what falling is counted from
        steady_time window_began{};
        steady_time holds_until{}; // doubled, and no attempt that was given this much can have ended
        std::optional<steady_time> slice_began;
        std::uint32_t ended = 0, ran_into_it = 0; // in the slice
        doubling due = doubling::no;
        recent lately;
    };
    static void close_slice(side& of, const adaptive_options& options, steady_time now) noexcept;
    [[nodiscard]] static duration least(side& of, const adaptive_options& options, steady_time now) noexcept;

    std::array<side, 2> sides_; // buffered, stream
};

} // namespace evenkeel

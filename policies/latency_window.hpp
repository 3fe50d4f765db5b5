#pragma once
// A latency distribution learned from censored data. An attempt that was cut off, because a sibling won or a timeout
// fired, says "longer than x", not "x" and not nothing: leaving it out, or taking it at its word, makes a learned
// timeout spiral down (reference: resilience semantics 6). Quantiles are Kaplan-Meier estimates over logarithmic
// buckets (Kaplan and Meier, JASA 1958), so they stay right whether or not losers are cancelled. What was cut off in
// the same bucket as an answer counts as half exposed to it (the life table's correction; Cutler and Ederer, J. Chronic
// Diseases 1958): losers of hedges end close together, and taking them all as later than the answers of their bucket
// makes a P95 2 % too long.
//
// Six slices of window/6 each; a sparse window reaches further back (up to 15 min) until it holds twice min_samples.
// The sums over all slices are kept, so that a read is one walk over the buckets. A slice with few samples is a list of
// them (2 bytes each), a busy one is counts: a sparse window takes 2 to 5 KB, a busy one 8 to 34 KB. Memory grows while
// a slice fills and is used again by the next; not every sample allocates.
//
// Not thread-safe; owned by one endpoint_latency. Time that stands still or goes back (a call overtaken by another
// thread's) is the latest time seen.

#include "policies/latency_buckets.hpp"
#include "policies/time.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace evenkeel {

// How abandoned samples are read: as cut off (the answer may have been far away: timeouts) or as answered (hedge
// delays).
enum class abandoned_as : unsigned char { cut_off, answered };

class latency_window {
public:
    static constexpr int slices_per_window = 6;
    static constexpr duration furthest_back = std::chrono::minutes{15}; // or the window, if that is longer

    explicit latency_window(duration window, std::uint32_t min_samples = 10) noexcept;
    void configure(duration window, std::uint32_t min_samples) noexcept; // after a reload; what was learned is kept

    void add(duration took, latency_sample kind, steady_time now) noexcept { add({took, kind}, now); }
    void add(latency_code sample, steady_time now) noexcept; // for adding one to several windows

    // The smallest latency (the middle of its bucket, relative error at most 1 %) that at least the share q of all
    // stays within. Empty: nothing known, or the estimate never falls to 1 - q (the tail was cut off).
    [[nodiscard]] std::optional<duration> quantile(double q, abandoned_as reading, steady_time now) noexcept;
    // Two in one walk; the first is the lower one.
    [[nodiscard]] std::array<std::optional<duration>, 2> quantiles(std::array<double, 2> q, abandoned_as reading,
                                                                   steady_time now) noexcept;
    // The same of those that answered, as if there were no others: too short, but no attempt that hangs can lengthen
    // it.
    [[nodiscard]] std::optional<duration> quantile_of_answered(double q, steady_time now) noexcept;
    [[nodiscard]] std::optional<duration> last_answer(steady_time now) noexcept; // the longest that was answered
    [[nodiscard]] std::uint32_t answered(steady_time now) noexcept;
    [[nodiscard]] std::uint32_t samples(steady_time now) noexcept { // of every kind
        turn(now);
        return held_;
    }

    // Adding windows (slices, keys, threads) is adding counts: bit-exact in any order (P6.6).
    void merge(const latency_window& other) noexcept;

    [[nodiscard]] std::size_t memory_bytes() const noexcept; // for tests of the bound

private:
    struct slice {
        std::int64_t number = 0; // of its beginning, in slice lengths since the clock's epoch
        std::uint32_t held = 0;
        bool dense = false;
        std::vector<latency_code> list; // while few
        std::unique_ptr<bucket_counts<std::uint16_t>> counted;
    };

    void turn(steady_time now) noexcept {
        if (now >= latest_ends_) begin_slice(now);
        if (!slices_.empty() && slices_.front().number <= latest_ - slices_per_window) forget();
    }
    void begin_slice(steady_time now) noexcept;
    void forget() noexcept;
    template <std::size_t N>
    [[nodiscard]] std::array<std::optional<duration>, N> walk(const std::array<double, N>& q,
                                                              abandoned_as reading) const noexcept;
    void drop(slice& old) noexcept;
    [[nodiscard]] slice& slice_of(std::int64_t number) noexcept;
    void count(slice& in, latency_code sample, std::uint16_t by) noexcept;
    void absorb(const slice& from, std::int64_t number) noexcept;

    duration slice_length_;
    std::uint32_t enough_; // until this many are held the window reaches back
    std::int64_t reach_;   // in slices
    std::int64_t latest_ = 0;
    steady_time latest_ends_{};
    std::vector<slice> slices_; // oldest first, none empty
    std::optional<slice> spare_;
    bucket_counts<std::uint32_t> sums_;
    std::array<std::uint32_t, latency_sample_kinds> of_kind_{};
    std::uint32_t held_ = 0;
};

} // namespace evenkeel

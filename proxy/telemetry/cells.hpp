#pragma once
// Counters and histograms as the hot path writes them: integers, added to with one relaxed instruction each, one copy
// per worker so that workers do not pass cache lines to and fro. A scrape adds the copies up. A worker's copy is made
// when it first counts something there: most routes of a large configuration are asked rarely, by few workers.
//
// prometheus-cpp's own Histogram takes a mutex per observation (measured: 17 ns alone, 142 ns with two threads on one
// series) and a thread that is scraping may be suspended while it holds one; an observer must not block.

#include "policies/time.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace evenkeel::telemetry {

using cell = std::atomic<std::uint64_t>; // gauges wrap: a sum over copies, read as signed, is right again

inline void add(cell& to, std::uint64_t amount = 1) noexcept { to.fetch_add(amount, std::memory_order_relaxed); }
inline void subtract(cell& from, std::uint64_t amount = 1) noexcept {
    from.fetch_sub(amount, std::memory_order_relaxed);
}
[[nodiscard]] inline std::uint64_t get(const cell& from) noexcept { return from.load(std::memory_order_relaxed); }

// What a histogram holds, added up.
struct histogram_view {
    std::array<double, 16> bounds{};        // seconds, ascending
    std::array<std::uint64_t, 17> counts{}; // not cumulative; the last one is beyond every bound
    std::size_t size = 0;                   // 0: nothing was ever observed
    double sum = 0.0;                       // seconds
};

// Bounds Unit * 2^0, 2^1, ... 2^(Doublings), then Extra milliseconds; each bound is inclusive, as Prometheus wants it.
template <std::int64_t UnitNanoseconds, std::size_t Doublings, std::int64_t... ExtraMilliseconds>
class histogram_cells {
public:
    static constexpr std::size_t bound_count = Doublings + 1 + sizeof...(ExtraMilliseconds);
    static_assert(bound_count <= 16);

    void observe(duration value) noexcept {
        const auto nanoseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(value.count(), 0));
        add(counts_[place(nanoseconds)]);
        add(sum_, nanoseconds);
    }

    void add_to(histogram_view& view) const noexcept {
        view.size = bound_count;
        std::size_t at = 0;
        // Doubling is exact, so the bounds print as they are read: 0.02, 0.04, ...
        for (double bound = static_cast<double>(UnitNanoseconds) / 1e9; at <= Doublings; bound *= 2)
            view.bounds[at++] = bound;
        ((view.bounds[at++] = static_cast<double>(ExtraMilliseconds) / 1e3), ...);
        for (std::size_t i = 0; i <= bound_count; ++i) view.counts[i] += get(counts_[i]);
        view.sum += static_cast<double>(get(sum_)) / 1e9;
    }

private:
    // value <= unit * 2^n exactly if (value - 1) / unit < 2^n, in whole numbers.
    [[nodiscard]] static std::size_t place(std::uint64_t nanoseconds) noexcept {
        if (nanoseconds == 0) return 0;
        const auto doublings =
            static_cast<std::size_t>(std::bit_width((nanoseconds - 1) / static_cast<std::uint64_t>(UnitNanoseconds)));
        if (doublings <= Doublings) return doublings;
        std::size_t at = Doublings + 1;
        static_cast<void>(
            ((nanoseconds > static_cast<std::uint64_t>(ExtraMilliseconds) * 1'000'000U && ++at != 0) && ...));
        return at;
    }

    std::array<cell, bound_count + 1> counts_{};
    cell sum_{0}; // nanoseconds; 584 years
};

// Every bound is a line of every route's scrape, so there are as many as somebody would decide by.
// What a call of a language model takes: 80 ms to 81.92 s doubling (less is an error or a test), then 300 s.
using long_histogram = histogram_cells<80'000'000, 10, 300'000>;
// What the proxy itself takes: 31.25 us to 1 ms doubling, then what says that something is wrong with the machine.
using short_histogram = histogram_cells<31'250, 5, 8, 64>;

// A small number per thread, in order of first use: workers get neighbouring ones.
[[nodiscard]] inline unsigned thread_number() noexcept {
    static std::atomic<unsigned> last{0};
    constinit thread_local unsigned mine = 0;
    if (mine == 0) [[unlikely]]
        mine = last.fetch_add(1, std::memory_order_relaxed) + 1;
    return mine;
}

// One copy of Cells per worker, made at its first use. Two threads on one copy are slower, not wrong.
template <class Cells>
class sharded {
public:
    explicit sharded(unsigned workers)
        : mask_(std::bit_ceil(std::clamp(workers, 1U, 16U)) - 1),
          copies_(std::make_unique<std::atomic<padded*>[]>(mask_ + 1)) {}
    sharded(const sharded&) = delete;
    sharded& operator=(const sharded&) = delete;
    ~sharded() {
        for (unsigned i = 0; i <= mask_; ++i) delete copies_[i].load(std::memory_order_relaxed);
    }

    [[nodiscard]] Cells& mine() noexcept {
        auto& place = copies_[thread_number() & mask_];
        padded* copy = place.load(std::memory_order_acquire);
        if (copy == nullptr) [[unlikely]]
            copy = &make(place);
        return copy->cells;
    }

    [[nodiscard]] std::uint64_t sum(auto&& cell_of) const {
        std::uint64_t total = 0;
        for_each([&](const Cells& cells) { total += get(cell_of(cells)); });
        return total;
    }
    [[nodiscard]] double gauge(auto&& cell_of) const {
        return static_cast<double>(static_cast<std::int64_t>(sum(cell_of)));
    }
    [[nodiscard]] histogram_view histogram(auto&& histogram_of) const {
        histogram_view view;
        for_each([&](const Cells& cells) { histogram_of(cells).add_to(view); });
        return view;
    }

private:
    struct alignas(64) padded {
        Cells cells;
    };
    void for_each(auto&& function) const {
        for (unsigned i = 0; i <= mask_; ++i)
            if (const padded* copy = copies_[i].load(std::memory_order_acquire)) function(copy->cells);
    }
    [[gnu::noinline]] static padded& make(std::atomic<padded*>& place) noexcept {
        auto fresh = std::make_unique<padded>();
        padded* there = nullptr; // another thread of the same number may have been faster
        const bool first =
            place.compare_exchange_strong(there, fresh.get(), std::memory_order_acq_rel, std::memory_order_acquire);
        return first ? *fresh.release() : *there;
    }

    unsigned mask_;
    std::unique_ptr<std::atomic<padded*>[]> copies_;
};

} // namespace evenkeel::telemetry

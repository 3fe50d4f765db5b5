#pragma once
// The latest attempts of one endpoint in the order in which they were started, each with what became of it. Start order
// matters: a failure reports after 0.4 s, a success after 4 s, so in order of report three failures of a healthy
// provider soon look consecutive (reference: policy evidence, pitfall 1).
//
// A ring that grows with what it has to hold: attempts without a verdict and verdicts of the window, so that a circuit
// with a few attempts a second takes 2 KiB and one that nobody uses nothing. It does not shrink. With more attempts in
// flight than it may hold, the next one would push out an attempt whose verdict is still awaited, and under load no
// verdict would ever find its place; such an attempt is left out instead, so the ring becomes a sample. Not
// thread-safe; owned by one circuit_breaker.

#include "policies/time.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace evenkeel {

enum class attempt_mark : unsigned char {
    pending,
    neutral,
    success,
    overloaded,
    timeout, // a failure of which silence is all there is: the endpoint may be dead, or have too much to do
    failure,
};

class start_order {
public:
    // More than start while one attempt waits for its timeout: at 128, ten a second and a timeout of 25 s, the verdicts
    // of an endpoint that fell silent were overwritten as they came. (160 a second; 64 KiB a circuit)
    static constexpr std::size_t size = 4096;
    // Held whatever their age: no row and no number of calls that is asked for is longer (failure_threshold,
    // min_calls).
    static constexpr std::size_t always_held = 128;

    // A place for an attempt that starts now; 0: none, because the one it would take belongs to an attempt younger than
    // `patience` without a verdict. Verdicts older than `window` may be forgotten.
    [[nodiscard]] std::uint64_t take(duration patience, duration window, steady_time now) noexcept;
    // Neutral only where nothing better is known. False: the place is gone, or was none.
    bool set(std::uint64_t place, attempt_mark what, steady_time now) noexcept;
    void clear() noexcept; // places taken so far are gone

    // Failures in a row, counted back from the newest verdict, at most `enough`. Neutral and overloaded ones are
    // skipped; an attempt without a verdict that is younger than `patience` ends the row ("not known yet"), an older
    // one is skipped.
    [[nodiscard]] int failures_in_a_row(int enough, duration patience, steady_time now) const noexcept;

    // Those of them that were told: timeouts are skipped.
    [[nodiscard]] int errors_in_a_row(duration patience, steady_time now) const noexcept;

    // Whether a row of failures that ends here is, in a window whose other verdicts are what they are, less likely than
    // `chance`: one of n has p^n, p = (failures + 1) / (verdicts + 2) of the others (Laplace's rule of succession).
    [[nodiscard]] bool unlikely(int row, double chance, duration window, steady_time now) const noexcept;

    struct tally {
        int calls = 0, failures = 0; // failures include overloaded ones and timeouts
    };
    // Of the verdicts that came less than `window` ago: by the time of the verdict, so that no timeout is too long for
    // the window (reference: resilience semantics, P5.8).
    [[nodiscard]] tally within(duration window, steady_time now) const noexcept { return within(window, 0, now); }
    // ... and of the latest `row` errors, which are in a row, however long ago they came.
    [[nodiscard]] tally within(duration window, int row, steady_time now) const noexcept;

private:
    [[nodiscard]] int in_a_row(int enough, bool timeouts, duration patience, steady_time now) const noexcept;
    struct attempt {
        steady_time when{}; // of its start while pending, then of its verdict
        attempt_mark what = attempt_mark::neutral;
    };
    [[nodiscard]] std::uint64_t oldest() const noexcept {
        return next_ - first_ > ring_.size() ? next_ - ring_.size() : first_;
    }
    [[nodiscard]] const attempt& at(std::uint64_t place) const noexcept { return ring_[place & (ring_.size() - 1)]; }
    void grow() noexcept;

    std::vector<attempt> ring_;          // a power of two of them, or none
    std::uint64_t first_ = 1, next_ = 1; // places first_ .. next_ - 1 have been given
};

} // namespace evenkeel

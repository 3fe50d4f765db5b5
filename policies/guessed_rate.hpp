#pragma once
// How fast requests may be sent where the provider says nothing of its quota but no: nothing is held back until it
// does, then a little less than what it had let in lately, and from there more as time passes and less with each
// further no (a little less than in proportion, and multiplicative decrease: whoever sends more is refused more often
// than it grows faster, so that those that do not know of each other come nearer to each other; after Chiu and Jain,
// 1989). What was under way when it was last lowered says nothing new. Where it holds nobody back for a while it is
// forgotten.
//
// Of one quota; not thread-safe.

#include "policies/time.hpp"

#include <optional>

namespace evenkeel {

class guessed_rate {
public:
    static constexpr double lowered_to = 0.85, begins_at = 0.9;
    static constexpr double grows_by = 0.00126; // a second, of its root (chosen)
    static constexpr duration forgotten_after = std::chrono::minutes{5};

    void sent(steady_time now) noexcept;
    void never_sent() noexcept { credit_ += 1; }
    void let_in(steady_time now) noexcept;
    void refused(steady_time sent, double headroom, steady_time now) noexcept;
    [[nodiscard]] bool known() const noexcept { return rate_.has_value(); }
    [[nodiscard]] duration until(double ahead, steady_time now) noexcept; // 0: now
    [[nodiscard]] std::optional<double> per_second() const noexcept { return rate_; }
    void forget() noexcept { rate_.reset(); }

private:
    void grow(steady_time now) noexcept;

    std::optional<double> rate_{};
    double credit_ = 0;
    steady_time grown_{}, lowered_{}, held_back_{};
    // Let in, in this and the last stretch of time.
    double now_in_ = 0, then_in_ = 0;
    steady_time began_{}, then_began_{};
};

} // namespace evenkeel

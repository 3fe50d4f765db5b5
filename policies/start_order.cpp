#include "policies/start_order.hpp"

#include <algorithm>
#include <cmath>

namespace evenkeel {

std::uint64_t start_order::take(duration patience, steady_time now) noexcept {
    attempt& at = ring_[next_ % size];
    const bool awaited = next_ - first_ >= size && at.what == attempt_mark::pending && now - at.when < patience;
    if (awaited) return 0;
    at = {now, attempt_mark::pending};
    return next_++;
}

bool start_order::set(std::uint64_t place, attempt_mark what, steady_time now) noexcept {
    if (place < oldest() || place >= next_) return false;
    attempt& at = ring_[place % size];
    if (what == attempt_mark::neutral && at.what != attempt_mark::pending) return true;
    at = {now, what};
    return true;
}

void start_order::clear() noexcept { first_ = next_; }

int start_order::failures_in_a_row(int enough, duration patience, steady_time now) const noexcept {
    int row = 0;
    for (std::uint64_t place = next_; place-- > oldest() && row < enough;) {
        const attempt& at = ring_[place % size];
        switch (at.what) {
        case attempt_mark::success: return row;
        case attempt_mark::failure: ++row; break;
        case attempt_mark::pending:
            if (row > 0 && now - at.when < patience) return row;
            break;
        case attempt_mark::neutral:
        case attempt_mark::overloaded: break;
        }
    }
    return row;
}

bool start_order::unlikely_row(int least, double chance, duration window, duration patience, steady_time now) const noexcept {
    const int row = failures_in_a_row(static_cast<int>(size), patience, now);
    if (row < least) return false;
    const auto [calls, failures] = within(window, now);
    const double p = (std::max(failures - row, 0) + 1.0) / (std::max(calls - row, 0) + 2.0);
    return row * std::log(p) <= std::log(chance);
}

start_order::tally start_order::within(duration window, steady_time now) const noexcept {
    tally all;
    for (std::uint64_t place = oldest(); place < next_; ++place) {
        const attempt& at = ring_[place % size];
        if (at.what < attempt_mark::success || now - at.when >= window) continue;
        ++all.calls;
        if (at.what != attempt_mark::success) ++all.failures;
    }
    return all;
}

} // namespace evenkeel

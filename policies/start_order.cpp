#include "policies/start_order.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace evenkeel {

std::uint64_t start_order::take(duration patience, duration window, steady_time now) noexcept {
    if (next_ - first_ >= ring_.size() && ring_.size() < size) {
        const auto wanted = [&](const attempt& one) {
            return one.what == attempt_mark::pending || now - one.when < window;
        };
        if (ring_.size() < always_held || wanted(at(next_))) grow();
    }
    attempt& mine = ring_[next_ & (ring_.size() - 1)];
    const bool awaited =
        next_ - first_ >= ring_.size() && mine.what == attempt_mark::pending && now - mine.when < patience;
    if (awaited) return 0;
    mine = {now, attempt_mark::pending};
    return next_++;
}

void start_order::grow() noexcept {
    constexpr std::size_t first_size = 16;
    std::vector<attempt> larger(ring_.empty() ? first_size : 2 * ring_.size());
    first_ = oldest(); // what was pushed out stays out
    for (std::uint64_t place = first_; place < next_; ++place) larger[place & (larger.size() - 1)] = at(place);
    ring_ = std::move(larger);
}

bool start_order::set(std::uint64_t place, attempt_mark what, steady_time now) noexcept {
    if (place < oldest() || place >= next_) return false;
    attempt& mine = ring_[place & (ring_.size() - 1)];
    if (what == attempt_mark::neutral && mine.what != attempt_mark::pending) return true;
    mine = {now, what};
    return true;
}

void start_order::clear() noexcept { first_ = next_; }

int start_order::failures_in_a_row(int enough, duration patience, steady_time now) const noexcept {
    return in_a_row(enough, true, patience, now);
}

int start_order::errors_in_a_row(duration patience, steady_time now) const noexcept {
    return in_a_row(static_cast<int>(size), false, patience, now);
}

int start_order::in_a_row(int enough, bool timeouts, duration patience, steady_time now) const noexcept {
    int row = 0;
    for (std::uint64_t place = next_; place-- > oldest() && row < enough;) {
        const attempt& one = at(place);
        switch (one.what) {
        case attempt_mark::success: return row;
        case attempt_mark::failure: ++row; break;
        case attempt_mark::timeout: row += timeouts; break;
        case attempt_mark::pending:
            if (row > 0 && now - one.when < patience) return row;
            break;
        case attempt_mark::neutral:
        case attempt_mark::overloaded: break;
        }
    }
    return row;
}

bool start_order::unlikely(int row, double chance, duration window, steady_time now) const noexcept {
    const auto [calls, failures] = within(window, now);
    const double p = (std::max(failures - row, 0) + 1.0) / (std::max(calls - row, 0) + 2.0);
    return row * std::log(p) <= std::log(chance);
}

start_order::tally start_order::within(duration window, int row, steady_time now) const noexcept {
    tally all;
    for (std::uint64_t place = next_; place-- > oldest();) {
        const attempt& one = at(place);
        if (one.what < attempt_mark::success) continue;
        const bool of_row = one.what == attempt_mark::failure && row-- > 0;
        if (!of_row && now - one.when >= window) continue;
        ++all.calls;
        if (one.what != attempt_mark::success) ++all.failures;
    }
    return all;
}

} // namespace evenkeel

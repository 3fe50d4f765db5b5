#include "policies/guessed_rate.hpp"

#include <algorithm>
#include <cmath>

namespace evenkeel {

namespace {
constexpr duration stretch = std::chrono::seconds{10}; // over which is measured what is let in (chosen)
constexpr double telling = 20;                         // (chosen)
constexpr double slowest = 1.0 / 60;                   // a second
} // namespace

void guessed_rate::let_in(steady_time now) noexcept {
    // Of slow ones for longer, or it would be chance.
    if (now - began_ >= stretch && (now_in_ >= telling || now - began_ >= 6 * stretch)) {
        then_in_ = now - began_ >= 12 * stretch ? 0 : now_in_;
        then_began_ = began_;
        began_ = now;
        now_in_ = 0;
    }
    ++now_in_;
}

void guessed_rate::refused(steady_time sent, double headroom, steady_time now) noexcept {
    if (rate_) {
        grow(now);
        if (sent < lowered_) return;
        rate_ = std::max(*rate_ * lowered_to, slowest);
    } else {
        const double since = in_seconds(now - (then_in_ > 0 ? then_began_ : began_));
        const double measured = began_ == steady_time{} ? 0 : (now_in_ + then_in_) / std::max(since, 1.0);
        rate_ = std::max(measured * begins_at * (1 - headroom), slowest);
        grown_ = now;
    }
    credit_ = std::min(credit_, 0.0);
    lowered_ = held_back_ = now;
}

void guessed_rate::grow(steady_time now) noexcept {
    const double passed = std::clamp(in_seconds(now - grown_), 0.0, 60.0);
    if (passed <= 0) return;
    grown_ = now;
    credit_ = std::min(credit_ + *rate_ * passed, std::max(2.0, *rate_ / 2));
    if (now - held_back_ > std::chrono::seconds{10}) return; // what nobody needs does not grow
    *rate_ *= std::exp(grows_by * std::sqrt(*rate_) * passed);
}

duration guessed_rate::until(double ahead, steady_time now) noexcept {
    if (!rate_) return {};
    if (now - held_back_ > forgotten_after) {
        rate_.reset();
        return {};
    }
    grow(now);
    if (credit_ >= 1 + ahead) return {};
    held_back_ = now;
    return std::max(scaled(std::chrono::seconds{1}, (1 + ahead - credit_) / *rate_),
                    duration{std::chrono::milliseconds{1}});
}

void guessed_rate::sent(steady_time now) noexcept {
    if (!rate_) return;
    grow(now);
    credit_ = std::max(credit_ - 1, -4.0);
}

} // namespace evenkeel

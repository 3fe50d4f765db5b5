#include "policies/quota_level.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace evenkeel {

namespace {
constexpr duration longest_reset = std::chrono::hours{25};
constexpr double share_memory = 60, rate_memory = 10;            // seconds (chosen)
constexpr duration unconfirmed_for = std::chrono::seconds{1};    // then what was sent counts as told (chosen)
constexpr duration looked_again = std::chrono::milliseconds{50}; // while nothing is told (chosen)
constexpr duration longest_way = std::chrono::milliseconds{250}; // of a request, as a window's end is told (chosen)
constexpr double fewest_unconfirmed = 4;                         // of the usual size (chosen)
constexpr int most_contradictions = 3;                           // contradictions until it is not (chosen)
constexpr std::array<duration, 5> usual_windows{std::chrono::seconds{1}, std::chrono::seconds{10},
                                                std::chrono::minutes{1}, std::chrono::hours{1}, std::chrono::hours{24}};

duration seconds_of(double count) noexcept { return scaled(std::chrono::seconds{1}, count); }
} // namespace

void quota_level::fix(double per_minute, steady_time now) noexcept {
    if (fixed_ && limit_ == per_minute) return;
    remaining_ = fixed_ ? std::min(left(now), per_minute) : per_minute;
    fixed_ = true;
    limit_ = per_minute;
    window_ = std::chrono::minutes{1};
    mark_ = total_;
    settled_ = 0;
    latest_ = now;
    steady_ = 1;
    ends_.reset();
    mine_ = foreign_ = foreign_rate_ = 0;
}

// The time to be whole, if it is a bucket's, is that of what is missing.
void quota_level::learn_window(const quota_field& field, double remaining) noexcept {
    if (field.window && *field.window > duration::zero() && *field.window <= longest_reset) {
        window_ = *field.window;
        if (steady_ == 0) steady_ = -2; // as it is meant: a window
    }
    const double missing = limit_ - remaining;
    if (!field.reset || missing < std::max(2.0, 0.005 * limit_)) return;
    const double took = std::max(in_seconds(*field.reset), 1e-3);
    const bool in_whole_seconds = std::fmod(took, 1.0) < 1e-6;
    const auto fits = [&](duration window) {
        const double expected = missing / limit_ * in_seconds(window);
        return std::abs(took - expected) <= 0.3 * expected + (in_whole_seconds ? 1.0 : 0.05);
    };
    if (fits(window_)) {
        steady_ = std::min(steady_ + 1, 4);
        return;
    }
    steady_ = std::max(steady_ - 1, -4);
    if (field.window || steady_ > 0) return;
    const auto other = std::find_if(usual_windows.begin(), usual_windows.end(), fits);
    if (other == usual_windows.end()) return;
    window_ = *other;
    steady_ = 1;
}

bool quota_level::told(const quota_field& field, double mark, steady_time sent, steady_time now) noexcept {
    if (fixed_ || distrusted_until_ > now || !field.remaining) return false;
    const double remaining = *field.remaining;
    if (!std::isfinite(remaining) || remaining < 0 || remaining > 1e15) return false;
    const bool has_limit = field.limit.has_value();
    if (has_limit && (!std::isfinite(*field.limit) || *field.limit < 1 || remaining > *field.limit * 1.01))
        return false;
    if (!has_limit && remaining < 1 && limit_ <= 0) return false;
    if (field.reset && (*field.reset < duration::zero() || *field.reset > longest_reset)) return false;
    const bool first = latest_ == steady_time{};
    if (!first && (mark < mark_ || sent < latest_)) return false; // an answer that was overtaken
    const double limit_before = limit_;
    // Where the limit is not told it is the most that ever was left.
    limit_ = has_limit ? *field.limit : std::max(limit_, remaining);
    learn_window(field, remaining);
    if (field.reset && steady_ < 0)
        ends_ = sent + *field.reset + std::clamp<duration>(now - sent, {}, longest_way);
    else
        ends_.reset();

    if (!first && limit_before == limit_) {
        const double passed = std::max(in_seconds(sent - latest_), 0.0);
        const double came = ends_ ? 0 : std::min(per_second() * passed, std::max(limit_ - remaining_, 0.0));
        const double mine = mark - mark_;
        const double used = remaining_ + came - remaining;
        const bool window_over = ends_ && remaining > remaining_ + 0.5;
        if (!window_over) {
            const double fade = std::exp(-passed / share_memory);
            mine_ = mine_ * fade + mine;
            foreign_ = foreign_ * fade + (used - mine);
            const double weight = 1 - std::exp(-std::max(passed, 1e-3) / rate_memory);
            const double rate =
                std::clamp((used - mine) / std::max(passed, 1e-3), -per_second() * 10, per_second() * 10);
            foreign_rate_ += weight * (rate - foreign_rate_);
        }
    } else if (first) { // who has taken what is missing is not known: it may have been anybody
        mine_ = mark;
        foreign_ = limit_ - remaining > 0.95 * limit_ ? 0 : std::max(limit_ - remaining - mark, 0.0);
    }
    remaining_ = remaining;
    mark_ = mark;
    settled_ = 0;
    latest_ = sent;
    return true;
}

double quota_level::others() const noexcept { return std::max(foreign_rate_, 0.0); }

double quota_level::share() const noexcept {
    const double foreign = std::max(foreign_ - 1, 0.0); // rounding is nobody
    if (foreign <= 0) return 1;
    return std::clamp(mine_ / std::max(mine_ + foreign, 1e-9), 0.001, 1.0);
}

// No more than there can be.
double quota_level::left(steady_time now) const noexcept { return std::min(reckoned(now), limit_); }

double quota_level::reckoned(steady_time now) const noexcept {
    const double since = total_ - mark_ + settled_;
    const double passed = std::max(in_seconds(now - latest_), 0.0);
    if (ends_) {
        if (now < *ends_) return remaining_ - since - std::min(others() * passed, 0.5 * remaining_);
        const double into = in_seconds(now - *ends_); // the next one; what was sent in it is not known to be
        return limit_ - std::min(last_sent_ >= *ends_ ? since : 0.0, limit_) - std::min(others() * into, 0.5 * limit_);
    }
    // How much others take is believed for as long as it takes to find out.
    const double net = per_second() - std::min(others() * std::exp(-passed / share_memory), per_second());
    return remaining_ + net * passed - since;
}

double quota_level::time_left(steady_time now) const noexcept {
    const double whole = std::max(in_seconds(window_), 1e-3);
    if (!ends_ || now >= *ends_) return 1;
    return std::clamp(in_seconds(*ends_ - now) / whole, std::min(1 / whole, 1.0), 1.0);
}

quota_level::zone quota_level::zone_of(pace_priority who, double headroom, double have,
                                       steady_time now) const noexcept {
    const double kept = headroom + (who == pace_priority::batch ? batch_reserve : 0.0);
    const bool alone = share() > 0.95;
    if (!ends_) return {kept * limit_, (kept + (alone ? 0.0 : shared_zone)) * limit_, 1};
    const double all = time_left(now) * limit_;
    if (alone) return {kept * all, kept * all, 1};
    return {kept * all, std::max(std::min(window_top * all, window_free * limit_), kept * all + 1),
            std::clamp(have / all, 0.0, 2.0)};
}

double quota_level::rate_in(const zone& of, double have) const noexcept {
    if (of.top <= of.floor) return per_second();
    const double height = std::clamp((have - of.floor) / (of.top - of.floor), 0.0, 1.0);
    return std::max(of.even, 0.1) * per_second() * std::pow(10.0, -(ends_ ? window_decades : decades) * (1 - height));
}

double quota_level::pace(pace_priority who, double headroom, steady_time now) const noexcept {
    const double have = left(now);
    return rate_in(zone_of(who, headroom, have, now), have);
}

void quota_level::earn(double headroom, steady_time now) noexcept {
    const double passed = std::clamp(in_seconds(now - earned_), 0.0, 60.0);
    earned_ = std::max(earned_, now);
    if (passed <= 0) return;
    for (const pace_priority who : {pace_priority::interactive, pace_priority::batch}) {
        const double rate = pace(who, headroom, now);
        double& credit = credit_[static_cast<std::size_t>(who)];
        credit = std::min(credit + rate * passed, std::max(2 * usual_, 2 * rate));
    }
}

duration quota_level::until(double amount, double ahead, pace_priority who, double headroom, steady_time now) noexcept {
    amount = std::min(amount, 0.5 * limit_); // what is more than there ever is waits for half of it
    const double have = left(now);
    const zone of = zone_of(who, headroom, have, now);
    const double needed = of.floor + ahead + amount;
    if (have < needed) {
        if (ends_ && now < *ends_) { // the floor falls with the time that is left
            const double spare = have - ahead - amount, rest = in_seconds(*ends_ - now);
            const double falls = spare <= 0 ? rest : rest * (1 - spare / std::max(of.floor, 1e-9));
            return std::max(seconds_of(std::min(falls, rest)), looked_again);
        }
        const double net = std::max(per_second() - others(), 0.05 * per_second());
        return std::max(seconds_of((needed - have) / net), duration{std::chrono::milliseconds{1}});
    }
    if (of.top <= of.floor) return {};
    if (have - ahead - amount >= of.top) { // it costs nothing: but what is not told of yet is bounded
        const double unconfirmed = total_ - mark_;
        const double allowed = std::max(fewest_unconfirmed * std::max(usual_, amount), share() * have / 2);
        if (unconfirmed + ahead + amount <= allowed || now - last_sent_ >= unconfirmed_for) return {};
        return looked_again;
    }
    earn(headroom, now);
    const double rate = rate_in(of, have);
    const double wanted = ahead > 0 ? ahead + amount : std::min(amount, std::max(2 * usual_, 2 * rate));
    const double credit = credit_[static_cast<std::size_t>(who)];
    if (credit >= wanted) return {};
    return std::max(seconds_of((wanted - credit) / rate), duration{std::chrono::milliseconds{1}});
}

double quota_level::sent(double amount, double headroom, steady_time now) noexcept {
    if (known(now)) {
        earn(headroom, now);
        settled_ += std::max(reckoned(now) - limit_, 0.0); // what has run over is not there
        for (double& credit : credit_) credit = std::max(credit - amount, -4 * std::max(amount, usual_));
    }
    usual_ = usual_ <= 0 ? amount : usual_ + 0.05 * (amount - usual_);
    last_sent_ = std::max(last_sent_, now);
    total_ += amount;
    return total_;
}

// What was told since knows of it; what it was before was taken for somebody else's, or for too much.
void quota_level::settle(double more) noexcept {
    settled_ += more;
    mine_ += more;
    foreign_ -= more;
}

// Refused: whatever was thought to be left is not.
void quota_level::refused(double mark, steady_time sent, steady_time now) noexcept {
    if (fixed_ || !known(now) || sent < latest_ || mark < mark_) return;
    remaining_ = settled_ = 0;
    mark_ = mark;
    latest_ = sent;
}

void quota_level::contradicted(steady_time now) noexcept {
    if (fixed_ || ++contradictions_ < most_contradictions) return;
    contradictions_ = 0;
    distrusted_until_ = now + distrust_;
    distrust_ = std::min<duration>(distrust_ * 2, std::chrono::hours{6});
    latest_ = {};
    limit_ = 0;
    mine_ = foreign_ = foreign_rate_ = 0;
}

} // namespace evenkeel

// Verdicts and completions are counted in slices of the window, and what is usual is learned at the end of each: no
// attempt costs more than a few additions. Only overload is noticed within a slice, at the verdict that shows it.

#include "policies/overload_control.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

namespace evenkeel {

namespace {
// Chosen by simulating whole scenarios (`evenkeel simulate --model all`, ten seeds). With less room (1.1, 1.2) more
// retries and hedges find none in time where a fifth of all answers is slow; with more (1.4, 1.6) little is won, and a
// provider whose capacity is a tenth above what it needs in its brown-out is pushed over.
constexpr double least_room = 4;
constexpr double room_over_usual = 1.1, room_over_peak = 1.5, room_in_overload = 0.9;
constexpr double extra_share = 0.15; // of completions/s: extra attempts above the usual concurrency, while crowded
constexpr int old_after = 2;         // usual times
constexpr double crowded_from = 0.3, crowded_over_usual = 1.2; // share of old attempts: 0.3 + 1.2 x the usual share
constexpr double crowded_in_recovery = 0.2; // instead of 0.3: a provider that is just back is pushed over sooner
constexpr int crowded_least = 3;            // old attempts
constexpr double usual_horizon = 120;       // seconds averaged over
constexpr double peak_horizon = 900;        // seconds
constexpr double served_well = 1.25;        // usual times
constexpr double known_from = 20;           // completions within the horizon, and
constexpr double known_after = 3;           // usual times

constexpr double squeezed = 0.9; // per window of overload
// A quick start and slow growth: what was held is let go before its time is up, and a provider that is a tenth short of
// what it had before is not pushed over (with 1.6 and 4 one in three of those fell).
constexpr double recovery_start = 2.1; // of the usual concurrency
constexpr double growth = 1;           // of a limit, per limit's worth of successes
constexpr double recovery_cut = 0.7;   // per window, while crowded
constexpr double held_share = 0.9;     // of the limit: the rest is for those who come now
constexpr int quiet_slices = 2;        // of the window's ten in which nobody had to wait, and recovery is over

constexpr int unlimited = 1'000'000;
constexpr duration soonest = std::chrono::milliseconds{10}, latest = std::chrono::seconds{1};
constexpr std::int64_t most_slices = 1000; // that are caught up with after a silence

} // namespace

overload_control::place::place(place&& from) noexcept
    : of_(std::exchange(from.of_, nullptr)), share_(std::exchange(from.share_, nullptr)), number_(from.number_),
      who_(from.who_), reported_(from.reported_), succeeded_(from.succeeded_), took_(from.took_) {}

overload_control::place& overload_control::place::operator=(place&& from) noexcept {
    if (this == &from) return *this;
    if (of_ != nullptr) {
        const std::scoped_lock lock(of_->mutex_);
        of_->note_leave(*this, std::nullopt);
    }
    of_ = std::exchange(from.of_, nullptr);
    share_ = std::exchange(from.share_, nullptr);
    number_ = from.number_;
    who_ = from.who_;
    reported_ = from.reported_;
    succeeded_ = from.succeeded_;
    took_ = from.took_;
    return *this;
}

overload_control::place::~place() {
    if (of_ == nullptr) return;
    const std::scoped_lock lock(of_->mutex_);
    of_->note_leave(*this, std::nullopt);
}

bool overload_control::place::give_verdict(verdict what, duration took, steady_time now) noexcept {
    if (of_ == nullptr) return false;
    bool changed = false;
    const std::scoped_lock lock(of_->mutex_);
    of_->note_verdict(*this, what, took, now, changed);
    return changed;
}

void overload_control::place::leave(steady_time now) noexcept {
    if (of_ == nullptr) return;
    const std::scoped_lock lock(of_->mutex_);
    std::exchange(of_, nullptr)->note_leave(*this, now);
}

bool overload_control::place::end(verdict what, duration took, steady_time now) noexcept {
    if (of_ == nullptr) return false;
    bool changed = false;
    const std::scoped_lock lock(of_->mutex_);
    of_->note_verdict(*this, what, took, now, changed);
    std::exchange(of_, nullptr)->note_leave(*this, now);
    return changed;
}

// A success is worth growth / limit of room: a limit's worth of them is one more place, whatever the rate. Overload is
// entered here and not at the end of a slice, since a collapse takes less than that; it is left by time alone.
void overload_control::note_verdict(place& by, verdict what, duration took, steady_time now, bool& changed) noexcept {
    turn(now);
    if (!by.reported_ && what != verdict::neutral) {
        by.reported_ = true;
        slice& at = slices_[current_];
        const bool bad = what == verdict::timeout || what == verdict::overloaded;
        by.succeeded_ = what == verdict::success;
        by.took_ = took;
        ++at.verdicts, ++sum_.verdicts;
        at.bad += bad, sum_.bad += bad;
        at.successes += by.succeeded_, sum_.successes += by.succeeded_;
        if (by.share_ != nullptr) learn_share(*by.share_, what, took);
        if (by.succeeded_ && recovering_ && !crowded_) limit_ += growth / limit_;
        if (by.succeeded_ && crowded_ && calm(now)) extra_limit_ += growth / extra_limit_;
        if (bad && !overloaded_ && sum_.verdicts >= options_.min_verdicts && share_bad() >= options_.ratio) {
            overloaded_ = crowded_ = true;
            squeeze_ = 1;
            extra_limit_ = room_known();
            calm_since_ = cut_ = trouble_ = now;
        }
    }
    changed = std::exchange(told_, overloaded_) != overloaded_; // time may have changed it before
}

// Completions alone enter the sums: by Little's law they give the concurrency that was *served* (header). One that is
// destroyed without a time to go by has occupied its place until its verdict, as far as anybody knows.
void overload_control::note_leave(place& by, std::optional<steady_time> now) noexcept {
    const steady_time start = attempts_.leave(by.number_);
    if (by.share_ != nullptr) --(by.who_ == priority::now ? by.share_->firsts : by.share_->extras);
    if (!by.succeeded_) return;
    const double work = in_seconds(now ? *now - start : by.took_);
    slice& at = slices_[current_];
    at.work += work, sum_.work += work;
    ++at.completed, ++sum_.completed;
}

overload_control::overload_control(const overload_options& options) noexcept : options_(options) {}

void overload_control::configure(const overload_options& options) noexcept {
    const std::scoped_lock lock(mutex_);
    options_ = options;
}

double overload_control::share_bad() const noexcept {
    return sum_.verdicts == 0 ? 0 : static_cast<double>(sum_.bad) / sum_.verdicts;
}

bool overload_control::calm(steady_time now) const noexcept { return now - trouble_ >= options_.window; }

// In the beginning only what is quick has completed.
bool overload_control::known() const noexcept {
    return rate_ * usual_horizon >= known_from && averaged_ * usual_horizon >= known_after * in_seconds(usual_time());
}

duration overload_control::usual_time() const noexcept {
    constexpr double for_ever = 1e8; // seconds
    return scaled(std::chrono::seconds{1}, usual_ < rate_ * for_ever ? usual_ / rate_ : for_ever);
}

double overload_control::completions_per_second(steady_time now) const noexcept {
    const duration covered = static_cast<int>(slice_count - 1) * slice_length() + (now - slice_began_.value_or(now));
    return sum_.successes / in_seconds(covered);
}

duration overload_control::slice_length() const noexcept {
    return std::max<duration>(options_.window / static_cast<int>(slice_count), std::chrono::milliseconds{1});
}

// Slices end when somebody asks. After a long silence not all of them are made up for: the averages have forgotten by
// then what they would forget in the rest.
void overload_control::turn(steady_time now) noexcept {
    if (!slice_began_) slice_began_ = now;
    const duration length = slice_length();
    if (now - *slice_began_ < length) return;
    const std::int64_t passed = (now - *slice_began_) / length;
    for (std::int64_t i = std::max<std::int64_t>(passed - most_slices, 0); i < passed; ++i) {
        slice_ended(*slice_began_ + (i + 1) * length, in_seconds(length));
    }
    *slice_began_ += passed * length;
}

void overload_control::slice_ended(steady_time end, double length) noexcept {
    if (!down_) learn_usual(end, length);
    current_ = (current_ + 1) % slice_count;
    slice& gone = slices_[current_];
    sum_.verdicts -= gone.verdicts;
    sum_.bad -= gone.bad;
    sum_.successes -= gone.successes;
    sum_.completed -= gone.completed;
    sum_.work = std::max(sum_.work - gone.work, 0.0);
    gone = {};
    watch_overload(end);
    if (recovering_) watch_recovery(end);
}

// Whether it is crowded, judged by what was usual until now; then what is usual, with this slice. Not called while the
// endpoint is down, whose zeros would soon be taken for the usual. Until the horizon is full the averages are plain
// means of what was seen (gain = 1/n), so that the first minutes are not averaged with nothing.
void overload_control::learn_usual(steady_time end, double length) noexcept {
    const int all = attempts_.count(), old = attempts_.older_than(usual_time() * 3 / 2, end);
    const double old_part = all == 0 ? 0 : static_cast<double>(old) / all;
    if (known()) {
        const bool slow = old >= crowded_least && old_part >= (recovering_ ? crowded_in_recovery : crowded_from) +
                                                                  crowded_over_usual * old_share_;
        if (slow || overloaded_) {
            trouble_ = end;
            crowded_ = true;
            extra_limit_ = room_known();
        }
        // Those who wait now must not all go at once: the limit grows until it is none any more.
        const bool nobody_waits = end - refused_ >= options_.window;
        if (crowded_ && calm(end) && (nobody_waits || extra_limit_ >= room_over_peak * peak_)) crowded_ = false;
        const bool well = sum_.work <= served_well * sum_.completed * in_seconds(usual_time());
        if (well && !crowded_) peak_ = std::max(peak_, sum_.work / (length * slice_count));
    }
    peak_ *= 1 - length / peak_horizon; // what was served a quarter of an hour ago may not be now

    const slice& done = slices_[current_];
    const double gain = std::min(length / (averaged_ * usual_horizon + length), 1.0);
    usual_ += gain * (done.work / length - usual_);
    rate_ += gain * (done.completed / length - rate_);
    old_share_ += gain * (old_part - old_share_);
    averaged_ = std::min(averaged_ + length / usual_horizon, 1.0);
}

// Left at half of what it is entered at, and for a whole window: at one threshold it would flap with every slice.
void overload_control::watch_overload(steady_time end) noexcept {
    if (!overloaded_) return;
    if (share_bad() >= options_.ratio / 2) calm_since_ = end;
    if (share_bad() >= options_.ratio && end - cut_ >= options_.window) {
        squeeze_ *= squeezed;
        cut_ = end;
    }
    if (end - calm_since_ >= options_.window) overloaded_ = false;
}

double overload_control::room_known() const noexcept {
    return std::max(least_room, overloaded_ ? room_in_overload * squeeze_ * usual_ : room_over_usual * usual_ + 1);
}

double overload_control::extra_limit() const noexcept {
    return crowded_ ? std::max(extra_limit_, room_known()) : std::max(room_known(), room_over_peak * peak_);
}

bool overload_control::spaced(steady_time now) const noexcept {
    return !extra_ || in_seconds(now - *extra_) * extra_share * rate_ >= 1;
}

// What cannot wait is limited by nothing but a recovery, and while nothing is known nobody is. Attempts that are older
// than any answer takes are not counted: a provider that hangs would otherwise never have room for what finds out that
// it hangs no longer.
int overload_control::room(duration attempt_timeout, steady_time now, priority who) {
    const std::scoped_lock lock(mutex_);
    turn(now);
    const bool waits = who == priority::can_wait;
    if (!recovering_ && (!waits || !options_.on || !known())) return unlimited;
    const int counting =
        attempts_.count() - attempts_.older_than(std::min(attempt_timeout, old_after * usual_time()), now);
    double limit = unlimited;
    if (recovering_) limit = limit_ * (waits ? held_share : 1);
    if (!recovering_ && waits) limit = extra_limit();
    // Below what is usual whoever waits may go; above it only a few, each after the other.
    const bool too_soon = !recovering_ && crowded_ && !calm(now) && counting >= usual_ && !spaced(now);
    const int left = too_soon ? 0 : std::max(static_cast<int>(std::ceil(limit)) - counting, 0);
    if (left == 0) (recovering_ ? blocked_ : refused_) = now;
    return left;
}

bool overload_control::room_at(const share& endpoint, std::size_t ahead, steady_time now) {
    const std::scoped_lock lock(mutex_);
    turn(now);
    const std::size_t here = static_cast<std::size_t>(endpoint.extras) + ahead;
    return endpoint.firsts == 0 && here < static_cast<std::size_t>(endpoint.shown);
}

bool overload_control::takes_over(const share& endpoint, steady_time now) {
    const std::scoped_lock lock(mutex_);
    turn(now);
    return !recovering_ && endpoint.extras < std::max(endpoint.shown, most_moved);
}

// As a window of TCP grows: only while it is used, and by what came back in time.
void overload_control::learn_share(share& endpoint, verdict what, duration took) const noexcept {
    const bool usual = !known() || in_seconds(took) <= served_well * in_seconds(usual_time());
    if (what != verdict::success) {
        endpoint.shown = 0;
    } else if (!usual) {
        endpoint.shown /= 2;
    } else if (endpoint.shown <= endpoint.extras) {
        ++endpoint.shown;
    }
}

bool overload_control::overload_active(steady_time now) {
    const std::scoped_lock lock(mutex_);
    turn(now);
    return overloaded_;
}

overload_control::place overload_control::enter(steady_time now, priority who, share* endpoint) {
    const std::scoped_lock lock(mutex_);
    turn(now);
    if (who == priority::can_wait) extra_ = now;
    place got;
    got.number_ = attempts_.enter(now);
    got.of_ = this;
    got.who_ = who;
    got.share_ = endpoint;
    if (endpoint != nullptr) ++(who == priority::now ? endpoint->firsts : endpoint->extras);
    return got;
}

steady_time overload_control::ask_again(steady_time now) {
    const std::scoped_lock lock(mutex_);
    turn(now);
    const double rate = completions_per_second(now);
    const duration pause = rate * in_seconds(latest) > 1 ? duration{static_cast<duration::rep>(1e9 / rate)} : latest;
    return now + std::clamp(pause, soonest, latest);
}

void overload_control::circuit_opened(steady_time now) {
    const std::scoped_lock lock(mutex_);
    turn(now);
    down_ = true;
}

// cut_ lies a window back, so that a provider that is crowded at once is cut at once.
void overload_control::circuit_closed(duration ramp, steady_time now) {
    const std::scoped_lock lock(mutex_);
    turn(now);
    down_ = false;
    if (ramp <= duration::zero()) return;
    recovering_ = true;
    recovering_until_ = now + ramp;
    cut_ = now - options_.window;
    limit_ = std::max(least_room, recovery_start * usual_);
}

// Multiplicative decrease where it is crowded, never above where it began. Over when its time is up and nobody had to
// wait for a while: a limit that is still felt is still needed.
void overload_control::watch_recovery(steady_time end) noexcept {
    if (crowded_ && end - cut_ >= options_.window) {
        limit_ = std::max(least_room, std::min(limit_ * recovery_cut, recovery_start * usual_));
        cut_ = end;
    }
    if (end >= recovering_until_ && end - blocked_ >= quiet_slices * slice_length()) recovering_ = false;
}

overload_control::summary overload_control::report(steady_time now) {
    const std::scoped_lock lock(mutex_);
    turn(now);
    summary all;
    all.active = overloaded_;
    all.crowded = crowded_;
    all.recovering = recovering_;
    if (recovering_) all.limit = limit_;
    if (!recovering_ && known()) all.limit = extra_limit();
    all.in_service = attempts_.count();
    all.usual = usual_;
    all.completions_per_second = completions_per_second(now);
    return all;
}

} // namespace evenkeel

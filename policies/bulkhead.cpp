#include "policies/bulkhead.hpp"

#include "policies/assert.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>

namespace evenkeel {

namespace {
constexpr double least_retry_after = 0.125, most_retry_after = 10; // seconds, before the spread
// Of one gap in the mean: about the last ten count (chosen).
constexpr double gain = 0.2;

void identify(bulkhead::requester& who) noexcept {
    if (who.known == 0) who.known = who.identify(who.context);
}

std::uint32_t share_of(int all, double share) noexcept {
    return std::max(1U, static_cast<std::uint32_t>(std::floor(share * all + 1e-9)));
}
} // namespace

const char* to_string(bulkhead_refusal why) noexcept {
    switch (why) {
    case bulkhead_refusal::none: return "none";
    case bulkhead_refusal::queue_full: return "queue_full";
    case bulkhead_refusal::tenant_share: return "tenant_share";
    case bulkhead_refusal::queue_timeout: return "queue_timeout";
    }
    return "none";
}

void bulkhead::configure(const bulkhead_options& options) {
    waking woken;
    {
        const std::scoped_lock lock(mutex_);
        options_ = options;
        limit_ = static_cast<std::uint32_t>(std::max(options.max_concurrent, 1));
        if (in_use_.load(std::memory_order_relaxed) >= limit_) full_since_ = latest_;
        share_ = share_of(options.max_concurrent, options.tenant_share);
        queue_share_ = share_of(options.max_queue, options.tenant_share);
        // Where no tenant is limited, nobody is identified before somebody waits.
        known_at_.store(options.tenant_share < 1 ? std::min(limit_ / 4, known_from) : UINT32_MAX,
                        std::memory_order_relaxed);
        give_to_waiting(latest_, woken);
    }
    for (const auto& one : woken) one->wake();
}

std::optional<bulkhead::slot> bulkhead::enter(requester who, steady_time now) {
    // Outside the mutex, where others need not wait for it.
    if (in_use_.load(std::memory_order_relaxed) >= known_at_.load(std::memory_order_relaxed)) identify(who);
    const std::scoped_lock lock(mutex_);
    if (in_use_.load(std::memory_order_relaxed) >= limit_) return std::nullopt; // below it nobody waits
    return take(who, now);
}

bulkhead::slot bulkhead::take(const requester& who, steady_time now) {
    if (free_.empty()) {
        free_.push_back(static_cast<slot>(holders_.size()));
        holders_.emplace_back();
    }
    const slot which = free_.back();
    free_.pop_back();
    holders_[which] = {who, true};
    if (who.known != 0) ++tenants_[who.known].held;
    const std::uint32_t now_out = in_use_.load(std::memory_order_relaxed) + 1;
    in_use_.store(now_out, std::memory_order_relaxed);
    if (now_out == limit_) full_since_ = now;
    latest_ = std::max(latest_, now);
    return which;
}

void bulkhead::leave(slot which, steady_time now) {
    waking woken;
    {
        const std::scoped_lock lock(mutex_);
        const bool all_out = in_use_.load(std::memory_order_relaxed) >= limit_;
        put_back(which);
        latest_ = std::max(latest_, now);
        if (all_out) {
            const double gap = in_seconds(now - std::max(full_since_, freed_));
            gap_ = gap_ == 0 ? gap : gap_ + gain * (gap - gap_);
            freed_ = now;
        }
        if (!queue_.empty()) give_to_waiting(now, woken);
    }
    for (const auto& one : woken) one->wake();
}

bool bulkhead::leave_unnoticed(slot which) noexcept {
    const std::scoped_lock lock(mutex_);
    if (in_use_.load(std::memory_order_relaxed) >= limit_) return false; // below it nobody waits
    put_back(which);
    return true;
}

void bulkhead::put_back(slot which) noexcept {
    EVENKEEL_ASSERT(holders_[which].taken, "a permit is given back twice");
    const std::uint64_t principal = holders_[which].who.known;
    holders_[which].taken = false;
    free_.push_back(which); // has had room for it
    in_use_.store(in_use_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    if (principal == 0) return;
    --tenants_.find(principal)->second.held;
    forget_if_idle(principal);
}

void bulkhead::forget_if_idle(std::uint64_t principal) noexcept {
    const auto found = tenants_.find(principal);
    if (found != tenants_.end() && found->second.held == 0 && found->second.queued == 0) tenants_.erase(found);
}

// Those that got their permit before anybody waited: at most known_from of them.
void bulkhead::identify_all() {
    for (holder& each : holders_) {
        if (!each.taken || each.who.known != 0) continue;
        identify(each.who);
        ++tenants_[each.who.known].held;
    }
}

bulkhead::entry bulkhead::wait(const std::shared_ptr<waiter>& one, requester who, steady_time until, steady_time now) {
    identify(who);
    waking woken;
    entry result;
    {
        const std::scoped_lock lock(mutex_);
        latest_ = std::max(latest_, now);
        if (in_use_.load(std::memory_order_relaxed) < limit_) { // one has come back meanwhile
            result.given = take(who, now);
            return result;
        }
        if (options_.queue_timeout) until = std::min(until, now + *options_.queue_timeout);
        if (until <= now) {
            result.refused = bulkhead_refusal::queue_timeout;
            return result;
        }
        identify_all();
        drop_expired(now);
        tenant& mine = tenants_[who.known];
        const bool others_wait = queue_.size() > mine.queued;
        if (others_wait && options_.tenant_share < 1 && mine.queued >= queue_share_) {
            result = {.refused = bulkhead_refusal::tenant_share, .limited = true};
        } else if (queue_.size() >= static_cast<std::size_t>(options_.max_queue) &&
                   (mine.queued >= queue_share_ || !make_room(woken))) {
            result.refused = bulkhead_refusal::queue_full;
        } else {
            ++mine.queued;
            one->tenant_ = &mine; // stays where it is while it is in use
            one->who_ = who;
            one->until_ = until;
            one->place_ = queue_.insert(queue_.end(), one);
        }
        forget_if_idle(who.known);
    }
    for (const auto& each : woken) each->wake();
    return result;
}

bulkhead::entry bulkhead::stop_waiting(waiter& one) {
    const std::scoped_lock lock(mutex_);
    if (one.tenant_ != nullptr) {
        take_out(one);
        one.refused_ = bulkhead_refusal::queue_timeout;
    }
    return {.given = one.given_, .refused = one.refused_, .limited = one.passed_over_};
}

// `one` may be gone afterwards, unless somebody else holds it.
void bulkhead::take_out(waiter& one) noexcept {
    --one.tenant_->queued;
    one.tenant_ = nullptr;
    const std::uint64_t principal = one.who_.known;
    queue_.erase(one.place_);
    forget_if_idle(principal);
}

// Nobody is given a permit it can no longer use; its own timer tells it.
void bulkhead::drop_expired(steady_time now) {
    for (auto next = queue_.begin(); next != queue_.end();) {
        if ((*next)->until_ > now) {
            ++next;
            continue;
        }
        const std::shared_ptr<waiter> one = *next++;
        take_out(*one);
        one->refused_ = bulkhead_refusal::queue_timeout;
    }
}

// The youngest request of the tenant that has most over its share goes.
bool bulkhead::make_room(waking& woken) {
    if (options_.tenant_share >= 1 || queue_.empty()) return false;
    const tenant* most = nullptr;
    for (const auto& [principal, each] : tenants_) {
        if (each.queued > queue_share_ && (most == nullptr || each.queued > most->queued)) most = &each;
    }
    if (most == nullptr) return false;
    const auto youngest =
        std::find_if(queue_.rbegin(), queue_.rend(), [&](const auto& one) { return one->tenant_ == most; });
    const std::shared_ptr<waiter> one = *youngest;
    take_out(*one);
    one->refused_ = bulkhead_refusal::tenant_share;
    one->passed_over_ = true;
    woken.push_back(one);
    return true;
}

bulkhead::waiter* bulkhead::next_in_turn() noexcept {
    if (options_.tenant_share >= 1) return queue_.front().get();
    waiter* least = nullptr;
    for (const auto& one : queue_) {
        if (one->tenant_->held < share_) {
            for (const auto& before : queue_) {
                if (before == one) break;
                before->passed_over_ = true;
            }
            return one.get();
        }
        if (least == nullptr || one->tenant_->held < least->tenant_->held) least = one.get();
    }
    return least;
}

void bulkhead::give_to_waiting(steady_time now, waking& woken) {
    if (queue_.empty()) return;
    drop_expired(now);
    while (!queue_.empty() && in_use_.load(std::memory_order_relaxed) < limit_) {
        const std::shared_ptr<waiter> one = *next_in_turn()->place_;
        one->given_ = take(one->who_, now); // first: its tenant stays known
        take_out(*one);
        woken.push_back(one);
    }
}

duration bulkhead::retry_after(double u, steady_time now) const {
    const std::scoped_lock lock(mutex_);
    // A silence longer than the gaps so far says that permits come free more slowly now.
    const double gap = std::max(gap_, in_seconds(now - std::max(full_since_, freed_)));
    const double wait = std::clamp(gap * static_cast<double>(queue_.size() + 1), least_retry_after, most_retry_after);
    return scaled(std::chrono::seconds{1}, wait * (0.8 + 0.2 * u));
}

bulkhead::summary bulkhead::report() const {
    const std::scoped_lock lock(mutex_);
    return {.in_use = static_cast<int>(in_use_.load(std::memory_order_relaxed)),
            .limit = options_.max_concurrent,
            .queued = static_cast<int>(queue_.size()),
            .queue_limit = options_.max_queue};
}

} // namespace evenkeel

#include "proxy/net/timer_queue.hpp"

#include <algorithm>
#include <bit>

namespace evenkeel::net {

namespace {
constexpr duration tick_length = std::chrono::milliseconds{1};
constexpr unsigned bits = 6;
constexpr std::uint64_t mask = 63;

// The level at which `tick` first differs from `now`: everything on a lower level lies before everything on a higher
// one.
unsigned level_of(std::uint64_t now, std::uint64_t tick) noexcept {
    const auto differing = static_cast<unsigned>(std::bit_width((now ^ tick) | mask)) - 1;
    return differing / bits;
}
} // namespace

timer_entry::~timer_entry() { cancel(); }

void timer_entry::cancel() noexcept {
    if (queue_ == nullptr) return;
    --queue_->armed_;
    queue_->unlink(*this);
    queue_ = nullptr;
}

timer_queue::timer_queue(steady_time start) noexcept : start_(start) {
    for (unsigned slot = 0; slot < levels * slots; ++slot) tails_[slot] = &heads_[slot];
}

timer_queue::~timer_queue() {
    for (timer_entry* head : heads_) {
        for (; head != nullptr; head = head->next_) head->queue_ = nullptr;
    }
}

std::uint64_t timer_queue::tick_of(steady_time when) const noexcept {
    if (when <= start_) return 0;
    const duration since = when - start_;
    const auto tick =
        static_cast<std::uint64_t>(since / tick_length) + (since % tick_length != duration::zero() ? 1 : 0);
    return tick;
}

void timer_queue::arm(timer_entry& entry, steady_time due) noexcept {
    const std::uint64_t tick = tick_of(due);
    entry.due_ = due;
    if (entry.queue_ == this) {
        if (tick >= entry.tick_) return; // looked at again when the wheel gets there
        unlink(entry);
    } else {
        entry.cancel();
        entry.queue_ = this;
        ++armed_;
    }
    entry.tick_ = tick;
    insert(entry);
    if (entry.tick_ < told_tick_) {
        told_tick_ = entry.tick_;
        if (wake_ != nullptr) {
            wake_(wake_context_, start_ + tick_length * static_cast<duration::rep>(entry.tick_));
        }
    }
}

void timer_queue::insert(timer_entry& entry) noexcept {
    // What is due already goes off with the next tick. The wheel spans 139 years: nothing is due beyond it.
    constexpr std::uint64_t horizon = (std::uint64_t{1} << (bits * levels)) - 1;
    entry.tick_ = std::min(std::max(entry.tick_, now_tick_ + 1), horizon);
    const unsigned level = level_of(now_tick_, entry.tick_);
    const auto index = static_cast<unsigned>((entry.tick_ >> (bits * level)) & mask);
    const unsigned slot = level * slots + index;
    entry.slot_ = static_cast<std::uint16_t>(slot);
    entry.next_ = nullptr;
    entry.link_ = tails_[slot];
    *tails_[slot] = &entry;
    tails_[slot] = &entry.next_;
    occupied_[level] |= std::uint64_t{1} << index;
}

void timer_queue::unlink(timer_entry& entry) noexcept {
    *entry.link_ = entry.next_;
    if (entry.next_ != nullptr) {
        entry.next_->link_ = entry.link_;
    } else {
        tails_[entry.slot_] = entry.link_;
    }
    if (heads_[entry.slot_] == nullptr) occupied_[entry.slot_ / slots] &= ~(std::uint64_t{1} << (entry.slot_ % slots));
    entry.next_ = nullptr;
    entry.link_ = nullptr;
}

std::optional<std::uint64_t> timer_queue::next_tick() const noexcept {
    for (unsigned level = 0; level < levels; ++level) {
        if (occupied_[level] == 0) continue;
        const auto index = static_cast<std::uint64_t>(std::countr_zero(occupied_[level]));
        const std::uint64_t above = now_tick_ >> (bits * (level + 1)) << (bits * (level + 1));
        return above | (index << (bits * level));
    }
    return std::nullopt;
}

std::optional<steady_time> timer_queue::next() const noexcept {
    const auto tick = next_tick();
    if (!tick) return std::nullopt;
    return start_ + tick_length * static_cast<duration::rep>(*tick);
}

void timer_queue::cascade(unsigned level, unsigned index) noexcept {
    const unsigned slot = level * slots + index;
    timer_entry* entry = heads_[slot];
    heads_[slot] = nullptr;
    tails_[slot] = &heads_[slot];
    occupied_[level] &= ~(std::uint64_t{1} << index);
    while (entry != nullptr) {
        timer_entry* const following = entry->next_;
        if (entry->tick_ == now_tick_) {
            // Goes off in this very step: linked by hand, since insert() only takes what lies ahead.
            const auto now_slot = static_cast<unsigned>(now_tick_ & mask);
            entry->slot_ = static_cast<std::uint16_t>(now_slot);
            entry->next_ = nullptr;
            entry->link_ = tails_[now_slot];
            *tails_[now_slot] = entry;
            tails_[now_slot] = &entry->next_;
            occupied_[0] |= std::uint64_t{1} << now_slot;
        } else {
            insert(*entry);
        }
        entry = following;
    }
}

void timer_queue::advance(steady_time to) {
    const std::uint64_t to_tick = to <= start_ ? 0 : static_cast<std::uint64_t>((to - start_) / tick_length);
    for (;;) {
        const auto tick = next_tick();
        if (!tick || *tick > to_tick) break;
        now_tick_ = *tick;
        for (unsigned level = levels - 1; level > 0; --level) {
            const auto index = static_cast<unsigned>((now_tick_ >> (bits * level)) & mask);
            if ((occupied_[level] >> index & 1) != 0) cascade(level, index);
        }
        const auto slot = static_cast<unsigned>(now_tick_ & mask);
        while (timer_entry* const entry = heads_[slot]) {
            unlink(*entry);
            const std::uint64_t due = tick_of(entry->due_);
            if (due > now_tick_) { // its deadline was moved meanwhile
                entry->tick_ = due;
                insert(*entry);
                continue;
            }
            entry->queue_ = nullptr;
            --armed_;
            entry->on_timer();
        }
    }
    now_tick_ = std::max(now_tick_, to_tick);
    told_tick_ = next_tick().value_or(UINT64_MAX);
}

void timer_queue::on_earlier(wake_function function, void* context) noexcept {
    wake_ = function;
    wake_context_ = context;
}

} // namespace evenkeel::net

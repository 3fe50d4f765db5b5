#include "policies/model_places.hpp"

#include <new>

namespace evenkeel {

good_answers::slots* good_answers::make() noexcept {
    slots* made = new (std::nothrow) slots;
    slots* there = nullptr;
    if (made == nullptr || known_.compare_exchange_strong(there, made, std::memory_order_acq_rel)) return made;
    delete made; // another thread was quicker
    return there;
}

// Two threads that see a model for the first time may give it two slots: what is known of it is the later one.
void good_answers::note(std::uint64_t model, steady_time sent) noexcept {
    const auto when = sent.time_since_epoch().count();
    slots* known = known_.load(std::memory_order_acquire);
    if (known == nullptr) known = make();
    if (known == nullptr) return forgotten_.store(when, std::memory_order_relaxed);
    slot* oldest = nullptr;
    for (std::size_t by = 0; by < looked_at; ++by) {
        slot& one = (*known)[place(model, by)];
        const std::uint64_t whose = one.model.load(std::memory_order_relaxed);
        if (whose == model) {
            if (one.sent.load(std::memory_order_relaxed) < when) one.sent.store(when, std::memory_order_relaxed);
            return;
        }
        if (whose == 0) {
            oldest = &one;
            break;
        }
        if (oldest == nullptr || at(one.sent) < at(oldest->sent)) oldest = &one;
    }
    if (oldest->model.load(std::memory_order_relaxed) != 0 && at(oldest->sent) > at(forgotten_))
        forgotten_.store(oldest->sent.load(std::memory_order_relaxed), std::memory_order_relaxed);
    oldest->model.store(model, std::memory_order_relaxed);
    oldest->sent.store(when, std::memory_order_relaxed);
}

steady_time good_answers::of(std::uint64_t model) const noexcept {
    steady_time latest = steady_time::min();
    const slots* const known = known_.load(std::memory_order_acquire);
    if (known == nullptr) return latest;
    for (std::size_t by = 0; by < looked_at; ++by) {
        const slot& one = (*known)[place(model, by)];
        if (one.model.load(std::memory_order_relaxed) == model) latest = std::max(latest, at(one.sent));
    }
    return latest;
}

} // namespace evenkeel

#pragma once
// A mutex for state that is held for one decision: a dozen instructions where nobody else wants it, against some fifty
// of a pthread mutex; a request takes a dozen of them. (U. Drepper, Futexes Are Tricky, 2011, mutex 3; std::atomic
// waits on a futex.) Neither recursive nor fair.

#include <atomic>

namespace evenkeel {

class small_mutex {
public:
    small_mutex() noexcept = default;
    small_mutex(const small_mutex&) = delete;
    small_mutex& operator=(const small_mutex&) = delete;

    void lock() noexcept {
        state free = state::free;
        if (!state_.compare_exchange_strong(free, state::held, std::memory_order_acquire, std::memory_order_relaxed))
            [[unlikely]]
            wait();
    }
    [[nodiscard]] bool try_lock() noexcept {
        state free = state::free;
        return state_.compare_exchange_strong(free, state::held, std::memory_order_acquire, std::memory_order_relaxed);
    }
    void unlock() noexcept {
        if (state_.exchange(state::free, std::memory_order_release) == state::wanted) [[unlikely]]
            state_.notify_one();
    }

private:
    enum class state : int { free, held, wanted }; // wanted: held, and somebody may be waiting

    [[gnu::noinline]] void wait() noexcept {
        while (state_.exchange(state::wanted, std::memory_order_acquire) != state::free)
            state_.wait(state::wanted, std::memory_order_relaxed);
    }

    std::atomic<state> state_{state::free};
};

} // namespace evenkeel

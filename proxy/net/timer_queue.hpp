#pragma once
// Every wait of a worker is an entry in its timer_queue: a hierarchical wheel with slots of 1 ms (Varghese and Lauck,
// SOSP 1987), so that arming and cancelling cost a few pointer writes however many entries there are. Times are rounded
// up to the next millisecond: an entry never fires early. In production the loop drives it with a single Asio timer; in
// virtual time `advance` is called by hand and no Asio timer exists.

#include "policies/time.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace evenkeel::net {

class timer_queue;

// Base of whoever waits; usually a member. Destroying an armed entry cancels it.
class timer_entry {
public:
    timer_entry() = default;
    timer_entry(const timer_entry&) = delete;
    timer_entry& operator=(const timer_entry&) = delete;

    [[nodiscard]] bool armed() const noexcept { return queue_ != nullptr; }
    [[nodiscard]] steady_time due() const noexcept { return due_; }
    void cancel() noexcept;

protected:
    virtual ~timer_entry();

private:
    friend class timer_queue;
    virtual void on_timer() = 0; // called once, already disarmed; may arm itself or others, or destroy itself

    timer_queue* queue_ = nullptr;
    timer_entry* next_ = nullptr;
    timer_entry** link_ = nullptr; // the pointer that points here
    steady_time due_{};            // what the owner asked for
    std::uint64_t tick_ = 0;       // where the wheel has it; at most the tick of due_
    std::uint16_t slot_ = 0;       // level * 64 + index
};

class timer_queue {
public:
    explicit timer_queue(steady_time start) noexcept;
    timer_queue(const timer_queue&) = delete;
    timer_queue& operator=(const timer_queue&) = delete;
    ~timer_queue();

    // (Re-)arms. Moving a deadline later only notes it: the entry is looked at again when the wheel reaches it, so a
    // timeout that is pushed back with every chunk costs one comparison.
    void arm(timer_entry& entry, steady_time due) noexcept;

    // Fires all entries due at or before `to`, in order of due millisecond, and within one in order of arming.
    void advance(steady_time to);

    // No later than the earliest due time; entries with a lazily moved deadline may make it earlier. Empty: nothing
    // armed.
    [[nodiscard]] std::optional<steady_time> next() const noexcept;
    [[nodiscard]] std::size_t armed() const noexcept { return armed_; }

    // Called with the new earliest time whenever arming brings it forward; the loop re-arms its one Asio timer there.
    using wake_function = void (*)(void* context, steady_time earliest);
    void on_earlier(wake_function function, void* context) noexcept;

private:
    friend class timer_entry;
    static constexpr unsigned levels = 7; // 64^7 ms, 139 years
    static constexpr unsigned slots = 64;

    void insert(timer_entry& entry) noexcept;
    void unlink(timer_entry& entry) noexcept;
    [[nodiscard]] std::uint64_t tick_of(steady_time when) const noexcept;
    [[nodiscard]] std::optional<std::uint64_t> next_tick() const noexcept;
    void cascade(unsigned level, unsigned index) noexcept;

    steady_time start_;
    std::uint64_t now_tick_ = 0; // every entry at or before it has fired
    std::size_t armed_ = 0;
    std::array<timer_entry*, levels * slots> heads_{};
    std::array<timer_entry**, levels * slots> tails_{}; // where the next entry of a slot is linked: keeps arming order
    std::array<std::uint64_t, levels> occupied_{};      // bit per non-empty slot
    std::uint64_t told_tick_ = UINT64_MAX;
    wake_function wake_ = nullptr;
    void* wake_context_ = nullptr;
};

} // namespace evenkeel::net

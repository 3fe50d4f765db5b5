#pragma once
// Bounds how many requests of a route are served at a time (Nygard, "Release It!"; reference: resilience semantics 8).
// A slow provider then costs its own route's callers and not the memory, sockets and patience of everybody else.
//
// A permit is one logical request, from its admission to the last byte of its answer; retries and hedges need no other.
// Who finds no permit waits in a bounded queue, first come first served, and is refused when its turn has not come by
// its own time. Nobody waits while a permit is free, and no permit is kept free while somebody waits.
//
// Shares: a tenant that alone uses the route may have all of it. Once others wait, whoever holds `tenant_share` of
// `max_concurrent` is passed over until no tenant below its share waits; among those above it the one that holds least
// is next. The queue is shared likewise: over its share of it a tenant is refused while others wait, and where the
// queue is full of one tenant's requests, the youngest of them makes room for another tenant's. Permits are never taken
// back: what a tenant got while it was alone it keeps, and it gets no more until it is below its share.
//
// Whose a request is matters only then. It is a keyed hash of a credential and costs more than everything else here, so
// it is asked for only near the limit (from `known_from` permits in use on), and for the few permits given out below
// when the first request has to wait.
//
// One per route; thread-safe: one mutex, held for one decision. What is called from inside it: requester::identify.

#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace evenkeel {

struct bulkhead_options {
    bool on = false;
    int max_concurrent = 1024;               // permits, at least 1
    int max_queue = 4096;                    // requests that wait; 0: nobody waits
    std::optional<duration> queue_timeout{}; // the longest wait; empty: each as long as its own time allows
    double tenant_share = 0.5;               // of both, over 0 to 1; 1: no tenant is limited
    bool operator==(const bulkhead_options&) const = default;
};

enum class bulkhead_refusal : unsigned char {
    none,
    queue_full,    // max_queue requests wait already
    tenant_share,  // others wait, and this tenant has its share of the queue
    queue_timeout, // its time was over before its turn came
};
inline constexpr int bulkhead_refusal_count = 4;
[[nodiscard]] const char* to_string(bulkhead_refusal) noexcept;

class bulkhead {
    // What one principal has of it.
    struct tenant {
        std::uint32_t held = 0, queued = 0;
    };

public:
    using slot = std::uint32_t; // of a permit that is out

    // Whose request. `identify(context)` is called at most once, from whichever thread needs to know, and never after
    // the permit was given back or the wait has ended: `context` must live as long.
    struct requester {
        std::uint64_t known = 0; // 0: not yet
        const void* context = nullptr;
        std::uint64_t (*identify)(const void*) noexcept = nullptr; // never 0
    };

    // One that waits: co-owned by the queue and by whoever waits.
    class waiter {
    public:
        virtual ~waiter() = default;
        waiter(const waiter&) = delete;
        waiter& operator=(const waiter&) = delete;

    protected:
        waiter() = default;

    private:
        friend class bulkhead;
        // It need wait no longer; stop_waiting() says why. Called once at most, from any thread, under no lock.
        virtual void wake() noexcept = 0;

        tenant* tenant_ = nullptr;                             // while it waits
        std::list<std::shared_ptr<waiter>>::iterator place_{}; // ... likewise
        steady_time until_{};
        requester who_{};
        std::optional<slot> given_{};
        bulkhead_refusal refused_ = bulkhead_refusal::none;
        bool passed_over_ = false;
    };

    explicit bulkhead(const bulkhead_options& options) { configure(options); }
    // Keeps permits and waiters: fewer permits take effect as they come back, more at once.
    void configure(const bulkhead_options& options);

    // A permit, if one is free and nobody waits for it.
    [[nodiscard]] std::optional<slot> enter(requester who, steady_time now);
    // Gives one back, to the next in the queue.
    void leave(slot which, steady_time now);
    // The same where nobody can notice, which spares its caller the clock. False: it is not given back.
    [[nodiscard]] bool leave_unnoticed(slot which) noexcept;

    struct entry {
        std::optional<slot> given{};
        bulkhead_refusal refused = bulkhead_refusal::none; // neither: it waits
        bool limited = false;                              // its tenant's share had a part in it
    };
    // Queues one for which enter() had nothing, until `until` or queue_timeout from now at most.
    [[nodiscard]] entry wait(const std::shared_ptr<waiter>& one, requester who, steady_time until, steady_time now);
    // Its wait is over: it was woken, its time has come, or its client has left. Exactly once per wait() that queued
    // it; a permit among what it returns is the caller's.
    [[nodiscard]] entry stop_waiting(waiter& one);

    // When somebody who is refused now may find a permit: as fast as they come free, for the queue and one more. 100 ms
    // to 10 s (chosen), less up to a fifth so that those refused together do not return together. u in [0, 1).
    [[nodiscard]] duration retry_after(double u, steady_time now) const;

    struct summary {
        int in_use = 0, limit = 0, queued = 0, queue_limit = 0;
    };
    [[nodiscard]] summary report() const;

    static constexpr std::uint32_t known_from = 64; // permits in use, at most; a quarter of small bulkheads (chosen)

private:
    struct holder {
        requester who;
        bool taken = false;
    };
    using waking = std::vector<std::shared_ptr<waiter>>;

    [[nodiscard]] slot take(const requester& who, steady_time now);
    void put_back(slot which) noexcept;
    void identify_all();
    void forget_if_idle(std::uint64_t principal) noexcept;
    void give_to_waiting(steady_time now, waking& woken);
    [[nodiscard]] waiter* next_in_turn() noexcept;
    void drop_expired(steady_time now);
    [[nodiscard]] bool make_room(waking& woken);
    void take_out(waiter& one) noexcept;

    mutable small_mutex mutex_;
    bulkhead_options options_;
    std::uint32_t limit_ = 1, share_ = 1, queue_share_ = 1;
    std::atomic<std::uint32_t> known_at_{0}; // permits in use from which on requesters are identified
    std::atomic<std::uint32_t> in_use_{0};   // written under the mutex
    std::vector<holder> holders_;            // by slot
    std::vector<slot> free_;
    std::unordered_map<std::uint64_t, tenant> tenants_; // of identified permits and of all waiters
    std::list<std::shared_ptr<waiter>> queue_;          // in order of arrival
    steady_time full_since_{}, freed_{};                // since when all permits are out; when one last came back then
    // Seconds between two that come back while all are out; 0: not known.
    double gap_ = 0;
    steady_time latest_{}; // the latest `now` there was, for configure()
};

} // namespace evenkeel

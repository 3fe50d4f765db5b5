#pragma once
// How many attempts an endpoint (or all endpoints of one upstream, if they share its capacity) is given at a time, when
// it is overloaded, slow, or has just come back. One rule carries it: *what can wait goes only where room is known to
// be; what cannot wait is never held up.* Extra attempts (retries, hedges) and requests that were held through an
// outage can wait. A first attempt is what the endpoint would get without us: it waits only for an endpoint that has
// just come back.
//
// Why. A provider of limited capacity is slowed by each attempt more than proportionally, so it has two states that
// both last; what pushes it from the good one into the bad one is the additional load, and it comes when it fits least.
// Simulated (tests: provider_simulation.hpp; brown-out and collapse of the scenarios, 60 seeds): retrying as errors
// come ends below no retry at all in every fifth brown-out and by up to 18 points; into room only, never, and 2.5
// points above it on average. Letting what has waited for 5 s go through nevertheless is as bad as not waiting; holding
// first attempts back is worse.
//
// How much room there is: what is *usual*. By Little's law (Operations Research, 1961) the mean concurrency is
// completions/s x mean time in service, which is the time that what completed had spent, over the time it took:
// completions alone enter, so neither failures nor attempts that hang raise it. An attempt that has been under way for
// longer than the attempt timeout, or twice the usual time, occupies nothing: it hangs, or else so many younger ones
// are there that it does not matter.
//
// Three states beside the normal one:
//   crowded     a share of the attempts under way is old that is well above the usual share, or overloaded. Extra
//   attempts
//               are spaced as well, and the state lasts while any of them waits.
//   overloaded  at least `ratio` of at least min_verdicts in the window are timeouts or overload; left under half of
//   that for
//               one window. No hedges; the room for extra attempts shrinks by a tenth per window while it lasts.
//   recovering  the circuit has closed after an outage. A limit for all starts at what was usual before, grows while
//               answers come in usual time, and goes when nobody has waited for it for a while.
//
// Several upstreams of a route may be one server, so what is usual is their sum; but a sum that is full is no reason to
// keep a failed request from an endpoint that is idle and well. One that is asked only what others have failed has a
// share of its own beside the room of the sum: a few attempts to begin with, one more with each answer in usual time
// while that is used (as the window of TCP grows), half with a slow one, none after a failure. (Brown-out, where both
// are one server: 95 % within 15 s, as without; 78 with the sum's room for each, 45 where a share never shrinks.)
//
// Thread-safe: one mutex, held for one call.

#include "policies/in_service.hpp"
#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace evenkeel {

struct overload_options {
    bool on = false;
    duration window = std::chrono::seconds{10};
    double ratio = 0.3;
    int min_verdicts = 20;
    // Of a request that comes while the endpoint recovers; the flight plan's.
    duration max_wait = std::chrono::seconds{5};
    bool operator==(const overload_options&) const = default;
};

class overload_control {
public:
    enum class verdict : unsigned char { success, timeout, overloaded, failure, neutral };
    enum class priority : unsigned char {
        now,      // a first attempt that comes while the endpoint is up
        can_wait, // an extra attempt, or a request that was held while no endpoint was up
    };

    static constexpr int most_moved = 32; // (chosen: what a pod has under way at a time)

    // One endpoint of those that share a control, which alone touches it.
    struct share {
        int firsts = 0, extras = 0; // in service
        int shown = 4;              // extras that it can be given, as far as it has shown
    };

    // One attempt in service. Movable; leaves when destroyed.
    class place {
    public:
        place() noexcept = default;
        place(place&&) noexcept;
        place& operator=(place&&) noexcept;
        ~place();
        // The attempt ended, or a stream committed (success); `took` from sending. True: overload_active() has changed
        // since the last verdict of any place. Only the first verdict counts.
        bool give_verdict(verdict what, duration took, steady_time now) noexcept;
        void leave(steady_time now) noexcept;                            // occupies nothing any more
        bool end(verdict what, duration took, steady_time now) noexcept; // give_verdict() and leave() in one

    private:
        friend class overload_control;
        overload_control* of_ = nullptr;
        share* share_ = nullptr;
        std::uint32_t number_ = 0;
        priority who_ = priority::now;
        bool reported_ = false, succeeded_ = false;
        duration took_{};
    };

    explicit overload_control(const overload_options& options) noexcept;
    overload_control(const overload_control&) = delete;
    overload_control& operator=(const overload_control&) = delete;
    ~overload_control() = default; // outlives its places
    void configure(const overload_options& options) noexcept;

    // How many more attempts may be sent now; a large number where nothing limits. `attempt_timeout`: older ones do not
    // count. Who is told 0 asks again at ask_again(), as long as its deadline leaves time for an answer, and does not
    // go through.
    [[nodiscard]] int room(duration attempt_timeout, steady_time now, priority who = priority::now);
    // Whether room() may say anything but "a large number": known without the mutex, as good as always false for what
    // comes now.
    [[nodiscard]] bool limits(priority who) const noexcept {
        return who == priority::can_wait || recovering_.load(std::memory_order_relaxed);
    }
    // For a retry elsewhere, where room() has none: whether there is some at this endpoint, for one behind `ahead`
    // others.
    [[nodiscard]] bool room_at(const share& endpoint, std::size_t ahead, steady_time now);
    // For what takes the place of attempts at an endpoint that hangs: most_moved of them at a time, or as many as it
    // has shown that it can be given. They are no additional load, but the endpoint may never have had it.
    [[nodiscard]] bool takes_over(const share& endpoint, steady_time now);
    [[nodiscard]] bool overload_active(steady_time now);
    // Enters without asking: room() was asked. `endpoint` outlives the place.
    [[nodiscard]] place enter(steady_time now, priority who = priority::now, share* endpoint = nullptr);
    // When asking again makes sense while there is no room: about one completion from now, within [10 ms, 1 s].
    [[nodiscard]] steady_time ask_again(steady_time now);

    // The (last) circuit went down: what is usual now is remembered. It closed again: recovering, for `ramp` at least
    // (0: not at all).
    void circuit_opened(steady_time now);
    void circuit_closed(duration ramp, steady_time now);

    struct summary {
        bool active = false, crowded = false, recovering = false;
        std::optional<double> limit; // for what can wait; empty: nothing limits
        int in_service = 0;
        double usual = 0; // concurrency
        double completions_per_second = 0;
    };
    [[nodiscard]] summary report(steady_time now);

private:
    static constexpr std::size_t slice_count = 10;
    struct slice { // of the window
        int verdicts = 0, bad = 0, successes = 0, completed = 0;
        double work = 0; // seconds in service of what completed
    };
    // All of these with the mutex held.
    void turn(steady_time now) noexcept;
    void slice_ended(steady_time end, double length) noexcept; // length in seconds
    void learn_usual(steady_time end, double length) noexcept;
    void watch_overload(steady_time end) noexcept;
    void watch_recovery(steady_time end) noexcept;
    [[nodiscard]] duration slice_length() const noexcept;
    [[nodiscard]] double completions_per_second(steady_time now) const noexcept; // of the window
    [[nodiscard]] double share_bad() const noexcept;
    [[nodiscard]] bool known() const noexcept;               // enough completions to say what is usual
    [[nodiscard]] bool calm(steady_time now) const noexcept; // no trouble for a window
    [[nodiscard]] duration usual_time() const noexcept;      // in service
    [[nodiscard]] double room_known() const noexcept;
    [[nodiscard]] double extra_limit() const noexcept;
    [[nodiscard]] bool spaced(steady_time now) const noexcept;
    void learn_share(share& endpoint, verdict what, duration took) const noexcept;
    void note_verdict(place& by, verdict what, duration took, steady_time now, bool& changed) noexcept;
    void note_leave(place& by, std::optional<steady_time> now) noexcept;

    small_mutex mutex_;
    overload_options options_;
    in_service attempts_;
    std::array<slice, slice_count> slices_{};
    slice sum_;
    std::size_t current_ = 0;
    std::optional<steady_time> slice_began_;
    double usual_ = 0, rate_ = 0, old_share_ = 0; // concurrency, completions/s, share of old attempts: averages
    double averaged_ = 0;                         // how much of their horizon is filled, up to 1
    double peak_ = 0;                             // concurrency that was served in usual time
    double squeeze_ = 1;                          // while overloaded
    double extra_limit_ = 0;                      // while crowded
    bool overloaded_ = false, told_ = false, crowded_ = false, down_ = false;
    std::atomic<bool> recovering_{false}; // written with the mutex held
    double limit_ = 0;                    // while recovering
    steady_time calm_since_{}, cut_{}, trouble_{}, refused_{}, blocked_{}, recovering_until_{};
    std::optional<steady_time> extra_; // the latest one entered
};

} // namespace evenkeel

#pragma once
// What happens while an endpoint is overloaded, or has just come back: how many attempts it is given at a time (DESIGN section
// 6; Little, Operations Research 1961: what is usual is rate x time). Entered when at least `ratio` of at least min_verdicts
// in the window are timeouts or overload, left under half of that for one window. Inside: concurrency limit = max(4, 0.9 *
// completions/s * P50), +1 per limit's worth of successes, x0.9 per window while above; attempts older than the attempt
// timeout do not occupy it; no hedges, timeouts are not retried. Nobody is rejected for it: after max_wait a request goes
// through.
//
// One per endpoint; thread-safe: one mutex, held for one call.

#include "policies/median.hpp"
#include "policies/time.hpp"

#include <cstdint>
#include <mutex>
#include <optional>

namespace evenkeel {

struct overload_options {
    bool on = false;
    duration window = std::chrono::seconds{10};
    double ratio = 0.3;
    int min_verdicts = 20;
    duration max_wait = std::chrono::seconds{5};
    bool operator==(const overload_options&) const = default;
};

class overload_control {
public:
    enum class verdict : unsigned char { success, timeout, overloaded, failure, neutral };

    // One attempt in service. Movable; leaves when destroyed.
    class place {
    public:
        place() noexcept = default;
        place(place&&) noexcept;
        place& operator=(place&&) noexcept;
        ~place();
        // The attempt ended, or a stream committed (success); `took` from sending. True: the state changed (entered or left).
        bool report(verdict what, duration took, steady_time now) noexcept;
        void leave(steady_time now) noexcept; // occupies nothing any more

    private:
        friend class overload_control;
        overload_control* of_ = nullptr;
        std::uint64_t number_ = 0;
    };

    explicit overload_control(const overload_options& options) noexcept;
    overload_control(const overload_control&) = delete;
    overload_control& operator=(const overload_control&) = delete;
    ~overload_control();
    void configure(const overload_options& options) noexcept;

    // How many more attempts may be sent now; a large number where nothing limits. `attempt_timeout`: older ones do not count.
    [[nodiscard]] int room(duration attempt_timeout, steady_time now);
    [[nodiscard]] bool overloaded(steady_time now);
    // Enters without asking: room() was asked, or the request has waited long enough.
    [[nodiscard]] place enter(steady_time now);
    // When asking again makes sense while there is no room: about one completion from now, within [10 ms, 1 s].
    [[nodiscard]] steady_time ask_again(steady_time now);

    // The circuit went down: what is usual now is remembered. It closed again: for `ramp` the limit starts at what was usual
    // (at least 4) and grows, so that those who waited are not all sent at once.
    void circuit_opened(steady_time now);
    void circuit_closed(duration ramp, steady_time now);

    struct summary {
        bool overloaded = false, recovering = false;
        std::optional<double> limit; // empty: nothing limits
        int in_service = 0;
        double completions_per_second = 0;
    };
    [[nodiscard]] summary report(steady_time now);

private:
    std::mutex mutex_;
};

} // namespace evenkeel

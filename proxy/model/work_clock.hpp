#pragma once
// A server whose capacity is shared by what it has in service, exactly. With n attempts in service and x = n / C > 1
// everything is slowed by x * (1 + alpha * (x - 1)); at times the whole server is slower besides.
//
// All in service are slowed alike, so one clock serves them all: it counts *work*, the seconds an undisturbed server
// would have spent on one attempt, and runs slower the more the server is loaded. An attempt that needs 3 s more is due
// when the clock shows 3 more than now, however often n changes until then: a change moves the speed of one clock
// instead of the due times of n attempts. An event costs O(log n). (Virtual time of processor sharing: Parekh and
// Gallager, 1993.)
//
// Pure: times are seconds of the scenario, handed in. One simulation's; not for use between threads.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace evenkeel::model {

struct capacity {
    double attempts = std::numeric_limits<double>::infinity(); // C: so many are served at full speed
    double alpha = 0;
};
// By how much n attempts in service are slowed; 1 up to C.
[[nodiscard]] double slowdown(const capacity& of, std::size_t in_service) noexcept;

struct speed_step {
    double at = 0;     // seconds: from here on
    double slower = 1; // everything takes so many times as long
};

class work_clock {
public:
    // Something that waits for the clock; usually a base. Destroying it takes it out of the clock.
    class job {
    public:
        job() = default;
        job(const job&) = delete;
        job& operator=(const job&) = delete;

    protected:
        virtual ~job();

    private:
        friend class work_clock;
        // The work asked for is done, at exactly clock.now(); may schedule itself again, leave, or touch other jobs.
        virtual void on_due(work_clock& clock) = 0;

        work_clock* clock_ = nullptr; // it is scheduled with or in service at
        double due_ = 0;
        std::uint64_t order_ = 0; // among equals: who was scheduled first
        bool scheduled_ = false, served_ = false;
    };

    // `steps`: in order of time. A job uses one clock at a time.
    explicit work_clock(double start, capacity of = {}, std::vector<speed_step> steps = {});
    ~work_clock();
    work_clock(const work_clock&) = delete;
    work_clock& operator=(const work_clock&) = delete;

    // Fires what is due at or before `to`, each at its own exact time, in order of time and then of scheduling. All
    // that follows is meant to happen at now(): advance first.
    void advance(double to);

    void enter(job& who);                 // counts as in service from now on
    void schedule(job& who, double work); // due after so much more work; replaces what it was due for
    void leave(job& who) noexcept;        // no longer in service, and due for nothing

    // When the earliest is due, if nothing changes until then.
    [[nodiscard]] std::optional<double> next() const noexcept;
    [[nodiscard]] double now() const noexcept { return now_; }
    [[nodiscard]] std::size_t in_service() const noexcept { return in_service_; }

private:
    struct earlier {
        bool operator()(const job* a, const job* b) const noexcept {
            return a->due_ != b->due_ ? a->due_ < b->due_ : a->order_ < b->order_;
        }
    };
    [[nodiscard]] double speed(double slower) const noexcept { return 1 / (slower * slowdown_); }
    [[nodiscard]] double next_step() const noexcept;
    void count(std::size_t in_service) noexcept;

    capacity capacity_;
    std::vector<speed_step> steps_;
    std::size_t step_ = 0;  // of steps_, the next one to be taken
    double slower_ = 1;     // as the last step said
    double slowdown_ = 1;   // by the number in service
    double now_, work_ = 0; // the clock shows work_ at now_
    std::size_t in_service_ = 0;
    std::uint64_t scheduled_ = 0;
    std::set<job*, earlier> due_;
};

} // namespace evenkeel::model

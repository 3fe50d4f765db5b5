#pragma once
// Whether an endpoint is asked second, if another one is up: what a silence, or an answer that took ten times as long
// as the other endpoint's, is evidence of. The circuit counts failures and asks for many of them; a pod with one
// request a minute would never find out that its provider hangs. So one silence is enough here, and all it costs is the
// order in which endpoints are asked.
//
// What counts is which attempt was *sent* last of those that have said anything. A silence is evidence unless an
// attempt that was sent later has been answered: at high rates there nearly always is one, and the ratio of the circuit
// decides as ever; at low rates there is none until somebody has asked again. No window, no rate and no clock is needed
// for that. An attempt that is still silent after twice the usual time is a suspicion: as good for the order, but only
// one that is given up, or overtaken by another endpoint, shows others who wait there that they wait in vain.
//
// Nobody's request finds out whether a doubted endpoint is well again: a copy of one is sent beside (probe_due), after
// 3 s, then less and less often, at most every 24 s. Where requests come more rarely than that one copy for each is
// enough, if it goes when it is of most use: shortly before the next request, so that what it is answered with is known
// by then. When that comes is told by the time between the latest two.
//
// As many good answers in a row are asked for as there were relapses lately; or one after as long without a bad word,
// since long answers would take minutes to prove it. From the first of them on the next ones are asked for in pairs,
// as far as they are needed: what is well again would else be away for as long as all of them take together.
//
// Where no request may be copied connections are opened instead, at the same pace: one that is made ends a doubt that
// began because none could be made, and says nothing of an endpoint that was silent behind it; one that is not made
// keeps the endpoint away. Without such a word a doubt lapses there: a minute after the latest word of the endpoint,
// and longer after each relapse, somebody asks it first again. One of each endpoint, and one of each of its models that
// is silent (model_doubts.hpp). Thread-safe; on the path of a request that is answered, an endpoint that is not doubted
// costs two atomic operations.

#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <atomic>
#include <cstdint>
#include <optional>

namespace evenkeel {

// Answers that take this many times as long as another endpoint's are no better than silence, if they are long at all.
inline constexpr double times_slower = 10;
inline constexpr duration shortest_slow = std::chrono::milliseconds{100};

// How long after one probe the next one may follow.
class probe_pace {
public:
    static constexpr duration first = std::chrono::seconds{3}, last = std::chrono::seconds{20};
    [[nodiscard]] duration next(double u) noexcept; // `u` in [0, 1) spreads it
private:
    duration pause_ = first;
};

class endpoint_doubt {
public:
    static constexpr int slow_in_a_row = 2; // one may be the request's own doing
    static constexpr duration first_probe = probe_pace::first, last_probe = probe_pace::last;
    static constexpr duration relapse_within = std::chrono::minutes{10};
    static constexpr int most_goods = 8;
    static constexpr duration good_for = std::chrono::seconds{15};    // without a bad word, instead of a good one more
    static constexpr duration lapses_after = std::chrono::minutes{1}; // times the goods that are asked for
    static constexpr duration longest_gap = std::chrono::minutes{6};  // between requests, for which one copy is kept

    enum class silence : unsigned char {
        so_far,   // the attempt goes on, or whoever waited for it went
        given_up, // ... or another endpoint was quicker
        no_way,   // no connection was made
    };
    // An attempt that was sent at `sent` has been silent for longer than is usual. True: the endpoint is doubted from
    // now on.
    bool silent(steady_time sent, steady_time now, silence how = silence::given_up) noexcept;
    // ... was answered, `good`: as soon as is usual; else it took far too long. True: whether it is doubted has
    // changed.
    bool answered(steady_time sent, bool good, steady_time now) noexcept;

    void clear() noexcept; // an operator knows better
    // Nobody can look: it is doubted no longer if there has been no word of it for long enough. True: so it is.
    [[nodiscard]] bool lapse(steady_time now) noexcept;

    // A connection to it was made, or not, beside all requests. True: it is doubted no longer.
    bool connected(bool made, steady_time now) noexcept;

    [[nodiscard]] bool doubted() const noexcept { return doubted_.load(std::memory_order_relaxed); }
    // ... for a silence, and not for slowness; and it is more than a suspicion.
    [[nodiscard]] bool silent() const noexcept { return doubted() && silent_.load(std::memory_order_relaxed); }
    [[nodiscard]] bool shown() const noexcept { return silent() && shown_.load(std::memory_order_relaxed); }
    // A request goes elsewhere instead. Where few come, few copies are sent: about one for each.
    void passed(steady_time now) noexcept;
    [[nodiscard]] duration gap() const noexcept; // between the latest two of them, at most longest_gap
    // A copy of a request is to find out now; the next one is due later. `u` in [0, 1) spreads it; `takes`: until it is
    // answered, if all is well.
    [[nodiscard]] bool probe_due(double u, duration takes, steady_time now) noexcept;
    // Of the copies that are asked for in a row `under_way` are, and another one need not wait for them.
    [[nodiscard]] bool goes_on_well(int under_way) const noexcept;
    [[nodiscard]] steady_time next_probe() const noexcept;
    struct summary {
        steady_time since{}, next_probe{}; // next_probe: from then on a copy of a request may look
        bool slow = false;                 // it answers, but takes far too long; else it was silent
    };
    [[nodiscard]] std::optional<summary> report() const noexcept; // empty: it is not doubted

private:
    void begin(bool slow, steady_time now) noexcept;
    void end(steady_time now) noexcept;
    [[nodiscard]] steady_time scheduled() const noexcept;

    std::atomic<bool> doubted_{false};
    std::atomic<bool> silent_{false}, shown_{false}; // of the doubt there is
    std::atomic<steady_time::rep> good_sent_{
        steady_time::min().time_since_epoch().count()}; // latest, of those answered
    std::atomic<bool> slow_any_{false};                 // slow_ is not 0
    mutable small_mutex mutex_;                         // all below
    steady_time bad_sent_ = steady_time::min();
    steady_time since_{}, heard_{}, bad_{}, next_probe_{}; // heard_: it was silent, or asked; bad_: silent, or slow
    steady_time ended_ = steady_time::min();
    probe_pace pace_;
    std::optional<steady_time> probed_{}; // the latest copy of this doubt
    duration pause_{}, takes_{};          // after that, at least; and how long such a one takes
    steady_time passed_{};                // the latest request
    duration gap_{};                      // between the latest two
    int slow_ = 0;                        // in a row
    int goods_ = 0;                       // in a row, while doubted
    int wanted_ = 1;                      // of them
    bool no_way_ = false;                 // all that is held against it is that no connection was made
};

} // namespace evenkeel

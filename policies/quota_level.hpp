#pragma once
// What is left of one quota, of requests or of tokens, by what its provider says in its answers, and how fast it may be
// used: the part of pace.hpp that knows how a quota fills again.
//
// An answer tells the limit, what remained of it when its request was let in, and when it is whole again. From then on
// what is sent from here is taken off, and what comes in by time is added, less what others seem to take. Two kinds
// are told apart by whether the time to be whole goes with what is missing: a bucket that fills steadily, and a window
// that is whole again at its end. Where that time fits no usual one (a second, ten, a minute, an hour, a day) it is a
// minute.
//
// Others: what remains falls faster than by what was sent from here. Whoever is alone uses all of it but the headroom,
// at once, and then as it fills. Whoever is not goes by a price that all of them see, whoever they are: down to a mark
// it costs nothing, and from there to the headroom everybody's own rate falls from the whole rate to a thousandth of
// it. N of them that want more than there is meet where each has an Nth; nobody needs to know N, and what is used is
// all that comes in. A bucket's mark lies high, so that what is seen late does no harm. A window has its price by what
// is left for the time that is left: a fifth more than goes evenly, or half of all, costs nothing, so that all is used
// at its end. What was sent and not yet told of is bounded besides, by the share that was seen before.
//
// What is absurd is not heard (a limit of 0, more left than the limit, a time longer than a day). Who is told to wait,
// goes through all the same and is answered, again and again, is not told anything any more for a while.
//
// Of one (owner, model, unit); not thread-safe.

#include "policies/quota_fields.hpp"
#include "policies/time.hpp"

#include <array>
#include <cstddef>
#include <optional>

namespace evenkeel {

enum class pace_priority : unsigned char { interactive, batch };

class quota_level {
public:
    static constexpr double shared_zone = 0.6;                   // of a bucket, where others are (chosen)
    static constexpr double window_top = 1.2, window_free = 0.5; // of what goes evenly, of all (chosen)
    static constexpr double batch_reserve = 0.15;                // what batch leaves to the interactive (chosen)
    static constexpr double decades = 3, window_decades = 2;     // the price at the headroom (chosen)
    static constexpr duration distrusted_for = std::chrono::minutes{10};

    // By an operator's word: so many a minute, and nobody else.
    void fix(double per_minute, steady_time now) noexcept;
    [[nodiscard]] bool is_fixed() const noexcept { return fixed_; }

    // From an answer to what was sent then, as the `mark`th of what was sent from here. True: something new was said.
    bool told(const quota_field& field, double mark, steady_time sent, steady_time now) noexcept;
    // Goes out: its mark.
    double sent(double amount, double headroom, steady_time now) noexcept;
    void settle(double more) noexcept;                                     // than was taken for it
    void refused(double mark, steady_time sent, steady_time now) noexcept; // met its limit, and was told nothing of it
    void believed() noexcept { contradictions_ = 0; }                      // a limit was met, whichever
    // It was sent although there was nothing left for it, and was answered.
    void contradicted(steady_time now) noexcept;

    [[nodiscard]] bool known(steady_time now) const noexcept {
        return limit_ > 0 && (fixed_ || (latest_ != steady_time{} && distrusted_until_ <= now));
    }
    // How long until that much may be sent, after so much that goes before it; 0: now. Only where it is known.
    [[nodiscard]] duration until(double amount, double ahead, pace_priority who, double headroom,
                                 steady_time now) noexcept;
    // Would be told to wait for what is left, not for its price.
    [[nodiscard]] bool is_short(double amount, double headroom, steady_time now) const noexcept {
        return known(now) && left(now) < headroom * limit_ + amount;
    }
    // How much may be sent a second from here, as things stand.
    [[nodiscard]] double pace(pace_priority who, double headroom, steady_time now) const noexcept;

    [[nodiscard]] double left(steady_time now) const noexcept;
    [[nodiscard]] double limit() const noexcept { return limit_; }
    [[nodiscard]] duration window() const noexcept { return window_; }
    [[nodiscard]] double share() const noexcept; // of what is used, that was sent from here
    [[nodiscard]] double total() const noexcept { return total_; }

private:
    [[nodiscard]] double reckoned(steady_time now) const noexcept; // as if nothing ran over
    [[nodiscard]] double per_second() const noexcept { return limit_ / in_seconds(window_); }
    [[nodiscard]] double others() const noexcept;
    // Of what there is: below the floor nothing goes, above the top all.
    struct zone {
        double floor, top;
        double even; // of what a second brings, that goes where the price is 1
    };
    [[nodiscard]] zone zone_of(pace_priority who, double headroom, double have, steady_time now) const noexcept;
    [[nodiscard]] double rate_in(const zone& of, double have) const noexcept;
    [[nodiscard]] double time_left(steady_time now) const noexcept; // of its window; a part of it
    void earn(double headroom, steady_time now) noexcept;
    void learn_window(const quota_field& field, double remaining) noexcept;

    double limit_ = 0;
    duration window_ = std::chrono::minutes{1};
    bool fixed_ = false;
    int steady_ = 0; // how often the time to be whole went with what was missing, less how often it did not
    // As told by the latest that was sent.
    double remaining_ = 0, mark_ = 0;
    steady_time latest_{};
    std::optional<steady_time> ends_{};
    // What was sent from here, of all times, and what it and all of it was lately.
    double settled_ = 0; // more than was taken, since that
    double total_ = 0, mine_ = 0, foreign_ = 0, foreign_rate_ = 0;
    // What may be sent where it has its price.
    std::array<double, 2> credit_{}; // by priority
    steady_time earned_{}, last_sent_{};
    double usual_ = 0; // the size of one
    int contradictions_ = 0;
    steady_time distrusted_until_ = steady_time::min();
    duration distrust_ = distrusted_for;
};

} // namespace evenkeel

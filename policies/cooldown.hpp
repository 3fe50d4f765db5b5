#pragma once
// Rests an endpoint that said 429 or 529, for the credential and the model it said it of, until its hint or the ramp
// ends (DESIGN section 6, reference: resilience semantics 5c). Never touches the breaker: an endpoint that throttles is
// alive. An end only moves later while it lies ahead. 529 has no ramp: an overloaded endpoint that was given the ramp
// of a rate limit stayed unused long after it was well (better-ccflare #342).
//
// Per model, since limits are: what is refused for one says nothing of the others. What is common to all of them
// (money, a key that is not accepted) rests for all; and where a second model is refused while a first one rests, the
// limit is taken to be common as well, which is a guess. Who names no model asks of all of them, and is refused for
// all.
//
// Of several requests that were refused together, only the first climbs the ramp: a refusal that comes while the
// endpoint rests was asked for before it began to.
//
// A ramp is forgotten with the first good answer, or once nobody was refused for as long after a rest as the next one
// would last, and ten seconds at least: who asks so rarely is kept from nothing by it.
//
// Evidence beats a guess: a good answer to what was sent after a rest began ends it where nobody had named its length,
// and two of them where somebody had. What was sent before says nothing of now.
//
// One per endpoint; thread-safe: one mutex, held for one call, none where nobody rests. Bounded: max_rests, the one
// that ends first is forgotten first; max_models likewise, so that no model rests for what another was refused.

#include "policies/outcome.hpp"
#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <unordered_map>
#include <vector>

namespace evenkeel {

struct cooldown_options {
    bool on = false;
    duration initial = std::chrono::seconds{1};   // 429 without a hint; doubles with each one in a row, up to
    duration max = std::chrono::seconds{60};      // ... also the longest hint that is believed
    duration overload = std::chrono::seconds{10}; // 529 without a hint, +-20 %, no ramp
    duration quota = std::chrono::minutes{15};    // spent quota, or a credential that is not accepted
    bool operator==(const cooldown_options&) const = default;
};

class cooldown {
public:
    static constexpr std::size_t max_rests = 1024;
    static constexpr std::size_t max_models = 64;

    explicit cooldown(const cooldown_options& options) noexcept : options_(options) {}
    void configure(const cooldown_options& options) noexcept;

    // Of whom an endpoint has a word: `principal` is a hash of the credential it was shown, 0 where the upstream's own
    // is used; `model` one of what was asked for, 0 where that is not known.
    struct subject {
        std::uint64_t principal = 0, model = 0;
        bool operator==(const subject&) const = default;
    };
    // `kind`: rate_limited, overloaded, quota or credential. `hint`: from now. `u` in [0, 1) spreads a rest without a
    // hint from overload. The time until which the endpoint now rests.
    steady_time throttled(subject whom, outcome_kind kind, std::optional<duration> hint, double u, steady_time now);
    // A good answer to what was sent then: the ramp begins anew, and a rest may be over. True: one is, by this.
    bool succeeded(subject whom, steady_time sent, steady_time now) noexcept;
    // A credential of the upstream's own was refused to `caller`, and the answer does not say whether that is about the
    // credential: true once it was refused to several callers within a minute, and to none of them was it good in
    // between.
    [[nodiscard]] bool refused_to_several(std::uint64_t caller, steady_time now) noexcept;
    // ... it is good, for somebody. Takes no lock where nobody was refused.
    void accepted() noexcept;
    // Nobody rests and no ramp is remembered: then nobody needs to know who asks. Takes no lock.
    [[nodiscard]] bool idle(steady_time now) const noexcept { return is_past(remembered_until_, now); }
    // ... nobody rests.
    [[nodiscard]] bool nobody_rests(steady_time now) const noexcept { return is_past(resting_until_, now); }
    // Resting at `now`? Until when, and for what.
    struct rest {
        steady_time until;
        outcome_kind why;
        bool guessed; // nobody named its length
        // An overloaded endpoint that named no time: better left alone, but not out of reach.
        [[nodiscard]] bool avoidable() const noexcept { return guessed && why == outcome_kind::overloaded; }
    };
    [[nodiscard]] std::optional<rest> resting(subject whom, steady_time now);
    // An operator's word: nobody rests any longer, and no ramp is remembered. How many rests that ended.
    std::size_t end_all(steady_time now) noexcept;

    struct summary {
        std::size_t resting = 0;                       // rests: a credential, or one model for a credential
        std::optional<steady_time> until{};            // the latest of them
        outcome_kind why = outcome_kind::rate_limited; // that one
        bool guessed = false;                          // nobody named its length
    };
    [[nodiscard]] summary report(steady_time now);

private:
    struct entry {
        steady_time began{}, until{}; // began: with the latest refusal
        outcome_kind why = outcome_kind::rate_limited;
        bool guessed = false;
        std::uint8_t good = 0;      // answers to what was sent since
        std::uint32_t in_a_row = 0; // rests for 429 since the last success
        steady_time forgotten{};    // the ramp
    };
    using moment = std::atomic<steady_time::rep>;
    [[nodiscard]] static bool is_past(const moment& until, steady_time now) noexcept {
        return now.time_since_epoch().count() >= until.load(std::memory_order_relaxed);
    }
    struct hash_of {
        std::size_t operator()(const subject& of) const noexcept;
    };
    static constexpr std::uint64_t all_models = 0;

    // All with the mutex held.
    [[nodiscard]] duration length(entry& known, outcome_kind kind, std::optional<duration> hint, double u,
                                  bool new_rest) const noexcept;
    steady_time rest_of(subject whom, outcome_kind kind, std::optional<duration> hint, double u, steady_time now);
    void make_place(std::uint64_t model, steady_time now);
    [[nodiscard]] bool another_model_rests(subject whom, steady_time now) const noexcept;
    void make_room(steady_time now);
    void sum_up() noexcept; // after anything has changed

    small_mutex mutex_;
    cooldown_options options_;
    std::unordered_map<subject, entry, hash_of> entries_;
    std::vector<std::uint64_t> models_; // those of the entries
    // chosen: two callers may well want the same model that the key may not have.
    static constexpr std::size_t several = 3;
    struct refusal {
        std::uint64_t caller = 0;
        steady_time at{};
    };
    std::array<refusal, several> refused_; // the latest of each, oldest first out
    std::atomic<bool> any_refused_{false};
    // The latest of the entries, to be read without the mutex.
    moment resting_until_{never}, remembered_until_{never};
    static constexpr steady_time::rep never = std::numeric_limits<steady_time::rep>::min();
};

} // namespace evenkeel

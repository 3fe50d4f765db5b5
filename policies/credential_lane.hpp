#pragma once
// How one credential of an upstream fares: which models it rests for, whether it is dead, what an operator said of it,
// and how many attempts have it. Requests, routes and endpoints share it: what a key was refused, it was refused
// wherever it is shown, so none of them finds out anew. It is known by its name alone; what it shows is told as a
// number that says whether it is still the same.
//
// A rate limit is a rest (cooldown.hpp), for the model that was asked for. A key that is not accepted and money that is
// spent do not pass by themselves: the key is dead until an operator or a good answer says otherwise, or until another
// secret bears its name. It is asked again now and then all the same, by one request at a time, after `quota`, twice
// that, and so on up to an hour.
//
// An operator may keep it back (drain: until told otherwise; rest: for so long). Nothing but his word ends the one.
//
// Thread-safe: a mutex held for one call, none where nothing is wrong with it.

#include "policies/cooldown.hpp"
#include "policies/outcome.hpp"
#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace evenkeel {

enum class credential_state : unsigned char { well, resting, dead, drained };
inline constexpr int credential_state_count = 4;
[[nodiscard]] std::string_view to_string(credential_state) noexcept;

class credential_lane {
public:
    static constexpr duration longest_silence = std::chrono::hours{1}; // between two questions to a dead one (chosen)

    explicit credential_lane(const cooldown_options& options) noexcept : options_(options), limits_(options) {}
    void configure(const cooldown_options& options) noexcept;

    // Another secret under this name begins with nothing against it; an operator's word stays. True: it is another.
    bool shows(std::uint64_t secret) noexcept;

    // May it be asked for this model (0: it is not known)? Takes no lock where nothing is wrong.
    struct outlook {
        bool free = true;
        bool due = false; // dead, and it is time to ask it again
        steady_time until{};
        outcome_kind why = outcome_kind::rate_limited;
        bool by_operator = false; // kept back by a person's word
        bool drained = false;     // ... without an end
    };
    [[nodiscard]] outlook look(std::uint64_t model, steady_time now);
    // A dead one is asked again: by whoever says so first. False: somebody else does.
    [[nodiscard]] bool claim(steady_time now) noexcept;

    // The end of what it was refused: of a rest, or when a dead one is asked again.
    steady_time limited(std::uint64_t model, std::optional<duration> hint, double u, steady_time now);
    steady_time died(outcome_kind why, std::optional<duration> hint, steady_time now) noexcept;
    // A good answer to what was sent then. True: a rest or a death is over by it.
    [[nodiscard]] bool answered(std::uint64_t model, steady_time sent, steady_time now) noexcept;
    // It was refused to `caller` without a word on what that is about: true once it was to several (cooldown.hpp).
    [[nodiscard]] bool refused_to_several(std::uint64_t caller, steady_time now) noexcept {
        return limits_.refused_to_several(caller, now);
    }

    // An operator's word.
    void drain() noexcept;
    void rest_until(steady_time until) noexcept;
    std::size_t end_rests(steady_time now) noexcept; // and a death: how many those were
    void revive(steady_time now) noexcept;           // ... and his own words as well

    void enter() noexcept { in_flight_.fetch_add(1, std::memory_order_relaxed); }
    void leave() noexcept { in_flight_.fetch_sub(1, std::memory_order_relaxed); }
    [[nodiscard]] int in_flight() const noexcept { return in_flight_.load(std::memory_order_relaxed); }

    struct summary {
        credential_state state = credential_state::well;
        std::optional<steady_time> until{}; // resting: the latest; dead: when it is asked again
        outcome_kind why = outcome_kind::rate_limited;
        bool by_operator = false;
        int in_flight = 0;
        std::size_t resting = 0; // models, or all of them
    };
    [[nodiscard]] summary report(steady_time now);

private:
    // With the mutex held.
    [[nodiscard]] duration silence() const noexcept;
    void note_trouble() noexcept {
        troubled_.store(dead_ || drained_ || kept_until_ != steady_time{}, std::memory_order_relaxed);
    }
    void forget_death() noexcept;

    small_mutex mutex_;
    cooldown_options options_;
    cooldown limits_;
    std::atomic<int> in_flight_{0};
    std::atomic<bool> troubled_{false};
    std::optional<std::uint64_t> secret_{};
    bool dead_ = false, asked_ = false; // asked: since the latest refusal somebody was let through
    bool drained_ = false;
    outcome_kind why_ = outcome_kind::credential;
    int refusals_ = 0; // of a dead one, that counted
    steady_time died_{}, again_{}, kept_until_{};
};

} // namespace evenkeel

#pragma once
// When a request that its attempts could not answer goes to its fallback ladder, and which steps of the ladder can be
// taken. The order is fixed: what is the client's own answer, if old, before another model's, before a canned one. A
// ladder is climbed once: a step that is another route uses that route's upstreams and policies, not its ladder.
//
// Never for an answer that is the caller's doing (it would be the same everywhere, and the caller must hear of it), for
// a client that has left, or once anything meaningful of an answer was passed on. Pure.

#include "policies/outcome.hpp"
#include "policies/time.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace evenkeel {

enum class fallback_kind : unsigned char { last_good, route, respond };
inline constexpr int fallback_kind_count = 3;
[[nodiscard]] std::string_view to_string(fallback_kind) noexcept; // as in YAML, metrics and x-evenkeel-degraded

// Why a step of the ladder was passed over; metric label.
enum class fallback_skip : unsigned char {
    // last_good: the request has no identity: no x-evenkeel-partial-key, a body that is not held, another method.
    no_key,
    no_entry,       // last_good: nothing is kept for it, or the store is not there
    too_old,        // last_good: what is kept is older than max_age
    no_time,        // route: less is left of the request's time than an attempt needs
    not_replayable, // route: the request may have had an effect already, or its body is not held
    failed,         // route: it had no good answer either
};
inline constexpr int fallback_skip_count = 6;
[[nodiscard]] std::string_view to_string(fallback_skip) noexcept;

// What a request has come to without its ladder.
struct unaided_answer {
    bool is_there = false; // false: the client left
    int status = 0;
    std::optional<outcome_kind> failed_as{}; // what an upstream's error, also one inside a 200, was judged to be;
                                             // empty: it was none, or it was refused or failed here
    bool body_failed = false;                // the client's own body did not come, or was refused
};
[[nodiscard]] bool needs_fallback(const unaided_answer& so_far) noexcept;

// What a step to another route needs to know.
struct reroute_facts {
    duration time_left{};         // until the request's deadline
    duration attempt_needs{};     // an attempt with less is not begun
    bool body_held = false;       // it can be read once more from its first byte
    bool may_have_arrived = true; // an upstream may have acted on the request
    bool repeatable = false;      // sending it twice does no harm
};
[[nodiscard]] std::optional<fallback_skip> why_not_reroute(const reroute_facts& facts) noexcept;

} // namespace evenkeel

#include "policies/fallback.hpp"

namespace evenkeel {

std::string_view to_string(fallback_kind kind) noexcept {
    switch (kind) {
    case fallback_kind::last_good: return "last_good";
    case fallback_kind::route: return "route";
    case fallback_kind::respond: return "respond";
    }
    return "respond";
}

std::string_view to_string(fallback_skip why) noexcept {
    switch (why) {
    case fallback_skip::no_key: return "no_key";
    case fallback_skip::no_entry: return "no_entry";
    case fallback_skip::too_old: return "too_old";
    case fallback_skip::no_time: return "no_time";
    case fallback_skip::not_replayable: return "not_replayable";
    case fallback_skip::failed: return "failed";
    }
    return "failed";
}

bool needs_fallback(const unaided_answer& so_far) noexcept {
    if (!so_far.is_there || so_far.body_failed) return false;
    if (so_far.failed_as)
        return *so_far.failed_as != outcome_kind::caller_error && *so_far.failed_as != outcome_kind::cancelled;
    // Of our own refusals and failures those below 500 speak of the request itself; 429 is how a full queue may be
    // told.
    return so_far.status >= 500 || so_far.status == 429;
}

std::optional<fallback_skip> why_not_reroute(const reroute_facts& facts) noexcept {
    if (!facts.body_held || (facts.may_have_arrived && !facts.repeatable)) return fallback_skip::not_replayable;
    if (facts.time_left < facts.attempt_needs) return fallback_skip::no_time;
    return std::nullopt;
}

} // namespace evenkeel

#include "policies/coalesce.hpp"

namespace evenkeel {

bool may_coalesce(coalesce_mode mode, const coalesce_facts& facts) noexcept {
    if (mode == coalesce_mode::off || !(facts.is_get || facts.is_post) || !facts.body_held || !facts.repeatable)
        return false;
    return mode == coalesce_mode::always || facts.is_get || facts.deterministic;
}

} // namespace evenkeel

#include "policies/coalesce.hpp"

#include <doctest/doctest.h>

#include <initializer_list>

namespace evenkeel::test::coalesce_test {

TEST_CASE("what may share an answer: by mode, method and what is known of the request") {
    const coalesce_facts get{.is_get = true, .body_held = true, .repeatable = true};
    const coalesce_facts sampled{.is_post = true, .body_held = true, .repeatable = true};
    coalesce_facts same = sampled;
    same.deterministic = true;

    for (const auto& facts : {get, sampled, same}) CHECK_FALSE(may_coalesce(coalesce_mode::off, facts));
    CHECK(may_coalesce(coalesce_mode::deterministic, get));
    CHECK_FALSE(may_coalesce(coalesce_mode::deterministic, sampled));
    CHECK(may_coalesce(coalesce_mode::deterministic, same));
    for (const auto& facts : {get, sampled, same}) CHECK(may_coalesce(coalesce_mode::always, facts));

    for (const auto mode : {coalesce_mode::deterministic, coalesce_mode::always}) {
        coalesce_facts other = same;
        other.is_post = false; // PUT, DELETE, HEAD
        CHECK_FALSE(may_coalesce(mode, other));
        coalesce_facts streamed = same;
        streamed.body_held = false;
        CHECK_FALSE(may_coalesce(mode, streamed));
        coalesce_facts once = same;
        once.repeatable = false;
        CHECK_FALSE(may_coalesce(mode, once));
    }
}

} // namespace evenkeel::test::coalesce_test

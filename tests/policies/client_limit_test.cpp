#include "policies/client_limit.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <utility>
#include <vector>

namespace evenkeel::test::client_limit_test {

TEST_CASE("as many places as there are, each until it is given back, and none twice") {
    client_limit limit({.max_concurrent = 2});
    auto first = limit.enter(), second = limit.enter();
    CHECK(first);
    CHECK(second);
    CHECK_FALSE(limit.enter());
    CHECK(limit.report().in_use == 2);
    const auto moved = std::move(first);
    CHECK_FALSE(limit.enter());
    second = {};
    CHECK(limit.report().in_use == 1);
    auto third = limit.enter();
    CHECK(third);
    CHECK_FALSE(limit.enter());
    CHECK(limit.report().limit == 2);
}

TEST_CASE("without a number it is counted and never refused; another number holds from then on") {
    client_limit limit({});
    std::vector<client_limit::permit> all;
    for (int i = 0; i < 1000; ++i) {
        all.push_back(limit.enter());
        CHECK(all.back());
    }
    CHECK(limit.report().in_use == 1000);
    limit.configure({.max_concurrent = 999});
    CHECK_FALSE(limit.enter());
    all.pop_back();
    CHECK_FALSE(limit.enter());
    all.pop_back();
    CHECK(limit.enter());
    all.clear();
    CHECK(limit.report().in_use == 0);
}

} // namespace evenkeel::test::client_limit_test

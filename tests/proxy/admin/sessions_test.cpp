#include "proxy/admin/sessions.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace evenkeel::test::sessions_test {

using evenkeel::admin::sessions;
using namespace std::chrono_literals;

namespace {
constexpr steady_time start{1000s};
}

TEST_CASE("sessions: the token opens one that is random, ends after its lifetime, and by a logout") {
    sessions all("sk-CANARY");
    const auto one = all.log_in("sk-CANARY", start).session, other = all.log_in("sk-CANARY", start).session;
    CHECK(one.size() == 64);
    CHECK(one != other);
    CHECK(all.knows(one, start));
    CHECK_FALSE(all.knows("", start));
    CHECK_FALSE(all.knows("sk-CANARY", start));
    all.log_out(one);
    CHECK_FALSE(all.knows(one, start));
    CHECK(all.knows(other, start + sessions::lifetime - 1s));
    CHECK_FALSE(all.knows(other, start + sessions::lifetime));
}

TEST_CASE("sessions: the oldest makes room") {
    sessions all("sk-CANARY");
    std::vector<std::string> opened;
    for (std::size_t i = 0; i <= sessions::most; ++i) opened.push_back(all.log_in("sk-CANARY", start).session);
    CHECK_FALSE(all.knows(opened.front(), start));
    CHECK(all.knows(opened[1], start));
    CHECK(all.knows(opened.back(), start));
}

TEST_CASE("sessions: wrong tokens run out, the right one too then, and come back one by one") {
    sessions all("sk-CANARY");
    for (int i = 0; i < sessions::burst; ++i) {
        const auto tried = all.log_in("guess", start);
        CHECK(tried.session.empty());
        CHECK(tried.wait == duration::zero());
    }
    CHECK(all.log_in("sk-CANARY", start).wait == sessions::between_tries);
    CHECK(all.log_in("guess", start + sessions::between_tries).wait == duration::zero());
    CHECK(all.log_in("sk-CANARY", start + sessions::between_tries).wait > duration::zero());
    CHECK_FALSE(all.log_in("sk-CANARY", start + 2 * sessions::between_tries).session.empty());
    // Right ones cost nothing, and give back what wrong ones have taken.
    for (int i = 0; i < sessions::burst - 1; ++i)
        CHECK(all.log_in("guess", start + 2 * sessions::between_tries).wait == duration::zero());
    for (int i = 0; i < 50; ++i)
        CHECK_FALSE(all.log_in("sk-CANARY", start + 2 * sessions::between_tries).session.empty());
}

TEST_CASE("sessions: where there is no token none opens") {
    sessions all("");
    CHECK(all.log_in("", start).session.empty());
}

} // namespace evenkeel::test::sessions_test

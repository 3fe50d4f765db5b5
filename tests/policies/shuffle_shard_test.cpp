#include "policies/shuffle_shard.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <map>
#include <string>
#include <vector>

namespace evenkeel::test::shuffle_shard_test {

namespace {
std::vector<std::string> named(int count) {
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) names.push_back("upstream-" + std::to_string(i));
    return names;
}
std::uint64_t tenant(int number) { return shuffle_shard::tenant_named("team-" + std::to_string(number)); }
} // namespace

TEST_CASE("a tenant has as many endpoints as it should, always the same, whatever their order") {
    const auto names = named(8);
    const std::vector<std::string> backwards(names.rbegin(), names.rend());
    const shuffle_shard one(names, {}, 3), other(backwards, {}, 3);
    for (int i = 0; i < 1000; ++i) {
        const auto set = one.of(tenant(i));
        CHECK(std::popcount(set) == 3);
        CHECK(set < 1U << 8);
        for (unsigned at = 0; at < 8; ++at) REQUIRE((set >> at & 1U) == (other.of(tenant(i)) >> (7 - at) & 1U));
    }
    // The same in every process and every build, worked out by hand: what an operator has noted stays true.
    CHECK(shuffle_shard::tenant_named("") == 0xc3817c016ba4ff30ULL);
    CHECK(shuffle_shard::tenant_named("team-a") == 0x4593b2d90c3c474fULL);
}

TEST_CASE("a shard of all endpoints is all of them, also of none or one") {
    CHECK(shuffle_shard(named(2), {}, 2).of(tenant(1)) == shuffle_shard::all);
    CHECK(shuffle_shard(named(2), {}, 5).of(tenant(1)) == shuffle_shard::all);
    CHECK(shuffle_shard(named(0), {}, 1).of(tenant(1)) == shuffle_shard::all);
    CHECK(std::popcount(shuffle_shard(named(16), {}, 15).of(tenant(1))) == 15);
}

TEST_CASE("every shard is as likely as any other") {
    constexpr int tenants = 28'000;
    const shuffle_shard shards(named(8), {}, 2);
    std::map<shuffle_shard::members, int> drawn;
    for (int i = 0; i < tenants; ++i) ++drawn[shards.of(tenant(i))];

    CHECK(drawn.size() == 28); // C(8, 2)
    double chi = 0;
    for (const auto& [set, count] : drawn) chi += (count - 1000.0) * (count - 1000.0) / 1000.0;
    CHECK(chi < 55.5); // 27 degrees of freedom: exceeded by chance once in a thousand
}

TEST_CASE("two tenants share as many endpoints as chance says") {
    constexpr int pairs = 40'000;
    const shuffle_shard shards(named(8), {}, 2);
    std::vector<double> met(3);
    for (int i = 0; i < pairs; ++i)
        ++met[static_cast<std::size_t>(std::popcount(shards.of(tenant(2 * i)) & shards.of(tenant(2 * i + 1))))];

    // Hypergeometric: 15, 12 and 1 of 28.
    for (const auto& [overlap, share] : {std::pair{0U, 15.0 / 28}, {1U, 12.0 / 28}, {2U, 1.0 / 28}}) {
        const double deviation = std::sqrt(share * (1 - share) / pairs);
        CHECK(std::abs(met[overlap] / pairs - share) < 4 * deviation);
    }
}

TEST_CASE("a new endpoint moves only the tenants that get it, and as few as can be") {
    constexpr int tenants = 20'000;
    const shuffle_shard before(named(8), {}, 2), after(named(9), {}, 2);
    int moved = 0;
    for (int i = 0; i < tenants; ++i) {
        const auto old_set = before.of(tenant(i)), new_set = after.of(tenant(i));
        if (old_set == new_set) continue;
        ++moved;
        REQUIRE((new_set >> 8 & 1U) == 1);              // it took one place
        REQUIRE(std::popcount(old_set & new_set) == 1); // of the two
    }
    CHECK(std::abs(moved / double{tenants} - 2.0 / 9) < 0.012); // k of n: four standard deviations
}

TEST_CASE("a heavier endpoint has more tenants, in proportion") {
    constexpr int tenants = 40'000;
    const shuffle_shard shards(named(4), {3, 1, 1, 1}, 1);
    std::vector<int> count(4);
    for (int i = 0; i < tenants; ++i) ++count[static_cast<std::size_t>(std::countr_zero(shards.of(tenant(i))))];
    CHECK(std::abs(count[0] / double{tenants} - 0.5) < 0.01);
    for (unsigned at = 1; at < 4; ++at) CHECK(std::abs(count[at] / double{tenants} - 1.0 / 6) < 0.0075);
}

} // namespace evenkeel::test::shuffle_shard_test

#pragma once
// Which endpoints of a route a tenant is served by (shuffle sharding; MacCarthaigh, "Workload isolation using
// shuffle-sharding"; reference: resilience semantics 11). Each tenant has `size` of them, drawn by its name: what a
// poisonous tenant breaks are the endpoints of its own shard, and only tenants with the very same shard lose all of
// theirs. Of 8 endpoints taken 2 at a time that is one tenant in C(8,2) = 28.
//
// Rendezvous hashing (Thaler and Ravishankar, IEEE/ACM ToN 1998): the endpoints with the highest score of (tenant,
// endpoint). Nothing is stored; every worker and every restart finds the same shard for the same key, whatever the
// order of the endpoints; adding or removing one moves only the tenants that gain or lose it. Weighted as in
// Schindelhauer and Schomaker (SPAA 2005): score -weight / ln(u).
//
// Immutable; any thread.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel {

struct shuffle_shard_options {
    bool on = false;
    int size = 2;       // endpoints per tenant
    std::string header; // whose value names the tenant, lower case; empty: the credential
    bool operator==(const shuffle_shard_options&) const = default;
};

class shuffle_shard {
public:
    using members = std::uint64_t; // bit per endpoint, by place
    static constexpr members all = ~members{0};

    // Names: unique, at most 64. weights: one per name, > 0.
    shuffle_shard(const std::vector<std::string>& names, std::vector<double> weights, int size);

    [[nodiscard]] members of(std::uint64_t tenant) const noexcept;

    // Of a tenant's name; the same in every process. Any name will do, also the empty one.
    [[nodiscard]] static std::uint64_t tenant_named(std::string_view name) noexcept;

private:
    std::vector<std::uint64_t> names_; // hashed
    std::vector<double> weights_;
    std::size_t size_;
};

} // namespace evenkeel

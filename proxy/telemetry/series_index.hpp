#pragma once
// From a route or an endpoint of an upstream to what is counted about it, without a lock and without building a label
// on the hot path.
//
// A record carries pointers into the configuration snapshot its request began with. Names would identify the same
// series across reloads but cost a hash of a string per call; pointers are cheap but die with their snapshot and may
// then be reused by the allocator. So: series are owned by name and live as long as the index (a vanished route keeps
// its series, and counts again if it comes back; but one of several endpoints, whose names come and go with DNS, loses
// them at the second load that finds it gone with all its requests), and an immutable table from pointers to series is
// rebuilt at each load. The table lists the routes of the new snapshot first, then those of earlier snapshots that
// requests in flight still hold, so a reused address can only mean the new route. This relies on one rule: load() is
// called before the snapshot is handed to the workers.
//
// Readers keep a shared_ptr to the table in a thread-local and compare one version number per look-up; only the first
// look-up of a thread after a load takes the mutex. A lock-free swap of the table itself would need deferred
// reclamation, std::atomic<shared_ptr> costs two locked instructions per look-up.

#include "config/settings.hpp"

#include <atomic>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace evenkeel::telemetry {

// Open addressing over addresses; built once, then only read.
template <class Value>
class pointer_table {
public:
    explicit pointer_table(std::size_t entries)
        : slots_(std::bit_ceil(2 * entries + 2)), shift_(64 - std::countr_zero(slots_.size())) {}

    // An address that is there already keeps its value.
    void insert(const void* key, Value value) {
        for (auto at = place(key);; at = (at + 1) & (slots_.size() - 1)) {
            if (slots_[at].key == key) return;
            if (slots_[at].key == nullptr) {
                slots_[at] = {key, std::move(value)};
                return;
            }
        }
    }

    [[nodiscard]] const Value* find(const void* key) const noexcept {
        for (auto at = place(key);; at = (at + 1) & (slots_.size() - 1)) {
            if (slots_[at].key == key) return key == nullptr ? nullptr : &slots_[at].value;
            if (slots_[at].key == nullptr) return nullptr;
        }
    }

private:
    struct slot {
        const void* key = nullptr;
        Value value{};
    };
    // Fibonacci hashing; addresses differ in their middle bits.
    [[nodiscard]] std::size_t place(const void* key) const noexcept {
        return static_cast<std::size_t>((reinterpret_cast<std::uintptr_t>(key) * 0x9E3779B97F4A7C15U) >> shift_);
    }

    std::vector<slot> slots_;
    int shift_;
};

// Of an index that counts nothing by credential, or by client.
struct no_series {
    template <class Context>
    explicit no_series(const Context&) {}
};
template <class Series>
struct credential_series_of {
    using type = no_series;
};
template <class Series>
requires requires { typename Series::credential; }
struct credential_series_of<Series> {
    using type = typename Series::credential;
};
template <class Series>
struct client_series_of {
    using type = no_series;
};
template <class Series>
requires requires { typename Series::client; }
struct client_series_of<Series> {
    using type = typename Series::client;
};

// `Series` names the types `route`, `pair` (a route's use of an upstream) and `upstream`, each built from a `context`;
// and, if it likes, `credential` (one of several of an upstream, whichever endpoint it is shown to) and `client` (one
// that is known by its key).
template <class Series>
class series_index {
public:
    using credential_series = typename credential_series_of<Series>::type;
    using client_series = typename client_series_of<Series>::type;
    using route_series = typename Series::route;
    using pair_series = typename Series::pair;
    using upstream_series = typename Series::upstream;
    struct upstream_key {
        std::string name, endpoint; // its label
        auto operator<=>(const upstream_key&) const = default;
    };
    using pair_key = std::pair<std::string, upstream_key>;      // whose route
    using credential_key = std::pair<std::string, std::string>; // whose upstream

    explicit series_index(typename Series::context context) : context_(std::move(context)) {
        const std::lock_guard lock(mutex_);
        publish(std::make_shared<const table>());
    }

    // Creates what is new. Called before the snapshot reaches any worker.
    void load(const config::snapshot& snapshot) {
        const std::lock_guard lock(mutex_);
        std::vector<held_route> routes;
        std::vector<held_upstream> upstreams;
        const auto add_upstream = [&](const std::shared_ptr<const config::upstream>& upstream) -> upstream_series* {
            upstreams.push_back({upstream, upstream.get(), {&get(upstreams_, key_of(*upstream)), {}}});
            for (const auto& one : upstream->credentials)
                upstreams.back().entry.credentials.push_back(
                    &get(credentials_, credential_key{upstream->name, one.name}));
            return upstreams.back().entry.series;
        };
        for (const auto& upstream : snapshot->upstreams) add_upstream(upstream);
        for (const auto& route : snapshot->routes) {
            held_route held{route, route.get(), {&get(routes_, route->name), {}}};
            for (const auto& upstream : route->upstreams) {
                auto& pair = get(pairs_, pair_key{route->name, key_of(*upstream)});
                held.entry.pairs.push_back({upstream.get(), &pair, add_upstream(upstream)});
            }
            routes.push_back(std::move(held));
        }
        std::vector<held_client> clients;
        for (const auto& one : snapshot->clients) clients.push_back({one, one.get(), &get(clients_, one->name)});
        // A snapshot may share what did not change with the one before it.
        std::set<const void*> listed;
        for (const auto& held : routes) listed.insert(held.address);
        for (const auto& held : upstreams) listed.insert(held.address);
        for (const auto& held : clients) listed.insert(held.address);
        for (auto& held : held_clients_)
            if (!held.alive.expired() && !listed.contains(held.address)) clients.push_back(std::move(held));
        for (auto& held : held_routes_)
            if (!held.alive.expired() && !listed.contains(held.address)) routes.push_back(std::move(held));
        for (auto& held : held_upstreams_)
            if (!held.alive.expired() && !listed.contains(held.address)) upstreams.push_back(std::move(held));

        auto next = std::make_shared<table>(routes.size(), upstreams.size(), clients.size());
        for (const auto& held : routes) next->routes.insert(held.address, held.entry);
        for (const auto& held : upstreams) next->upstreams.insert(held.address, held.entry);
        for (const auto& held : clients) next->clients.insert(held.address, held.series);
        held_clients_ = std::move(clients);
        held_routes_ = std::move(routes);
        held_upstreams_ = std::move(upstreams);
        publish(std::move(next));
        std::set<const void*> used;
        for (const auto& held : held_upstreams_) used.insert(held.entry.series);
        for (const auto& held : held_routes_)
            for (const auto& one : held.entry.pairs) used.insert(one.pair);
        std::set<const void*> unused;
        const auto of_upstream = [](const upstream_key& key) { return !key.endpoint.empty(); };
        forget_unused(upstreams_, of_upstream, used, unused);
        forget_unused(
            pairs_, [&](const pair_key& key) { return of_upstream(key.second); }, used, unused);
        unused_ = std::move(unused);
    }

    struct pair_found {
        route_series* route = nullptr;
        pair_series* pair = nullptr;
        upstream_series* upstream = nullptr;
    };

    // Null for what no snapshot held.
    [[nodiscard]] route_series* find(const config::route* route) const {
        const auto* found = current().routes.find(route);
        return found == nullptr ? nullptr : found->series;
    }
    [[nodiscard]] client_series* find(const config::client* client) const {
        const auto* found = current().clients.find(client);
        return found == nullptr ? nullptr : *found;
    }
    [[nodiscard]] upstream_series* find(const config::upstream* upstream) const {
        const auto* found = current().upstreams.find(upstream);
        return found == nullptr ? nullptr : found->series;
    }
    [[nodiscard]] credential_series* find(const config::upstream* upstream, std::size_t credential) const {
        const auto* found = current().upstreams.find(upstream);
        return found == nullptr || credential >= found->credentials.size() ? nullptr : found->credentials[credential];
    }
    // The route's alone where it has no such upstream. Three pointers come back through memory where it is a call: a
    // tenth of what observing a request costs (telemetry_cost).
    [[nodiscard, gnu::always_inline]] pair_found find(const config::route* route,
                                                      const config::upstream* upstream) const {
        const auto* found = current().routes.find(route);
        if (found == nullptr) return {};
        for (const auto& used : found->pairs)
            if (used.address == upstream) return {found->series, used.pair, used.upstream};
        return {found->series};
    }

    // Every series there ever was, in the order of names; the mutex is held meanwhile.
    template <class Function>
    void for_each_route(Function function) const {
        const std::lock_guard lock(mutex_);
        for (const auto& [name, series] : routes_) function(name, *series);
    }
    template <class Function>
    void for_each_pair(Function function) const {
        const std::lock_guard lock(mutex_);
        for (const auto& [names, series] : pairs_)
            function(names.first, names.second.name, names.second.endpoint, *series);
    }
    template <class Function>
    void for_each_credential(Function function) const {
        const std::lock_guard lock(mutex_);
        for (const auto& [names, series] : credentials_) function(names.first, names.second, *series);
    }
    template <class Function>
    void for_each_client(Function function) const {
        const std::lock_guard lock(mutex_);
        for (const auto& [name, series] : clients_) function(name, *series);
    }
    template <class Function>
    void for_each_upstream(Function function) const {
        const std::lock_guard lock(mutex_);
        for (const auto& [key, series] : upstreams_) function(key.name, key.endpoint, *series);
    }

private:
    struct used_upstream {
        const config::upstream* address;
        pair_series* pair;
        upstream_series* upstream;
    };
    struct route_entry {
        route_series* series = nullptr;
        std::vector<used_upstream> pairs; // a handful: searched in order
    };
    struct upstream_entry {
        upstream_series* series = nullptr;
        std::vector<credential_series*> credentials; // by place in its list
    };
    struct table {
        table() : table(0, 0, 0) {}
        table(std::size_t route_count, std::size_t upstream_count, std::size_t client_count)
            : routes(route_count), upstreams(upstream_count), clients(client_count) {}
        pointer_table<route_entry> routes;
        pointer_table<upstream_entry> upstreams;
        pointer_table<client_series*> clients;
    };
    struct held_route {
        std::weak_ptr<const config::route> alive;
        const config::route* address;
        route_entry entry;
    };
    struct held_upstream {
        std::weak_ptr<const config::upstream> alive;
        const config::upstream* address;
        upstream_entry entry;
    };
    struct held_client {
        std::weak_ptr<const config::client> alive;
        const config::client* address;
        client_series* series;
    };
    struct cached_table {
        std::uint64_t version = 0;
        std::shared_ptr<const table> held;
    };

    [[nodiscard]] static upstream_key key_of(const config::upstream& one) {
        return {one.name, std::string(one.endpoint.label())};
    }
    // Of labelled endpoints, what nobody has used at two loads in a row: by then no thread knows the table it stood in.
    template <class Map, class Claim>
    void forget_unused(Map& map, Claim is_labelled, const std::set<const void*>& used, std::set<const void*>& unused) {
        std::erase_if(map, [&](const auto& one) {
            if (!is_labelled(one.first) || used.contains(one.second.get())) return false;
            if (unused_.contains(one.second.get())) return true;
            unused.insert(one.second.get());
            return false;
        });
    }
    template <class Map, class Key>
    [[nodiscard]] auto& get(Map& map, const Key& key) {
        auto& owned = map[key];
        if (!owned) owned = std::make_unique<typename Map::mapped_type::element_type>(context_);
        return *owned;
    }

    // Versions are unique in the process, so that one thread-local serves every index of a type.
    void publish(std::shared_ptr<const table> next) {
        static std::atomic<std::uint64_t> last_version{0};
        table_ = std::move(next);
        version_.store(last_version.fetch_add(1, std::memory_order_relaxed) + 1, std::memory_order_release);
    }

    [[nodiscard]] const table& current() const {
        thread_local cached_table cached;
        if (cached.version != version_.load(std::memory_order_acquire)) [[unlikely]] {
            const std::lock_guard lock(mutex_);
            cached.held = table_;
            cached.version = version_.load(std::memory_order_relaxed);
        }
        return *cached.held;
    }

    typename Series::context context_;
    mutable std::mutex mutex_; // all below but version_
    std::map<std::string, std::unique_ptr<route_series>> routes_;
    std::map<upstream_key, std::unique_ptr<upstream_series>> upstreams_;
    std::map<pair_key, std::unique_ptr<pair_series>> pairs_;
    std::map<credential_key, std::unique_ptr<credential_series>> credentials_; // as many as files have named
    std::map<std::string, std::unique_ptr<client_series>> clients_;            // likewise
    std::vector<held_client> held_clients_;
    std::vector<held_route> held_routes_;
    std::vector<held_upstream> held_upstreams_;
    std::set<const void*> unused_; // series, at the last load
    std::shared_ptr<const table> table_;
    std::atomic<std::uint64_t> version_{0};
};

} // namespace evenkeel::telemetry

#pragma once
// The process-wide state of the policies, one object per key, shared by every worker; a reload keeps the state of a key
// and gives it the new options. Objects live as long as the registry, and how many there are is bounded by what
// configurations named; those of endpoints that DNS named go with the last who uses them. Keys:
//
//   budget                  upstream; (route, upstream) where the route writes its own `retry.budget`
//   circuit                 endpoint, or upstream with `circuit_breaker.scope: upstream`; with the route, where it
//                           writes its own or says `scope: route`; and with it the circuits of single models
//   doubts                  endpoint (and within it the model); with the route, where its circuit is the route's own
//   cooldown                endpoint (and within it the credential and the model)
//   lane                    (upstream, name of one of its credentials); with `quota_scope: upstream` a cooldown of the
//                           upstream beside it
//   pace                    upstream, or with `credentials` and `quota_scope: credential` one of those by name; within
//                           it by model and, of callers' own credentials, caller
//   latency, rescues        (route, endpoint)
//   balance, guard, line,   route
//   bulkhead, shard         ... likewise
//   tokens                  ... likewise: what its requests take, by model
//   client                  name of one of `clients`
//   load                    route: several upstreams may be one server, and their sum is what is usual; (route,
//   endpoint)
//                           where an upstream has several: those are several servers; and with `shuffle_shard`: what a
//                           tenant does to its endpoints stays there
//   share                   (route, endpoint), of a load that several endpoints have between them

#include "config/settings.hpp"
#include "policies/assert.hpp"
#include "policies/balance.hpp"
#include "policies/bulkhead.hpp"
#include "policies/circuit_breaker.hpp"
#include "policies/client_limit.hpp"
#include "policies/cooldown.hpp"
#include "policies/credential_lanes.hpp"
#include "policies/endpoint_latency.hpp"
#include "policies/hedge.hpp"
#include "policies/model_circuits.hpp"
#include "policies/model_doubts.hpp"
#include "policies/overload_control.hpp"
#include "policies/pace.hpp"
#include "policies/rescue.hpp"
#include "policies/shuffle_shard.hpp"
#include "policies/token_estimates.hpp"
#include "policies/waiting_line.hpp"
#include "policies/work_budget.hpp"
#include "proxy/events/policy_report.hpp"
#include "proxy/state/unread_upstreams.hpp"
#include "proxy/state/upcast_memory.hpp"

#include <atomic>
#include <compare>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace evenkeel::request {

// Of one endpoint, as one route uses it.
struct endpoint_policies {
    work_budget* budget = nullptr;
    endpoint_latency* latency = nullptr;
    circuit_breaker* circuit = nullptr; // null: circuit_breaker off
    model_circuits* models = nullptr;   // beside it, of single models; null where it is
    cooldown* rest = nullptr;           // null: cooldown off
    overload_control* load = nullptr;   // null: neither overload control nor a circuit whose recovery is to be paced
    // Its part of the load, where several endpoints have one between them; null: the load is its own.
    overload_control::share* share = nullptr;
    bool own_credential = false;             // it is shown none of the callers': all requests rest together
    model_doubts* doubt = nullptr;           // never null in a set that is in use
    rescue_allowance* rescues = nullptr;     // likewise
    const credential_lanes* lanes = nullptr; // its upstream's credentials; null: there is no choice
    pace* paced = nullptr; // its upstream's quotas, unless they are its credentials' (lanes); null: off
    bool paces = false;    // either
    // Its upstream no longer has it: only who has nowhere else to go still asks it. Null: that is not told.
    const std::atomic<bool>* gone = nullptr;
};

struct route_policies {
    std::vector<endpoint_policies> endpoints; // by place in route.upstreams
    std::unique_ptr<balancer> balance;        // null: nothing to choose, or the order of the route
    hedge_guard* guard = nullptr;             // null: hedge off
    waiting_line* line = nullptr;
    evenkeel::bulkhead* bulkhead = nullptr;     // null: bulkhead off
    std::shared_ptr<const shuffle_shard> shard; // null: every request may go to every endpoint
    token_estimates* tokens = nullptr;          // null: none of its upstreams is paced

    [[nodiscard]] bool in_shard(shuffle_shard::members shard_of_request, std::size_t at) const noexcept {
        return shard == nullptr || (shard_of_request >> at & 1U) != 0;
    }
};

// What one snapshot's routes use; immutable, and alive while a request of that snapshot is.
class policy_set {
public:
    [[nodiscard]] const route_policies& of(const config::route& route) const noexcept {
        const auto found = routes_.find(&route);
        EVENKEEL_ASSERT(found != routes_.end(), "a route is asked for that these policies were not made for");
        return found->second;
    }
    [[nodiscard]] client_limit& of(const config::client& who) const noexcept {
        EVENKEEL_ASSERT(who.place < clients_.size(), "a client is asked for that these policies were not made for");
        return *clients_[who.place];
    }
    [[nodiscard]] upcast_memory& not_upcast() const noexcept { return *not_upcast_; }
    [[nodiscard]] unread_upstreams& unread() const noexcept { return *unread_; }

private:
    friend class policy_registry;
    std::unordered_map<const config::route*, route_policies> routes_;
    std::vector<client_limit*> clients_;            // in the order of `clients`
    std::vector<std::shared_ptr<const void>> held_; // what they point to, of endpoints
    std::unique_ptr<upcast_memory> not_upcast_ = std::make_unique<upcast_memory>();
    std::unique_ptr<unread_upstreams> unread_ = std::make_unique<unread_upstreams>();
};

class policy_registry {
public:
    // For a snapshot about to be used, in place of the one before it. Thread-safe.
    [[nodiscard]] std::shared_ptr<const policy_set> prepare(const config::settings& settings);

    // The state of every policy the routes of `settings` use. Thread-safe; stops no request.
    [[nodiscard]] telemetry::policy_report report(const config::settings& settings, steady_time now);

    // An operator holds the circuits of an upstream, as seen by one route or (empty) by all, of one of its endpoints or
    // (empty) of all, open or closed, or lets them be (no state); what was known of single models goes. False: there is
    // no such circuit.
    bool force(const std::string& route, const std::string& upstream, const std::string& endpoint,
               std::optional<circuit_state> state, steady_time now);

    // Nobody rests any longer at an upstream, or at one of its endpoints: how many did. Empty: no such is known. Of the
    // upstream as a whole its credentials too: none is dead.
    std::optional<std::size_t> end_rests(const std::string& upstream, const std::string& endpoint, steady_time now);

    // An operator's word on one credential of an upstream, or (no name) on all of them: it is not used, for so long or
    // until another word; or it is as well as any. How many of them were meant; 0: there is none of that name.
    struct credential_word {
        enum class kind : unsigned char { well, resting, drained };
        kind is = kind::well;
        steady_time until{}; // of resting
    };
    std::size_t say(const std::string& upstream, const std::string& credential, const credential_word& word,
                    steady_time now);

private:
    // Whose state it is; empty: of none in particular.
    struct key {
        std::string route, upstream, endpoint;
        bool passing = false; // an endpoint that DNS named
        auto operator<=>(const key&) const = default;
    };
    template <class Policy>
    using by_key = std::map<key, std::shared_ptr<Policy>>;

    enum class purpose : unsigned char { use, report };
    [[nodiscard]] std::shared_ptr<policy_set> make_set(const config::settings& settings, purpose what);
    [[nodiscard]] endpoint_policies endpoint_of(const config::route& route, const config::upstream& upstream,
                                                policy_set& holder, purpose what);
    [[nodiscard]] std::shared_ptr<const credential_lanes> lanes_of(const config::route& route,
                                                                   const config::upstream& upstream, purpose what);
    void tell_who_is_gone(const config::settings& settings);
    void forget_the_passed();

    std::mutex mutex_;
    by_key<work_budget> budgets_;
    by_key<circuit_breaker> circuits_;
    by_key<model_circuits> models_;
    by_key<cooldown> rests_;
    by_key<overload_control> loads_;
    by_key<overload_control::share> shares_;
    by_key<endpoint_latency> latencies_;
    by_key<model_doubts> doubts_;
    by_key<rescue_allowance> rescues_;
    by_key<std::atomic<bool>> gone_;
    by_key<credential_lane> lanes_; // in the place of an endpoint the name of the credential
    by_key<cooldown> quotas_;
    by_key<pace> paces_; // likewise
    by_key<token_estimates> tokens_;
    by_key<balance_memory> balances_;
    by_key<hedge_guard> guards_;
    by_key<waiting_line> lines_;
    by_key<bulkhead> bulkheads_;
    by_key<client_limit> clients_; // in the place of a route the name of the client
};

} // namespace evenkeel::request

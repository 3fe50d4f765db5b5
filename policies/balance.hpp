#pragma once
// In which order a request asks the endpoints of its route (DESIGN section 6, reference: resilience semantics 11).
// `least_latency`: power of two choices (Mitzenmacher, IEEE TPDS 2001) over peak EWMA of the time to the first meaningful
// event x (in flight + 1); failures are charged as slow, since an endpoint that fails fast would attract all traffic; losers
// and timeouts are a lower bound and never lower the estimate.
//
// One per route; thread-safe: one mutex, held for one call.

#include "policies/time.hpp"

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace evenkeel {

enum class balance_kind : unsigned char { failover, least_latency, round_robin, weighted };

class balancer {
public:
    static constexpr duration decay = std::chrono::seconds{10};          // of the EWMA
    static constexpr duration failure_charge = std::chrono::seconds{20}; // at least; policy evidence, pitfall 13

    balancer(balance_kind kind, std::vector<double> weights); // weights: one per endpoint, > 0
    void configure(balance_kind kind, std::vector<double> weights); // endpoints by index; a changed count starts anew

    // Fills `order` (one place per endpoint) with all endpoints, the one to ask first in front. u1, u2 in [0, 1).
    void order(std::span<std::uint32_t> order, double u1, double u2, steady_time now);

    enum class ending : unsigned char { answered, failed, cut_off };
    void started(std::uint32_t endpoint, steady_time now);
    void ended(std::uint32_t endpoint, ending how, duration took, steady_time now); // once per started()
    void left(std::uint32_t endpoint, steady_time now);                             // ... or this, where it says nothing

private:
    std::mutex mutex_;
};

} // namespace evenkeel

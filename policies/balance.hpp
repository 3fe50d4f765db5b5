#pragma once
// In which order a request asks the endpoints of its route (DESIGN section 6, reference: resilience semantics 11).
//
// `least_latency`: power of two choices (Mitzenmacher, IEEE TPDS 2001) by latency x (attempts in flight + 1) / weight.
// Latency is a peak EWMA of the time to the first meaningful event (as in Finagle): what an answer took beyond the
// usual counts at once and fades within seconds, so an endpoint in trouble is left alone soon and asked again soon.
// Failures are charged as slow, and the more of them in a row the slower, since an endpoint that fails fast has nothing
// in flight and would attract all traffic; losers and timeouts are a lower bound and never lower the estimate. An
// estimate that is not renewed fades, so that an endpoint nobody asks is tried again.
//
// `weighted`: smooth weighted round robin as in nginx since 1.3.1: {a: 5, b: 1} gives a a a b a a. `round_robin`: the
// same with equal weights.
//
// One per route; thread-safe: one mutex, held for one call.

#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace evenkeel {

enum class balance_kind : unsigned char { failover, least_latency, round_robin, weighted };

class balancer {
public:
    static constexpr duration decay = std::chrono::seconds{10}; // of what lies above the usual
    // Half life of a usual latency nobody renews (chosen).
    static constexpr duration fading = std::chrono::minutes{5};
    static constexpr duration failure_charge = std::chrono::seconds{20}; // at least; policy evidence, pitfall 13
    // Of the charge, for failures in a row: retried at the latest after about a minute.
    static constexpr int most_doublings = 6;

    balancer(balance_kind kind, std::vector<double> weights);       // weights: one per endpoint, > 0
    void configure(balance_kind kind, std::vector<double> weights); // endpoints by index; a changed count starts anew

    // Puts the endpoints in `order` (all, or those a request may ask; ascending) into the order of asking. u1, u2 in
    // [0, 1). A route with one endpoint need not ask.
    void order(std::span<std::uint32_t> order, double u1, double u2, steady_time now);

    enum class ending : unsigned char { answered, failed, cut_off };
    void started(std::uint32_t endpoint, steady_time now);
    void ended(std::uint32_t endpoint, ending how, duration took, steady_time now); // once per started()
    // ... or this, where it says nothing.
    void left(std::uint32_t endpoint, steady_time now);

private:
    struct endpoint {
        double weight = 1;
        double turn = 0;              // of the round robin: what it is owed
        double usual = 0, excess = 0; // seconds; the latency is their sum
        steady_time renewed{};        // both
        int in_flight = 0;
        int failures = 0;   // in a row
        bool known = false; // has answered or failed at all
    };
    void spread(std::span<std::uint32_t> order, double u1, double u2, steady_time now) noexcept;
    void take_turns(std::span<std::uint32_t> order, double u) noexcept;
    static void fade(endpoint& at, steady_time now) noexcept;
    [[nodiscard]] static double cost(const endpoint& at) noexcept;
    [[nodiscard]] endpoint* find(std::uint32_t number) noexcept;

    small_mutex mutex_;
    balance_kind kind_;
    std::vector<endpoint> endpoints_;
};

} // namespace evenkeel

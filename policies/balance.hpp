#pragma once
// In which order a request asks the endpoints of its route (DESIGN section 6, reference: resilience semantics 11): the
// route's `balance` chooses among its upstreams, that of each upstream among its endpoints. All endpoints of the
// upstream in front come before those of the next.
//
// `least_latency`: by latency x (attempts in flight + 1) / weight, of all where there are at most eight, else of eight
// that are drawn. (Power of two choices, Mitzenmacher, IEEE TPDS 2001, spares a comparison that costs nothing here, and
// loses where two of four are slow: one draw in six holds only those.) That everybody should choose the same at the
// same time is kept from happening by the attempts in flight, which count as soon as they start. An upstream costs what
// its best endpoint does. Latency is a peak EWMA of the time to the first meaningful event (as in Finagle): what an
// answer took beyond the usual counts at once and fades within seconds, so an endpoint in trouble is left alone soon
// and asked again soon. Failures are charged as slow, and the more of them in a row the slower, since an endpoint that
// fails fast has nothing in flight and would attract all traffic; losers and timeouts are a lower bound and never lower
// the estimate. A fast refusal is no speed either: it says nothing of how long an answer takes, and each of a row of
// them counts as if it were still in flight. An estimate that is not renewed fades, so that an endpoint nobody asks is
// tried again. Of whom nothing is known counts as the best that is: it gets its share from the first moment, and not
// everything until its first answer.
//
// Who is left alone is *looked at*: a single request goes to an endpoint that has failed last or costs twice what the
// best one does, 2 s after it was last heard of, then after two, four and so on. Fading alone would leave one that
// was in trouble for five seconds without a request for as many minutes as it was slower than the others are quick. A
// good answer ends a charge, which was a guess.
//
// `weighted`: smooth weighted round robin as in nginx since 1.3.1: {a: 5, b: 1} gives a a a b a a. `round_robin`: the
// same with equal weights.
//
// What is known of an endpoint belongs to its name and outlives a configuration: a balancer is made for each, over the
// memory of its route, and numbers endpoints by their place in it. Thread-safe: one mutex a route, held for one call.

#include "policies/small_mutex.hpp"
#include "policies/time.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace evenkeel {

enum class balance_kind : unsigned char { failover, least_latency, round_robin, weighted };

struct balance_options {
    balance_kind kind = balance_kind::failover; // among the upstreams
    struct upstream {
        std::string name;
        double weight = 1; // > 0
        balance_kind kind = balance_kind::least_latency;
        std::vector<std::string> endpoints; // names, unique within the upstream
    };
    std::vector<upstream> upstreams;

    // Whether there is anything to choose; else the order is that of the configuration.
    [[nodiscard]] bool chooses() const noexcept;
};

// What is known, by name; forgotten with the last balancer that has an endpoint of that name.
class balance_memory {
    friend class balancer;
    struct record {
        double turn = 0;              // of the round robin: what it is owed
        double usual = 0, excess = 0; // seconds; the latency is their sum
        steady_time renewed{};        // both
        steady_time heard{};          // what it said last
        steady_time look{};           // not looked at before
        int in_flight = 0;
        int failures = 0;     // in a row
        int refusals = 0;     // in a row
        int looks = 0;        // in a row, since it was worth its share
        bool known = false;   // has answered or failed at all
        bool offered = false; // in front for a look that nobody has begun yet
    };
    std::shared_ptr<record> of(const std::string& name);

    small_mutex mutex_; // all records
    std::map<std::string, std::weak_ptr<record>> records_;
};

class balancer {
public:
    static constexpr std::size_t most_compared = 8;
    static constexpr duration decay = std::chrono::seconds{10}; // of what lies above the usual
    // Half life of a usual latency nobody renews (chosen).
    static constexpr duration fading = std::chrono::minutes{5};
    static constexpr duration failure_charge = std::chrono::seconds{20}; // at least; policy evidence, pitfall 13
    // Of the charge, for failures in a row: retried at the latest after about a minute.
    static constexpr int most_doublings = 6;
    // Between two looks; doubles (chosen: as a circuit's first probe, and half a minute late is late enough).
    static constexpr duration first_look = std::chrono::seconds{2}, last_look = std::chrono::seconds{30};
    static constexpr double worth_a_share = 2; // times what the best one costs
    static constexpr int most_refusals = 64;   // that count

    balancer(std::shared_ptr<balance_memory> memory, const balance_options& options);

    // Puts the endpoints in `order` (all, or those a request may ask; ascending) into the order of asking. u1, u2 in
    // [0, 1).
    void order(std::span<std::uint32_t> order, double u1, double u2, steady_time now);

    enum class ending : unsigned char {
        answered,
        refused, // at once, and the request's own fault
        failed,
        cut_off,
    };
    void started(std::uint32_t endpoint);
    void ended(std::uint32_t endpoint, ending how, duration took, steady_time now); // once per started()
    void left(std::uint32_t endpoint); // ... or this, where it says nothing

private:
    using record = balance_memory::record;
    struct group { // an upstream
        balance_kind kind;
        double weight;
        std::shared_ptr<record> own; // of its turns
    };
    struct endpoint {
        std::size_t group;
        std::shared_ptr<record> own;
        bool learns; // somebody goes by its latency
    };
    struct candidate {
        record* own;
        double weight, cost;
        std::uint32_t number; // of an endpoint, or of the first of its group in the order
        std::uint32_t size = 1;
        record* look = nullptr; // at this one it is time to look
    };
    class draws;
    // `asks`: the one in front is asked.
    static void arrange(std::span<candidate> some, balance_kind kind, bool asks, draws& chance);
    static void spread(std::span<candidate> some, draws& chance);
    static void take_turns(std::span<candidate> some, bool weighted, bool asks, draws& chance);
    static void fade(record& at, steady_time now) noexcept;
    // Whether it is left alone, and one request is to find out whether it still should be.
    [[nodiscard]] static bool look_due(record& at, double latency, double best, steady_time now) noexcept;

    std::shared_ptr<balance_memory> memory_;
    balance_kind kind_;
    std::vector<group> groups_;
    std::vector<endpoint> endpoints_;
};

} // namespace evenkeel

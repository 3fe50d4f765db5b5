#pragma once
// The part of the metrics that tells what the policies did (counted as it happens) and in which state they are (read
// from a policy_report at each scrape). Per route and upstream: a circuit, a cooldown or a budget that several routes
// share shows the same in each of them, so a query takes `max by (upstream)`, not `sum`. What happened is counted under
// the route whose request made it happen, so those do add up.

#include "proxy/events/observer.hpp"
#include "proxy/events/policy_report.hpp"
#include "proxy/telemetry/cells.hpp"
#include "proxy/telemetry/series_index.hpp"

#include <array>
#include <cstddef>
#include <string_view>

namespace evenkeel::telemetry {

class family_list;
class from_start;

class policy_metrics {
public:
    explicit policy_metrics(unsigned workers) : index_(workers) {}

    void load(const config::snapshot& snapshot) { index_.load(snapshot); }

    void attempt_finished(const attempt_record& record) noexcept;
    void circuit_changed(const config::route& route, const config::upstream& upstream,
                         const circuit_transition& change) noexcept;
    void cooldown_began(const config::route& route, const config::upstream& upstream, outcome_kind why) noexcept;
    void overload_changed(const config::route& route, const config::upstream& upstream, bool overloaded) noexcept;
    void hedge_refused(const config::route& route, hedge_refusal why) noexcept;
    void budget_refused(const config::route& route, const config::upstream& upstream, attempt_kind wanted) noexcept;
    void hold_began(const config::route& route) noexcept;
    void bulkhead_passed(const config::route& route, const bulkhead_passage& passage) noexcept;
    void hold_ended(const config::route& route, duration waited, bool went_on) noexcept;

    // `wall_now` is the wall time of `report.at`.
    void write(family_list& out, const from_start& shown, const policy_report& report, wall_time wall_now) const;

    // What a circuit can do, and why; what is not on the list counts as the row with the same states and `other`.
    struct known_transition {
        circuit_state from, to;
        std::string_view why;
    };
    static constexpr std::size_t transition_count = 17;

private:
    enum hedge_end : std::size_t { won, lost, failed, hedge_end_count };
    static constexpr std::size_t cooldown_reasons = 5;

    struct route_cells {
        std::array<cell, hedge_refusal_count> hedges_refused{};
        cell holding{0};
        std::array<cell, 2> held{}; // gave up, went on
        long_histogram hold;
        std::array<cell, bulkhead_refusal_count> bulkhead_refused{};
        cell tenant_limited{0};
        long_histogram bulkhead_wait;
    };
    struct pair_cells {
        std::array<cell, hedge_end_count> hedges{};
        std::array<cell, 3> probes{}; // health_verdict
        std::array<cell, transition_count> transitions{};
        std::array<cell, cooldown_reasons> cooldowns{};
        std::array<cell, 2> overload{};        // left, entered
        std::array<cell, 2> budget_refusals{}; // retry, hedge
    };
    struct counted {
        using context = unsigned; // workers
        using route = sharded<route_cells>;
        using pair = sharded<pair_cells>;
        struct upstream {
            explicit upstream(context) {}
        };
    };

    void write_hedges(family_list& out, const from_start& shown) const;
    void write_circuits(family_list& out, const from_start& shown) const;
    void write_pressure(family_list& out, const from_start& shown) const;
    void write_holds(family_list& out, const from_start& shown) const;
    void write_bulkheads(family_list& out, const from_start& shown) const;
    void write_states(family_list& out, const policy_report& report, wall_time wall_now) const;
    void for_each_count(family_list& out, std::string_view label, std::size_t count, auto member, auto word,
                        auto standing) const;

    series_index<counted> index_;
};

} // namespace evenkeel::telemetry

#pragma once
// The part of the metrics that tells of injected faults, so that nobody takes a rehearsal for an outage.

#include "proxy/events/observer.hpp"
#include "proxy/telemetry/cells.hpp"
#include "proxy/telemetry/series_index.hpp"

#include <array>
#include <cstddef>

namespace evenkeel::telemetry {

class family_list;

class chaos_metrics {
public:
    explicit chaos_metrics(unsigned workers) : index_(workers) {}

    void load(const config::snapshot& snapshot) { index_.load(snapshot); }
    void injected(const config::route& route, chaos_fault fault) noexcept {
        if (auto* found = index_.find(&route)) add(found->mine().injected[static_cast<std::size_t>(fault)]);
    }

    void write(family_list& out, std::size_t active_rules) const;

private:
    struct route_cells {
        std::array<cell, chaos_fault_count> injected{};
    };
    using counted = counted_by_route<route_cells>;
    series_index<counted> index_;
};

} // namespace evenkeel::telemetry

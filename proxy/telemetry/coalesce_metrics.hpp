#pragma once
// The part of the metrics that tells of shared flights: who took part in one, how many are under way, who lost his.

#include "proxy/events/observer.hpp"
#include "proxy/telemetry/cells.hpp"
#include "proxy/telemetry/series_index.hpp"

#include <array>

namespace evenkeel::telemetry {

class family_list;
class from_start;

class coalesce_metrics {
public:
    explicit coalesce_metrics(unsigned workers) : index_(workers) {}

    void load(const config::snapshot& snapshot) { index_.load(snapshot); }
    void entered(const config::route& route, coalesce_role role) noexcept {
        auto* found = index_.find(&route);
        if (found == nullptr || role == coalesce_role::none || role == coalesce_role::detached) return;
        add(role == coalesce_role::leader ? found->mine().leaders : found->mine().followers);
    }
    void flight_ended(const config::route& route) noexcept {
        if (auto* found = index_.find(&route)) add(found->mine().ended);
    }
    void detached(const config::route& route, coalesce_detachment why) noexcept {
        if (auto* found = index_.find(&route)) add(found->mine().detached[static_cast<std::size_t>(why)]);
    }

    void write(family_list& out, const from_start& shown) const;

private:
    struct route_cells {
        cell leaders{0}, followers{0}, ended{0};
        std::array<cell, coalesce_detachment_count> detached{};
    };
    using counted = counted_by_route<route_cells>;
    series_index<counted> index_;
};

} // namespace evenkeel::telemetry

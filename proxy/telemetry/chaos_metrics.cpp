#include "proxy/telemetry/chaos_metrics.hpp"

#include "proxy/telemetry/family_list.hpp"

namespace evenkeel::telemetry {

void chaos_metrics::write(family_list& out, std::size_t active_rules) const {
    out.begin(counter, "chaos_injected_total", "Attempts that a chaos rule chose to suffer a fault.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        for (std::size_t fault = 0; fault < chaos_fault_count; ++fault)
            out.value(series.sum([&](const route_cells& cells) -> const cell& { return cells.injected[fault]; }),
                      {{"route", route}, {"fault", to_string(static_cast<chaos_fault>(fault))}}, false);
    });
    out.begin(gauge, "chaos_active_rules", "Chaos rules in force.");
    out.value(static_cast<std::uint64_t>(active_rules));
}

} // namespace evenkeel::telemetry

#include "proxy/telemetry/coalesce_metrics.hpp"

#include "proxy/telemetry/family_list.hpp"
#include "proxy/telemetry/from_start.hpp"

#include <algorithm>

namespace evenkeel::telemetry {

void coalesce_metrics::write(family_list& out, const from_start& shown) const {
    const auto leaders = [](const route_cells& cells) -> const cell& { return cells.leaders; };
    const auto ended = [](const route_cells& cells) -> const cell& { return cells.ended; };
    const auto coalesces = [&](const std::string& route) {
        const config::route* configured = shown.route(route);
        return configured != nullptr && configured->coalesce != coalesce_mode::off;
    };
    out.begin(counter, "coalesced_requests_total",
              "Requests that took part in a shared flight: as the leader it was started for, or as a follower.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        out.value(series.sum(leaders), {{"route", route}, {"role", to_string(coalesce_role::leader)}},
                  coalesces(route));
        out.value(series.sum([](const route_cells& cells) -> const cell& { return cells.followers; }),
                  {{"route", route}, {"role", to_string(coalesce_role::follower)}}, coalesces(route));
    });
    out.begin(gauge, "coalesced_flights", "Shared flights under way.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        const auto over = series.sum(ended); // first: no more can have ended than have begun
        out.value(std::max(series.sum(leaders), over) - over, {{"route", route}}, coalesces(route));
    });
    out.begin(counter, "coalesced_detached_total", "Requests that lost the flight they shared, by reason.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        for (std::size_t why = 0; why < coalesce_detachment_count; ++why)
            out.value(series.sum([&](const route_cells& cells) -> const cell& { return cells.detached[why]; }),
                      {{"route", route}, {"reason", to_string(static_cast<coalesce_detachment>(why))}},
                      coalesces(route));
    });
}

} // namespace evenkeel::telemetry

#include "proxy/telemetry/fallback_metrics.hpp"

#include "proxy/telemetry/family_list.hpp"
#include "proxy/telemetry/from_start.hpp"

#include <algorithm>
#include <span>

namespace evenkeel::telemetry {

namespace {
// What a step can be passed over for; `respond` always answers.
constexpr std::array last_good_reasons{fallback_skip::no_key, fallback_skip::no_entry, fallback_skip::too_old};
constexpr std::array route_reasons{fallback_skip::no_time, fallback_skip::not_replayable, fallback_skip::failed};
} // namespace

void fallback_metrics::write(family_list& out, const from_start& shown, const last_good_report& store) const {
    const auto has = [&](const std::string& route, fallback_kind step) {
        const config::route* configured = shown.route(route);
        return configured != nullptr && std::any_of(configured->fallback.begin(), configured->fallback.end(),
                                                    [&](const config::fallback_step& one) { return one.is == step; });
    };
    out.begin(counter, "fallbacks_total", "Requests answered by a step of their route's fallback ladder.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        for (std::size_t step = 0; step < fallback_kind_count; ++step)
            out.value(series.sum([&](const route_cells& cells) -> const cell& { return cells.served[step]; }),
                      {{"route", route}, {"step", to_string(static_cast<fallback_kind>(step))}},
                      has(route, static_cast<fallback_kind>(step)));
    });
    out.begin(counter, "fallback_steps_skipped_total", "Steps of fallback ladders that could not answer, by reason.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        const auto write_step = [&](fallback_kind step, std::span<const fallback_skip> reasons) {
            for (const fallback_skip why : reasons)
                out.value(series.sum([&](const route_cells& cells) -> const cell& {
                    return cells.skipped[static_cast<std::size_t>(step)][static_cast<std::size_t>(why)];
                }),
                          {{"route", route}, {"step", to_string(step)}, {"reason", to_string(why)}}, has(route, step));
        };
        write_step(fallback_kind::last_good, last_good_reasons);
        write_step(fallback_kind::route, route_reasons);
    });
    out.begin(counter, "fallbacks_exhausted_total",
              "Requests that no step of their route's fallback ladder could answer.");
    index_.for_each_route([&](const std::string& route, const counted::route& series) {
        out.value(series.sum([](const route_cells& cells) -> const cell& { return cells.exhausted; }),
                  {{"route", route}}, has(route, fallback_kind::last_good) || has(route, fallback_kind::route));
    });

    out.begin(counter, "last_good_lookups_total", "Look-ups of last good answers by requests that needed one.");
    out.value(store.hits, {{"result", "hit"}});
    out.value(store.misses, {{"result", "miss"}});
    out.begin(counter, "last_good_kept_total", "Answers put into the store of last good answers.");
    out.value(store.kept);
    out.begin(counter, "last_good_not_kept_total",
              "Good answers of routes with a last_good step that were not kept, by reason.");
    for (std::size_t why = 0; why < not_kept_count; ++why)
        out.value(store.not_kept[why], {{"reason", to_string(static_cast<not_kept>(why))}});
    out.begin(counter, "last_good_evictions_total", "Last good answers dropped because the store was full.");
    out.value(store.evicted);
    out.begin(gauge, "last_good_entries", "Answers in the store of last good answers.");
    out.value(store.entries);
    out.begin(gauge, "last_good_bytes", "What they take.");
    out.value(store.bytes);
    out.begin(gauge, "last_good_max_bytes", "What they may take.");
    out.value(store.max_bytes);
    out.begin(gauge, "last_good_file_configured", "Whether last_good.path names a file.");
    out.value(store.has_file ? 1.0 : 0.0);
    out.begin(gauge, "last_good_file_working", "Whether that file could be used the last time it was.");
    out.value(store.file_works ? 1.0 : 0.0);
    out.begin(counter, "last_good_file_errors_total",
              "Failed openings, reads and writes of that file, and rows of it that were damaged.");
    out.value(store.file_errors);
    out.begin(counter, "last_good_file_dropped_total",
              "Answers that were not written to that file: its queue was full, or writing failed.");
    out.value(store.file_dropped);
}

} // namespace evenkeel::telemetry

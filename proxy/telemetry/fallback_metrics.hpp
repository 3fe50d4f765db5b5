#pragma once
// The part of the metrics that tells of degraded answers: what each route's fallback ladder did, and the store of last
// good answers.

#include "proxy/events/last_good_report.hpp"
#include "proxy/events/observer.hpp"
#include "proxy/telemetry/cells.hpp"
#include "proxy/telemetry/series_index.hpp"

#include <array>

namespace evenkeel::telemetry {

class family_list;
class from_start;

class fallback_metrics {
public:
    explicit fallback_metrics(unsigned workers) : index_(workers) {}

    void load(const config::snapshot& snapshot) { index_.load(snapshot); }
    void request_finished(const request_account& record) noexcept {
        if (!record.degraded.is || record.route == nullptr) return;
        if (auto* found = index_.find(record.route))
            add(found->mine().served[static_cast<std::size_t>(record.degraded.by)]);
    }
    void skipped(const config::route& route, fallback_kind step, fallback_skip why) noexcept {
        if (auto* found = index_.find(&route))
            add(found->mine().skipped[static_cast<std::size_t>(step)][static_cast<std::size_t>(why)]);
    }
    void exhausted(const config::route& route) noexcept {
        if (auto* found = index_.find(&route)) add(found->mine().exhausted);
    }

    void write(family_list& out, const from_start& shown, const last_good_report& store) const;

private:
    struct route_cells {
        std::array<cell, fallback_kind_count> served{};
        std::array<std::array<cell, fallback_skip_count>, fallback_kind_count> skipped{};
        cell exhausted{0};
    };
    using counted = counted_by_route<route_cells>;
    series_index<counted> index_;
};

} // namespace evenkeel::telemetry

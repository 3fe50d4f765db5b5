#pragma once
// Forwards every call to several observers, in their order. The list is fixed before the first call.

#include "proxy/events/observer.hpp"

#include <utility>
#include <vector>

namespace evenkeel::telemetry {

class fan_out final : public observer {
public:
    explicit fan_out(std::vector<observer*> to) : to_(std::move(to)) {} // they outlive this

    void request_started(const config::route* route) noexcept override {
        for (auto* each : to_) each->request_started(route);
    }
    void request_finished(const request_account& record) noexcept override {
        for (auto* each : to_) each->request_finished(record);
    }
    void attempt_started(const config::route& route, const config::upstream& upstream) noexcept override {
        for (auto* each : to_) each->attempt_started(route, upstream);
    }
    void attempt_finished(const attempt_record& record) noexcept override {
        for (auto* each : to_) each->attempt_finished(record);
    }
    void circuit_changed(const config::route& route, const config::upstream& upstream,
                         const circuit_transition& change) noexcept override {
        for (auto* each : to_) each->circuit_changed(route, upstream, change);
    }
    void cooldown_began(const config::route& route, const config::upstream& upstream, outcome_kind why,
                        duration length) noexcept override {
        for (auto* each : to_) each->cooldown_began(route, upstream, why, length);
    }
    void overload_changed(const config::route& route, const config::upstream& upstream,
                          bool overloaded) noexcept override {
        for (auto* each : to_) each->overload_changed(route, upstream, overloaded);
    }
    void hedge_refused(const config::route& route, hedge_refusal why) noexcept override {
        for (auto* each : to_) each->hedge_refused(route, why);
    }
    void budget_refused(const config::route& route, const config::upstream& upstream,
                        attempt_kind wanted) noexcept override {
        for (auto* each : to_) each->budget_refused(route, upstream, wanted);
    }
    void hold_began(const config::route& route) noexcept override {
        for (auto* each : to_) each->hold_began(route);
    }
    void stream_resumed(const config::route& route, stream_resumption how) noexcept override {
        for (auto* each : to_) each->stream_resumed(route, how);
    }
    void request_coalesced(const config::route& route, coalesce_role role) noexcept override {
        for (auto* each : to_) each->request_coalesced(route, role);
    }
    void coalesced_flight_ended(const config::route& route) noexcept override {
        for (auto* each : to_) each->coalesced_flight_ended(route);
    }
    void coalesced_detached(const config::route& route, coalesce_detachment why) noexcept override {
        for (auto* each : to_) each->coalesced_detached(route, why);
    }
    void upcast_ended(const config::route& route, upcast_result how) noexcept override {
        for (auto* each : to_) each->upcast_ended(route, how);
    }
    void upcast_excluded(const config::route& route, const config::upstream& upstream, upcast_result why,
                         std::string_view what) noexcept override {
        for (auto* each : to_) each->upcast_excluded(route, upstream, why, what);
    }
    void bulkhead_passed(const config::route& route, const bulkhead_passage& passage) noexcept override {
        for (auto* each : to_) each->bulkhead_passed(route, passage);
    }
    void hold_ended(const config::route& route, duration waited, bool went_on) noexcept override {
        for (auto* each : to_) each->hold_ended(route, waited, went_on);
    }
    void fallback_skipped(const config::route& route, fallback_kind step, fallback_skip why) noexcept override {
        for (auto* each : to_) each->fallback_skipped(route, step, why);
    }
    void fallback_exhausted(const config::route& route) noexcept override {
        for (auto* each : to_) each->fallback_exhausted(route);
    }
    void fault_injected(const config::route& route, chaos_fault fault) noexcept override {
        for (auto* each : to_) each->fault_injected(route, fault);
    }
    void connection_opened(side which, const config::upstream* upstream) noexcept override {
        for (auto* each : to_) each->connection_opened(which, upstream);
    }
    void connection_closed(side which, const config::upstream* upstream) noexcept override {
        for (auto* each : to_) each->connection_closed(which, upstream);
    }
    void idle_changed(const config::upstream& upstream, int by) noexcept override {
        for (auto* each : to_) each->idle_changed(upstream, by);
    }
    void prewarmed(const config::upstream& upstream, prewarm_event what) noexcept override {
        for (auto* each : to_) each->prewarmed(upstream, what);
    }
    void upstream_probed(const config::upstream& upstream, probe_result how) noexcept override {
        for (auto* each : to_) each->upstream_probed(upstream, how);
    }
    void prewarm_target_changed(const config::upstream& upstream, int by) noexcept override {
        for (auto* each : to_) each->prewarm_target_changed(upstream, by);
    }
    void connected_cold(const config::upstream& upstream) noexcept override {
        for (auto* each : to_) each->connected_cold(upstream);
    }
    void internal_error(std::string_view what) noexcept override {
        for (auto* each : to_) each->internal_error(what);
    }
    void connection_refused(std::string_view reason) noexcept override {
        for (auto* each : to_) each->connection_refused(reason);
    }
    void configuration_loaded(const config::snapshot& snapshot) noexcept override {
        for (auto* each : to_) each->configuration_loaded(snapshot);
    }
    void configuration_failed() noexcept override {
        for (auto* each : to_) each->configuration_failed();
    }

private:
    std::vector<observer*> to_;
};

} // namespace evenkeel::telemetry

#pragma once
// Forwards every call to several observers, in their order. The list is fixed before the first call.

#include "proxy/events/observer.hpp"

#include <utility>
#include <vector>

namespace evenkeel::telemetry {

class observer_group final : public observer {
public:
    explicit observer_group(std::vector<observer*> to) : to_(std::move(to)) {} // they outlive this

    void request_started(const config::route* route) noexcept override {
        for (auto* each : to_) each->request_started(route);
    }
    void request_finished(const request_account& account) noexcept override {
        for (auto* each : to_) each->request_finished(account);
    }
    void request_event(const event_origin& of, const any_happening& what) noexcept override {
        for (auto* each : to_) each->request_event(of, what);
    }
    void attempt_finished(const attempt_record& record) noexcept override {
        for (auto* each : to_) each->attempt_finished(record);
    }
    void endpoint_changed(const event_origin& of, const any_endpoint_change& what) noexcept override {
        for (auto* each : to_) each->endpoint_changed(of, what);
    }
    void connection_changed(const connection_event& what) noexcept override {
        for (auto* each : to_) each->connection_changed(what);
    }
    void connection_refused(std::string_view reason) noexcept override {
        for (auto* each : to_) each->connection_refused(reason);
    }
    void internal_error(std::string_view what) noexcept override {
        for (auto* each : to_) each->internal_error(what);
    }
    void configuration_loaded(const config::snapshot& snapshot) noexcept override {
        for (auto* each : to_) each->configuration_loaded(snapshot);
    }
    void endpoints_changed(const config::snapshot& snapshot) noexcept override {
        for (auto* each : to_) each->endpoints_changed(snapshot);
    }
    void configuration_failed() noexcept override {
        for (auto* each : to_) each->configuration_failed();
    }

private:
    std::vector<observer*> to_;
};

} // namespace evenkeel::telemetry

#pragma once
// Chaos as the process has it: the rules in force, what an operator may do to them, and the log lines that say so. An
// expired rule injects nothing from that instant on; that it has expired is said by a timer on the helper thread.

#include "config/settings.hpp"
#include "policies/chaos.hpp"
#include "proxy/admin/admin_server.hpp"
#include "proxy/telemetry/app_log.hpp"
#include "proxy/telemetry/background.hpp"

#include <memory>
#include <string_view>

namespace evenkeel::server {

class chaos_control {
public:
    // Both outlive it; `on` is running.
    chaos_control(telemetry::background& on, telemetry::app_log& log);
    ~chaos_control(); // not from the helper thread
    chaos_control(const chaos_control&) = delete;
    chaos_control& operator=(const chaos_control&) = delete;

    [[nodiscard]] chaos& rules() noexcept;
    void load(const config::settings& settings); // of a configuration that is about to be used

    // Over the admin listener. Refused unless the file says `chaos.enabled: true`.
    [[nodiscard]] admin::control_result set(std::string_view json, const config::settings& current);
    [[nodiscard]] admin::control_result off(const config::settings& current);

private:
    struct state;
    std::shared_ptr<state> state_; // shared with the timer's handler
};

} // namespace evenkeel::server

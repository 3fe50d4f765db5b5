#pragma once
// The state of everything in a word, a note and a sentence, for who looks at three in the morning: what serves, what
// does not, why, for how much longer, and who does its work meanwhile. A pure function of what is known.

#include "proxy/admin/admin_server.hpp"
#include "proxy/telemetry/health.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace evenkeel::admin {

// In order of how bad it is.
enum class endpoint_state : unsigned char {
    up,
    held_closed, // an operator lets nothing open its circuit
    second,      // asked second: silent, or slow
    failing,     // most of its attempts fail, and its circuit is not open (yet)
    overloaded,
    rests,
    half_open,
    open,
    held_open, // by an operator
};
enum class route_state : unsigned char { serves, disturbed, degraded, down };
enum class alarm_level : unsigned char { calm, notice, trouble, down };
[[nodiscard]] std::string_view to_string(endpoint_state) noexcept;
[[nodiscard]] std::string_view to_string(route_state) noexcept;
[[nodiscard]] std::string_view to_string(alarm_level) noexcept;

[[nodiscard]] endpoint_state state_of(const telemetry::upstream_health& of, steady_time now);
[[nodiscard]] route_state state_of(const telemetry::route_health& of, steady_time now);

// "rests (rate limited) for 12 s more": what comes behind its name. Empty where it is up.
[[nodiscard]] std::string note_of(const telemetry::upstream_health& of, steady_time now);

struct whole_state {
    const telemetry::health_view& health;
    std::string_view not_ready{}; // why; empty: it is
    std::size_t chaos_rules = 0;  // in force
    const configuration_state* configuration = nullptr;
};
struct overall {
    alarm_level level = alarm_level::calm;
    std::string sentence;
};
[[nodiscard]] overall overall_of(const whole_state& of);

} // namespace evenkeel::admin

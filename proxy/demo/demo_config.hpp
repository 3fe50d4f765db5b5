#pragma once
// The configuration the demo runs evenkeel with, as the file a user would write.

#include <string>

namespace evenkeel::demo {

struct config_choice {
    std::string listen = "127.0.0.1:8080";
    std::string admin = "127.0.0.1:9901";
    std::string provider = {}; // its URL
    double speed = 20;    // every duration is divided by it
};

// What the file says depends on what this version's configuration takes.
struct config_features {
    bool two_upstreams = false; // the route names two endpoints of the one provider
    bool retry = false;         // the pauses between attempts, at the demo's speed
};
inline constexpr config_features available{.two_upstreams = true, .retry = true};

[[nodiscard]] std::string demo_config(const config_choice& choice, const config_features& features = available);

} // namespace evenkeel::demo

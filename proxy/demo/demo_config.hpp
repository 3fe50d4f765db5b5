#pragma once
// The configuration the demo runs evenkeel with, as the file a user would write: a profile of the simulations, with
// every duration of its policies divided by the speed.

#include <string>
#include <string_view>

namespace evenkeel::demo {

struct config_choice {
    std::string_view profile = "tuned"; // or classic
    std::string listen = "127.0.0.1:8080";
    std::string admin = "127.0.0.1:9901"; // or off
    std::string provider = {};            // its URL
    double speed = 8;                     // every duration is divided by it
};

[[nodiscard]] std::string demo_config(const config_choice& choice);

} // namespace evenkeel::demo

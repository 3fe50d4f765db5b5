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

[[nodiscard]] std::string demo_config(const config_choice& choice);

} // namespace evenkeel::demo

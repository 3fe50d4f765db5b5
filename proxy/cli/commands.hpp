#pragma once
// The commands of the program, one function each; main only parses the command line. Each returns the exit code:
// 0 done, 1 the configuration or the run failed, 2 wrong usage.

#include "proxy/demo/demo.hpp"

#include <string>

namespace evenkeel::cli {

struct config_choice {
    std::string file;
    std::string route;       // config show
    bool strict = false;     // check: warnings fail too
    bool json = false;       // check
    bool quiet = false;
};

[[nodiscard]] int run(const std::string& config_file);
[[nodiscard]] int check(const config_choice& choice);
[[nodiscard]] int config_show(const config_choice& choice);
[[nodiscard]] int schema();
[[nodiscard]] int version();
[[nodiscard]] int demo(demo::options wanted);

} // namespace evenkeel::cli

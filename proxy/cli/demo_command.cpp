#include "proxy/cli/commands.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/cli/version.hpp"

#include <exception>
#include <iostream>
#include <string>

#include <unistd.h>

namespace evenkeel::cli {

int demo(demo::options wanted) {
    const look at = look_of(STDOUT_FILENO);
    wanted.live = at.terminal;
    wanted.colour = at.colour;
    wanted.version = std::string{program_version};
    try {
        return demo::run(wanted, std::cout, std::cerr);
    } catch (const std::exception& error) {
        std::cerr << "evenkeel demo: " << error.what() << '\n';
        return 1;
    }
}

} // namespace evenkeel::cli

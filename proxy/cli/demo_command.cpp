#include "proxy/cli/commands.hpp"
#include "proxy/cli/version.hpp"

#include <cstdlib>
#include <exception>
#include <iostream>
#include <string_view>

#include <unistd.h>

namespace evenkeel::cli {

namespace {
// A variable that is set, and not to nothing.
bool is_set(const char* name) {
    const char* const value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): before any other thread
    return value != nullptr && *value != '\0';
}
bool is_terminal() {
    const char* const kind = std::getenv("TERM"); // NOLINT(concurrency-mt-unsafe): as above
    return ::isatty(STDOUT_FILENO) == 1 && kind != nullptr && std::string_view{kind} != "dumb";
}
} // namespace

int demo(demo::options wanted) {
    wanted.live = is_terminal();
    wanted.colour = wanted.live && !is_set("NO_COLOR"); // no-color.org
    wanted.version = std::string{program_version};
    try {
        return demo::run(wanted, std::cout, std::cerr);
    } catch (const std::exception& error) {
        std::cerr << "evenkeel demo: " << error.what() << '\n';
        return 1;
    }
}

} // namespace evenkeel::cli

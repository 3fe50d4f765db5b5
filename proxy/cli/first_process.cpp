#include "proxy/cli/first_process.hpp"

#include <csignal>
#include <initializer_list>

#include <unistd.h>

namespace evenkeel::cli {

void be_first_process() {
    for (const int each : {SIGTERM, SIGINT}) std::signal(each, [](int number) { ::_exit(128 + number); });
    std::signal(SIGCHLD, SIG_IGN); // the kernel collects them
}

} // namespace evenkeel::cli

#pragma once
// `evenkeel demo`: a simulated provider that misbehaves, evenkeel in front of it, and the same traffic sent straight
// and through; then a table of how both fared. All in this process, all on loopback.

#include <cstdint>
#include <iosfwd>
#include <string>

namespace evenkeel::demo {

struct options {
    bool once = false; // end after the table
    bool print_config = false;
    std::uint64_t seed = 1;
    // That count, on each side. 1,000 at speed 8 take about 70 s: 1,024 / 2 per s / 8, and the last deadline of 7.5 s.
    unsigned requests = 1000;
    double speed = 8;
    std::string listen = "127.0.0.1:8080"; // IPv4 loopback; port 0 takes a free one
    std::string admin = "127.0.0.1:9901";
    bool live = false;   // the output is a terminal: a progress bar that is drawn over
    bool colour = false; // ... that shows colours
    std::string version = {};
};

// Exit code: 0 done, 1 it could not start or was interrupted before the table, 2 wrong usage. Blocks SIGINT and SIGTERM
// meanwhile and waits for them; a second one, while it is winding down, has its usual effect.
[[nodiscard]] int run(const options& wanted, std::ostream& out, std::ostream& err);

} // namespace evenkeel::demo

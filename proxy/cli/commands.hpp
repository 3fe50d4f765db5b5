#pragma once
// The commands of the program, one function each; main only parses the command line. Each returns the exit code:
// 0 done, 1 the configuration or the run failed, 2 wrong usage.

#include "proxy/demo/demo.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::cli {

struct config_choice {
    std::string file;
    std::string route;   // config show
    bool strict = false; // check: warnings fail too
    bool json = false;
    bool assume_env = false;            // check: variables that are not set count as set
    std::vector<std::string> overrides; // config show: PATH=VALUE
};

struct init_choice {
    std::vector<std::string> providers; // in order; `-` among them prints
    std::string file = "evenkeel.yaml"; // `-`: printed
    bool force = false;
};

struct run_choice {
    std::string file;                   // or ...
    std::string to;                     // ... a URL, and
    std::vector<std::string> then;      // URL=VARIABLE, or URL
    std::string listen, admin;          // of that; empty: as usual
    bool print = false;                 // the file that it means, and nothing is run
    std::vector<std::string> command{}; // line, with the program, for an upgrade
};

struct try_choice {
    std::string file, route;         // route empty: all
    std::string model;               // empty: by the file, or one that the provider has
    std::vector<std::string> fields; // "name: value", of the application
    double timeout_s = 20;           // of each call
    bool dry_run = false;
};

struct top_choices {
    std::string admin, config;
    double every_s = 1;
    bool once = false;
};

struct simulate_choice {
    std::string config; // empty: direct, classic and tuned side by side
    std::string route;  // of that file; empty: the first that calls an upstream
    std::string model;  // a scenario's name, or all; or else ...
    std::string trace;  // ... an access log
    std::string seeds = "1,2,3,4,5";
    std::optional<unsigned> requests; // instead of all, or of the model's own
    std::optional<double> rate;       // per second, instead of the recorded or the model's own
    bool json = false;
    std::string demonstrate; // instead: a demonstration's name, or all
    std::string plot;        // SVG file to be drawn as well
};

// Of a request that was sent: its id; or a word that somebody saw. Of one that was not sent: its path, and what is
// supposed.
struct explain_choice {
    std::string id;
    std::string admin; // where to ask; empty: as the file says, or the usual place
    std::string config, path, method = "POST", body_file, answer_file, fault;
    std::vector<std::string> fields; // "name: value"
    std::optional<int> status;
    std::string retry_after;
    bool everywhere = false;
};

[[nodiscard]] std::vector<std::string_view> stage_names(); // of a request's way, outermost first

[[nodiscard]] int run(const run_choice& choice);
[[nodiscard]] int init(init_choice choice);
[[nodiscard]] int try_out(const try_choice& choice);
[[nodiscard]] std::string init_footer(); // of its --help
[[nodiscard]] int check(const config_choice& choice);
[[nodiscard]] int config_show(const config_choice& choice);
[[nodiscard]] int schema();
[[nodiscard]] int metrics();
[[nodiscard]] int health(const std::string& admin, const std::string& config);
[[nodiscard]] std::string health_table(std::string_view document, bool colour = false); // of GET /health, 80 columns
[[nodiscard]] int top(const top_choices& choice);
[[nodiscard]] int reference();
[[nodiscard]] int overview(); // what is said to who says nothing
[[nodiscard]] int version();
[[nodiscard]] std::string version_text();
[[nodiscard]] int demo(demo::options wanted);
[[nodiscard]] int explain(const explain_choice& choice);
[[nodiscard]] int simulate(const simulate_choice& choice);
[[nodiscard]] std::string simulate_footer(); // of its --help

} // namespace evenkeel::cli

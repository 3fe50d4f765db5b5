#include "config/load.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/terminal.hpp"
#include "proxy/telemetry/request_story.hpp"

#include <iostream>
#include <set>
#include <string>

#include <unistd.h>

namespace evenkeel::cli {

namespace {
std::string list_of(const std::set<std::string>& names) {
    std::string out;
    for (const std::string& each : names) out += (out.empty() ? "" : ", ") + each;
    return out;
}
} // namespace

int check(const config_choice& choice) {
    std::set<std::string> assumed;
    const config::environment outside = config::process_environment();
    const config::load_result result =
        config::load_file(choice.file, choice.assume_env ? config::assuming(outside, assumed) : outside);
    // With made-up values it would be the hash of a configuration that nobody runs.
    const std::string hash = result.ok() && assumed.empty() ? result.settings->hash : std::string{};
    if (choice.json) {
        config::print_json(std::cout, result.diagnostics, hash, assumed);
    } else {
        print_problems(result.diagnostics);
        const bool colour = look_of(STDOUT_FILENO).colour;
        if (result.ok() && result.diagnostics.empty())
            std::cout << choice.file << ": " << tinted("ok", tint::good, colour) << '\n';
        if (!assumed.empty()) std::cout << telemetry::wrapped("not set here, and assumed to be: " + list_of(assumed));
        if (!hash.empty()) std::cout << "hash " << hash << '\n';
    }
    const auto count = config::count_problems(result.diagnostics);
    return count.errors > 0 || (choice.strict && count.warnings > 0) ? 1 : 0;
}

} // namespace evenkeel::cli

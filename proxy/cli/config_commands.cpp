#include "config/load.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/version.hpp"
#include "proxy/serve/order.hpp"
#include "proxy/telemetry/metrics.hpp"

#include <boost/version.hpp>
#include <openssl/crypto.h>

#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::cli {

int check(const config_choice& choice) {
    const config::load_result result = config::load_file(choice.file, config::process_environment());
    if (choice.json) {
        config::print_json(std::cout, result.diagnostics);
    } else {
        config::print_text(std::cerr, result.diagnostics);
        if (result.ok() && result.diagnostics.empty()) std::cout << choice.file << ": ok\n";
    }
    const auto count = config::count_problems(result.diagnostics);
    return count.errors > 0 || (choice.strict && count.warnings > 0) ? 1 : 0;
}

int config_show(const config_choice& choice) {
    const config::environment environment = config::process_environment();
    // Read once: a pipe can be.
    std::string text;
    const config::load_result result = config::load_file(choice.file, environment, &text);
    if (!result.ok()) {
        config::print_text(std::cerr, result.diagnostics);
        return 1;
    }
    std::vector<std::string_view> stages;
    for (const request::stage& one : request::stages()) stages.push_back(one.name);
    const auto shown = config::show_effective(text, choice.file, environment, choice.route, stages);
    if (!shown) {
        std::cerr << choice.file << ": there is no route '" << choice.route << "'\n";
        return 1;
    }
    std::cout << *shown;
    return 0;
}

int schema() {
    std::cout << config::json_schema();
    return 0;
}

int metrics() {
    std::cout << telemetry::metrics_reference();
    return 0;
}

int version() {
    std::cout << "evenkeel " << program_version << " (" << __VERSION__ << ", Boost " << BOOST_VERSION / 100000 << '.'
              << BOOST_VERSION / 100 % 1000 << ", " << OpenSSL_version(OPENSSL_VERSION) << ")\n";
    return 0;
}

} // namespace evenkeel::cli

#include "config/load.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/reference_file.hpp"
#include "proxy/cli/version.hpp"
#include "proxy/serve/order.hpp"
#include "proxy/telemetry/metrics.hpp"

#include <boost/version.hpp>
#include <fmt/format.h>
#include <openssl/crypto.h>

#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::cli {

std::vector<std::string_view> stage_names() {
    std::vector<std::string_view> names;
    for (const request::stage& one : request::stages()) names.push_back(one.name);
    return names;
}

int check(const config_choice& choice) {
    const config::load_result result = config::load_file(choice.file, config::process_environment());
    const std::string hash = result.ok() ? result.settings->hash : std::string{};
    if (choice.json) {
        config::print_json(std::cout, result.diagnostics, hash);
    } else {
        config::print_text(std::cerr, result.diagnostics);
        if (result.ok() && result.diagnostics.empty()) std::cout << choice.file << ": ok\n";
        if (result.ok()) std::cout << "hash " << hash << '\n';
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
    const auto shown = config::show_effective(text, choice.file, environment, choice.route, stage_names());
    if (!shown) {
        std::cerr << choice.file << ": there is no route '" << choice.route << "'\n";
        return 1;
    }
    std::cout << config::heading(*result.settings) << *shown;
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

int reference() {
    std::cout << reference_file;
    return 0;
}

int overview() {
    std::cout << R"(evenkeel: a resilience proxy between an application and its LLM APIs

  evenkeel demo                      try it, on a troubled provider
  evenkeel check -c FILE             every problem of a configuration at once
  evenkeel run -c FILE               serve
  evenkeel health                    how a running proxy fares
  evenkeel explain ID                what happened to a request, and why
  evenkeel config show -c FILE       what a configuration comes to, with origins
  evenkeel simulate --model all      what policies make of trouble
  evenkeel reference                 every key, with default, range and price
  evenkeel schema, metrics, version

evenkeel COMMAND --help says what each takes.
)";
    return 0;
}

std::string version_text() {
    return fmt::format("evenkeel {} ({}, Boost {}.{}, {})", program_version, __VERSION__, BOOST_VERSION / 100000,
                       BOOST_VERSION / 100 % 1000, OpenSSL_version(OPENSSL_VERSION));
}

int version() {
    std::cout << version_text() << '\n';
    return 0;
}

} // namespace evenkeel::cli

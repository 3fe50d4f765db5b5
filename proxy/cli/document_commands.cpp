#include "config/load.hpp"
#include "proxy/cli/commands.hpp"
#include "proxy/cli/reference_file.hpp"
#include "proxy/cli/version.hpp"
#include "proxy/telemetry/metrics.hpp"

#include <boost/version.hpp>
#include <fmt/format.h>
#include <openssl/crypto.h>

#include <iostream>
#include <string>

namespace evenkeel::cli {

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
  evenkeel init openai deepseek      write a configuration for known providers
  evenkeel check FILE                every problem of a configuration at once
  evenkeel run -c FILE               serve; --to URL: without a file
  evenkeel try FILE                  one tiny call to each upstream
  evenkeel health                    how a running proxy fares
  evenkeel top                       the same, live
  evenkeel explain ID                what happened to a request, and why
  evenkeel config show FILE          what a configuration comes to, with origins
  evenkeel simulate --model all      what policies make of trouble
  evenkeel reference                 every key, with default, range and price
  evenkeel completion bash           for the shell: bash, zsh, fish
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

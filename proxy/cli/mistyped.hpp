#pragma once
// What a word of the command line that means nothing was meant to be.

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace evenkeel::cli {

// Of the first command or long option that there is none of: "there is no command 'rn'; did you mean 'run'?". Empty:
// all are known.
[[nodiscard]] std::string mistyped(CLI::App& program, const std::vector<std::string>& arguments);

} // namespace evenkeel::cli

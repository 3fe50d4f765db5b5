#pragma once
// The command line, described for shells and for the manual. All of it is made from the table of commands that parses
// the line, so it names what there is and nothing else.

#include <CLI/CLI.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::cli {

// `shell`: bash, zsh or fish.
[[nodiscard]] std::string completion_script(const CLI::App& program, std::string_view shell);
// Every command with its options, as scdoc(5) has it: a part of evenkeel(1).
[[nodiscard]] std::string manual_of_commands(const CLI::App& program);

} // namespace evenkeel::cli

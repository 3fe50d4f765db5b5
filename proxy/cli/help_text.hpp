#pragma once
// Help at 80 columns: what the library prints in two columns, with its lines wrapped where they are too long.

#include <CLI/CLI.hpp>

#include <string>

namespace evenkeel::cli {

class narrow_help : public CLI::Formatter {
public:
    std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;
};

} // namespace evenkeel::cli

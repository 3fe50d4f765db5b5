#include "proxy/cli/help_text.hpp"

#include "proxy/cli/terminal.hpp"

#include <utility>

namespace evenkeel::cli {

std::string narrow_help::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const {
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    return mode == CLI::AppFormatMode::Sub ? text : in_columns(text, 80); // the former is a part of the latter
}

} // namespace evenkeel::cli

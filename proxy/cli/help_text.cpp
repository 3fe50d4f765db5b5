#include "proxy/cli/help_text.hpp"

#include <algorithm>
#include <sstream>
#include <utility>

namespace evenkeel::cli {

namespace {
// Where the text of a line begins: behind the last gap of its first columns, or its indentation.
std::size_t text_of(const std::string& line) {
    constexpr std::size_t names = 34; // no name of ours ends further on and leaves room beside it
    for (std::size_t at = std::min(names, line.size()); at >= 2; --at)
        if (line[at - 1] == ' ' && line[at - 2] == ' ' && at < line.size() && line[at] != ' ') return at;
    return std::min(line.find_first_not_of(' '), line.size());
}
} // namespace

std::string in_columns(const std::string& text, std::size_t width) {
    std::string out;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const std::size_t indent = text_of(line);
        while (line.size() > width) {
            const std::size_t cut = line.rfind(' ', width);
            if (cut == std::string::npos || cut <= indent) break; // a word longer than that stays whole
            out += line.substr(0, cut) + '\n';
            line = std::string(indent, ' ') + line.substr(cut + 1);
        }
        out += line + '\n';
    }
    return out;
}

std::string narrow_help::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const {
    std::string text = CLI::Formatter::make_help(app, std::move(name), mode);
    return mode == CLI::AppFormatMode::Sub ? text : in_columns(text, 80); // the former is a part of the latter
}

} // namespace evenkeel::cli

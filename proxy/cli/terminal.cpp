#include "proxy/cli/terminal.hpp"

#include "proxy/telemetry/request_story.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include <sys/ioctl.h>
#include <unistd.h>

namespace evenkeel::cli {

namespace {
// A variable that is set, and not to nothing.
std::string_view variable(const char* name) {
    const char* const value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): before any other thread
    return value != nullptr ? value : std::string_view{};
}

// Where the text of a line begins: behind the last gap of its first columns, or its indentation.
std::size_t text_of(const std::string& line) {
    constexpr std::size_t names = 34; // no name of ours ends further on and leaves room beside it
    for (std::size_t at = std::min(names, line.size()); at >= 2; --at)
        if (line[at - 1] == ' ' && line[at - 2] == ' ' && at < line.size() && line[at] != ' ') return at;
    return std::min(line.find_first_not_of(' '), line.size());
}
} // namespace

look look_of(int descriptor) {
    look out;
    const std::string_view kind = variable("TERM");
    if (::isatty(descriptor) != 1) return out;
    out.width = 80;
    out.height = 24;
    winsize size{};
    if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        out.width = size.ws_col;
        out.height = size.ws_row;
    }
    out.terminal = !kind.empty() && kind != "dumb";
    out.colour = out.terminal && variable("NO_COLOR").empty();
    return out;
}

std::string tinted(std::string_view text, tint how, bool colour) {
    if (!colour || how == tint::plain || text.empty()) return std::string{text};
    std::string out;
    switch (how) {
    case tint::plain: break;
    case tint::strong: out = "\x1b[1m"; break;
    case tint::good: out = "\x1b[32m"; break;
    case tint::warning: out = "\x1b[33m"; break;
    case tint::bad: out = "\x1b[1;31m"; break;
    case tint::faint: out = "\x1b[2m"; break;
    }
    out += text;
    out += "\x1b[0m";
    return out;
}

void print_problems(const std::vector<config::diagnostic>& diagnostics) {
    const look at = look_of(STDERR_FILENO);
    config::print_text(std::cerr, diagnostics, {.colour = at.colour, .width = at.width});
}

int wrong_usage(std::string_view command, std::string_view why) {
    const look at = look_of(STDERR_FILENO);
    std::cerr << telemetry::wrapped(fmt::format("evenkeel {}: {}", command, why), at.width == 0 ? 80 : at.width);
    return 2;
}

std::string fitted(std::string_view text, std::size_t width) {
    std::string out{text.substr(0, width)};
    for (char& c : out)
        if (c < ' ' || c > '~') c = '?';
    if (text.size() > width)
        out.replace(width < 3 ? 0 : width - 3, 3, std::string(std::min<std::size_t>(3, width), '.'));
    return out;
}

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

} // namespace evenkeel::cli

#pragma once
// How the commands print: colour and width where somebody looks at a terminal, plain lines everywhere else.

#include "config/load.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace evenkeel::cli {

struct look {
    bool terminal = false;  // one that can do more than print lines (not TERM=dumb)
    bool colour = false;    // a terminal, and no NO_COLOR (no-color.org)
    std::size_t width = 0;  // of the terminal; 0: nobody looks
    std::size_t height = 0; // likewise
};
[[nodiscard]] look look_of(int descriptor);

enum class tint : unsigned char { plain, strong, good, warning, bad, faint };
[[nodiscard]] std::string tinted(std::string_view text, tint how, bool colour);

// On stderr, as it looks.
void print_problems(const std::vector<config::diagnostic>& diagnostics);

// "evenkeel COMMAND: why" on stderr; the exit code of it.
[[nodiscard]] int wrong_usage(std::string_view command, std::string_view why);

// At most `width` bytes of printable ASCII: what came from a socket or a file does not steer a terminal, and what is
// too long ends in dots.
[[nodiscard]] std::string fitted(std::string_view text, std::size_t width);

// Lines that are longer are wrapped, and go on where the text of their first one began.
[[nodiscard]] std::string in_columns(const std::string& text, std::size_t width);

} // namespace evenkeel::cli

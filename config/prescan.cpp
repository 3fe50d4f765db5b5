#include "config/prescan.hpp"

#include "policies/utf8.hpp"

namespace evenkeel::config {
namespace {

std::string hex(unsigned char c) {
    constexpr std::string_view digits = "0123456789abcdef";
    return {digits[c >> 4U], digits[c & 0x0FU]};
}

} // namespace

bool prescan(const source_text& source, problem_list& problems) {
    const std::string_view text = source.text();
    bool good = true;
    bool indentation = true; // only blanks on this line so far
    for (std::size_t i = 0; i < text.size();) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (problems.full()) return false;
        if (c >= 0x80U) {
            const std::size_t length = utf8_sequence(text.substr(i));
            if (length == 0) {
                problems.error({i, i + 1}, "not-utf8", "byte 0x" + hex(c) + " is not UTF-8; save the file as UTF-8");
                return false; // the rest is likely to be in the same other encoding
            }
            indentation = false;
            i += length;
            continue;
        }
        if (c == '\n') {
            indentation = true;
        } else if (c == '\r') {
            if (i + 1 >= text.size() || text[i + 1] != '\n') {
                problems.error({i, i + 1}, "control-character",
                               "a carriage return without a newline; end lines with LF");
                good = false;
            }
        } else if (c == '\t') {
            if (indentation) {
                std::size_t end = i;
                while (end < text.size() && (text[end] == '\t' || text[end] == ' ')) ++end;
                const bool blank = end >= text.size() || text[end] == '\n' || text[end] == '\r' || text[end] == '#';
                if (!blank) {
                    problems.error({i, i + 1}, "tab", "a tab in the indentation; YAML indents with spaces only");
                    good = false;
                }
                i = end;
                continue;
            }
        } else if (c < 0x20U || c == 0x7FU) {
            problems.error({i, i + 1}, "control-character", "control character 0x" + hex(c) + "; remove it");
            good = false;
        } else {
            if (c == '%' && (i == 0 || text[i - 1] == '\n')) {
                problems.error({i, i + 1}, "directive", "YAML directives are not supported; remove this line");
                good = false;
            }
            if (c != ' ') indentation = false;
        }
        ++i;
    }
    return good;
}

} // namespace evenkeel::config

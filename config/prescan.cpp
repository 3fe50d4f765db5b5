#include "config/prescan.hpp"

#include <cstdint>

namespace evenkeel::config {
namespace {

// Length of the valid UTF-8 character at `at`, 0 if there is none. Overlong forms and surrogates are not valid (RFC
// 3629).
std::size_t character_length(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) -> std::uint32_t {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
    const std::uint32_t first = byte(at);
    if (first < 0x80U) return 1;
    if (first >= 0xC2U && first <= 0xDFU) return follows(at + 1) ? 2 : 0;
    if (first >= 0xE0U && first <= 0xEFU) {
        if (!follows(at + 1) || !follows(at + 2)) return 0;
        const std::uint32_t code = ((first & 0x0FU) << 12U) | ((byte(at + 1) & 0x3FU) << 6U);
        return code >= 0x800U && (code < 0xD800U || code > 0xDFFFU) ? 3 : 0;
    }
    if (first >= 0xF0U && first <= 0xF4U) {
        if (!follows(at + 1) || !follows(at + 2) || !follows(at + 3)) return 0;
        const std::uint32_t code = ((first & 0x07U) << 18U) | ((byte(at + 1) & 0x3FU) << 12U);
        return code >= 0x10000U && code <= 0x10FFFFU ? 4 : 0;
    }
    return 0;
}

std::string hex(unsigned char c) {
    constexpr std::string_view digits = "0123456789abcdef";
    return {digits[c >> 4U], digits[c & 0x0FU]};
}

} // namespace

bool prescan(const source_text& source, report& problems) {
    const std::string_view text = source.text();
    bool good = true;
    bool indentation = true; // only blanks on this line so far
    for (std::size_t i = 0; i < text.size();) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (problems.full()) return false;
        if (c >= 0x80U) {
            const std::size_t length = character_length(text, i);
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

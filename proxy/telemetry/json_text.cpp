#include "proxy/telemetry/json_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>

namespace evenkeel::telemetry {

namespace {

constexpr std::array<bool, 256> plain = [] {
    std::array<bool, 256> table{};
    for (std::size_t c = 0x20; c < 0x7f; ++c) table[c] = c != '"' && c != '\\';
    return table;
}();

unsigned char byte_at(std::string_view text, std::size_t at) noexcept { return static_cast<unsigned char>(text[at]); }

// Length of the valid UTF-8 sequence that starts `text` with a byte of 0x80 or more; 0: it is not valid. Table 3-7 of
// the Unicode standard: no overlong forms, no surrogates, nothing beyond U+10FFFF.
std::size_t sequence_length(std::string_view text) noexcept {
    const auto first = byte_at(text, 0);
    std::size_t length = 0;
    unsigned char low = 0x80, high = 0xbf;
    if (first >= 0xc2 && first <= 0xdf) {
        length = 2;
    } else if (first >= 0xe0 && first <= 0xef) {
        length = 3;
        if (first == 0xe0) low = 0xa0;
        if (first == 0xed) high = 0x9f;
    } else if (first >= 0xf0 && first <= 0xf4) {
        length = 4;
        if (first == 0xf0) low = 0x90;
        if (first == 0xf4) high = 0x8f;
    }
    if (length == 0 || text.size() < length || byte_at(text, 1) < low || byte_at(text, 1) > high) return 0;
    for (std::size_t i = 2; i < length; ++i)
        if ((byte_at(text, i) & 0xc0U) != 0x80) return 0;
    return length;
}

char* write_code(char* out, unsigned code) noexcept {
    constexpr std::string_view digits = "0123456789abcdef";
    std::memcpy(out, "\\u", 2);
    for (unsigned i = 0; i < 4; ++i) out[2 + i] = digits[(code >> (12 - 4 * i)) & 0xfU];
    return out + 6;
}

char* write_two(char* out, unsigned value) noexcept {
    out[0] = static_cast<char>('0' + value / 10);
    out[1] = static_cast<char>('0' + value % 10);
    return out + 2;
}

} // namespace

char* write_escaped(char* out, std::string_view text) noexcept {
    while (!text.empty()) {
        std::size_t run = 0;
        while (run < text.size() && plain[byte_at(text, run)]) ++run;
        std::memcpy(out, text.data(), run);
        out += run;
        text.remove_prefix(run);
        if (text.empty()) break;

        const auto next = byte_at(text, 0);
        std::size_t taken = 1;
        if (next == '"' || next == '\\') {
            *out++ = '\\';
            *out++ = text[0];
        } else if (next < 0x80) {
            out = write_code(out, next);
        } else if (const auto length = sequence_length(text); length == 0) {
            out = write_code(out, 0xfffd);
        } else if (next == 0xc2 && byte_at(text, 1) < 0xa0) {
            out = write_code(out, byte_at(text, 1)); // C1: some terminals obey U+009B as they do ESC [
            taken = 2;
        } else {
            std::memcpy(out, text.data(), length);
            out += length;
            taken = length;
        }
        text.remove_prefix(taken);
    }
    return out;
}

void append_quoted(std::string& to, std::string_view text) {
    const auto before = to.size();
    to.resize(before + 2 + text.size() * max_escape);
    to[before] = '"';
    char* end = write_escaped(to.data() + before + 1, text);
    *end++ = '"';
    to.resize(static_cast<std::size_t>(end - to.data()));
}

char* write_timestamp(char* out, wall_time when) noexcept {
    using namespace std::chrono;
    const auto day = floor<days>(when);
    const year_month_day date{sys_days{day}};
    const auto since_midnight = static_cast<std::uint32_t>(floor<milliseconds>(when - day).count());
    const auto year = static_cast<unsigned>(std::clamp(static_cast<int>(date.year()), 0, 9999));
    out = write_two(write_two(out, year / 100), year % 100);
    *out++ = '-';
    out = write_two(out, static_cast<unsigned>(date.month()));
    *out++ = '-';
    out = write_two(out, static_cast<unsigned>(date.day()));
    *out++ = 'T';
    out = write_two(out, since_midnight / 3'600'000);
    *out++ = ':';
    out = write_two(out, since_midnight / 60'000 % 60);
    *out++ = ':';
    out = write_two(out, since_midnight / 1000 % 60);
    *out++ = '.';
    *out++ = static_cast<char>('0' + since_midnight / 100 % 10);
    out = write_two(out, since_midnight % 100);
    *out++ = 'Z';
    return out;
}

char* write_seconds(char* out, duration value) noexcept {
    const auto micros = static_cast<std::uint64_t>(std::max<std::int64_t>(value.count(), 0)) / 1000;
    out = std::to_chars(out, out + max_seconds_size, micros / 1'000'000).ptr;
    *out++ = '.';
    auto rest = static_cast<unsigned>(micros % 1'000'000);
    out = write_two(out, rest / 10'000);
    rest %= 10'000;
    out = write_two(out, rest / 100);
    return write_two(out, rest % 100);
}

} // namespace evenkeel::telemetry

#include "proxy/telemetry/json_text.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>

namespace evenkeel::telemetry {

namespace {

char* write_two(char* out, unsigned value) noexcept {
    out[0] = static_cast<char>('0' + value / 10);
    out[1] = static_cast<char>('0' + value % 10);
    return out + 2;
}

} // namespace

// Eight bytes at a time: of each the highest bit tells.
bool is_plain(std::string_view text) noexcept {
    constexpr std::uint64_t ones = 0x0101010101010101, highest = 0x8080808080808080;
    const auto any_zero = [](std::uint64_t of) { return (of - ones) & ~of; };
    std::uint64_t odd = 0;
    const char* at = text.data();
    std::size_t left = text.size();
    for (; left >= 8; at += 8, left -= 8) {
        std::uint64_t eight = 0;
        std::memcpy(&eight, at, 8);
        odd |= eight | (eight - ones * 0x20) | any_zero(eight ^ ones * '"') | any_zero(eight ^ ones * '\\') |
               any_zero(eight ^ ones * 0x7f);
    }
    bool plain = (odd & highest) == 0;
    for (; left > 0; ++at, --left) plain = plain && *at >= ' ' && *at != '"' && *at != '\\' && *at != '\x7f';
    return plain;
}

void append_quoted(std::string& to, std::string_view text) {
    if (is_plain(text)) { // nearly always
        to += '"';
        to += text;
        to += '"';
        return;
    }
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

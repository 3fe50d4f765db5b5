#pragma once
// Character classes and case-insensitive comparison for the readers of this room. One table look-up per character.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace evenkeel::wire {

namespace char_class {
inline constexpr unsigned char token = 1;      // RFC 9110, 5.6.2
inline constexpr unsigned char underscore = 2; // a token character that some servers read as '-'
inline constexpr unsigned char plain_path = 4; // needs no second look inside a path segment
inline constexpr unsigned char host = 8;       // unreserved of RFC 3986: all that real host names are made of
inline constexpr unsigned char control = 16;   // 0x00-0x1f without HTAB, 0x7f
inline constexpr unsigned char digit = 32;
inline constexpr unsigned char target = 64; // 0x21-0x7e without '#' and '\': what a target may consist of
inline constexpr unsigned char plain = 128; // 0x21-0x7e without '"' and '\': may stand between quotes as it is
} // namespace char_class

inline constexpr std::array<unsigned char, 256> char_classes = [] {
    std::array<unsigned char, 256> table{};
    for (unsigned c = 0; c < 256; ++c) {
        const bool is_digit = c >= '0' && c <= '9';
        const bool is_alnum = is_digit || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        const auto ch = static_cast<char>(c);
        unsigned kinds = 0;
        if (is_alnum || std::string_view("!#$%&'*+-.^_`|~").find(ch) != std::string_view::npos)
            kinds |= char_class::token;
        if (c == '_') kinds |= char_class::underscore;
        if (is_digit) kinds |= char_class::digit;
        if (is_alnum || c == '-' || c == '.' || c == '_' || c == '~') kinds |= char_class::host;
        if ((c < 0x20 && c != '\t') || c == 0x7f) kinds |= char_class::control;
        if (c > 0x20 && c < 0x7f && c != '#' && c != '\\') {
            kinds |= char_class::target;
            if (c != '%' && c != '/' && c != '?' && c != '.') kinds |= char_class::plain_path;
        }
        if (c > 0x20 && c < 0x7f && c != '"' && c != '\\') kinds |= char_class::plain;
        table[c] = static_cast<unsigned char>(kinds);
    }
    return table;
}();

[[nodiscard]] constexpr bool has_class(char c, unsigned char kinds) noexcept {
    return (char_classes[static_cast<unsigned char>(c)] & kinds) != 0;
}

// Value of a hexadecimal digit, or -1.
[[nodiscard]] constexpr int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

[[nodiscard]] constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

[[nodiscard]] constexpr bool iequals(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (lower(a[i]) != lower(b[i])) return false;
    return true;
}

[[nodiscard]] constexpr bool istarts_with(std::string_view text, std::string_view front) noexcept {
    return text.size() >= front.size() && iequals(text.substr(0, front.size()), front);
}

// Compares N - 1 characters at `p`, none of them a control, with a literal of lower-case letters, digits and '-'.
// Setting bit 5 maps capitals to small letters and, controls aside, no other character onto a letter, a digit or '-'.
template <std::size_t N>
[[nodiscard]] inline bool token_is(const char* p, const char (&literal)[N]) noexcept {
    constexpr std::size_t size = N - 1;
    const auto same = [&]<class Word>(std::size_t at, Word bit5) {
        Word a, b;
        std::memcpy(&a, p + at, sizeof(Word));
        std::memcpy(&b, literal + at, sizeof(Word));
        return static_cast<Word>(a | bit5) == b;
    };
    constexpr std::uint64_t eight = 0x2020202020202020U;
    constexpr std::uint32_t four = 0x20202020U;
    // The last word overlaps the one before.
    if constexpr (size >= 8) {
        for (std::size_t at = 0; at + 8 < size; at += 8)
            if (!same(at, eight)) return false;
        return same(size - 8, eight);
    } else if constexpr (size >= 4) {
        return same(0, four) && same(size - 4, four);
    } else {
        for (std::size_t i = 0; i < size; ++i)
            if ((p[i] | 0x20) != literal[i]) return false;
        return true;
    }
}

// As ==, starts_with and ends_with with a literal, without a call: these are asked of every request, some of every
// field.
template <std::size_t N>
[[nodiscard]] inline bool is_word(std::string_view text, const char (&literal)[N]) noexcept {
    return text.size() == N - 1 && std::memcmp(text.data(), literal, N - 1) == 0;
}
template <std::size_t N>
[[nodiscard]] inline bool begins_with(std::string_view text, const char (&literal)[N]) noexcept {
    return text.size() >= N - 1 && std::memcmp(text.data(), literal, N - 1) == 0;
}
template <std::size_t N>
[[nodiscard]] inline bool ends_with(std::string_view text, const char (&literal)[N]) noexcept {
    return text.size() >= N - 1 && std::memcmp(text.data() + text.size() - (N - 1), literal, N - 1) == 0;
}

// Without leading and trailing SP and HTAB (OWS of RFC 9110, 5.6.3).
[[nodiscard]] constexpr std::string_view trim(std::string_view s) noexcept {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
    return s;
}

// 1 to 19 decimal digits, so that nothing overflows: 10^19 - 1 < 2^64.
[[nodiscard]] constexpr bool read_length(std::string_view text, std::uint64_t& out) noexcept {
    if (text.empty() || text.size() > 19) return false;
    std::uint64_t value = 0;
    for (const char c : text) {
        if (!has_class(c, char_class::digit)) return false;
        value = value * 10 + static_cast<std::uint64_t>(c - '0');
    }
    out = value;
    return true;
}

} // namespace evenkeel::wire

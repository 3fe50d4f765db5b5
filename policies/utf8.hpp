#pragma once
// What is UTF-8 and what is not, for everything that reads text from outside. Here because configuration, wire and logs
// have no other room below all of them.

#include <cstddef>
#include <string_view>

namespace evenkeel {

// Size of the well-formed sequence that `text` begins with; 0 if there is none. No overlong forms, no surrogates,
// nothing beyond U+10FFFF (Unicode 15, table 3-7).
[[nodiscard]] constexpr std::size_t utf8_sequence(std::string_view text) noexcept {
    const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    if (text.empty()) return 0;
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    const std::size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (text.size() < size) return 0;
    for (std::size_t i = 1; i < size; ++i)
        if ((byte(i) & 0xc0) != 0x80) return 0;
    const unsigned char second = byte(1);
    const bool good = first == 0xe0   ? second >= 0xa0
                      : first == 0xed ? second <= 0x9f
                      : first == 0xf0 ? second >= 0x90
                      : first == 0xf4 ? second <= 0x8f
                                      : true;
    return good ? size : 0;
}

} // namespace evenkeel

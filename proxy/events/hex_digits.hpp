#pragma once
// A number as sixteen hexadecimal digits, as the ids of traces are told.

#include <cstddef>
#include <cstdint>

namespace evenkeel::telemetry {

inline constexpr std::size_t hex_digits = 16;
inline void write_hex(char* out, std::uint64_t number) noexcept {
    for (std::size_t i = hex_digits; i > 0; number >>= 4U) out[--i] = "0123456789abcdef"[number & 0xFU];
}

} // namespace evenkeel::telemetry

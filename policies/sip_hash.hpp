#pragma once
// SipHash-2-4 (Aumasson and Bernstein, 2012): 64 bits of a text under a key of 128. Without the key nobody can make two
// texts meet or turn a hash back into its text; for short texts at a twentieth of what HMAC-SHA-256 costs.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace evenkeel {

struct sip_key {
    std::uint64_t first = 0, second = 0;
};

namespace detail {
struct sip_state {
    std::uint64_t a, b, c, d;

    constexpr void round() noexcept {
        a += b;
        c += d;
        b = std::rotl(b, 13) ^ a;
        d = std::rotl(d, 16) ^ c;
        a = std::rotl(a, 32);
        c += b;
        a += d;
        b = std::rotl(b, 17) ^ c;
        d = std::rotl(d, 21) ^ a;
        c = std::rotl(c, 32);
    }
    constexpr void take(std::uint64_t word) noexcept {
        d ^= word;
        round();
        round();
        a ^= word;
    }
};
} // namespace detail

[[nodiscard]] inline std::uint64_t sip_hash(std::string_view text, sip_key key) noexcept {
    static_assert(std::endian::native == std::endian::little, "words are read as they lie");
    detail::sip_state state{key.first ^ 0x736f6d6570736575ULL, key.second ^ 0x646f72616e646f6dULL,
                            key.first ^ 0x6c7967656e657261ULL, key.second ^ 0x7465646279746573ULL};
    const std::size_t whole = text.size() / 8 * 8;
    std::uint64_t word = 0;
    for (std::size_t at = 0; at < whole; at += 8) {
        std::memcpy(&word, text.data() + at, 8);
        state.take(word);
    }
    word = 0;
    if (whole != text.size()) std::memcpy(&word, text.data() + whole, text.size() - whole);
    state.take(word | static_cast<std::uint64_t>(text.size()) << 56);
    state.c ^= 0xff;
    for (int i = 0; i < 4; ++i) state.round();
    return state.a ^ state.b ^ state.c ^ state.d;
}

} // namespace evenkeel

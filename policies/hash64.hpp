#pragma once
// 64-bit hashes for decisions that must come out the same everywhere and each time: shards, draws that are none,
// injected faults. No protection against anybody who chooses the input.

#include <cstdint>
#include <string_view>

namespace evenkeel {

// The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): every bit of the result depends on every bit of
// `x`.
[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

// The generator it comes from: eight bytes of state and a period of 2^64, for draws that nobody gains from foreseeing.
class split_mix64 {
public:
    split_mix64() = default;
    explicit split_mix64(std::uint64_t seed) noexcept : state_(seed) {}
    void seed(std::uint64_t seed) noexcept { state_ = seed; }
    [[nodiscard]] std::uint64_t operator()() noexcept {
        const std::uint64_t drawn = mix64(state_);
        state_ += 0x9e3779b97f4a7c15ULL;
        return drawn;
    }

private:
    std::uint64_t state_ = 0;
};

// FNV-1a (Fowler, Noll and Vo), 64 bits; its upper bits are weak for short texts: mix64 cures that.
inline constexpr std::uint64_t fnv1a_start = 0xcbf29ce484222325ULL;
[[nodiscard]] constexpr std::uint64_t fnv1a(std::string_view text, std::uint64_t so_far = fnv1a_start) noexcept {
    for (const char c : text) so_far = (so_far ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return so_far;
}

// Uniform in [0, 1) from 64 uniform bits.
[[nodiscard]] constexpr double unit_interval(std::uint64_t bits) noexcept {
    return static_cast<double>(bits >> 11) * 0x1p-53;
}

} // namespace evenkeel

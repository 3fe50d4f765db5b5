#include "proxy/wire/find_word.hpp"

#include <cstdint>
#include <cstring>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace evenkeel::wire {

namespace {

constexpr std::size_t none = std::string_view::npos;

// The first place from `at` on, and before `end`, where the two bytes stand next to each other; none: nowhere.
std::size_t next_pair_plain(const char* text, std::size_t at, std::size_t end, char one, char other) noexcept {
    for (; at < end; ++at) {
        if (text[at] == one && text[at + 1] == other) return at;
    }
    return none;
}

#ifdef __x86_64__
constexpr std::size_t block = 64; // places looked at in one step

__attribute__((target("avx2"))) std::size_t next_pair_avx2(const char* text, std::size_t at, std::size_t end, char one, char other) noexcept {
    if (end < block) return next_pair_plain(text, at, end, one, other);
    const __m256i first = _mm256_set1_epi8(one), second = _mm256_set1_epi8(other);
    const auto load = [text](std::size_t from) __attribute__((target("avx2"))) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + from));
    };
    std::uint64_t wanted = ~std::uint64_t{0}; // places of the block that were not looked at before
    while (at < end) {
        if (at + block > end) { // the last block overlaps the one before it
            wanted <<= at + block - end;
            at = end - block;
        }
        const __m256i low = _mm256_and_si256(_mm256_cmpeq_epi8(first, load(at)), _mm256_cmpeq_epi8(second, load(at + 1)));
        const __m256i high = _mm256_and_si256(_mm256_cmpeq_epi8(first, load(at + 32)), _mm256_cmpeq_epi8(second, load(at + 33)));
        if (_mm256_testz_si256(_mm256_or_si256(low, high), _mm256_or_si256(low, high)) == 0) {
            const std::uint64_t places = (static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(high))) << 32 |
                                          static_cast<std::uint32_t>(_mm256_movemask_epi8(low))) & wanted;
            if (places != 0) return at + static_cast<std::size_t>(__builtin_ctzll(places));
        }
        at += block;
    }
    return none;
}

std::size_t next_pair_sse2(const char* text, std::size_t at, std::size_t end, char one, char other) noexcept {
    const __m128i first = _mm_set1_epi8(one), second = _mm_set1_epi8(other);
    for (; at + 16 <= end; at += 16) {
        const __m128i left = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at));
        const __m128i right = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + at + 1));
        const int places = _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(first, left), _mm_cmpeq_epi8(second, right)));
        if (places != 0) return at + static_cast<std::size_t>(__builtin_ctz(static_cast<unsigned>(places)));
    }
    return next_pair_plain(text, at, end, one, other);
}

const auto next_pair = __builtin_cpu_supports("avx2") != 0 ? next_pair_avx2 : next_pair_sse2;
#else
constexpr auto next_pair = next_pair_plain;
#endif

} // namespace

std::size_t find_word(std::string_view text, std::string_view word, std::size_t probe) noexcept {
    if (text.size() < word.size()) return none;
    const std::size_t end = text.size() - word.size() + 1; // places where the word may begin
    for (std::size_t at = 0; at < end; ++at) {
        at = next_pair(text.data() + probe, at, end, word[probe], word[probe + 1]);
        if (at == none) return none;
        if (std::memcmp(text.data() + at, word.data(), word.size()) == 0) return at;
    }
    return none;
}

} // namespace evenkeel::wire

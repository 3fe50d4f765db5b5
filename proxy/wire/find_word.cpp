#include "proxy/wire/find_word.hpp"

#include <algorithm>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace evenkeel::wire {

namespace {

#ifdef __x86_64__
constexpr std::size_t block = 64; // places looked at in one step

// Whether the two bytes stand next to each other anywhere in the 65 bytes from `here` on.
bool has_pair_sse2(const char* here, char one, char other) noexcept {
    const __m128i first = _mm_set1_epi8(one), second = _mm_set1_epi8(other);
    const auto pairs = [&](std::size_t at) {
        const __m128i left = _mm_loadu_si128(reinterpret_cast<const __m128i*>(here + at));
        const __m128i right = _mm_loadu_si128(reinterpret_cast<const __m128i*>(here + at + 1));
        return _mm_and_si128(_mm_cmpeq_epi8(first, left), _mm_cmpeq_epi8(second, right));
    };
    return _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(pairs(0), pairs(16)), _mm_or_si128(pairs(32), pairs(48)))) != 0;
}

// The first block from `at` on that has the pair; one that would begin behind `last` means none. `last` is the last place
// where a block may begin.
__attribute__((target("avx2"))) std::size_t next_pair_avx2(const char* text, std::size_t at, std::size_t last, char one, char other) noexcept {
    const __m256i first = _mm256_set1_epi8(one), second = _mm256_set1_epi8(other);
    for (; at <= last; at += block) {
        const char* const here = text + at;
        const __m256i low = _mm256_and_si256(_mm256_cmpeq_epi8(first, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(here))),
                                             _mm256_cmpeq_epi8(second, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(here + 1))));
        const __m256i high = _mm256_and_si256(_mm256_cmpeq_epi8(first, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(here + 32))),
                                              _mm256_cmpeq_epi8(second, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(here + 33))));
        if (_mm256_movemask_epi8(_mm256_or_si256(low, high)) != 0) return at;
    }
    return at;
}

std::size_t next_pair_sse2(const char* text, std::size_t at, std::size_t last, char one, char other) noexcept {
    for (; at <= last; at += block) {
        if (has_pair_sse2(text + at, one, other)) return at;
    }
    return at;
}

const auto next_pair = __builtin_cpu_supports("avx2") != 0 ? next_pair_avx2 : next_pair_sse2;
#endif

} // namespace

std::size_t find_word(std::string_view text, std::string_view word, std::size_t probe) noexcept {
#ifdef __x86_64__
    if (text.size() < word.size() + block) return text.find(word);
    const std::size_t last = text.size() - word.size() - block; // a block that begins here reads nothing behind the text
    std::size_t at = 0;
    for (;;) {
        at = next_pair(text.data() + probe, at, last, word[probe], word[probe + 1]);
        if (at > last) {
            if (at >= last + block) break;
            at = last; // the rest, together with what was seen before
            if (!has_pair_sse2(text.data() + probe + at, word[probe], word[probe + 1])) {
                at += block;
                break;
            }
        }
        const std::size_t found = text.substr(at, block + word.size() - 1).find(word);
        if (found != std::string_view::npos) return at + found;
        if (at == last) {
            at += block;
            break;
        }
        at += block;
    }
    // One place is left where the word would end with the text.
    return text.ends_with(word) ? text.size() - word.size() : std::string_view::npos;
#else
    static_cast<void>(probe);
    return text.find(word);
#endif
}

} // namespace evenkeel::wire

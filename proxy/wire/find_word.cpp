#include "proxy/wire/find_word.hpp"

#include <algorithm>
#include <bit>
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

__attribute__((target("avx2"))) std::size_t next_pair_avx2(const char* text, std::size_t at, std::size_t end, char one,
                                                           char other) noexcept {
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
        const __m256i low =
            _mm256_and_si256(_mm256_cmpeq_epi8(first, load(at)), _mm256_cmpeq_epi8(second, load(at + 1)));
        const __m256i high =
            _mm256_and_si256(_mm256_cmpeq_epi8(first, load(at + 32)), _mm256_cmpeq_epi8(second, load(at + 33)));
        if (_mm256_testz_si256(_mm256_or_si256(low, high), _mm256_or_si256(low, high)) == 0) {
            const std::uint64_t places =
                (static_cast<std::uint64_t>(static_cast<std::uint32_t>(_mm256_movemask_epi8(high))) << 32 |
                 static_cast<std::uint32_t>(_mm256_movemask_epi8(low))) &
                wanted;
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

// A place among those of a block, as long as there is room for all that a block could hold.
struct found_pairs {
    std::span<std::uint32_t> places;
    std::size_t count = 0;

    [[nodiscard]] bool full() const noexcept { return places.size() - count < block; }
    void add(std::size_t at, std::uint64_t bits) noexcept {
        for (; bits != 0; bits &= bits - 1)
            places[count++] = static_cast<std::uint32_t>(at + static_cast<std::size_t>(std::countr_zero(bits)));
    }
};

// From `at` on, in blocks; the last one overlaps the one before it. Returns how far it looked.
__attribute__((target("avx2"))) std::size_t collect_avx2(const char* text, std::size_t at, std::size_t end, char one,
                                                         char other, found_pairs& into) noexcept {
    const __m256i first = _mm256_set1_epi8(one), second = _mm256_set1_epi8(other);
    const auto places = [&](std::size_t from) __attribute__((target("avx2"))) {
        const __m256i left = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + from));
        const __m256i right = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text + from + 1));
        return static_cast<std::uint32_t>(
            _mm256_movemask_epi8(_mm256_and_si256(_mm256_cmpeq_epi8(first, left), _mm256_cmpeq_epi8(second, right))));
    };
    while (at < end && !into.full()) {
        const std::size_t from = std::min(at, end - block);
        const std::uint64_t bits =
            (static_cast<std::uint64_t>(places(from + 32)) << 32 | places(from)) & ~std::uint64_t{0} << (at - from);
        if (bits != 0) into.add(from, bits);
        at = from + block;
    }
    return at;
}

std::size_t collect_sse2(const char* text, std::size_t at, std::size_t end, char one, char other,
                         found_pairs& into) noexcept {
    const __m128i first = _mm_set1_epi8(one), second = _mm_set1_epi8(other);
    const auto places = [&](std::size_t from) {
        const __m128i left = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + from));
        const __m128i right = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text + from + 1));
        return static_cast<unsigned>(
            _mm_movemask_epi8(_mm_and_si128(_mm_cmpeq_epi8(first, left), _mm_cmpeq_epi8(second, right))));
    };
    constexpr std::size_t width = 16;
    while (at < end && !into.full()) {
        const std::size_t from = std::min(at, end - width);
        const unsigned bits = places(from) & ~0U << (at - from);
        if (bits != 0) into.add(from, bits);
        at = from + width;
    }
    return at;
}

const auto collect = __builtin_cpu_supports("avx2") != 0 ? collect_avx2 : collect_sse2;
const auto next_pair = __builtin_cpu_supports("avx2") != 0 ? next_pair_avx2 : next_pair_sse2;
#else
constexpr auto next_pair = next_pair_plain;
#endif

} // namespace

std::size_t find_word(std::string_view text, std::string_view word, std::size_t pair_at) noexcept {
    if (text.size() < word.size()) return none;
    const std::size_t end = text.size() - word.size() + 1; // places where the word may begin
    for (std::size_t at = 0; at < end; ++at) {
        at = next_pair(text.data() + pair_at, at, end, word[pair_at], word[pair_at + 1]);
        if (at == none) return none;
        if (std::memcmp(text.data() + at, word.data(), word.size()) == 0) return at;
    }
    return none;
}

std::size_t find_pairs(std::string_view text, std::size_t& from, char one, char other,
                       std::span<std::uint32_t> places) noexcept {
    const std::size_t end = text.empty() ? 0 : text.size() - 1; // places where a pair may begin
#ifdef __x86_64__
    if (end >= block) {
        found_pairs found{places};
        from = collect(text.data(), from, end, one, other, found);
        if (from >= end) from = text.size();
        return found.count;
    }
#endif
    std::size_t count = 0;
    for (; from < end && count < places.size(); ++from) {
        if (text[from] == one && text[from + 1] == other) places[count++] = static_cast<std::uint32_t>(from);
    }
    if (from >= end) from = text.size();
    return count;
}

} // namespace evenkeel::wire

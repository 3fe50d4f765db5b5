#pragma once
// Is a short word somewhere in a text? Many places at a time: where two neighbouring bytes of the word stand, the rest
// is compared (after W. Muła, SIMD-friendly algorithms for substring searching, 2016). memmem() looks at every byte: on
// a small answer it alone was a twelfth of a request.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace evenkeel::wire {

// The place of the first one; npos if there is none. `word` has at least two bytes; `pair_at` is the place in it of two
// neighbours that are rare in the text.
[[nodiscard]] std::size_t find_word(std::string_view text, std::string_view word, std::size_t pair_at = 0) noexcept;

[[nodiscard]] inline bool has_word(std::string_view text, std::string_view word, std::size_t pair_at = 0) noexcept {
    return find_word(text, word, pair_at) != std::string_view::npos;
}

// All places, in order, where the bytes `one` and `other` stand next to each other: into `places`, as many as it holds
// (at least 64). Returns how many; `from`, where to begin, moves behind what was looked at, to the end of the text once
// there are no more.
[[nodiscard]] std::size_t find_pairs(std::string_view text, std::size_t& from, char one, char other,
                                     std::span<std::uint32_t> places) noexcept;

} // namespace evenkeel::wire

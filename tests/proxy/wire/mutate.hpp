#pragma once
// Random changes to raw messages, of the kinds that make two parsers disagree. Deterministic for a seed.

#include "vectors.hpp"

#include <random>
#include <string>

namespace evenkeel::test {

class mutator {
public:
    // Draws from the vectors of moderate length, two of three times from those that are accepted.
    mutator(const std::vector<head_vector>& rows, unsigned seed);

    // A vector's bytes with up to four changes; none at all now and then. `row` says which vector it was.
    [[nodiscard]] std::string next(const head_vector*& row);
    [[nodiscard]] std::mt19937& random() noexcept { return random_; }

    // One change: a byte, a piece, a line or a field.
    void change(std::string& bytes);

private:
    [[nodiscard]] std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }

    std::vector<const head_vector*> rows_;
    std::vector<const head_vector*> accepted_;
    std::mt19937 random_;
};

} // namespace evenkeel::test

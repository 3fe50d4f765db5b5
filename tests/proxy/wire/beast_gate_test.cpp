// The gates as they ship, with Boost.Beast's parser in the place of our scanner (beast_scanner.cpp). What changes is
// the second half of why the scanner stays; the first is what tests/bench counts.

#include "verdicts.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::beast_gate_test {

namespace {

struct difference {          // each name with a comma behind it
    std::string let_through; // though it is to be refused
    std::string waited_for;  // likewise: more bytes are asked for, which may never come
    std::string read_otherwise;
};

template <class Head>
difference look(const std::vector<head_vector>& rows) {
    difference out;
    for (const head_vector& row : rows) {
        const std::string got = verdict_whole<Head>(row, row.bytes);
        if (row.why == wire::refusal::none) {
            if (!is_as_expected<Head>(row)) out.read_otherwise += row.name + ", ";
        } else if (got == "need_more") {
            out.waited_for += row.name + ", ";
        } else if (!got.starts_with("refused")) {
            out.let_through += row.name + ", ";
        }
    }
    return out;
}

} // namespace

TEST_CASE("with Beast's parser behind the gates folded request fields pass") {
    const difference found = look<wire::request_head>(request_vectors());
    CHECK(found.let_through == "te/folded, field/obs-fold space, field/obs-fold tab, field/obs-fold with a colon, "
                               "field/obs-fold blank, ");
    CHECK(found.waited_for == "field/LF at the very end, ");
    CHECK(found.read_otherwise == "");
}

TEST_CASE("with Beast's parser behind the gates folded response fields pass") {
    const difference found = look<wire::response_head>(response_vectors());
    CHECK(found.let_through == "resp/folded length, resp/obs-fold, ");
    CHECK(found.waited_for == "resp/line/TLS record, ");
    CHECK(found.read_otherwise == "resp/line/no reason and no blank (B16), ");
}

} // namespace evenkeel::test::beast_gate_test

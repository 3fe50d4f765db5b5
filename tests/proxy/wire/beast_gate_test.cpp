// The gates as they ship, with Boost.Beast's parser in the place of our scanner (beast_scanner.cpp). What changes is
// the second half of why the scanner stays; the first is what tests/bench counts.

#include "verdicts.hpp"

#include <doctest/doctest.h>

namespace evenkeel::test::beast_gate_test {

namespace {

using names = std::vector<std::string>;

struct difference {
    names let_through; // though it is to be refused
    names waited_for;  // likewise: more bytes are asked for, which may never come
    names read_otherwise;
};

template <class Head>
difference look(const std::vector<head_vector>& rows) {
    difference out;
    for (const head_vector& row : rows) {
        const std::string got = verdict_whole<Head>(row, row.bytes);
        if (row.why == wire::refusal::none) {
            if (!is_as_expected<Head>(row)) out.read_otherwise.push_back(row.name);
        } else if (got == "need_more") {
            out.waited_for.push_back(row.name);
        } else if (!got.starts_with("refused")) {
            out.let_through.push_back(row.name);
        }
    }
    return out;
}

} // namespace

TEST_CASE("with Beast's parser behind the gates folded request fields pass, and what is no HTTP is waited for") {
    const difference found = look<wire::request_head>(request_vectors());
    CHECK(found.let_through == names{"te/folded", "field/obs-fold space", "field/obs-fold tab",
                                     "field/obs-fold with a colon", "field/obs-fold blank"});
    CHECK(found.waited_for == names{"field/LF LF at the end", "field/LF at the very end", "field/CR CR at the end",
                                    "field/all LF", "line/TLS hello", "limit/many small fields"});
    CHECK(found.read_otherwise.empty());
}

TEST_CASE("with Beast's parser behind the gates folded response fields pass, and what is no HTTP is waited for") {
    const difference found = look<wire::response_head>(response_vectors());
    CHECK(found.let_through == names{"resp/folded length", "resp/obs-fold"});
    CHECK(found.waited_for == names{"resp/line/LF only", "resp/line/TLS record", "resp/line/HTTP2 settings"});
    CHECK(found.read_otherwise.empty());
}

} // namespace evenkeel::test::beast_gate_test

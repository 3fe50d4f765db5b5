#include "verdicts.hpp"

#include <doctest/doctest.h>

#include "proxy/wire/head_builder.hpp"

namespace evenkeel::test::chunk_test {

using decoder = wire::chunk_decoder;

namespace {

struct decoded {
    std::string body;
    std::string end; // "done", "need_more" or the refusal
    std::string rest;
    bool operator==(const decoded&) const = default;
};

// Feeds `bytes` in pieces of at most `piece` bytes, the first of them `first` bytes long.
decoded decode(std::string_view bytes, std::size_t first, std::size_t piece, wire::chunk_limits limits = {}) {
    decoder d(limits);
    decoded out;
    std::size_t at = 0;
    std::size_t size = std::min(first, bytes.size());
    while (true) {
        const exact_copy copy(bytes.substr(at, size));
        std::string_view in = copy.view();
        while (true) {
            const decoder::step step = d.next(in);
            REQUIRE(step.consumed <= in.size());
            REQUIRE((step.is == decoder::state::data) == !step.data.empty());
            if (step.is == decoder::state::data) {
                REQUIRE(step.data.data() >= in.data());
                REQUIRE(step.data.data() + step.data.size() == in.data() + step.consumed);
                out.body.append(step.data);
            }
            in.remove_prefix(step.consumed);
            at += step.consumed;
            if (step.is == decoder::state::refused) return out.end = wire::to_string(step.why), out;
            if (step.is == decoder::state::done) {
                REQUIRE(d.done());
                out.end = "done";
                out.rest = bytes.substr(at);
                return out;
            }
            if (step.is == decoder::state::need_more) {
                REQUIRE(in.empty()); // it never waits for a line to be whole
                break;
            }
        }
        if (at == bytes.size()) return out.end = "need_more", out;
        size = std::min(piece, bytes.size() - at);
    }
}

decoded expected(const chunk_vector& row) {
    if (row.why != wire::refusal::none) return {row.body, std::string(wire::to_string(row.why)), {}};
    return {row.body, row.complete ? "done" : "need_more", row.rest};
}

} // namespace

TEST_CASE("every chunk vector is decoded or refused, however its bytes are cut") {
    CHECK(chunk_vectors().size() >= 100);
    for (const chunk_vector& row : chunk_vectors()) {
        CAPTURE(row.name);
        CAPTURE(printable(row.bytes));
        const decoded want = expected(row);

        const decoded whole = decode(row.bytes, row.bytes.size(), row.bytes.size());
        CHECK(whole.end == want.end);
        CHECK(whole.body.size() == want.body.size());
        CHECK(whole.body == want.body);
        CHECK(whole.rest == want.rest);

        CHECK(decode(row.bytes, 1, 1) == whole);
        const std::size_t step = row.bytes.size() > 3000 ? 9973 : 1;
        for (std::size_t split = 0; split < row.bytes.size(); split += step)
            if (decode(row.bytes, split, row.bytes.size()) != whole) FAIL_CHECK("differs when split at " << split);
    }
}

TEST_CASE("the limits of the decoder are the caller's") {
    CHECK(decode("5;abcdef\r\nhello\r\n0\r\n\r\n", 99, 99, {.max_line_bytes = 10}).end == "done");
    CHECK(decode("5;abcdef\r\nhello\r\n0\r\n\r\n", 99, 99, {.max_line_bytes = 9}).end == "chunk_line_too_long");
    CHECK(decode("0\r\nA: b\r\n\r\n", 99, 99, {.max_trailer_bytes = 8}).end == "done");
    CHECK(decode("0\r\nA: b\r\n\r\n", 99, 99, {.max_trailer_bytes = 7}).end == "trailer_too_large");
    CHECK(
        decode("1;ab\r\nx\r\n1\r\ny\r\n0\r\n\r\n", 99, 99, {.overhead_grace_bytes = 0, .max_overhead_ratio = 6}).end ==
        "chunk_overhead");
    CHECK(decode("3\r\nxxx\r\n0\r\n\r\n", 99, 99, {.overhead_grace_bytes = 3, .max_overhead_ratio = 8}).end == "done");
}

TEST_CASE("chunks that the proxy writes are read back") {
    std::string stream;
    std::string body;
    char buffer[18];
    for (const std::size_t size : {1U, 9U, 15U, 16U, 255U, 4096U, 65537U}) {
        const std::string piece(size, static_cast<char>('a' + size % 26));
        stream.append(wire::chunk_head(buffer, size)).append(piece).append(wire::chunk_tail);
        body += piece;
    }
    stream += wire::last_chunk;

    CHECK(decode(stream, stream.size(), stream.size()) == decoded{body, "done", ""});
    CHECK(wire::chunk_head(buffer, ~std::uint64_t{0}) == "ffffffffffffffff\r\n");
    CHECK(wire::chunk_head(buffer, 0) == "0\r\n");
}

} // namespace evenkeel::test::chunk_test

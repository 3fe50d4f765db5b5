#pragma once
// Runs the readers over bytes the way a connection does: whole, or growing by the given steps.

#include "vectors.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace evenkeel::test {

// One string per verdict, so that a failing comparison shows everything: "refused: bad_host", "need_more" or the parts,
// with the number of bytes consumed.
template <class Result, class Head>
std::string verdict(const Result& result, const Head& head) {
    using state = wire::head_result::state;
    if (result.is == state::need_more) return "need_more";
    if (result.is == state::refused) return "refused: " + std::string(wire::to_string(result.why));
    return std::to_string(result.consumed) + ": " + describe(head);
}

// Bytes in a block of exactly their size, so that the address sanitizer sees a read past the end.
class exact_copy {
public:
    explicit exact_copy(std::string_view bytes) : data_(new char[bytes.size()]), size_(bytes.size()) {
        bytes.copy(data_.get(), size_);
    }
    [[nodiscard]] std::string_view view() const noexcept { return {data_.get(), size_}; }

private:
    std::unique_ptr<char[]> data_;
    std::size_t size_;
};

[[nodiscard]] inline wire::head_result read_head(const head_vector&, std::string_view bytes, std::size_t& scanned,
                                                 wire::request_head& out) {
    return wire::read_request_head(bytes, {}, scanned, out);
}
[[nodiscard]] inline wire::head_result read_head(const head_vector& row, std::string_view bytes, std::size_t& scanned,
                                                 wire::response_head& out) {
    return wire::read_response_head(bytes, {}, scanned, {row.head_request}, out);
}

// The verdict on `bytes` received in pieces that end at `ends`, in order; the last one must be bytes.size().
template <class Head, class Ends>
std::string verdict_in_pieces(const head_vector& row, std::string_view bytes, const Ends& ends) {
    Head head;
    std::size_t scanned = 0;
    wire::head_result result;
    for (const std::size_t end : ends) {
        result = read_head(row, bytes.substr(0, end), scanned, head);
        if (result.is != wire::head_result::state::need_more) break;
    }
    return verdict(result, head);
}

template <class Head>
std::string verdict_whole(const head_vector& row, std::string_view bytes) {
    const exact_copy copy(bytes);
    Head head;
    std::size_t scanned = 0;
    const wire::head_result result = read_head(row, copy.view(), scanned, head);
    return verdict(result, head);
}

[[nodiscard]] inline std::string expected(const head_vector& row) {
    return row.why == wire::refusal::none ? std::to_string(row.bytes.size()) + ": " + row.parts
                                          : "refused: " + std::string(wire::to_string(row.why));
}

// True if the whole run says what the row expects.
template <class Head>
bool is_as_expected(const head_vector& row) {
    const std::string got = verdict_whole<Head>(row, row.bytes);
    if (row.why == wire::refusal::none && row.parts.empty())
        return got.starts_with(std::to_string(row.bytes.size()) + ": ");
    return got == expected(row);
}

} // namespace evenkeel::test

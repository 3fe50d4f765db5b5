#pragma once
// Boost.Beast's parser as a second opinion on heads. It fills no container and keeps the raw parts, so that they can be
// compared with what the wire room reads. It is an oracle for one direction only: what the wire room accepts, Beast
// must accept and split the same way. Beast 1.81 itself takes much that a proxy must not; beast_test.cpp counts it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace evenkeel::test {

struct beast_head {
    bool complete = false; // the whole head was read without an error
    std::string error;
    std::string method; // requests
    std::string target;
    int status = 0; // responses
    std::string reason;
    int version = 11;
    std::vector<std::pair<std::string, std::string>> fields; // all of them, in order
    bool chunked = false;
    bool keep_alive = false;
    bool needs_eof = false;
    std::optional<std::uint64_t> content_length;
    std::size_t consumed = 0; // bytes of the head
};

[[nodiscard]] beast_head beast_request_head(std::string_view bytes);
[[nodiscard]] beast_head beast_response_head(std::string_view bytes, bool head_request);

// Elements of a list like `Connection`, by Beast's own reading of RFC 9110.
[[nodiscard]] std::vector<std::string> beast_tokens(std::string_view list);

} // namespace evenkeel::test

#pragma once
// The shape of a request, as its latency depends on it: read off the body without parsing it, since it only sorts
// requests into classes. A word in quotes followed by a colon can stand in a body as a member's name only: inside a
// string its quotes would be escaped. Pure.

#include "policies/endpoint_latency.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace evenkeel::request {

// What stands near the ends of a body, where the members that matter are: before and behind the messages.
struct body_ends {
    request_shape shape{};        // but for `stream`
    std::optional<bool> stream{}; // of the first member of that name, whosever it is
    bool any_stream = false;      // one of that name is true
    bool all = false;             // nothing lies between the ends
    // Where the member `model` stands, and its text within the quotes; a text of 0 bytes: nowhere.
    std::size_t model_name_at = 0, model_at = 0, model_size = 0;
};

// `body` is what is held of it, `whole_size` its announced length (or what is held, if more).
// What request_shape::model is of a name; never 0.
[[nodiscard]] std::uint64_t model_hash(std::string_view name) noexcept;

[[nodiscard]] body_ends read_ends(std::string_view body, std::uint64_t whole_size) noexcept;

// Whether the member whose name begins at `at`, outside of strings, is one of the outermost object. `whole`: else only
// the beginning of the body is here.
[[nodiscard]] bool is_outermost(std::string_view body, std::size_t at, bool whole) noexcept;

// Whether a whole body asks for a stream: the last member `stream` of its outermost object, if that is true or false. A
// tenth of what parsing the body costs, as it is nearly always near one of its ends: how deep it lies is seen from
// there. `sure`: else it is between them, and only parsing tells.
struct stream_member {
    std::optional<bool> says{};
    bool sure = true;
};
[[nodiscard]] stream_member find_stream(std::string_view body) noexcept;

} // namespace evenkeel::request

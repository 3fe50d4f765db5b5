#pragma once
// What the body of an answer is, by what it begins with. That says more than its label: gateways send good events as
// application/json, and JSON errors as text/event-stream.
//
// Pure; bytes in any cut. A byte order mark and blanks in front (some servers keep a connection alive with empty lines)
// say nothing.

#include <array>
#include <cstddef>
#include <string_view>

namespace evenkeel::wire {

class body_beginning {
public:
    enum class kind : unsigned char {
        unknown, // not enough has come
        events,  // a field of server-sent events, or a comment
        json,    // an object or an array
        other,
    };
    // The next bytes of the body; once it is known nothing is looked at any more.
    kind read(std::string_view bytes) noexcept;
    [[nodiscard]] kind is() const noexcept { return is_; }
    // What has come of the first word, while that is not known.
    [[nodiscard]] std::string_view begun() const noexcept { return {word_.data(), size_}; }

private:
    static constexpr std::size_t longest = 6; // "event:", "retry:"

    std::array<char, longest> word_{};
    unsigned char size_ = 0;
    kind is_ = kind::unknown;
};

} // namespace evenkeel::wire

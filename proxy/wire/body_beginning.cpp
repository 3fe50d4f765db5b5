#include "proxy/wire/body_beginning.hpp"

#include "proxy/wire/lenient_json.hpp"

#include <algorithm>

namespace evenkeel::wire {

namespace {
// `error:` is no field of the standard, but llama.cpp's.
constexpr std::array<std::string_view, 6> event_fields{":", "data:", "event:", "id:", "retry:", "error:"};

body_beginning::kind judge(std::string_view word) noexcept {
    using kind = body_beginning::kind;
    if (word.front() == '{' || word.front() == '[') return kind::json;
    bool may_be = byte_order_mark.starts_with(word);
    for (const std::string_view field : event_fields) {
        if (word.starts_with(field)) return kind::events;
        may_be = may_be || field.starts_with(word);
    }
    return may_be ? kind::unknown : kind::other;
}
} // namespace

body_beginning::kind body_beginning::read(std::string_view bytes) noexcept {
    for (const char c : bytes) {
        if (is_ != kind::unknown) break;
        if (size_ == 0 && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) continue;
        word_[size_++] = c;
        if (begun() == byte_order_mark) {
            size_ = 0;
            continue;
        }
        is_ = judge(begun());
    }
    return is_;
}

} // namespace evenkeel::wire

#pragma once
// JSON as servers of models write it, for reading only: what is passed on stays as it came. Besides what the standard
// has, it may stand behind a byte order mark, hold half a surrogate pair (a model's text is cut between two events
// wherever its tokens end), Python's NaN and Infinity (json.dumps writes them), and be nested to any depth.
//
// Pure. The strict parser is asked first, so that nearly every text costs what it did; only what it refuses is copied,
// mended and asked for again.

#include <boost/json/value.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace evenkeel::wire {

inline constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
[[nodiscard]] constexpr std::string_view without_mark(std::string_view text) noexcept {
    return text.starts_with(byte_order_mark) ? text.substr(byte_order_mark.size()) : text;
}

// `failed` says whether it is no JSON either way. Values nested deeper than `max_depth` are read as a text.
[[nodiscard]] boost::json::value parse_leniently(std::string_view text, std::size_t max_depth,
                                                 boost::json::storage_ptr memory, boost::json::error_code& failed);

// `text` with what a strict parser does not take replaced: half a pair by U+FFFD, NaN and infinities by null, what lies
// too deep by "...". Other faults stay.
[[nodiscard]] std::string mended_json(std::string_view text, std::size_t max_depth);

} // namespace evenkeel::wire
